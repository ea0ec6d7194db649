"""Solves by the library as a primitive of JAX: shapes, batches, and what runs it; its derivatives are _solve's.

Operands are x0 (B, D), inputs (B, T, M), guess (B, T, D), of which one sequence may stand for all of a batch, then what
the batch shares: a seed, parameters and settings. Which there are is said by their names.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from . import _ffi
from ._cells import Native
from ._iterate import Options, Window
from ._linearise import Kept
from ._primitive import varying
from ._structure import Array

solve_p = Primitive("pards_solve")
solve_p.multiple_results = True
_SEQUENCES = ("x0", "inputs", "guess")


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
    drive = inputs if inputs is None or not cell.words else inputs[:, None].astype(x0.dtype)
    given = {
        "x0": x0[None],
        "inputs": None if drive is None else drive[None],
        "guess": None if guess is None else guess[None],
    }
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


def _settings(o: Options) -> dict[str, Any]:
    """The settings as the library reads them: a number below 0 is not given."""
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


def _batch_of(names: tuple[str, ...], operands: Any) -> int:
    return max(operand.shape[0] for name, operand in zip(names, operands, strict=True) if name in _SEQUENCES)


def _abstract(*operands: Any, names: tuple[str, ...], steps: int, **_: Any) -> list[Any]:
    x0, B = operands[0], _batch_of(names, operands)
    return [
        x0.update(shape=(B, width), dtype=np.dtype(dtype), weak_type=False)
        for width, dtype in ((steps * x0.shape[1], x0.dtype), (3, x0.dtype), (2, np.int32))
    ]


solve_p.def_abstract_eval(_abstract)


@solve_p.def_impl
def _eagerly(*operands: Array, **params: Any) -> list[Array]:
    return _jitted(tuple(params.items()))(*operands)


@cache
def _jitted(params: tuple[tuple[str, Any], ...]) -> Any:
    return jax.jit(partial(solve_p.bind, **dict(params)))


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
    return [result.reshape(B, -1) for result in found]


def _nowhere(*_: Any, **__: Any) -> Any:
    raise NotImplementedError(
        f"solve: cells of pards.cells run on {' and '.join(_ffi.TARGETS)}, not on this device; want a function f(x, u)"
    )


mlir.register_lowering(solve_p, _nowhere)
for _platform in _ffi.TARGETS:
    mlir.register_lowering(
        solve_p, mlir.lower_fun(partial(_native, _platform), multiple_results=True), platform=_platform
    )


def _batch(operands: Any, axes: Any, *, names: tuple[str, ...], **params: Any) -> tuple[list[Array], list[int]]:
    """A batch of sequences is a larger one. Of what a call has once, parameters say, it is one call after another."""
    size = next(array.shape[axis] for array, axis in zip(operands, axes, strict=True) if axis is not None)
    if any(axis is not None and name not in _SEQUENCES for name, axis in zip(names, axes, strict=True)):
        alone = [array for array, axis in zip(operands, axes, strict=True) if axis is None]
        mapped = [jnp.moveaxis(array, axis, 0) for array, axis in zip(operands, axes, strict=True) if axis is not None]

        def one(mapped: list[Array]) -> list[Array]:
            rest, own = iter(alone), iter(mapped)
            return solve_p.bind(*(next(rest if axis is None else own) for axis in axes), names=names, **params)

        return lax.map(one, mapped), [0, 0, 0]
    inner = max(
        array.shape[0 if axis is None or axis > 0 else 1]
        for name, array, axis in zip(names, operands, axes, strict=True)
        if name in _SEQUENCES
    )

    def whole(name: str, array: Array, axis: int | None) -> Array:
        if name not in _SEQUENCES or (axis is None and array.shape[0] == 1):
            return array
        array = array[None] if axis is None else jnp.moveaxis(array, axis, 0)
        return jnp.broadcast_to(array, (size, inner, *array.shape[2:])).reshape(-1, *array.shape[2:])

    full = [whole(*each) for each in zip(names, operands, axes, strict=True)]
    found = solve_p.bind(*full, names=names, **params)
    return [array.reshape(size, -1, array.shape[1]) for array in found], [0, 0, 0]


batching.primitive_batchers[solve_p] = _batch
