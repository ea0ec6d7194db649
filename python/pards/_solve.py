"""The solve function."""

from __future__ import annotations

import contextlib
import ctypes
import math
from collections.abc import Callable, Generator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import _array, _callable, _catalog, _device, _lib, _progress
from ._array import Array
from ._cell import Cell, handle, no_class, take_inputs
from ._method import Method
from ._solution import Solution, SolveError, Trace, failure

# The columns of the library's report (enum pards_report) and their types.
_REPORT: dict[str, type] = {
    "iterations": int,
    "status": int,
    "error": float,
    "merit": float,
    "residual": float,
    "update": float,
    "resets": int,
    "bad_step": int,
    "looped": int,
}


def solve(
    f: Cell | Callable[[Any, Any], Any],
    x0: ArrayLike,
    inputs: ArrayLike | None = None,
    *,
    length: int | None = None,
    method: str | Method = "auto",
    guess: ArrayLike | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    merit_tol: float | None = None,
    max_iterations: int | None = None,
    window: int | Literal["auto"] | None = None,
    damping: float | Literal["adaptive"] = 0.0,
    clip: bool = False,
    nonfinite: Literal["stop", "continue", "reset"] = "stop",
    device: str = "auto",
    dtype: DTypeLike | None = None,
    jac: Callable[[Any, Any], Any] | None = None,
    diag: Callable[[Any, Any], Any] | None = None,
    out: _device.Target | None = None,
    trace: bool = False,
    progress: bool | _progress.Report | None = False,
    num_threads: int | None = None,
    seed: int = 0,
    raise_on_failure: bool = True,
) -> Solution:
    """Solve x[t] = f(x[t-1], u[t]), t = 1..T, for the whole trajectory at once.

    The iteration starts from a guess of the trajectory. Each update linearises the model along the iterate and
    evaluates the linear dynamical system that results by a scan; the methods differ in how much of the Jacobian they
    keep. A batch axis on any of x0, inputs and guess makes a batch; what has none is shared by all sequences.

    The computation is in float32 or float64, whichever NumPy promotes x0, floating inputs and the cell's parameters
    to (float64 where those are integers).

    Arrays may be on a GPU: those of CuPy, PyTorch, JAX and what else has DLPack or `__cuda_array_interface__`. They are
    not copied, so they must be C-contiguous and of the dtype computed in, words int32 or int64; NumPy arrays beside
    them are brought there. The states are then a `DeviceArray` on that GPU.

    Args:
        f: a cell of `pards.cells`, or a NumPy function f(x, u) that is vectorised over leading axes: it maps x (...,
            D) and u (..., M) to (..., D) in the dtype of x, and is called with all steps at once. For a JAX function
            see `pards.jax`.
        x0: (D,) or (B, D), the state before the first step.
        inputs: (T, M) or (B, T, M); words are integers, (T,) or (B, T). None for an autonomous model: give length,
            and f is called as f(x, None).
        length: T, where there are no inputs.
        method: a name, "newton", "quasi_newton", "rotated_quasi_newton", "scaled_identity", "picard", "jacobi",
            "chord", "elk", "quasi_elk", "sequential"; an object with settings, such as
            `QuasiNewton(diagonal="hutchinson", probes=2)`; or "auto", which chooses and says why. On the CPU that is
            the plain loop for cells of `pards.cells`, newton for one long sequence of one affine component, and where
            long sequences (T * D of a million) are fewer than workers what is measured to take less than half the
            loop's time with them. A function is tried: the loop makes the first steps and is timed, and so are calls
            for all of these at once; what promises to be faster goes on in windows that adapt, as long as it is and the
            model is not chaotic. What is measured may differ from run to run, and so may the last bits: name a method
            where they must not.
        guess: (T, D) or (B, T, D), the iterate to start from; x0 at every step by default.
        rtol: stop when the estimated distance to the sequential trajectory, relative to the size of each component,
            is at most this, and the residual, in the same measure, at most 10 times it or rounding; 1e-4 in float32 and
            1e-8 in float64 by default.
        atol: the absolute part of that measure, |v| / (atol / rtol + the largest |x| of the component); 1e-3 * rtol by
            default, so that a component far below 1e-3 is not resolved: rescale such a model, or give atol=0, with
            which every component is held to its own size.
        merit_tol: stop instead when 0.5 * sum of squared residuals is at most this (the paper: 5e-4).
        max_iterations: the largest number of updates, of each window; by default min(T + 1, 1000), or T with merit_tol.
        window: solve windows of that many steps one after another, each from the converged end of the last; None, or
            what is longer than T, takes the whole. With "auto" windows adapt: one that overflows, or takes more than
            24 updates, is given up for shorter ones, which start from its exact states; where windows go well they
            grow again. No model defeats that but one that overflows itself, as a window of one step is a step.
        damping: k from 0 to 1, scales the linearisation A by 1 - k. With "adaptive" k starts at 0, grows where an
            update overflows or makes the residual much worse, which is then taken back unless it made many more states
            exact, and shrinks where updates go well; native cells are evaluated twice an update. It helps where A
            is too bold, not where information has far to go: windows do.
        clip: limit A to [-1, 1] by its diagonal, or by its largest singular value where it is dense.
        nonfinite: when an update overflows, "stop" and return the last iterate, "continue", or "reset" its NaN to the
            guess.
        device: "cpu", "cuda" or "cuda:N"; "auto" is where the arrays are: a GPU's are solved there, NumPy's on the
            CPU, but for a large problem of a cell of `pards.cells` where there is a GPU.
        dtype: float32 or float64, to compute in that.
        jac: jac(x, u), (..., D, D), the Jacobian df_i/dx_j of a function f.
        diag: diag(x, u), (..., D), its diagonal. What is not given is taken from jac, or found by forward differences
            with steps sqrt(eps) * max(1, |x_i|), eps that of the dtype, in one call of f on D shifted copies of x (one
            for each piece of time where these are many); a product J v by one difference along v, with the step
            sqrt(eps) * max(1, max_i |x_i|). What is given is compared with differences after a failure, and by
            `Solution.explain`, for D of up to 2048.
        out: (T, D) or (B, T, D), a writeable array or memmap of the dtype computed in, or an array on a GPU, to write
            the states to.
        trace: keep the history of the iteration in `Solution.trace`.
        progress: show a bar; or a function that is called with (iteration, window, windows, sequences, merit) every
            some milliseconds, not at every update: a short solve may end before the first call. `trace` has all.
        num_threads: how many workers; as many as the process may use by default. It changes no bit of the result, but
            where "auto" chooses by what they can do.
        seed: of what a method draws (Hutchinson's probes).
        raise_on_failure: raise if a sequence fails; else the status tells.

    Returns:
        A `Solution`. Where the model is chaotic or expanding, rounding keeps any method from agreeing with the plain
        loop: the residual is what is promised.

    Raises:
        ValueError: an argument has a wrong value or shape, or is not finite; or f of two steps at once is not
            what it is of one, as where an axis= is missing or it draws random numbers.
        TypeError: an argument has a wrong type, or f returns another dtype.
        SolveError: a sequence failed and raise_on_failure is set; it carries the solution.
        MemoryError: the problem does not fit.
        RuntimeError: the device is not there.

    Reference:
        Gonzalez et al., "A Unifying Framework for Parallelizing Sequential Models with Linear Dynamical Systems"
        (2025).

    Example:
        >>> import numpy as np, pards
        >>> u = np.random.default_rng(0).standard_normal((1000, 4))
        >>> sol = pards.solve(lambda x, u: np.tanh(0.5 * x + u), np.zeros(4), u, method="newton")
        >>> sol.states.shape, sol.status
        ((1000, 4), 'converged')
    """
    problem = _problem(f, x0, inputs, guess, length, dtype, jac, diag)
    name, settings = _method(method)
    trace = _array.flag("solve", "trace", trace)
    raise_on_failure = _array.flag("solve", "raise_on_failure", raise_on_failure)
    progress = False if progress is None else progress
    if not (callable(progress) or isinstance(progress, bool)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"solve: progress is {progress!r}, want True, False, or a function to call")
    states = _target(out, problem)
    report = np.empty((problem.size, len(_REPORT)))
    args, _alive = arguments(
        problem,
        name,
        settings,
        rtol=_tolerance("rtol", rtol),
        atol=_tolerance("atol", atol),
        merit_tol=_tolerance("merit_tol", merit_tol),
        max_iterations=-1 if max_iterations is None else _whole("max_iterations", max_iterations, 0),
        window=_window(window),
        damping=_damping(damping),
        clip=_array.flag("solve", "clip", clip),
        nonfinite=_array.text("solve", "nonfinite", nonfinite),
        device=_array.text("solve", "device", device),
        num_threads=0 if num_threads is None else _whole("num_threads", num_threads, 1),
        seed=_whole("seed", seed, 0),
        trace=1 if trace else 2 if window is not None or (problem.model is not None and name == "auto") else 0,
    )
    try:
        _run(problem, args, states, report, progress)
        if isinstance(out, np.ndarray) and states is not out:
            out[...] = states
            states = out
        asked = Origin(
            f, x0, inputs, guess, length, problem.dtype, jac, diag, method, damping, clip, rtol, atol, merit_tol
        )
        solution = _wrap(problem, states, report, args, trace, _origin(problem, asked, out))
    finally:
        if args.history:
            _lib.release(args.history)
    if problem.model is not None and solution.method != "sequential":
        problem.model.check_steps(problem.x0, states, bool(np.all(solution.success)))
    if raise_on_failure and not (solution.success if problem.batch is None else solution.success.all()):
        raise SolveError(failure(solution, *_cause(problem, solution)), solution)
    return solution


def arguments(problem: _Problem, name: str, settings: dict[str, Any], **more: Any) -> tuple[Any, Any]:
    """The library's arguments, but for arrays, for a problem and a method; and what must live as long as they do."""
    library = _lib.get()
    params, count, alive = _array.parameters(settings, problem.dtype)
    args = library.pards_solve_args(
        size=ctypes.sizeof(library.pards_solve_args),
        method=name.encode(),
        settings=params,
        settings_count=count,
        batch=problem.size,
        length=problem.steps,
        **more,
    )
    return args, alive


@contextlib.contextmanager
def handle_of(cell: Cell | None, dim: int, dtype: np.dtype[Any]) -> Generator[int, None, None]:
    """The library's handle of a cell, or of a function, whose handle is released at the end."""
    if cell is not None:
        yield handle(cell, dtype)
        return
    library, made = _lib.get(), ctypes.c_int64()
    evaluate = _lib.address(library.pards_python_eval)
    _lib.call("pards_callable", dim, _array.code(dtype), evaluate, made)
    try:
        yield made.value
    finally:
        _lib.release(made.value)


class Origin(NamedTuple):
    """What a solve was asked, as far as its theory goes."""

    f: Any
    x0: Any
    inputs: Any
    guess: Any
    length: int | None
    dtype: np.dtype[Any]
    jac: Any
    diag: Any
    method: str | Method
    damping: Any
    clip: bool
    rtol: float | None
    atol: float | None
    merit_tol: float | None
    lost: str = ""  # why the arrays say something else by now


def _origin(problem: _Problem, asked: Origin, out: Any) -> Origin | None:
    """What was asked, where the arrays can be told of again, and whether they say it still."""
    if problem.ordinal is not None:
        return None
    given = (asked.x0, asked.inputs, asked.guess)
    if isinstance(out, np.ndarray) and any(isinstance(a, np.ndarray) and np.may_share_memory(out, a) for a in given):
        return asked._replace(lost="out shares memory with an argument, so that what was solved is not known any more")
    return asked


class _Problem(NamedTuple):
    """The problem as the library takes it: arrays in the dtype of the computation, and what their axes say."""

    cell: Cell | None
    model: _callable.Model | None  # of a function
    dtype: np.dtype[Any]
    batch: int | None  # None where nothing has a batch axis
    steps: int
    dim: int
    x0: Any  # these on the host or on a GPU
    inputs: Any  # None for a function, whose model has them
    guess: Any
    ordinal: int | None  # of the GPU that one of them is on

    @property
    def size(self) -> int:
        return 1 if self.batch is None else self.batch


def _problem(
    f: Cell | _callable.Function,
    x0: ArrayLike,
    inputs: ArrayLike | None,
    guess: ArrayLike | None,
    length: int | None,
    dtype: DTypeLike | None,
    jac: _callable.Function | None,
    diag: _callable.Function | None,
) -> _Problem:
    cell = f if isinstance(f, Cell) else None
    no_class(f)
    if cell is None and not callable(f):
        raise TypeError(f"solve: f is of type {type(f).__name__}, want a cell of pards.cells or a function f(x, u)")
    if cell is not None and not (jac is None and diag is None):
        raise TypeError(f"solve: jac and diag belong to a function, but f is a {type(f).__name__}, which has its own")
    for key, given in (("jac", jac), ("diag", diag)):
        if not (given is None or callable(given)):
            raise TypeError(f"solve: {key} is of type {type(given).__name__}, want a function {key}(x, u), or None")
    first = _device.take("solve", "x0", x0)
    around = None if guess is None else _device.take("solve", "guess", guess)
    given = None if inputs is None else _device.take("solve", "inputs", inputs)
    ordinal = _device.ordinal(first, given, around)
    if ordinal is not None and cell is None:
        raise TypeError(
            f"solve: an array is on cuda:{ordinal}, but f is a function for NumPy, which runs on this machine's cores; "
            "want arrays on the host, or a cell of pards.cells"
        )
    words, drive, floating = cell is not None and cell.words, None, None
    if given is not None:
        drive = _words(cell, given) if cell and words else given
        floating = drive.dtype if drive.dtype.kind == "f" and not words else None
    own = None if cell is None else cell.dtype
    chosen = _array.promoted(first.dtype, floating, own) if dtype is None else _array.forced("solve", dtype)
    batch, steps = _batch(first, drive, around), _steps(length, drive)
    model = None
    if cell is None:
        if first.ndim and not first.shape[-1]:
            raise ValueError(f"solve: x0 has shape {first.shape}, want (D,) or (B, D) with D of at least 1")
        taken = _callable.take_inputs(None if drive is None else _device.host(drive), chosen)
        model = _callable.Model(f, jac, diag, taken, batch is not None, chosen)
        drive = None
    return _Problem(
        cell=cell,
        model=model,
        dtype=chosen,
        batch=batch,
        steps=steps,
        dim=cell.dim if cell is not None else first.shape[-1] if first.ndim else 1,
        x0=_device.plain("solve", "x0", first, chosen),
        inputs=None if drive is None else _device.plain("solve", "inputs", drive, chosen, words),
        guess=None if around is None else _device.plain("solve", "guess", around, chosen),
        ordinal=ordinal,
    )


def _words(cell: Cell, given: Any) -> Any:
    """Words with an axis for M = 1; on a GPU where the library takes them there, others on the host."""
    if isinstance(given, _device.DeviceArray) and given.dtype.char in _array.WHOLE:
        return given.reshape(*given.shape, 1)
    return take_inputs(cell, "solve", "inputs", _device.host(given))[..., None]


def _batch(x0: Any, inputs: Any, guess: Any) -> int | None:
    """The length of the batch axis, which suffices on one of the three."""
    sizes: dict[str, int] = {}
    for name, array, axes in (("x0", x0, 1), ("inputs", inputs, 2), ("guess", guess, 2)):
        if array is not None and array.ndim == axes + 1:
            sizes[name] = len(array)
    if not sizes:
        return None
    if len(set(sizes.values())) > 1:
        came = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise ValueError(f"solve: the batch axes differ: {came}; want one batch size, or no batch axis")
    return next(iter(sizes.values()))


def _steps(length: int | None, inputs: Any) -> int:
    """T."""
    if length is not None:
        length = _whole("length", length, 0)
    if inputs is None:
        if length is None:
            raise ValueError(
                "solve: inputs and length are None, "
                "want inputs (T, M) or (B, T, M), or length=T for a model without inputs"
            )
        return length
    steps = inputs.shape[-2] if inputs.ndim > 1 else inputs.size
    if length is not None and length != steps:
        raise ValueError(f"solve: length is {length}, want {steps}, the length of inputs, or None")
    return steps


def _method(method: str | Method) -> tuple[str, dict[str, Any]]:
    """A method's name and settings."""
    if isinstance(method, Method):
        return method.name, method.settings()
    if isinstance(method, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        return method, {}
    if isinstance(method, type) and issubclass(method, Method):
        raise TypeError(f"solve: method is the class {method.__name__}, want an object: {method.__name__}()")
    raise TypeError(
        f"solve: method is of type {type(method).__name__}, want a name or an object such as pards.Newton()"
    )


def _tolerance(name: str, value: float | None) -> float:
    """A tolerance, NaN where none was given."""
    number = math.nan if value is None else _array.number("solve", name, value)
    if value is not None and math.isnan(number):
        raise ValueError(f"solve: {name} is nan, want a number, or None")
    return number


def _whole(name: str, value: int, least: int) -> int:
    return _array.whole("solve", name, value, least, f"a whole number of at least {least}")


def _window(window: int | str | None) -> int:
    if window is None:
        return 0
    if isinstance(window, str) and window == "auto":
        return -1
    return _array.whole("solve", "window", window, 1, 'a whole number of at least 1, "auto", or None')


def _damping(damping: float | str) -> float:
    if type(damping) is float and damping >= 0:
        return damping
    if isinstance(damping, str):
        if damping != "adaptive":
            raise ValueError(f'solve: damping is {damping!r}, want a number from 0 to 1, or "adaptive"')
        return -1
    number = _array.number("solve", "damping", damping)
    if number == -1:  # the library's word for "adaptive"
        raise ValueError(
            f'solve: damping is {damping}, want a number from 0 to 1, or "adaptive"; A is scaled by 1 - damping'
        )
    return number


def _target(out: Any, problem: _Problem) -> Any:
    """The array that the library writes the states to: out where that can be."""
    shape = (problem.steps, problem.dim) if problem.batch is None else (problem.batch, problem.steps, problem.dim)
    inputs = problem.inputs if problem.model is None else problem.model.inputs
    others = [problem.x0, inputs, problem.guess]
    return _device.target("solve", out, shape, problem.dtype, problem.ordinal, others)


def _run(problem: _Problem, args: Any, states: Any, report: Array, progress: bool | _progress.Report) -> None:
    """Call the library. Where iterates overflow in f NumPy need not warn: the statuses report it. Nor where they
    underflow, as one does that decays."""
    library, model = _lib.get(), problem.model
    arrays = (problem.x0, problem.inputs, problem.guess, states, report)
    if problem.ordinal is not None or isinstance(states, _device.DeviceArray):
        _device.describe(args, ("x0", "inputs", "guess", "states"), arrays)
    if problem.cell is not None and progress is False:  # nothing is called back
        args.cell = handle(problem.cell, problem.dtype)
        _lib.call("pards_python_solve", library.interpreter, None, None, id(arrays), args)
        return
    quiet = np.errstate(all="ignore")
    with handle_of(problem.cell, problem.dim, problem.dtype) as args.cell, quiet, _progress.shown(progress) as shown:
        objects = (None if called is None else id(called) for called in (model, shown))  # a PyObject's address
        _lib.call("pards_python_solve", library.interpreter, *objects, id(arrays), args)


def _wrap(problem: _Problem, states: Any, report: Array, args: Any, traced: bool, origin: Origin | None) -> Solution:
    """The solution from what the library reports."""
    library = _lib.get()
    batch = problem.batch is not None
    columns: dict[str, Any]
    trace, windows, advances = None, None, None
    if args.history:
        windows = _history(args.history, library.PARDS_WINDOWS, 2, np.int64)
        advances = _history(args.history, library.PARDS_ADVANCES, 2, np.int64)
        windows, advances = windows if windows.shape[-1] else None, advances if advances.shape[-1] else None
        if traced:
            rows = _history(args.history, library.PARDS_TRACE, 3, np.float64)
            trace = Trace(*np.moveaxis(rows if batch else rows[:, 0], -1, 0))
    if batch:
        numbers = zip(_REPORT.items(), report.T.copy(), strict=True)
        columns = {name: column if kind is float else column.astype(kind) for (name, kind), column in numbers}
        outcomes = [_catalog.STATUSES[i] for i in columns["status"]]
        columns["status"] = np.array([outcome.name for outcome in outcomes], np.str_)
        columns["success"] = np.array([outcome.success for outcome in outcomes], np.bool_)
        windows = columns["iterations"][:, None] if windows is None else windows
    else:
        columns = {name: kind(value) for (name, kind), value in zip(_REPORT.items(), report[0].tolist(), strict=True)}
        outcome = _catalog.STATUSES[columns["status"]]
        columns["status"], columns["success"] = outcome.name, outcome.success
        windows = np.array([columns["iterations"]]) if windows is None else windows[0]
    columns |= {
        "states": states,
        "method": args.method_used.decode(),
        "device": args.device_used.decode(),
        "seconds": args.seconds,
        "trace": trace,
        "window_iterations": windows,
        "window_advances": advances if batch or advances is None else advances[0],
        "window": args.window_used or None,
        "reason": args.reason.decode(),
        "_origin": origin,
    }
    solution = object.__new__(Solution)
    solution.__dict__.update(columns)  # the __init__ of a frozen class sets field by field, which takes 3 us
    return solution


def _cause(problem: _Problem, solution: Solution) -> tuple[str, str]:
    """What made the sequences that failed overflow first, where it was the derivative that the user gave, or x0; and
    whether that derivative is another than f's where they start, which may be why any of them failed."""
    if problem.model is None or solution.method.endswith("sequential"):
        return "", ""
    failed = ~np.atleast_1d(solution.success)
    bad = np.where(failed, np.atleast_1d(solution.bad_step), -1)
    sequence = int(np.argmin(np.where(bad >= 0, bad, problem.steps))) if (bad >= 0).any() else int(np.argmax(failed))
    start, step = problem.x0 if problem.x0.ndim == 1 else problem.x0[sequence], int(bad[sequence])
    asked, name = _asked_for(problem.model, solution.method), None
    wrong = problem.model.wrong_at(start, sequence, problem.steps, asked)
    if step >= 0:
        states = solution.states if problem.batch is None else solution.states[sequence]
        with np.errstate(all="ignore"):
            name = problem.model.not_finite(start if step == 0 else states[step - 1], sequence, step)
    if name == "f":
        return "f itself is not finite at x0, and no method gets past it; look at f, x0 and the inputs", wrong
    overflow = "" if name is None else f"{name} is not finite at the state before it; use sequential, which needs none"
    return overflow, wrong


def _asked_for(model: _callable.Model, method: str) -> tuple[str, ...]:
    """The derivatives that the user gave which a method asks for."""
    kind = _catalog.METHODS[method.partition("+")[0]].derivative
    if kind == "none":
        return ()
    return ("diag",) if kind in ("diagonal", "mean_diagonal") and model.diag is not None else ("jac",)


def _history(history: int, part: int, axes: int, dtype: type) -> Array:
    """One part of a history, see enum pards_history_part."""
    shape = (ctypes.c_int64 * 3)()
    _lib.call("pards_history_shape", history, part, shape)
    array = np.empty(shape[:axes], dtype)
    _lib.call("pards_history_copy", history, part, _array.describe(array))
    return array
