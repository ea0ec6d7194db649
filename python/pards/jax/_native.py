"""What the library does of a solve, as primitives of JAX: the solve itself, and the recurrence of its derivatives.

Operands are arrays of a batch, (B, T, ...) or (B, D), of which one sequence may stand for all, then what the batch
shares: parameters, settings and a seed. Which there are is said by their names.
"""

# Functions over arrays of anything:
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from .._method import Method
from . import _ffi
from ._cells import Native
from ._iterate import Options, Window
from ._linearise import Kept
from ._primitive import run_eagerly, scans_when_lowered, varying
from ._structure import Array

solve_p, tangent_p = Primitive("pards_solve"), Primitive("pards_tangent")
solve_p.multiple_results = True


@dataclass(frozen=True)
class Auto(Method):
    """The method that the library chooses."""

    name: ClassVar[str] = "auto"
    structure: ClassVar[str] = "none"
    derivative: ClassVar[str] = "none"


# Of these dimensions Newton's method on a GPU is left to JAX: for smaller ones the library has kernels that do all at
# once, larger ones were not compared. A GRU's training step takes 1.6 to 1.8 times as long by the library's general
# kernels, on an H100. On CPUs the library has all: of a GRU of 8 components, forward or with its gradient, it takes as
# long as JAX, of one of 64 half as long or less.
_LEFT_TO_JAX = range(9, 65)


def is_faster(o: Options, dim: int) -> bool:
    """Whether the library solves a cell wherever the program will run."""
    return o.method.name != "newton" or dim not in _LEFT_TO_JAX or not _gpu_is_there()


def _gpu_is_there() -> bool:
    return jax.default_backend() == "gpu"


_SEQUENCES = ("x0", "inputs", "guess", "states", "b")


def run(
    cell: Native,
    params: dict[str, Array],
    x0: Array,
    inputs: Array | None,
    guess: Array | None,
    kept: Kept,
    T: int,
    o: Options,
) -> Window:
    """The solve of one sequence; a batch is made of it by vmap."""
    given = {"x0": x0[None], "inputs": _drive(cell, inputs, x0.dtype), "guess": None if guess is None else guess[None]}
    if kept.key is not None:  # a whole number that both dtypes hold
        given["seed"] = jax.random.randint(kept.key, (), 0, 1 << 24).astype(x0.dtype)
    given |= {f"cell_{name}": value for name, value in params.items()}
    attributes: dict[str, Any] = {f"cell_{name}": value for name, value in cell.static}
    for name, value in o.method.settings().items():
        if name in o.method.arrays:
            given[f"method_{name}"] = None if value is None else jnp.asarray(value, x0.dtype)
        elif value is not None:
            attributes[f"method_{name}"] = value
    operands = {name: value for name, value in given.items() if value is not None}
    states, measures, counts = solve_p.bind(
        *varying(*operands.values()),
        names=tuple(operands),
        cell=cell.name,
        steps=T,
        attributes=(*attributes.items(), *_settings(o).items()),
    )
    merit, residual, error = measures[0]
    return Window(states.reshape(T, -1), counts[0, 0], merit, residual, error, counts[0, 1])


def _drive(cell: Native, inputs: Array | None, dtype: Any) -> Array | None:
    """The inputs of one sequence as the library takes them, words as numbers."""
    return None if inputs is None else (inputs[:, None].astype(dtype) if cell.words else inputs)[None]


def _settings(o: Options) -> dict[str, Any]:
    """The settings as the library reads them: below 0 a tolerance or a cap is not given, a window or damping adapts."""
    merit = o.merit_tol is not None
    return {
        "method": o.method.name,
        "merit_tol": o.merit_tol if merit else -1.0,
        "rtol": -1.0 if merit else o.rtol,
        "atol": -1.0 if merit else o.atol,
        "max_iterations": -1 if o.max_iterations is None else o.max_iterations,
        "window": o.window or 0,
        "damping": o.damping,
        "clip": o.clip,
        "nonfinite": o.nonfinite,
    }


def _batch_of(names: tuple[str, ...], operands: Any) -> Any:
    given = zip(names, operands, strict=True)
    return lax.broadcast_shapes(*(operand.shape[:1] for name, operand in given if name in _SEQUENCES))[0]


def _abstract(*operands: Any, names: tuple[str, ...], steps: int, **_: Any) -> list[Any]:
    x0, B = operands[0], _batch_of(names, operands)
    return [
        x0.update(shape=(B, width), dtype=np.dtype(dtype), weak_type=False)
        for width, dtype in ((steps * x0.shape[1], x0.dtype), (3, x0.dtype), (2, np.int32))
    ]


solve_p.def_abstract_eval(_abstract)


run_eagerly(solve_p)


def _native(
    platform: str,
    *operands: Array,
    names: tuple[str, ...],
    cell: str,
    steps: int,
    attributes: tuple[tuple[str, Any], ...],
) -> list[Array]:
    x0, B = operands[0], _batch_of(names, operands)
    shapes = ((B, steps, x0.shape[1]), x0.dtype), ((B, 3), x0.dtype), ((B, 2), np.int32)
    results = [jax.ShapeDtypeStruct(*shape) for shape in shapes]
    found = _ffi.call(platform, "solve", results, *operands, cell=cell, operands=" ".join(names), **dict(attributes))
    return [lax.collapse(result, 1) for result in found]


def _nowhere(*_: Any, **__: Any) -> Any:
    raise NotImplementedError(
        f"solve: cells of pards.cells run on {' and '.join(_ffi.TARGETS)}, not on this device; want a function f(x, u)"
    )


mlir.register_lowering(solve_p, _nowhere)
for _platform in _ffi.TARGETS:
    mlir.register_lowering(
        solve_p, mlir.lower_fun(partial(_native, _platform), multiple_results=True), platform=_platform
    )


def _batch(primitive: Primitive, operands: Any, axes: Any, *, names: tuple[str, ...], **params: Any) -> tuple[Any, Any]:
    """A batch of sequences is a larger one. Of what a call has once, parameters say, it is one call after another."""
    given = list(zip(names, operands, axes, strict=True))
    size = next(array.shape[axis] for _, array, axis in given if axis is not None)
    bind = partial(primitive.bind, names=names, **params)
    if any(axis is not None and name not in _SEQUENCES for name, _, axis in given):
        mapped = [jnp.moveaxis(array, axis, 0) for _, array, axis in given if axis is not None]

        def one(own: list[Array]) -> Any:
            turn = iter(own)
            return bind(*(array if axis is None else next(turn) for _, array, axis in given))

        found = lax.map(one, mapped)
        return found, [0] * len(found) if primitive.multiple_results else 0
    lead = [array.shape[0 if axis is None or axis > 0 else 1] for name, array, axis in given if name in _SEQUENCES]
    (batch,) = lax.broadcast_shapes(*((one,) for one in lead))

    def whole(name: str, array: Array, axis: int | None) -> Array:
        if name not in _SEQUENCES or (axis is None and array.shape[0] == 1 and size != 0):
            return array
        array = array[None] if axis is None else jnp.moveaxis(array, axis, 0)
        return lax.collapse(jnp.broadcast_to(array, (size, batch, *array.shape[2:])), 0, 2)

    found = bind(*(whole(*each) for each in given))
    if not primitive.multiple_results:
        return found.reshape(size, batch, *found.shape[1:]), 0
    return [array.reshape(size, batch, *array.shape[1:]) for array in found], [0] * len(found)


batching.primitive_batchers[solve_p] = partial(_batch, solve_p)


# The recurrence dx[t] = J[t] dx[t-1] + b[t] along states x, J[t] = df/dx at (x[t-1], u[t]); transposed it is
# z[t] = J[t+1]' z[t+1] + b[t]. Operands are b (B, T, D), states (B, T, D), inputs (B, T, M) if any, and parameters.


def tangent(
    cell: Native, params: dict[str, Array], states: Array, inputs: Array | None, b: Array, window: int | None
) -> Array:
    """The recurrence of one sequence. window: of how many steps Jacobians are formed at a time, where JAX does it."""
    given = {"b": b[None], "states": states[None], "inputs": _drive(cell, inputs, b.dtype)}
    given |= {f"cell_{name}": value for name, value in params.items()}
    operands = {name: value for name, value in given.items() if value is not None}
    names = tuple(operands)
    return tangent_p.bind(*varying(*operands.values()), names=names, cell=cell, window=window, transposed=False)[0]


def _like_b(b: Any, *_: Any, **__: Any) -> Any:
    return b


tangent_p.def_abstract_eval(_like_b)
run_eagerly(tangent_p)
batching.primitive_batchers[tangent_p] = partial(_batch, tangent_p)
_Of = Callable[[Array, Array, Any, dict[str, Array]], Array]  # b, states, inputs and parameters of a cell's step


def _each(f: _Of, cell: Native, names: tuple[str, ...], operands: Any) -> Array:
    """f of each sequence."""
    given = dict(zip(names, operands, strict=True))
    b, rest = given.pop("b"), [given.pop("states"), given.pop("inputs", None)]
    params = {name.removeprefix("cell_"): value for name, value in given.items()}
    axes = [0 if array is not None and array.shape[0] == b.shape[0] else None for array in rest]
    rest = [array if array is None or axis == 0 else array[0] for array, axis in zip(rest, axes, strict=True)]

    def one(b: Array, states: Array, inputs: Array | None) -> Array:
        u = inputs[:, 0].astype(jnp.int32) if inputs is not None and cell.words else inputs
        return f(b, states, u, params)

    return jax.vmap(one, (0, *axes))(b, *rest)


def _tangent_in_jax(
    *operands: Array, names: tuple[str, ...], cell: Native, window: int | None, transposed: bool
) -> Array:
    """For devices on which the library does not do it."""
    from . import _solve  # which imports this module

    def one(b: Array, states: Array, inputs: Any, params: dict[str, Array]) -> Array:
        run = partial(_solve.linear_of, cell.step, window, params, states, inputs)
        return jax.vjp(run, varying(jnp.zeros_like(b), b)[0])[1](b)[0] if transposed else run(b)

    return _each(one, cell, names, operands)


def _tangent_natively(
    platform: str, *operands: Array, names: tuple[str, ...], cell: Native, window: int | None, transposed: bool
) -> Array:
    result = jax.ShapeDtypeStruct(operands[0].shape, operands[0].dtype)
    attributes = {f"cell_{name}": value for name, value in cell.static}
    return _ffi.call(
        platform,
        "tangent",
        result,
        *operands,
        cell=cell.name,
        operands=" ".join(names),
        transposed=transposed,
        **attributes,
    )


scans_when_lowered(tangent_p)
mlir.register_lowering(tangent_p, mlir.lower_fun(_tangent_in_jax, multiple_results=False))
mlir.register_lowering(
    tangent_p, mlir.lower_fun(partial(_tangent_natively, "cpu"), multiple_results=False), platform="cpu"
)


def _tangent_jvp(
    primals: Any, tangents: Any, *, names: tuple[str, ...], cell: Native, window: int | None, transposed: bool
) -> Any:
    """d(dx)[t] = J[t] d(dx)[t-1] + db[t] + dJ[t] dx[t-1], dJ the change of J along that of all it depends on."""
    bind = partial(tangent_p.bind, names=names, cell=cell, window=window, transposed=transposed)
    out = bind(*primals)
    moved = [i for i, change in enumerate(tangents) if i > 0 and not isinstance(change, ad.Zero)]
    if not moved:
        return out, ad.Zero(jax.typeof(out)) if isinstance(tangents[0], ad.Zero) else bind(tangents[0], *primals[1:])

    def product(v: Array, states: Array, inputs: Any, params: dict[str, Array]) -> Array:
        nothing = jnp.zeros_like(v[:1])

        def f(before: Array) -> Array:
            return jax.vmap(lambda x, u: cell.step(x, u, params))(before, inputs)

        before = jnp.concatenate([states[:1], states[:-1]])  # the first Jacobian is not read
        if transposed:
            return jnp.concatenate([jax.vjp(f, before)[1](v)[0][1:], nothing])
        return jax.jvp(f, (before,), (jnp.concatenate([nothing, v[:-1]]),))[1]

    def products(*given: Array) -> Array:
        now = dict(enumerate((out, *primals[1:]))) | dict(zip(moved, given, strict=True))
        return _each(product, cell, names, list(now.values()))

    _, drive = jax.jvp(products, [primals[i] for i in moved], [tangents[i] for i in moved])
    drive = drive if isinstance(tangents[0], ad.Zero) else drive + tangents[0]
    return out, bind(drive, *primals[1:])


def _tangent_transpose(ct: Any, b: Any, *rest: Any, transposed: bool, **params: Any) -> list[Any]:
    """Its transpose is itself, transposed."""
    if isinstance(ct, ad.Zero):
        return [None] * (1 + len(rest))
    return [tangent_p.bind(ct, *rest, transposed=not transposed, **params), *[None] * len(rest)]


ad.primitive_jvps[tangent_p] = _tangent_jvp
ad.primitive_transposes[tangent_p] = _tangent_transpose
