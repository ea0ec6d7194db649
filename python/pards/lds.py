"""Linear dynamical systems x[t] = A[t] x[t-1] + b[t], evaluated by a scan, and the structures that A may have."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _array, _catalog_structures, _device, _lib
from ._catalog_structures import *  # noqa: F403 - the structures, one class each
from ._structure import Structure as Structure
from ._structure import no_class

__all__ = ["Structure", "scan"]
__all__ += _catalog_structures.__all__


def scan(
    A: ArrayLike | Structure,
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    reverse: bool = False,
    device: str = "auto",
    out: _device.Target | None = None,
) -> Any:
    """Evaluate x[t] = A[t] x[t-1] + b[t], t = 1..T, or backwards x[t] = A[t] x[t+1] + b[t].

    Leading axes of A, b and x0 are a batch, and broadcast. The result has the dtype that NumPy promotes the arguments
    to, float64 where those are integers.

    Arrays may be on a GPU, as for `solve`: C-contiguous, of the dtype of the result and with the same leading axes.
    NumPy arrays beside them are brought there, and the result is a `DeviceArray` on that GPU.

    Args:
        A: (..., T, D, D), or a structure: `Diagonal(a)`, `Identity()`, or another `Structure` of this module.
        b: (..., T, D).
        x0: (..., D), the state before the first step, or after the last one if reverse is set. Without it the step
            next to it is b alone, and its A is not read.
        reverse: go from the last step to the first; nothing is transposed.
        device: "cpu", "cuda" or "cuda:N"; "auto" is where the arrays are, as moving them takes longer than the scan.
        out: (..., T, D), a writeable array of the dtype of the result, on a GPU or not.

    Returns:
        x, (..., T, D), in NumPy or on a GPU; out if that was given.

    Raises:
        ValueError: a shape or a value is wrong.
        TypeError: a dtype is neither float32, float64 nor integers, or out has another dtype than the result.
        RuntimeError: the device is not there.

    Example:
        >>> import numpy as np, pards
        >>> pards.lds.scan(pards.lds.ScaledIdentity([0.5, 0.5, 0.5]), np.ones((3, 1)))[:, 0]
        array([1.  , 1.5 , 1.75])
    """
    no_class(A)
    structure = A if isinstance(A, Structure) else _catalog_structures.Dense(A)
    arrays: dict[str, Any] = {"A": structure.taken(), "b": _device.take("scan", "b", b), "x0": None}
    if x0 is not None:
        arrays["x0"] = _device.take("scan", "x0", x0)
    axes = {"A": structure.axes + 1, "b": 2, "x0": 1}
    given = {name: array for name, array in arrays.items() if array is not None}
    shape = given["b"].shape
    if len(shape) < 2:  # here, since the library sees one batch axis whatever the caller gave
        raise ValueError(f"scan: b has shape {shape}, want (..., time, dim)")
    if "A" in given:
        structure.check(given["A"].shape, shape)
    if "x0" in given and given["x0"].shape[-1:] != shape[-1:]:
        raise ValueError(f"scan: x0 has shape {given['x0'].shape}, want (..., dim={shape[-1]}); b has shape {shape}")
    dtype = _array.promoted(*(array.dtype for name, array in given.items() if name != "A" or not structure.whole))
    leads = {array.shape[: -axes[name]] for name, array in given.items()}
    try:
        lead = np.broadcast_shapes(*leads) if len(leads) > 1 else leads.pop()
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in given.items())
        raise ValueError(f"scan: the batch axes of {shapes} do not broadcast") from None
    size = math.prod(lead)
    flat: dict[str, Any] = {}
    for name, array in given.items():
        own = array.shape[-axes[name] :]
        spread = _device.spread("scan", name, array, lead + own)
        flat[name] = _device.plain("scan", name, spread, dtype).reshape(size, *own)
    shape = lead + shape[-2:]
    states = _device.target("scan", out, shape, dtype, _device.ordinal(*given.values()), given.values())
    library = _lib.get()
    args = library.pards_scan_args(
        size=ctypes.sizeof(library.pards_scan_args),
        structure=structure.name.encode(),
        reverse=_array.flag("scan", "reverse", reverse),
        device=_array.text("scan", "device", device),
    )
    lent = (flat.get("A"), flat["b"], flat.get("x0"), states.reshape(size, *shape[len(lead) :]))
    _device.describe(args, ("a", "b", "x0", "out"), lent)
    _lib.call("pards_python_scan", library.interpreter, id(lent), args)
    if out is None:
        return states
    if isinstance(out, np.ndarray) and out is not states:
        out[...] = states
    return out
