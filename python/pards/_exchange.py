"""Parameters to and from the modules of other libraries, which are known by their attributes and never imported."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._array import Array, traced


def torch_parameters(function: str, module: Any) -> dict[str, Array]:
    """The parameters of a torch.nn.GRU, LSTM or cell of one layer and one direction, biases as zeros where it has none.

    Raises:
        TypeError: module is something else.
    """
    suffix, has = torch_suffix(function, module), getattr(module, "bias", True)
    if not isinstance(has, bool):  # else an array that nothing reads
        raise TypeError(
            f"{function}: the bias of the {type(module).__name__} is of type {type(has).__name__}, want True or False, "
            "as a torch module has it"
        )
    found = {name: _array(getattr(module, name + suffix)) for name in ("weight_ih", "weight_hh")}
    for name in ("bias_ih", "bias_hh"):
        bias = getattr(module, name + suffix, None) if has else None
        found[name] = np.zeros(len(found["weight_hh"]), found["weight_hh"].dtype) if bias is None else _array(bias)
    return found


def torch_suffix(function: str, module: Any) -> str:
    """What follows the names of a torch module's parameters: "_l0" for a module with layers, "" for a cell."""
    if (
        getattr(module, "num_layers", 1) != 1
        or getattr(module, "bidirectional", False)
        or getattr(module, "proj_size", 0)
    ):
        raise TypeError(f"{function}: the module has several layers, directions or a projection, want one plain layer")
    for suffix in ("_l0", ""):
        if hasattr(module, "weight_ih" + suffix) and hasattr(module, "weight_hh" + suffix):
            return suffix
    raise TypeError(
        f"{function}: a {type(module).__name__} has no weight_ih and weight_hh, want a torch module with them"
    )


def into_torch(function: str, module: Any, values: Mapping[str, ArrayLike]) -> Any:
    """Write parameters into a torch module, and return it."""
    suffix = torch_suffix(function, module)
    for name, value in values.items():
        place = getattr(module, name + suffix, None)
        if place is None:
            raise TypeError(f"{function}: the {type(module).__name__} has no {name}{suffix}, want a module with biases")
        _same_shape(function, name, place, value)
        place.data.copy_(place.data.new_tensor(np.asarray(value)))
    return module


def equinox_parameters(function: str, module: Any, names: tuple[str, ...]) -> dict[str, Array]:
    """The parameters of an equinox cell; a bias that is None is zeros."""
    if not all(hasattr(module, name) for name in names):
        raise TypeError(f"{function}: a {type(module).__name__} lacks one of {', '.join(names)}, want an equinox cell")
    given = {name: getattr(module, name) for name in names}
    size = len(given["weight_hh"])
    lengths = {"bias": size, "bias_n": size // 3}
    dtype = _array(given["weight_hh"]).dtype
    return {name: np.zeros(lengths[name], dtype) if v is None else _array(v) for name, v in given.items()}


def into_equinox(function: str, module: Any, values: Mapping[str, ArrayLike]) -> Any:
    """A copy of an equinox cell with other parameters; its arrays stay of its own kind."""
    new = copy.copy(module)
    for name, value in values.items():
        place = getattr(module, name, None)
        if place is None:
            raise TypeError(f"{function}: the {type(module).__name__} has no {name}, want a cell with it")
        _same_shape(function, name, place, value)
        object.__setattr__(new, name, (place * 0 + np.asarray(value)).astype(place.dtype))
    return new


def _same_shape(function: str, name: str, place: Any, value: ArrayLike) -> None:
    if tuple(place.shape) != np.shape(value):
        raise ValueError(f"{function}: the module's {name} has shape {tuple(place.shape)}, want {np.shape(value)}")


def _array(value: Any) -> Array:
    """A tensor or array of any library in NumPy; what JAX traces stays."""
    if traced(value):
        return value
    return np.array(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
