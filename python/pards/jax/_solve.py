"""pards.jax.solve: the model's arguments checked while JAX traces, and derivatives by the implicit function theorem."""

# Functions over trees of anything:
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero
from jax.flatten_util import ravel_pytree

from .. import _array, lds
from .._catalog import METHODS
from .._cell import Cell, no_class
from .._method import Method
from . import _auto, _cells, _elk, _globalise, _iterate, _linearise, _mesh, _native, _windows
from ._iterate import Options, Window
from ._judge import CONVERGED, FLOOR, NONFINITE, STATUSES
from ._linearise import Kept, Step, Trajectory
from ._pack import pick
from ._primitive import types, vary_as, varying
from ._scan import not_cut, scan
from ._structure import Array

DENSE_MOST = 64  # dimensions up to which derivatives are scanned with the full Jacobian
# Numbers of a state's trajectory, but so many steps, that are differentiated at a time on a CPU.
PIECE, LEAST = 1024, 32
SLOW = 16  # updates in which the rest of a derivative does not halve, after which a loop over steps takes over


class Solution(NamedTuple):
    """What `pards.jax.solve` found, a pytree. Only states have derivatives.

    Attributes:
        states: x[1..T] in the form of x0, each array with an axis of time before its own.
        iterations: updates applied.
        merit: half the sum of squares of the residual x[t] - f(x[t-1], u[t]), summed in float64; in float32, pairwise,
            with JAX's 64-bit types off.
        residual: the largest element of that.
        error: the estimated distance to the sequential trajectory, in the measure of rtol; NaN before two updates.
        success: whether the status is "converged" or "floor".
        status: an index into `pards.jax.STATUSES`.
    """

    states: Any
    iterations: Array
    merit: Array
    residual: Array
    error: Array
    success: Array
    status: Array


class _Operands(NamedTuple):
    """What a solve is made of that may be traced; key and guess have no derivative."""

    x0: Array
    inputs: Any
    params: Any
    hoisted: list[Any]  # what f closes over
    guess: Array | None
    kept: Kept


class _Model(NamedTuple):
    """f on vectors: step(x, u, params, *hoisted)."""

    step: Callable[..., Array]
    steps: int
    options: Options
    native: _cells.Native | None = None  # a cell that the library solves


def solve(
    f: Cell | Callable[..., Any],
    x0: Any,
    inputs: Any = None,
    params: Any = None,
    *,
    length: int | None = None,
    method: str | Method = "newton",
    guess: Any = None,
    merit_tol: float | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    max_iterations: int | None = None,
    window: int | Literal["auto"] | None = None,
    damping: float | Literal["adaptive"] = 0.0,
    clip: bool = False,
    nonfinite: str = "stop",
    key: Any = None,
    axis_name: str | tuple[str, ...] | None = None,
) -> Solution:
    """Evaluate x[t] = f(x[t-1], u[t]), t = 1..T, in parallel over time, in a JAX program.

    It can be jitted, mapped and differentiated, forward, in reverse and repeatedly, with respect to x0, inputs, params
    and what f closes over. f is any JAX function of one step, of one sequence: `jax.vmap` makes a batch, whose
    sequences stop one by one. The iteration, its test and its outcome are those of `pards.solve`; the recurrence of
    an update is solved by `pards.jax.scan`, the covariances of a trust region (elk, quasi_elk) by loops of JAX's over
    the square root of T. On a CPU most updates and their tests are calls of the library. What f computes of u and
    params alone XLA takes out of the iteration.

    method="auto" of a function takes newton, whole, where df/dx is seen not to read x, so that one update is exact.
    Otherwise it takes windows that adapt, by newton up to 64 dimensions and by quasi_newton beyond: they end at the
    trajectory whatever the model, at worst step by step. With axis_name damping adapts instead, and may fail. Nothing
    is timed: where a plain loop is faster (few dimensions, a CPU, a chaotic model), ask for "sequential".

    Derivatives are those of the trajectory, by the implicit function theorem: one linear recurrence with the true
    Jacobians df/dx, at any method. Up to 64 dimensions these are formed, T D D numbers, or a window's at a time;
    beyond, the recurrence is iterated with their diagonals until it holds to 1e-6 in float32, 1e-12 in float64, and
    where that is slow or never, as with strongly coupled components, gone through step by step.

    A cell of `pards.cells` is solved by one call of the library, with the bits of `pards.solve`; under `jax.vmap` it is
    one call for the batch, unless cells are mapped, which are solved one after another. Cells are pytrees of their
    arrays and numbers, so a gradient is a cell of gradients. On a CPU it takes the Jacobians of a few steps at a
    time, whatever the method and the dimension. On a GPU the host waits for the solve. A sequence whose numbers are
    not finite fails, on a CPU with NaN for its states.

    Args:
        f: f(x, u), or f(x, u, params) if params are given, returns the next state, in the form of x. JAX differentiates
            it forward, so derivatives of your own are those of `jax.custom_jvp`, not of `jax.custom_vjp`. Or a cell of
            `pards.cells`, its arrays in the dtype of x0.
        x0: the first state; a pytree of arrays of floats of one dtype, which Python's numbers among them take too.
            (dim,) for a cell.
        inputs: u, a pytree of arrays whose first axis is time; None for a model without. (time, inputs) for a cell,
            (time,) if it is driven by words.
        params: a pytree of arrays that f is given; None for a cell. Of an equinox or flax module the arrays: with
            `arrays, rest = eqx.partition(module, eqx.is_array)` f gets arrays and calls `eqx.combine(arrays, rest)`.
        length: T, if there are no inputs.
        method: a name or an object, as of `pards.solve`, or "auto".
        guess: the first iterate, in the form of the states; x0 at every step by default.
        merit_tol: stop at the first merit at most this; otherwise rtol and atol decide, by default 1e-4 in float32 and
            1e-8 in float64, and 1e-3 of that.
        max_iterations: most updates, of a window; T, or 1000 and T + 1 at most without merit_tol.
        window: solve windows of so many steps one after another; "auto": those that fail are given up for shorter ones.
            A program then holds the iteration three to five times, for arrays of several lengths.
        damping: A is scaled by 1 - damping; "adaptive": an update that makes an iterate worse is taken back, for an
            evaluation of f and its derivative, and the next one damped.
        clip: diagonal entries of A are clipped to [-1, 1], a dense A by its largest singular value.
        nonfinite: what becomes of an update that is not finite: "stop", "continue" or "reset".
        key: of `jax.random`, for the probes of Hutchinson's method if that is not given signs. A step's signs are those
            of the key and its index, in whatever window and on whatever device it is; signs are for all of time.
        axis_name: the mesh axis over which time is cut, inside `jax.shard_map`: inputs and guess are this device's
            part, x0 and params the same on all. No windows and no trust region then, and no derivative by what f closes
            over; a cell's steps are JAX's then, not the library's.

    Returns:
        A `Solution`. A failure is not raised, which a compiled program cannot do: look at success.

    Raises:
        ValueError: a shape or a setting does not fit.
        TypeError: a dtype does not, or f does not return the form of x.

    Reference:
        Gonzalez et al., "A Unifying Framework for Parallelizing Sequential Models with Linear Dynamical Systems"
        (2025); derivatives as in Lim et al., "Parallelizing non-linear sequential models over the sequence length"
        (2024).

    Example:
        >>> import jax, jax.numpy as jnp, pards.jax
        >>> f = lambda x, u, w: jnp.tanh(w * x + u)
        >>> loss = lambda w: pards.jax.solve(f, jnp.zeros(1), jnp.ones((50, 1)), w).states.sum()
        >>> jax.grad(loss)(jnp.float32(0.5)).round(1)
        Array(9.6, dtype=float32)
        >>> cell, u = pards.cells.Linear(A=jnp.array([[0.5]]), B=jnp.ones((1, 1))), jnp.ones((50, 1))
        >>> jax.grad(lambda cell: pards.jax.solve(cell, jnp.zeros(1), u).states.sum())(cell).A.round(1)
        Array([[188.]], dtype=float32)
        >>> wells = lambda x, u: x + 0.1 * (x - x**3) + u  # newton leaves the ridge at 0 too fast, and overflows
        >>> u = 0.3 * jax.random.normal(jax.random.key(0), (500, 2))
        >>> [bool(pards.jax.solve(wells, jnp.zeros(2), u, method=m).success) for m in ("newton", "elk", "auto")]
        [False, True, True]
    """
    start, unravel = _state(x0)
    for name, tree in (("inputs", inputs), ("guess", guess), ("params", params)):
        _arrays(name, tree)
    T = _length(length, inputs)
    given = _guess(guess, start, unravel, T)
    options = _options(
        start.dtype, method, merit_tol, rtol, atol, max_iterations, window, damping, clip, nonfinite, axis_name
    )
    if isinstance(f, Cell):
        return _solve_cell(f, x0, inputs, params, given, T, options, key)
    step, hoisted, first = _step(f, unravel, params is not None), list[Any](), None
    if T > 0:
        first = jax.tree.map(lambda u: u[0], inputs)
        (like,) = types(step, start, first, params)
        if axis_name is None:  # else a converted function would be for what varies over the mesh as its examples do
            start, inputs, first, given = vary_as((start, inputs, first, given), like)
            step, hoisted = jax.closure_convert(step, start, first, params)
    if T == 0:
        return _wrap(_empty(start), unravel)
    if options.method.name == "auto":
        options = _auto.choose(options, step, T, start, first, params, *hoisted)
    kept = vary_as(_kept(options, start, T, key), jax.typeof(start))
    operands = _Operands(start, inputs, params, hoisted, given, kept)
    return _wrap(_solve(_Model(step, T, options), operands), unravel)


def _solve_cell(
    cell: Cell, x0: Any, inputs: Any, params: Any, guess: Array | None, T: int, o: Options, key: Any
) -> Solution:
    """A cell of pards.cells: solved by the library, but over a mesh, and differentiated as a function of JAX's."""
    if params is not None:
        raise ValueError(f"solve: params are given, want None: f is a {type(cell).__name__}, which holds its own")
    known, params, x0, inputs = _cells.take(cell, x0, inputs)
    if T == 0:
        return _wrap(_empty(x0), lambda x: x)
    if o.axis is not None and o.method.name == "auto":
        o = _auto.choose(o, known.step, T, x0, jax.tree.map(lambda u: u[0], inputs), params)
    kept = Kept() if o.method.derivative == "held" and o.axis is None else _kept(o, x0, T, key)
    model = _Model(known.step, T, o, known if o.axis is None else None)
    return _wrap(_solve(model, _Operands(x0, inputs, params, [], guess, kept)), lambda x: x)


def _state(x0: Any) -> tuple[Array, Any]:
    """x0 as a vector, and the way back."""
    leaves = jax.tree.leaves(x0)
    for leaf in leaves:
        dtype = getattr(leaf, "dtype", None)
        dtype = np.dtype(type(leaf)) if dtype is None and isinstance(leaf, float) else dtype
        if dtype is None or not jnp.issubdtype(dtype, np.floating):
            raise TypeError(f"solve: x0 has dtype {dtype or type(leaf).__name__}, want float32 or float64")
        if not isinstance(leaf, float):
            not_cut("solve", "x0", leaf)
    dtypes = list(dict.fromkeys(leaf.dtype for leaf in leaves if hasattr(leaf, "dtype")))
    if len(dtypes) > 1:
        raise TypeError(f"solve: x0 has arrays of dtypes {', '.join(map(str, dtypes))}, want one dtype")
    if dtypes:  # a number of Python's is of that of the arrays
        x0 = jax.tree.map(lambda leaf: leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf, dtypes[0]), x0)
    vector, unravel = ravel_pytree(x0)
    if vector.size == 0:
        raise ValueError("solve: x0 is empty, want a state of at least one component")
    if vector.dtype.itemsize not in (4, 8):
        raise TypeError(f"solve: x0 has dtype {vector.dtype}, want float32 or float64")
    return vector, unravel


def _arrays(name: str, tree: Any) -> None:
    """Want a tree of arrays and numbers which JAX keeps as they are."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if isinstance(leaf, np.ndarray | np.generic):
            not_cut("solve", name + jax.tree_util.keystr(path), leaf)
        elif not (isinstance(leaf, jax.Array | bool | int | float | complex) or hasattr(leaf, "__jax_array__")):
            raise TypeError(
                f"solve: {name}{jax.tree_util.keystr(path)} is of type {type(leaf).__name__}, want arrays alone: of a "
                "module, say, its arrays, the rest being put back in f (of equinox, by eqx.partition and eqx.combine)"
            )


def _length(length: int | None, inputs: Any) -> int:
    """T."""
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(inputs)]
    if any(len(shape) == 0 for shape in shapes):
        raise ValueError("solve: inputs have an array without axes, want time as the first axis of each")
    lengths = {shape[0] for shape in shapes}
    if len(lengths) > 1:
        raise ValueError(
            f"solve: inputs have arrays of lengths {sorted(lengths)}, want one length, of their first axes"
        )
    _whole("length", length, 0)
    if not lengths and length is None:
        raise ValueError("solve: inputs and length are None, want inputs, or length=T for a model without")
    if lengths and length is not None and length not in lengths:
        raise ValueError(f"solve: length is {length}, want {lengths.pop()}, the length of inputs, or None")
    return int(lengths.pop() if lengths else length)  # pyright: ignore[reportArgumentType]


def _guess(guess: Any, start: Array, unravel: Any, T: int) -> Array | None:
    """The guess as (T, D)."""
    if guess is None:
        return None
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((T, *leaf.shape), leaf.dtype), jax.eval_shape(unravel, start))
    got, want = jax.tree.structure(guess), jax.tree.structure(like)
    if got != want:
        raise ValueError(f"solve: guess has the form {got}, want that of x0 with an axis of time, {want}")
    for leaf, wanted in zip(jax.tree.leaves(guess), jax.tree.leaves(like), strict=True):
        if jnp.shape(leaf) != wanted.shape:
            raise ValueError(f"solve: guess has shape {jnp.shape(leaf)}, want {wanted.shape}, x0's with time before it")
        if jnp.result_type(leaf) != wanted.dtype:
            raise TypeError(f"solve: guess has dtype {jnp.result_type(leaf)}, want {wanted.dtype}, that of x0")
    return lax.stop_gradient(jax.vmap(lambda one: ravel_pytree(one)[0])(guess))


def _step(f: Callable[..., Any], unravel: Any, given: bool) -> Any:
    """f on vectors, which checks what it returns; given: it takes params."""
    no_class(f)
    if not callable(f):
        raise TypeError(f"solve: f is of type {type(f).__name__}, want a function f(x, u) or f(x, u, params)")

    def step(x: Array, u: Any, params: Any) -> Array:
        y = f(unravel(x), u, params) if given else f(unravel(x), u)
        _same_form(y, jax.eval_shape(unravel, x))
        return ravel_pytree(y)[0]

    return step


def _same_form(y: Any, x: Any) -> None:
    """f must return what it was given."""
    got, want = jax.tree.structure(y), jax.tree.structure(x)
    if got != want:
        raise TypeError(f"solve: f returned the form {got}, want that of the state, {want}")
    for a, b in zip(jax.tree.leaves(y), jax.tree.leaves(x), strict=True):
        if jnp.shape(a) != b.shape:
            raise ValueError(f"solve: f returned shape {jnp.shape(a)}, want {b.shape}, that of the state")
        if jnp.result_type(a) != b.dtype:
            raise TypeError(f"solve: f returned dtype {jnp.result_type(a)}, want {b.dtype}, that of the state")


def _options(
    dtype: Any,
    method: Any,
    merit_tol: Any,
    rtol: Any,
    atol: Any,
    max_iterations: Any,
    window: Any,
    damping: Any,
    clip: Any,
    nonfinite: Any,
    axis: Any,
) -> Options:
    """The settings, each of which must be known while JAX traces."""
    if merit_tol is not None and (rtol is not None or atol is not None):
        raise ValueError("solve: merit_tol and rtol or atol are given, want either")
    relative = _number("rtol", rtol, _array.default_rtol(dtype))
    if relative <= 0:
        raise ValueError(f"solve: rtol is {rtol}, want a number above 0")
    adaptive = isinstance(damping, str) and damping == "adaptive"
    part = -1.0 if adaptive else _number("damping", damping, 0.0, ', or "adaptive"')
    if part > 1:
        raise ValueError(f"solve: damping is {damping}, want a number from 0 to 1")
    for name, value in (("method", method), ("nonfinite", nonfinite)):
        _static(name, value)
    if nonfinite not in ("stop", "continue", "reset"):
        raise ValueError(f'solve: nonfinite is {nonfinite!r}, want "stop", "continue" or "reset"')
    most = _whole("max_iterations", max_iterations, 0)
    steps = -1 if isinstance(window, str) and window == "auto" else _whole("window", window, 1, '"auto", or None')
    _static("clip", clip)
    clip = _array.flag("solve", "clip", clip)
    if axis is not None and steps is not None:
        raise ValueError("solve: window and axis_name are given, want either: time is cut over the devices already")
    merit = None if merit_tol is None else _number("merit_tol", merit_tol, 0.0)
    absolute = _number("atol", atol, 1e-3 * relative)
    return Options(_method(method), merit, relative, absolute, most, steps, part, clip, nonfinite, axis)


def _static(name: str, value: Any) -> None:
    if isinstance(value, Tracer):
        raise TypeError(f"solve: {name} is traced by JAX, want a value that is known then: a static argument of jit")


def _number(name: str, value: Any, default: float, other: str = "") -> float:
    if value is None:
        return default
    _static(name, value)
    try:
        if isinstance(value, bool):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"solve: {name} is {value!r}, want a number{other}") from None
    if not number >= 0 or math.isinf(number):
        raise ValueError(f"solve: {name} is {value}, want a finite number of at least 0")
    return number


def _whole(name: str, value: Any, least: int, other: str = "or None") -> int | None:
    if value is None:
        return None
    _static(name, value)
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"solve: {name} is {value!r}, want a whole number of at least {least}, {other}")
    return int(value)


def _method(method: Any) -> Method:
    if isinstance(method, type) and issubclass(method, Method):
        raise TypeError(f"solve: method is the class {method.__name__}, want an object: {method.__name__}()")
    name: Any = method.name if isinstance(method, Method) else method
    if name == "auto":
        return _native.Auto()
    if not isinstance(name, str) or name not in METHODS:
        raise ValueError(f"solve: method is {name!r}, want one of auto, {', '.join(sorted(METHODS))}")
    if isinstance(method, Method):
        return method
    try:
        return METHODS[name]()
    except TypeError:
        raise TypeError(
            f"solve: method is {name!r}, want an object with its settings: {METHODS[name].__name__}(…)"
        ) from None


def _kept(o: Options, start: Array, T: int, key: Any) -> Kept:
    """What the method keeps, before the first update."""
    d, rows = start.size, T if o.window is None else min(o.window, T)
    kept = Kept()
    if _elk.holds(o.method):
        _elk.check(o.method, start.dtype)
        if o.axis is not None:
            raise ValueError(
                f"solve: method is {o.method.name} and axis_name is given, want one whose update is one scan"
            )
        kept = kept._replace(trust=jnp.asarray(getattr(o.method, "trust"), _globalise.wide()))  # noqa: B009
    if o.axis is not None:
        _mesh.want("solve", o.axis)
    if o.method.derivative == "held" and not o.adapts:
        kept = kept._replace(jacobian=jnp.zeros((rows, d, d), start.dtype))
    if o.method.derivative == "rotated_diagonal":
        given = getattr(o.method, "basis", None)
        if given is not None and np.shape(given) != (d, d):
            raise ValueError(f"solve: basis has shape {np.shape(given)}, want (dim={d}, dim={d})")
        kept = kept._replace(basis=jnp.eye(d, dtype=start.dtype) if given is None else jnp.asarray(given, start.dtype))
    if getattr(o.method, "diagonal", "exact") != "exact":
        given = getattr(o.method, "signs", None)
        if given is None and key is None:
            raise ValueError("solve: key is None, want a key of jax.random, or signs of the method, for its probes")
        steps = T * _mesh.size(o.axis)
        if given is not None and np.shape(given)[1:] != (steps, d):
            raise ValueError(f"solve: signs have shape {np.shape(given)}, want (probes, time={steps}, dim={d})")
        key = jax.random.key(0) if key is None else key
        try:
            jax.eval_shape(jax.random.fold_in, key, 0)
        except (TypeError, ValueError, AttributeError) as error:
            why = str(error).partition("\n")[0]
            raise TypeError(f"solve: key is of type {type(key).__name__}, want one key of jax.random: {why}") from None
        kept = kept._replace(key=key)
    return kept


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _solve(model: _Model, operands: _Operands) -> Window:
    """The iteration. Its derivative is not that of its operations, but of the trajectory."""
    operands = jax.tree.map(lax.stop_gradient, operands)
    if model.native is None:
        return _in_jax(model, operands)

    def natively(o: _Operands) -> Window:
        return _native.run(model.native, o.params, o.x0, o.inputs, o.guess, o.kept, model.steps, model.options)  # pyright: ignore[reportArgumentType]

    if _native.is_faster(model.options, operands.x0.size):
        return natively(operands)
    return lax.platform_dependent(operands, cuda=functools.partial(_in_jax, model), default=natively)


def _in_jax(model: _Model, operands: _Operands) -> Window:
    """The iteration by JAX and the scans of pards.jax."""
    if model.options.method.name == "sequential":
        return _loop(model, operands)
    run = _windows.solve if model.options.adapts else _iterate.solve
    return run(
        _stepper(model, operands),
        operands.x0,
        operands.inputs,
        operands.guess,
        operands.kept,
        model.steps,
        model.options,
    )


def _stepper(model: _Model, o: _Operands) -> Step:
    """f(x, u)."""

    def step(x: Array, u: Any) -> Array:
        return model.step(x, u, o.params, *o.hoisted)

    return step


def _loop(model: _Model, o: _Operands) -> Window:
    """The plain loop."""

    step = _stepper(model, o)

    def one(x: Array, u: Any) -> tuple[Array, Array]:
        y = step(x, u)
        return y, y

    if model.options.axis is not None:
        raise ValueError("solve: method is sequential and axis_name is given, want a parallel method")
    states = lax.scan(one, o.x0, o.inputs, model.steps)[1]
    nothing = jnp.zeros((), states.dtype)
    status = jnp.where(jnp.isfinite(states).all(), CONVERGED, NONFINITE).astype(jnp.int32)
    return Window(states, jnp.int32(0), nothing, nothing, nothing, status)


@functools.partial(_solve.defjvp, symbolic_zeros=True)
def _derivative(model: _Model, primals: Any, tangents: Any) -> tuple[Window, Window]:
    (operands,), (change,) = primals, tangents
    found = _solve(model, operands)
    x, axis = found.states, model.options.axis
    still: Any = jax.tree.map(lambda a: SymbolicZero(jax.typeof(a).to_tangent_aval()), found)
    leaves, form = jax.tree.flatten(operands[:4])
    changes = jax.tree.leaves(change[:4], is_leaf=lambda leaf: isinstance(leaf, SymbolicZero))
    moved = [i for i, leaf in enumerate(changes) if not isinstance(leaf, SymbolicZero)]
    if not moved:
        return found, still

    def f(*given: Array) -> Array:
        now = dict(enumerate(leaves)) | dict(zip(moved, given, strict=True))
        x0, inputs, params, hoisted = jax.tree.unflatten(form, now.values())
        stepped = operands._replace(x0=x0, inputs=inputs, params=params, hoisted=hoisted)
        steps, before = jax.vmap(_stepper(model, stepped)), _mesh.before(x, x0, axis)
        return steps(before, inputs) if axis is not None else _in_pieces(steps, before, inputs)

    _, b = jax.jvp(f, [leaves[i] for i in moved], [changes[i] for i in moved])
    if model.native is None:
        return found, still._replace(states=_linear(model, operands, x, b))
    window = None if model.options.adapts else model.options.window
    dx = _native.tangent(model.native, operands.params, x, operands.inputs, b, window)
    return found, still._replace(states=dx)


def _in_pieces(steps: Callable[[Array, Any], Array], before: Array, u: Any) -> Array:
    """f along steps; on a CPU some at a time, so that what going back through it takes stays in the caches."""
    T, d = before.shape
    size = max(PIECE // d, LEAST)
    cut = T // size * size
    if jax.default_backend() != "cpu" or cut < 2 * size:
        return steps(before, u)
    pieces = jax.tree.map(lambda a: a[:cut].reshape(-1, size, *a.shape[1:]), (before, u))
    F = lax.map(jax.checkpoint(lambda piece: steps(*piece)), pieces).reshape(cut, d)
    rest = jax.tree.map(lambda a: a[cut:], (before, u))
    return F if cut == T else jnp.concatenate([F, steps(*rest)])


def linear_of(step: Callable[..., Array], window: int | None, params: Any, x: Array, inputs: Any, b: Array) -> Array:
    """_linear, of what of a model it takes."""
    o = Options(METHODS["newton"](), None, 0, 0, None, window, 0, False, "stop", None)
    return _linear(_Model(step, len(x), o), _Operands(x[0], inputs, params, [], None, Kept()), x, b)


def _linear(model: _Model, o: _Operands, x: Array, b: Array) -> Array:
    """dx[t] = J[t] dx[t-1] + b[t], J[t] = df/dx at (x[t-1], u[t]); the first J is not read."""
    axis, before = model.options.axis, _mesh.before(x, o.x0, model.options.axis)
    step, W = _stepper(model, o), None if model.options.adapts else model.options.window
    axes = jnp.eye(x.shape[-1], dtype=x.dtype)
    if x.shape[-1] > DENSE_MOST:
        return _iterated(Trajectory(step, before, o.inputs, axes, axis), b)

    def jacobians(before: Array, u: Any) -> Array:
        at = Trajectory(step, before, u, axes, axis)
        return _linearise.along(at, lambda linear: _linearise.full(linear, axes))[1]

    if W is None or model.steps <= W:
        return scan(lds.Dense(jacobians(before, o.inputs)), b, axis_name=axis)

    @jax.checkpoint  # so that going back forms them again, a window at a time
    def one(start: Array, xs: Any) -> tuple[Array, Array]:
        before, u, b = xs
        dx = scan(lds.Dense(jacobians(before, u)), b, start)
        return dx[-1], dx

    cut, d = model.steps // W * W, x.shape[-1]

    def windows(b: Array) -> Array:
        xs = (before, o.inputs, b)
        whole = jax.tree.map(lambda a: a[:cut].reshape(-1, W, *a.shape[1:]), xs)
        end, dx = lax.scan(one, varying(jnp.zeros_like(o.x0), before)[0], whole)
        dx = dx.reshape(cut, d)
        return dx if cut == model.steps else jnp.concatenate([dx, one(end, jax.tree.map(lambda a: a[cut:], xs))[1]])

    # Linear, so its own derivative; before 0.10 JAX transposes no loop that is not one. The primal falls away.
    nothing = varying(jnp.zeros_like(b), b)[0]
    return jax.jvp(windows, (nothing,), (b,))[1]


def _iterated(at: Trajectory, b: Array) -> Array:
    """The same without a Jacobian: what the diagonals leave over is solved for again, until nothing is. Where that
    does not come to rest, a loop over the steps."""
    if at.axis is not None:
        raise ValueError(
            f"solve: derivatives over axis_name want at most {DENSE_MOST} dimensions, the state has {at.dim}"
        )
    linear = _linearise.whole(at)[1]
    a = lax.stop_gradient(_linearise.along(at, lambda linear: _linearise.diagonal(linear, at.axes))[1])
    tolerance, rounding = 1e-6 if b.dtype == np.float32 else 1e-12, 4 * float(jnp.finfo(b.dtype).eps)
    nothing = varying(jnp.zeros_like(b[0]), b)[0]

    def matvec(v: Array) -> Array:
        return v - linear(jnp.concatenate([jnp.zeros_like(v[:1]), v[:-1]]))

    def solver(apply: Callable[[Array], Array], loop: Callable[[Array], Array]) -> Callable[[Any, Array], Array]:
        def iterate(matvec: Callable[[Array], Array], b: Array) -> Array:
            def body(c: tuple[Array, ...]) -> tuple[Array, ...]:
                v, r, least, slow, _ = c
                v = v + apply(r)
                r = b - matvec(v)
                left = jnp.abs(r).max()
                halved = left <= least / 2
                held = left <= jnp.maximum(tolerance * jnp.abs(b).max(), rounding * jnp.abs(v).max())
                return v, r, pick(halved, left, least), pick(halved, 0, slow + 1), held

            most = jnp.abs(b).max()
            start = (jnp.zeros_like(b), b, most, jnp.int32(0), most == 0)
            v, *_, held = lax.while_loop(lambda c: ~c[4] & (c[3] < SLOW), body, tuple(varying(*start)))
            # a loop that is entered at most once: of a condition vmap makes both branches
            return lax.while_loop(lambda c: ~c[1], lambda c: (loop(b), jnp.ones_like(c[1])), (v, held))[0]

        return iterate

    def ahead(v: Array, xs: tuple[Array, Any, Array]) -> tuple[Array, Array]:
        before, u, b = xs
        v = jax.jvp(lambda x: at.step(x, u), (before,), (v,))[1] + b
        return v, v

    def astern(moved: Array, xs: tuple[Array, Any, Array]) -> tuple[Array, Array]:
        before, u, b = xs
        v = moved + b
        return jax.vjp(lambda x: at.step(x, u), before)[1](v)[0], v

    late = jnp.concatenate([a[1:], jnp.zeros_like(a[:1])])  # a[t] belongs to the step before in the transposed system
    forward = solver(
        lambda r: scan(lds.Diagonal(a), r), lambda b: lax.scan(ahead, nothing, (at.before, at.inputs, b))[1]
    )
    back = solver(
        lambda r: scan(lds.Diagonal(late), r, reverse=True),
        lambda b: lax.scan(astern, nothing, (at.before, at.inputs, b), reverse=True)[1],
    )
    return lax.custom_linear_solve(matvec, b, forward, back)


def _empty(start: Array) -> Window:
    nothing = jnp.zeros((), start.dtype)
    return Window(
        jnp.zeros((0, start.size), start.dtype), jnp.int32(0), nothing, nothing, nothing, jnp.int32(CONVERGED)
    )


def _wrap(w: Window, unravel: Any) -> Solution:
    states = jax.vmap(unravel)(w.states)
    return Solution(states, w.iterations, w.merit, w.residual, w.error, w.status <= FLOOR, w.status)


__all__ = ["STATUSES", "Solution", "solve"]
