"""Native cells in JAX: as pytrees of their parameters, and one step of each as a JAX function, for derivatives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import _catalog_cells, cells
from .._cell import STATIC, Cell, sizes
from ._structure import Array

_EXACT = jax.lax.Precision.HIGHEST  # else float32 products on a GPU are rounded to fewer bits


def _mul(a: Array, x: Array) -> Array:
    return jnp.matmul(a, x, precision=_EXACT)


def _gru(x: Array, u: Array, weight_ih: Array, weight_hh: Array, bias: Array, bias_n: Array, exchanged: bool) -> Array:
    given, hidden = (x, u) if exchanged else (u, x)
    i_r, i_z, i_n = jnp.split(_mul(weight_ih, given) + bias, 3)
    h_r, h_z, h_n = jnp.split(_mul(weight_hh, hidden), 3)
    r, z = jax.nn.sigmoid(i_r + h_r), jax.nn.sigmoid(i_z + h_z)
    n = jnp.tanh(i_n + r * (h_n + bias_n))
    return n + z * (hidden - n)


def _lstm(x: Array, u: Array, weight_ih: Array, weight_hh: Array, bias: Array) -> Array:
    h, c = jnp.split(x, 2)
    i, f, g, o = jnp.split(_mul(weight_ih, u) + _mul(weight_hh, h) + bias, 4)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jnp.concatenate([jax.nn.sigmoid(o) * jnp.tanh(c), c])


def _elman(x: Array, u: Array, weight_ih: Array, weight_hh: Array, bias: Array) -> Array:
    return jnp.tanh(_mul(weight_ih, u) + _mul(weight_hh, x) + bias)


def _linear(x: Array, u: Array | None, A: Array, B: Array | None = None, bias: Array | None = None) -> Array:
    y = _mul(A, x)
    y = y if B is None else y + _mul(B, u)
    return y if bias is None else y + bias


def _langevin(x: Array, u: Array, means: Array, precisions: Array, log_weights: Array, step_size: Array) -> Array:
    away = x - means
    if precisions.ndim == 2:
        pulled = precisions * away
    else:  # symmetric ones, among which a gradient stays
        pulled = _mul((precisions + jnp.swapaxes(precisions, 1, 2)) / 2, away[..., None])[..., 0]
    weights = jax.nn.softmax(log_weights - (pulled * away).sum(-1) / 2)
    return x - step_size * _mul(weights, pulled) + jnp.sqrt(2 * step_size) * u


def _lorenz96(x: Array, u: None, dim: int, forcing: Array, step: Array) -> Array:
    def slope(x: Array) -> Array:
        return (jnp.roll(x, -1) - jnp.roll(x, 2)) * jnp.roll(x, 1) - x + forcing

    one = slope(x)
    two = slope(x + step / 2 * one)
    three = slope(x + step / 2 * two)
    four = slope(x + step * three)
    return x + step * (one + 2 * two + 2 * three + four) / 6


def _group_word(x: Array, u: Array, permutations: Array) -> Array:
    chosen = permutations[u]
    return _mul(chosen, x) if permutations.ndim == 3 else x[chosen.astype(jnp.int32)]


STEPS: Mapping[str, Callable[..., Array]] = {
    "elman": _elman,
    "gru": _gru,
    "group_word": _group_word,
    "langevin": _langevin,
    "linear": _linear,
    "lorenz96": _lorenz96,
    "lstm": _lstm,
}


class Native(NamedTuple):
    """What is known of a cell while JAX traces."""

    name: str
    words: bool
    static: tuple[tuple[str, Any], ...]  # parameters that are no leaves

    def step(self, x: Array, u: Any, params: Mapping[str, Array]) -> Array:
        """f(x, u), for one state."""
        return STEPS[self.name](x, u, **params, **dict(self.static))


def leaves(cell: type[Cell]) -> list[str]:
    """The names of the parameters that are leaves: arrays and numbers."""
    return [name for name, kind in cell.fields.items() if kind not in STATIC]


def _register() -> None:
    """Make every cell a pytree, whose leaves may be anything: JAX puts tracers and placeholders there."""
    for cell in (getattr(cells, name) for name in _catalog_cells.__all__):
        names = leaves(cell)
        rest = [name for name in cell.fields if name not in names]

        def flatten(value: Cell, names: list[str] = names, rest: list[str] = rest) -> tuple[list[Any], tuple[Any, ...]]:
            held = vars(value)
            children = [(jax.tree_util.GetAttrKey(name), held[name]) for name in names]
            return children, tuple(held[name] for name in rest)

        def unflatten(
            static: tuple[Any, ...], given: Any, cell: Any = cell, names: list[str] = names, rest: list[str] = rest
        ) -> Cell:
            value = object.__new__(cell)
            value.__dict__.update(zip(names, given, strict=True), **dict(zip(rest, static, strict=True)), _handles={})
            return value

        jax.tree_util.register_pytree_with_keys(cell, flatten, unflatten)


_register()


def take(cell: Cell, x0: Any, inputs: Any) -> tuple[Native, dict[str, Array], Array, Array | None]:
    """A cell, checked, as what is known of it and its parameters; and x0 and inputs, arrays or None."""
    kind, held = type(cell).__name__, vars(cell)
    if not hasattr(x0, "shape"):
        raise TypeError(f"solve: x0 is of type {type(x0).__name__}, want an array (dim,), the state of this {kind}")
    params = {  # numbers have no say in the dtype, nor have permutations
        name: _leaf(f"{kind}.{name}", held[name], x0.dtype, cell.words or cell.fields[name] == "float")
        for name in leaves(type(cell))
        if held[name] is not None
    }
    if cell.words:
        params = {name: _discrete(value) for name, value in params.items()}
    static = tuple((name, held[name]) for name in cell.fields if cell.fields[name] in STATIC)
    dim, width = sizes(type(cell), tuple((name, value.shape) for name, value in params.items()), static)
    if x0.shape != (dim,):
        raise ValueError(f"solve: x0 has shape {x0.shape}, want (dim={dim},), the state of this {kind}; {_BATCH}")
    drive = _inputs(kind, cell.words, inputs, width, x0.dtype)
    return Native(cell.name, cell.words, static), params, jnp.asarray(x0), drive


@jax.custom_jvp
def _discrete(permutations: Array) -> Array:
    """Themselves, and an error where a derivative with respect to them is asked for."""
    return permutations


@functools.partial(_discrete.defjvp, symbolic_zeros=True)
def _no_derivative(primals: Any, tangents: Any) -> tuple[Array, Any]:
    if not isinstance(tangents[0], jax.custom_derivatives.SymbolicZero):
        raise TypeError(
            "solve: a derivative with respect to GroupWord.permutations is asked for, which vary by whole steps; "
            "want one with respect to x0, or permutations as integers"
        )
    return primals[0], tangents[0]


_BATCH = "jax.vmap makes a batch"


def _inputs(kind: str, words: bool, inputs: Any, width: int, dtype: Any) -> Array | None:
    if width == 0:
        if inputs is not None:
            raise ValueError(f"solve: inputs are given, want None and length=T: this {kind} takes none")
        return None
    form = "(time,) of whole numbers" if words else f"(time, inputs={width})"
    if inputs is None:
        raise ValueError(f"solve: inputs are None, want {form}, which drive this {kind}")
    if not hasattr(inputs, "dtype"):
        raise TypeError(f"solve: inputs are of type {type(inputs).__name__}, want an array {form}")
    if np.ndim(inputs) != (1 if words else 2) or (not words and inputs.shape[1] != width):
        raise ValueError(f"solve: inputs have shape {inputs.shape}, want {form}, as this {kind} takes them; {_BATCH}")
    if not words:
        return _leaf("inputs", inputs, dtype, False)
    if not jnp.issubdtype(inputs.dtype, jnp.integer):
        raise TypeError(f"solve: inputs have dtype {inputs.dtype}, want {form}")
    return jnp.asarray(inputs)


def _leaf(name: str, value: Any, dtype: Any, cast: bool) -> Array:
    """An array of the dtype computed in. cast: whatever its own is."""
    own = getattr(value, "dtype", None)
    if own is None or cast:
        try:
            return jnp.asarray(value, dtype)
        except (TypeError, ValueError) as error:
            raise TypeError(f"solve: {name} is of type {type(value).__name__}, want an array: {error}") from None
    if own != dtype:
        raise TypeError(
            f"solve: {name} has dtype {own}, want {dtype}, that of x0; cast one of them: "
            f"jax.tree.map(lambda a: a.astype({dtype.name!r}), cell)"
        )
    return jnp.asarray(value)
