"""Why a method converges, and how fast: the numbers of the theory along a trajectory, and what they predict.

With J[t] = df/dx along the trajectory, A[t] what a method takes for it, and Jt the block bidiagonal matrix that has I
on its diagonal and -A[t] below, Proposition 3 says of the error e of an iterate

    |e'| <= |Jt^-1| ( max over t of |J[t] - A[t]| |e| + L/2 |e|^2 ),    L the Lipschitz constant of J.

Reference:
    Gonzalez et al., "A Unifying Framework for Parallelizing Sequential Models with Linear Dynamical Systems" (2025),
    Proposition 3.
"""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import _array, _callable, _catalog, _lib, _solve
from ._array import Array
from ._cell import Cell
from ._method import Method
from ._solution import Solution

__all__ = ["Analysis", "Comparison", "Prediction", "analyse", "compare"]

_TAIL = 8  # the last iterates of a decay, from which it is continued


@dataclass(frozen=True, eq=False, repr=False)
class Analysis:
    """What theory says of a method along a trajectory. Numbers are float, or (B,) where there is a batch axis; norms
    are spectral, over all steps and components, in the units of the state.

    Attributes:
        method: the name.
        difference: max over t of |J[t] - A[t]|.
        inverse_norm: |Jt^-1|, an estimate from below by the method of Golub and Kahan; inf where products of A
            overflow.
        lipschitz: L near the trajectory, an estimate from below by differences along three directions at each step.
        lyapunov: the largest Lyapunov exponent a step: above 0 the model is chaotic or expanding, and forgets nothing.
        lyapunov_error: its standard error, from the means of 16 blocks of time and how alike those of neighbours are,
            and from how differently two vectors grow; NaN for fewer than 36 steps. Too small where T is not many times
            as long as the growth remembers.
        start: |e| of the guess.
        rate: Proposition 3's factor by which a small error shrinks at least, inverse_norm * difference; of 1 or more it
            promises nothing.
        radius: the size |e| of errors below which Proposition 3 shrinks them, 2 (1 - rate) / (|Jt^-1| L); 0 where the
            rate is 1 or more.
        error: (K + 1,) or (B, K + 1), how the error of the guess decays with A held as it is along the trajectory: the
            largest of a component, in the measure of rtol; inf once it has overflowed.
        merit: likewise, 0.5 * sum of squared residuals.
        steps, dim: T and D.
        rtol: what `predicted_iterations` takes by default.
    """

    method: str
    difference: Any
    inverse_norm: Any
    lipschitz: Any
    lyapunov: Any
    lyapunov_error: Any
    start: Any
    rate: Any
    radius: Any
    error: Array
    merit: Array
    steps: int
    dim: int
    rtol: float

    def predicted_iterations(self, rtol: float | None = None, *, merit_tol: float | None = None) -> Any:
        """How many updates a solve from the guess is expected to take: those after which the decay meets the stopping
        test, continued geometrically where it was not followed so far, and at most T.

        Args:
            rtol: as in `solve`; by default its own for the dtype.
            merit_tol: as in `solve`, instead.

        Returns:
            int, or (B,) int.

        Raises:
            ValueError: both were given, or one is not above 0.
        """
        tolerance, by_merit = _chosen(self.rtol, rtol, merit_tol)
        curves = np.atleast_2d(self.merit if by_merit else self.error)
        counts = np.array([_count(c, tolerance, self.steps, by_merit) for c in curves])
        return counts if self.error.ndim == 2 else int(counts[0])

    def bound_iterations(self, tolerance: float) -> Any:
        """After how many updates the bound of Proposition 3 falls from |e| of the guess to a tolerance for |e|; T where
        it does not, since T updates are always enough in exact arithmetic.

        Raises:
            ValueError: the tolerance is not above 0.
        """
        tolerance = _positive("bound_iterations", "tolerance", tolerance)
        given = (self.inverse_norm, self.lipschitz, self.rate, self.radius, self.start)
        rows = np.stack([np.atleast_1d(v) for v in given], -1).tolist()
        counts = np.array([_bound(row, tolerance, self.steps) for row in rows])
        return counts if self.error.ndim == 2 else int(counts[0])

    def explain(self) -> str:
        """The numbers in words, of the first sequence."""
        return "\n".join(self.told())

    @property
    def expands(self) -> bool:
        """Whether the first sequence's Lyapunov exponent is above 0 by more than twice its error."""
        lyapunov, error = map(_first, (self.lyapunov, self.lyapunov_error))
        return lyapunov > 1e-6 + 2 * (0 if math.isnan(error) else error)

    def told(self) -> list[str]:
        """The numbers in words, a line a fact."""
        if not np.size(self.rate):
            return ["There is no sequence to tell of."]
        of, rate, radius, lyapunov, error, inverse = map(
            _first, (self.difference, self.rate, self.radius, self.lyapunov, self.lyapunov_error, self.inverse_norm)
        )
        far = "is the Jacobian" if of == 0 else f"differs from the Jacobian by up to {of:.3g}"
        lines = [f"A {far}; errors of all steps add up to at most {inverse:.3g} times their size (|Jt^-1|)."]
        if rate < 1:
            size = "as far as f is affine" if math.isinf(radius) else f"once the error |e| is below {radius:.3g}"
            shrinks = "squares it, up to a factor" if rate == 0 else f"leaves at most {rate:.3g} of it"
            shrinks = "is exact" if rate == 0 and math.isinf(radius) else shrinks
            lines.append(f"Proposition 3: an update of a small error {shrinks}, {size}.")
        else:
            lines.append(
                f"Proposition 3's rate is {rate:.3g}, which promises nothing: convergence, if there is any, spreads "
                "from the start."
            )
        bar = "" if math.isnan(error) else f" ± {error:.2g}"
        kind = (
            "errors grow along the trajectory: the model is chaotic or expanding"
            if self.expands
            else "the model forgets its past"
            if lyapunov < 0
            else "errors neither grow nor shrink"
        )
        lines.append(f"Largest Lyapunov exponent {lyapunov:.3g}{bar} a step: {kind}.")
        return lines

    def __repr__(self) -> str:
        shown = ("difference", "inverse_norm", "rate", "radius", "lyapunov")
        told = ", ".join(f"{name}={_short(getattr(self, name))}" for name in shown)
        return f"Analysis({self.method}, T={self.steps}, D={self.dim}, {told})"


def analyse(
    f: Cell | Callable[[Any, Any], Any],
    x0: ArrayLike,
    inputs: ArrayLike | None = None,
    states: ArrayLike | None = None,
    method: str | Method = "newton",
    *,
    length: int | None = None,
    guess: ArrayLike | None = None,
    updates: int = 64,
    damping: float = 0.0,
    clip: bool = False,
    dtype: DTypeLike | None = None,
    jac: Callable[[Any, Any], Any] | None = None,
    diag: Callable[[Any, Any], Any] | None = None,
    num_threads: int | None = None,
    seed: int = 0,
) -> Analysis:
    """Analyse a method along a trajectory: how well A follows J, how errors add up, and how fast it converges there.

    Costs T D^2 for the Jacobians and their norms, up to 300 scans forwards and as many back, and `updates` evaluations
    and scans; holds three times A, and for a function its Jacobians. Nothing of size T D by T D is formed.

    Args:
        f: as in `solve`; so are x0, inputs, length, guess, damping, clip, dtype, jac, diag, num_threads and seed.
        states: (T, D) or (B, T, D), where to linearise: the trajectory, or an iterate. By default the trajectory, by
            the plain loop.
        method: a name or an object, one that iterates.
        updates: how many updates the error of the guess is followed for.

    Returns:
        An `Analysis`.

    Raises:
        ValueError: an argument has a wrong value or shape or is not finite, or the method does not iterate.
        TypeError: an argument has a wrong type.
        MemoryError: it does not fit; analyse a part of the trajectory.

    Reference:
        Gonzalez et al. (2025), Proposition 3.

    Example:
        >>> import numpy as np, pards
        >>> u = np.random.default_rng(0).standard_normal((1000, 4))
        >>> found = pards.theory.analyse(lambda x, u: np.tanh(0.5 * x + u), np.zeros(4), u, method="jacobi")
        >>> found.rate < 1, found.lyapunov < 0
        (True, True)
    """
    problem = _solve._problem(f, x0, inputs, guess, length, dtype, jac, diag)
    if problem.ordinal is not None:
        raise ValueError("analyse: an array is on a GPU, want arrays on the host; theory is computed on its cores")
    name, settings = _solve._method(method)
    updates = _array.whole("analyse", "updates", updates, 0, "a whole number of at least 0")
    if isinstance(states, (str, Method)):
        raise TypeError(
            f"analyse: states is {states!r}, want an array (T, D) or (B, T, D); a method is given as method="
        )
    if states is None:
        own: dict[str, Any] = {"jac": jac, "diag": diag} if problem.cell is None else {}
        own |= {"length": length, "guess": guess, "dtype": dtype, "device": "cpu"}
        along = _solve.solve(f, x0, inputs, method="sequential", **own).states
    else:
        along = _array.take("analyse", "states", states)
    along = _array.plain(along, problem.dtype)
    shape = (problem.size, problem.steps, problem.dim)
    if along.shape not in (shape, shape[1:]) or along.size != math.prod(shape):
        want = "(T, D)" if problem.batch is None else "(B, T, D)"
        wanted = shape[1:] if problem.batch is None else shape
        raise ValueError(f"analyse: states has shape {along.shape}, want {want} = {wanted}")
    library = _lib.get()
    report = np.zeros((problem.size, library.PARDS_THEORY_COLUMNS))
    decay = np.zeros((problem.size, updates + 1, 2))
    args, _alive = _solve.arguments(
        problem,
        name,
        settings,
        rtol=math.nan,
        atol=math.nan,
        merit_tol=math.nan,
        max_iterations=-1,
        damping=_damping(damping),
        clip=_array.flag("analyse", "clip", clip),
        nonfinite=b"stop",
        device=b"cpu",
        num_threads=0 if num_threads is None else _solve._whole("num_threads", num_threads, 1),
        seed=_solve._whole("seed", seed, 0),
    )
    _call(problem, args, along, report, decay)
    names = ("difference", "inverse_norm", "lipschitz", "lyapunov", "lyapunov_error", "start", "rate", "radius")
    columns = dict(zip(names, report.T, strict=True))
    many = problem.batch is not None
    return Analysis(
        method=name,
        **{key: value.copy() if many else float(value[0]) for key, value in columns.items()},
        error=decay[:, :, 0] if many else decay[0, :, 0],
        merit=decay[:, :, 1] if many else decay[0, :, 1],
        steps=problem.steps,
        dim=problem.dim,
        rtol=_array.default_rtol(problem.dtype),
    )


def _call(problem: Any, args: Any, states: Array, report: Array, decay: Array) -> None:
    """Call the library, for a function with its own eval."""
    args.x0, args.inputs, args.guess = map(_array.describe, (problem.x0, problem.inputs, problem.guess))
    args.states = _array.describe(states)
    quiet = np.errstate(all="ignore")
    with quiet, _solve.handle_of(problem.cell, problem.dim, problem.dtype) as args.cell:
        model = None if problem.model is None else id(problem.model)
        tables = (_array.describe(report), _array.describe(decay))
        _lib.call("pards_python_analyse", _lib.get().interpreter, model, args, *tables)


def _damping(damping: float) -> float:
    number = _array.number("analyse", "damping", damping)
    if not 0 <= number <= 1:  # the library has a word for "adaptive" among the others
        raise ValueError(f"analyse: damping is {damping}, want a number from 0 to 1; what adapts has no theory")
    return number


def _first(value: Any) -> float:
    """The first sequence's number; NaN where there is none."""
    return float(np.atleast_1d(value)[0]) if np.size(value) else math.nan


def _short(value: Any) -> str:
    values = np.atleast_1d(value)
    return f"{values[0]:.3g}" + (", …" if values.size > 1 else "") if values.size else "-"


def _chosen(default: float, rtol: float | None, merit_tol: float | None) -> tuple[float, bool]:
    if rtol is not None and merit_tol is not None:
        raise ValueError("predicted_iterations: merit_tol came with rtol, want one stopping rule")
    name, value = ("merit_tol", merit_tol) if merit_tol is not None else ("rtol", default if rtol is None else rtol)
    return _positive("predicted_iterations", name, value), merit_tol is not None


def _positive(function: str, name: str, value: float) -> float:
    number = _array.number(function, name, value)
    if not 0 < number < math.inf:
        raise ValueError(f"{function}: {name} is {value}, want a finite number above 0")
    return number


def _count(curve: Array, tolerance: float, steps: int, by_merit: bool) -> int:
    """The first update after which a curve meets the test; beyond its end it goes on as its last iterates went."""
    test = curve if by_merit else _estimated(curve)
    with np.errstate(invalid="ignore"):
        met = np.flatnonzero(test <= tolerance)
    if met.size:
        return min(int(met[0]), steps)
    last, before = curve[-1], curve[-1 - min(_TAIL, len(curve) - 1)]
    if not (math.isfinite(last) and 0 < last < before):
        return steps
    factor = (last / before) ** (1 / min(_TAIL, len(curve) - 1))
    more = math.log(tolerance / last) / math.log(factor) if factor < 1 else math.inf
    return int(min(len(curve) - 1 + math.ceil(min(more, steps)), steps))


def _estimated(error: Array) -> Array:
    """What the stopping test estimates at each iterate, an update being as large as the error before it."""
    size = np.concatenate([[math.nan], error[:-1]])
    estimate = np.full(len(error), math.nan)
    with np.errstate(all="ignore"):
        q = size[1:] / size[:-1]
        for k in range(2, len(error)):
            if size[k] == 0:
                estimate[k] = 0
            elif k == 2:
                estimate[k] = size[k] / (1 - q[1]) if q[1] < 1 else math.inf
            else:
                worst = max(q[k - 1], q[k - 2])
                estimate[k] = size[k] * worst / (1 - worst) if worst < 1 else math.inf
    return estimate


def _bound(numbers: list[float], tolerance: float, cap: int) -> int:
    """How long the bound of Proposition 3 takes to fall to a tolerance."""
    inverse, lipschitz, rate, radius, e = numbers
    for k in range(cap):
        if e <= tolerance:
            return k
        if not e < radius:
            break
        e = rate * e + (inverse * lipschitz / 2 * e * e if lipschitz else 0.0)
    return cap


@dataclass(frozen=True)
class Prediction:
    """What is expected of one method: a row of a `Comparison`.

    Attributes:
        method: the name.
        iterations: updates until the stopping test is met; 0 for the plain loop.
        seconds: of the whole solve; inf where the iterates overflow.
        rate: Proposition 3's, on the pilot; NaN for the plain loop.
        seconds_per_iteration: measured on the pilot, for the whole length; of the plain loop, of all of it.
    """

    method: str
    iterations: int
    seconds: float
    rate: float
    seconds_per_iteration: float


class Comparison(Sequence[Prediction]):
    """Methods from the one expected to be fastest to the slowest; `best` is the first, `pilot` how many steps were
    looked at."""

    def __init__(self, rows: list[Prediction], pilot: int, steps: int, lyapunov: float) -> None:
        self.rows, self.pilot, self.steps, self.lyapunov = rows, pilot, steps, lyapunov

    @property
    def best(self) -> Prediction:
        """The first."""
        return self.rows[0]

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        lines = [
            f"{'method':<22}{'updates':>9}{'seconds':>11}{'rate':>11}",
            *(f"{r.method:<22}{r.iterations:>9,}{r.seconds:>11.3g}{r.rate:>11.3g}" for r in self.rows),
            f"predicted for {self.steps:,} steps from {self.pilot:,}; Lyapunov exponent {self.lyapunov:.3g} a step",
        ]
        return "\n".join(lines)


def compare(
    f: Cell | Callable[[Any, Any], Any],
    x0: ArrayLike,
    inputs: ArrayLike | None = None,
    *,
    methods: Sequence[str | Method] | None = None,
    length: int | None = None,
    guess: ArrayLike | None = None,
    pilot: int = 512,
    rtol: float | None = None,
    merit_tol: float | None = None,
    dtype: DTypeLike | None = None,
    jac: Callable[[Any, Any], Any] | None = None,
    diag: Callable[[Any, Any], Any] | None = None,
    num_threads: int | None = None,
) -> Comparison:
    """Rank methods for a problem from a short pilot: the first steps of the first sequence.

    Each method is analysed along the pilot's trajectory, and along its first quarter: how the predicted count grows
    from that to the whole pilot is continued to T, and where errors add up over all steps so is the rate. Two updates
    of the pilot are timed. A prediction, not a promise:
    what happens after the pilot is not seen.

    Args:
        f: as in `solve`; so are x0, inputs, length, guess, rtol, merit_tol, dtype, jac, diag and num_threads.
        methods: names or objects; by default all that need no setting, those with full Jacobians for D up to 64.
        pilot: how many steps to look at, at least 1.

    Returns:
        A `Comparison`, the fastest first.

    Raises:
        ValueError, TypeError: as `solve`.

    Example:
        >>> import pards
        >>> p = pards.problems.gru(T=10000, D=4)
        >>> ranked = pards.theory.compare(p.cell, p.x0, p.inputs, methods=["newton", "jacobi", "sequential"])
        >>> len(ranked), ranked.best.seconds <= ranked[-1].seconds
        (3, True)
    """
    pilot = _array.whole("compare", "pilot", pilot, 1, "a whole number of at least 1")
    for key, given in (("rtol", rtol), ("merit_tol", merit_tol)):
        if given is not None:
            _positive("compare", key, given)
    if isinstance(methods, str) or not (methods is None or isinstance(methods, Iterable)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"compare: methods is {methods!r}, want a list of names or of objects such as pards.Newton()")
    if methods is not None and not (methods := list(methods)):
        raise ValueError("compare: methods is empty, want at least one name or object, or None for all")
    problem = _solve._problem(f, x0, inputs, guess, length, dtype, jac, diag)
    if problem.guess is not None and problem.guess.shape[-2:] != (problem.steps, problem.dim):
        wanted = f"(T, D) = ({problem.steps}, {problem.dim})"
        raise ValueError(f"compare: guess has shape {problem.guess.shape}, want {wanted}")
    if not problem.size:
        raise ValueError("compare: the batch is empty, want at least one sequence")
    T, W = problem.steps, min(problem.steps, pilot)
    part = _Part(f, x0, inputs, guess, problem.dtype, jac, diag)
    if methods is None:
        dense = problem.dim <= 64
        methods = [
            name
            for name, kind in _catalog.METHODS.items()
            if name not in ("block_newton", "chord") and (dense or kind.derivative not in ("full", "rotated_diagonal"))
        ]
    loop = part.solve(W, "sequential", num_threads)
    if not loop.success:
        raise ValueError(
            f"compare: the plain loop overflows at step {loop.bad_step} of the pilot, want a model that does not, or a "
            "pilot of fewer steps"
        )
    states, rows, lyapunov = loop.states, [], math.nan
    for method in methods:
        name = _solve._method(method)[0]
        share = T / max(W, 1) * problem.size
        if name == "sequential":
            seconds = min(loop.seconds, part.solve(W, method, num_threads).seconds) * share
            rows.append(Prediction(name, 0, seconds, math.nan, seconds))
            continue
        found = part.analyse(W, states, method)
        lyapunov = found.lyapunov if W else math.nan
        count = part.predicted(found, W, states, method, T, rtol, merit_tol)
        once = min(part.solve(W, method, num_threads, max_iterations=2).seconds / 2 for _ in range(2)) * share
        overflows = not np.isfinite(found.error).all()
        rows.append(Prediction(name, count, math.inf if overflows else once * max(count, 1), found.rate, once))
    return Comparison(sorted(rows, key=lambda r: r.seconds), W, T, lyapunov)


class _Part:
    """The first steps of one sequence of a problem."""

    def __init__(
        self, f: Any, x0: Any, inputs: Any, guess: Any, dtype: Any, jac: Any, diag: Any, member: int = 0
    ) -> None:
        self.f, self.dtype = f, dtype
        self.derivatives = {} if isinstance(f, Cell) else {"jac": jac, "diag": diag}
        words = isinstance(f, Cell) and f.words

        def own(given: Any, axes: int) -> Any:
            array = None if given is None else np.asarray(given)
            return array if array is None or array.ndim <= axes else array[member]

        self.x0 = np.atleast_1d(own(x0, 1))
        self.inputs, self.guess = own(inputs, 1 if words else 2), own(guess, 2)

    def cut(self, n: int) -> dict[str, Any]:
        """The arguments of solve and analyse."""
        return {
            "inputs": None if self.inputs is None else self.inputs[:n],
            "guess": None if self.guess is None else self.guess[:n],
            "length": n if self.inputs is None else None,
            "dtype": self.dtype,
            **self.derivatives,
        }

    def start(self, n: int) -> Array:
        """The guess of n steps."""
        x0 = np.asarray(self.x0, self.dtype)
        return np.repeat(x0[None], n, 0) if self.guess is None else np.asarray(self.guess[:n], self.dtype)

    def solve(self, n: int, method: str | Method, num_threads: int | None = None, **options: Any) -> Any:
        return _solve.solve(
            self.f,
            self.x0,
            method=method,
            device="cpu",
            raise_on_failure=False,
            num_threads=num_threads,
            **self.cut(n),
            **options,
        )

    def wrong(self, states: Array) -> str:
        """What is wrong with a derivative that was given, at some of these states."""
        if isinstance(self.f, Cell):
            return ""
        before = np.concatenate([np.asarray(self.x0, states.dtype)[None], states[:-1]])
        at = np.unique(np.linspace(0, len(before) - 1, _callable.compared(before.shape[-1])).astype(np.int64))
        inputs = _callable.take_inputs(self.inputs, states.dtype)
        model = _callable.Model(self.f, **self.derivatives, inputs=None, batched=False, dtype=states.dtype)
        return model.not_derivative(before[at], None if inputs is None else inputs[at], at)

    def analyse(self, n: int, states: Array, method: str | Method, **options: Any) -> Analysis:
        return analyse(self.f, self.x0, states=states[:n], method=method, **self.cut(n), **options)

    def predicted(
        self,
        found: Analysis,
        n: int,
        states: Array,
        method: str | Method,
        T: int,
        rtol: float | None,
        merit_tol: float | None,
    ) -> int:
        """The count for T steps from those for n and a quarter of them; of a merit, each has its share."""

        def count(a: Analysis, steps: int) -> int:
            own = None if merit_tol is None else merit_tol * steps / T
            return cast(int, a.predicted_iterations(rtol, merit_tol=own))

        whole, quarter = count(found, n), n // 4
        if n == T or quarter < 1:
            return whole
        shorter = self.analyse(quarter, states, method)
        power = _power(whole, count(shorter, quarter), n / quarter)
        growth = _power(found.inverse_norm, shorter.inverse_norm, n / quarter)
        far = (
            found.error[0] / (rtol or found.rtol)
            if merit_tol is None
            else math.sqrt(found.merit[0] / n * T / merit_tol)
        )
        adding = _adding(found.rate * (T / n) ** growth, far, T) if growth > 0.5 else 0
        return min(max(math.ceil(whole * (T / n) ** power), adding), T)


def _power(most: float, least: float, ratio: float) -> float:
    """The exponent, from 0 to 1, by which a number grows with length."""
    if not math.isfinite(most):
        return 0.0
    return min(max(math.log(max(most, 1) / max(least, 1)) / math.log(ratio), 0.0), 1.0)


def _adding(rate: float, far: float, cap: int) -> int:
    """How many updates it takes where errors add up over all steps, so that the rate grows with length.

    A cumulative sum of T numbers of size q has the norm 2 q T / pi, and its k-th power the norm (q T)^k / k! at most:
    far times this has to fall below 1.
    """
    if not (math.isfinite(rate) and rate > 0 and math.isfinite(far)):
        return 0
    total, size = rate * math.pi / 2, math.log(max(far, 1))
    for k in range(1, cap):
        size += math.log(total / k)
        if k > total and size <= 0:
            return k
    return cap


_TOLD, _TRIED = 1024, 256  # steps along which a solution is explained, and on which other methods are tried
_NUMBERS, _LEAST = 1 << 20, 36  # of the Jacobians there; steps, of which fewer tell no error of an exponent


def reasons(solution: Solution, origin: _solve.Origin) -> list[str]:
    """Why a solve took as many updates as it did, or failed, and what would take fewer: for `Solution.explain`."""
    try:
        return _reasons(solution, origin)
    except Exception as error:  # a model that cannot be evaluated again must not hide the rest of the explanation
        return [f"The theory was not computed: {error}"]


def _reasons(solution: Solution, origin: _solve.Origin) -> list[str]:
    name, whole = solution.method.partition("+")[0], solution.states.shape[-2]
    steps = min(whole, _TOLD, max(_NUMBERS // solution.states.shape[-1] ** 2, _LEAST))
    if name == "sequential" or not np.size(solution.success) or not steps:
        return []
    failed = np.flatnonzero(~np.atleast_1d(solution.success))
    member = int(failed[0]) if failed.size else 0
    part = _Part(origin.f, origin.x0, origin.inputs, origin.guess, origin.dtype, origin.jac, origin.diag, member)
    states = part.solve(steps, "sequential").states
    if not np.isfinite(states).all():
        return ["The model itself overflows: so does the plain loop."]
    method = origin.method if isinstance(origin.method, Method) and origin.method.name == name else name
    damping = origin.damping if isinstance(origin.damping, (int, float)) and origin.damping >= 0 else 0.0
    how: dict[str, Any] = {"damping": damping, "clip": origin.clip}
    found = part.analyse(steps, states, _cut(method, steps), **how)
    of = f" of sequence {member}" if np.ndim(solution.success) else ""
    lines = [f"Along {'all' if steps == whole else 'the first'} {steps:,} steps{of}:", *found.told()]
    if wrong := part.wrong(states):
        lines.insert(0, f"{wrong}. The numbers that follow are of what was given.")
    stop = _Stop(origin.rtol, None if origin.merit_tol is None else origin.merit_tol / whole)
    if failed.size:
        along = part.analyse(steps, part.start(steps), _cut(method, steps), updates=0, **how)
        lines.append(
            f"|Jt^-1| is {_short(along.inverse_norm)} along the guess, "
            f"{_short(found.inverse_norm)} along the trajectory."
        )
    elif solution.window is None and np.isfinite(found.error).all() and stop.possible:
        took = int(np.atleast_1d(solution.iterations)[member])
        over = "" if steps == whole else f" for {steps:,} steps"
        expected = stop.updates(found, steps)
        lines.append(
            f"With A as it is along the trajectory {expected:,} update{'s' * (expected != 1)} would be expected{over}; "
            f"it made {took:,}."
        )
    if found.expands:
        reach = 1 / float(np.atleast_1d(found.lyapunov)[0])
        lines.append(
            f"Errors grow e-fold in {reach:.3g} steps, so what lies further back is lost to any method: take the plain "
            "loop, or windows not many times as long."
        )
        return lines
    n = min(steps, _TRIED)
    if failed.size:
        return [*lines, _tried(part, n, name, stop)]
    return [*lines, _expected(part, n, states, name, part.analyse(n, states, _cut(method, n), **how), stop)]


class _Stop(NamedTuple):
    """A stopping test for a part of a problem: a merit has its share of each step."""

    rtol: float | None
    merit: float | None  # a step

    @property
    def possible(self) -> bool:
        return self.merit is None or self.merit > 0

    def options(self, steps: int) -> dict[str, Any]:
        return {"rtol": self.rtol} if self.merit is None else {"merit_tol": self.merit * steps}

    def updates(self, found: Analysis, steps: int) -> int:
        return cast(int, found.predicted_iterations(**self.options(steps)))


def _candidates(name: str, dim: int) -> list[str]:
    """Other methods, those that scan full matrices for small states only."""
    dense = ["newton", "rotated_quasi_newton"] if dim <= 32 else []
    return [other for other in [*dense, "quasi_newton", "scaled_identity", "picard", "jacobi"] if other != name]


def _expected(part: _Part, n: int, states: Array, name: str, found: Analysis, stop: _Stop) -> str:
    """Which methods would take fewer updates."""
    if not stop.possible:
        return "No count can be expected of a tolerance of 0."
    own, counts = stop.updates(found, n), dict[str, int]()
    for other in _candidates(name, found.dim):
        seen = part.analyse(n, states, other)
        if np.isfinite(seen.error).all():
            counts[other] = stop.updates(seen, n)
    better = sorted((count, other) for other, count in counts.items() if count < own)
    if not better:
        return "No other method is expected to take fewer updates."
    shown = ", ".join(f"{other} ({count:,})" for count, other in better[:3])
    return f"Fewer updates, which may cost more each, are expected of {shown}; on {n:,} steps {name} has {own:,}."


def _tried(part: _Part, n: int, name: str, stop: _Stop) -> str:
    """Which methods do what one did not."""
    took: list[tuple[int, str]] = []
    dim = part.x0.shape[-1]
    for other in [*_candidates(name, dim), "quasi_elk", *(["elk"] if dim <= 32 else [])]:
        sol = part.solve(n, other, **stop.options(n))
        if other != name and sol.success:
            took.append((sol.iterations, other))
    if not took:
        return f"No other method converged on the first {n:,} steps: take windows (window=...), or sequential."
    shown = ", ".join(f"{other} ({count:,} updates)" for count, other in sorted(took)[:3])
    return f"On the first {n:,} steps these converge: {shown}."


def _cut(method: str | Method, steps: int) -> str | Method:
    """A method for the first steps: quasi-Newton may have been given signs for all."""
    signs = None if isinstance(method, str) else method.settings().get("signs")
    return method if isinstance(method, str) or signs is None else dataclasses.replace(method, signs=signs[:, :steps])
