"""Arrays on a GPU: taken from other libraries and given to them by DLPack and __cuda_array_interface__."""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from . import _array, _lib
from ._array import Array

_CUDA = (2, 13)  # kDLCUDA and kDLCUDAManaged, the latter seen by both sides
_HOST = (1, 3)  # kDLCPU and kDLCUDAHost
_KINDS = {0: "i", 1: "u", 2: "f", 6: "b"}  # DLDataTypeCode
_CAPSULE = b"dltensor"
_DEFAULT_STREAM = 1  # of CUDA's legacy kind, on which pards works: what was begun on it comes first


class _WithDLPack(Protocol):
    def __dlpack_device__(self) -> tuple[Any, int]: ...


class _WithInterface(Protocol):
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...


Target = Array | _WithDLPack | _WithInterface  # what can be written to: no list, nor a number


class DeviceArray:
    """An array in the memory of a GPU, C-contiguous, of float32 or float64.

    It is what `solve` and `lds.scan` return where arrays were on a GPU. CuPy, PyTorch, JAX and others take it without
    a copy: `cupy.asarray(a)`, `torch.from_dlpack(a)`, `jax.dlpack.from_dlpack(a)`. What computes it has ended when
    the array is returned, so that any stream may read it. The memory is given back when the array and what was made of
    it are gone. A pickle or deep copy of it is a NumPy array.

    Attributes:
        shape, dtype: as those of a NumPy array; the dtype is NumPy's.
        device: "cuda:N".
    """

    __slots__ = ("__weakref__", "_address", "_memory", "_ordinal", "_owner", "dtype", "shape")

    def __init__(
        self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], ordinal: int, owner: Any, memory: int = 0
    ) -> None:
        self._address, self.shape, self.dtype, self._ordinal = address, shape, dtype, ordinal
        self._owner, self._memory = owner, memory  # what keeps the memory: its handle, or the array of another library

    @property
    def device(self) -> str:
        return f"cuda:{self._ordinal}"

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a DeviceArray without axes")
        return self.shape[0]

    def numpy(self) -> Array:
        """A copy in the host's memory."""
        array = np.empty(self.shape, self.dtype)
        _lib.call("pards_device_copy", self._ordinal, array.ctypes.data, self._address, array.nbytes, 0)
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError(f"DeviceArray: it is on {self.device}, and NumPy takes it only as a copy")
        return self.numpy() if dtype is None else self.numpy().astype(dtype, copy=False)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self._address, False),
            "strides": None,
            "stream": None,  # nothing is to be waited for
            "version": 3,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CUDA[0], self._ordinal

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule, as DLPack has it. No stream has anything to wait for."""
        if copy or (dl_device is not None and tuple(dl_device) != self.__dlpack_device__()):
            raise BufferError(f"DeviceArray: it is given as it is, on {self.device}; numpy() makes a copy on the host")
        if not self._memory:
            return self._owner[0].__dlpack__(stream=stream)
        made = ctypes.c_int64()
        _lib.call("pards_device_dlpack", self._memory, self.describe(), made)
        return _new_capsule(made.value, _CAPSULE, _drop)

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype}, device={self.device!r})"

    def __reduce__(self) -> Any:
        return self.numpy().__reduce__()

    def reshape(self, *shape: int) -> DeviceArray:
        """The same memory in another shape of as many elements."""
        if math.prod(shape) != self.size:
            raise ValueError(f"DeviceArray: it has shape {self.shape}, which does not make {shape}")
        return DeviceArray(self._address, shape, self.dtype, self._ordinal, self._owner, self._memory)

    def describe(self) -> Any:
        """A pointer to its pards_array, good for as long as this lives."""
        described = _lib.get().pards_array(
            self._address, _array.code(self.dtype), 1 + self._ordinal, self.ndim, _array.shaped(self.shape)
        )
        return ctypes.pointer(described)


class _Memory:
    """Memory of the library's, given back when nobody has it any more."""

    __slots__ = ("__weakref__",)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any], ordinal: int) -> DeviceArray:
    """A new array of whatever is in its memory."""
    memory, address, owner = ctypes.c_int64(), ctypes.c_int64(), _Memory()
    _lib.call("pards_device_alloc", ordinal, math.prod(shape) * dtype.itemsize, memory, address)
    weakref.finalize(owner, _lib.release, memory.value).atexit = False
    return DeviceArray(address.value, shape, dtype, ordinal, owner, memory.value)


def take(function: str, name: str, value: Any, chars: str = _array.FLOATS + _array.INTEGERS) -> Array | DeviceArray:
    """The array that a caller gave: on a GPU where it is there, else as NumPy takes it.

    Raises:
        ValueError: it is not contiguous or not aligned, or NumPy does not take it.
        TypeError: another dtype than chars tell, or another kind of device.
    """
    found = None if isinstance(value, np.ndarray) else _find(function, name, value)
    if found is None:
        return _array.take(function, name, value, chars)
    if found.dtype.char not in chars:
        wanted = "integers" if chars == _array.INTEGERS else "float32, float64 or integers"
        raise TypeError(f"{function}: {name} has dtype {found.dtype}, want {wanted}")
    return found


def host(array: Array | DeviceArray) -> Array:
    """The array in NumPy."""
    return array.numpy() if isinstance(array, DeviceArray) else array


def ordinal(*arrays: Any) -> int | None:
    """The GPU that arrays are on: that of the first, as the library compares them; None where all are on the host."""
    for array in arrays:
        if isinstance(array, DeviceArray):
            return array._ordinal
    return None


def plain(function: str, name: str, array: Array | DeviceArray, dtype: np.dtype[Any], whole: bool = False) -> Any:
    """The array in a dtype; one on a GPU is taken as it is, whole numbers through the host if they are not wanted.

    Raises:
        TypeError: an array on a GPU has another dtype.
    """
    if isinstance(array, DeviceArray) and (array.dtype.kind == "f" or whole):
        if array.dtype != dtype and not whole:
            raise TypeError(
                f"{function}: {name} on {array.device} has dtype {array.dtype}, want {dtype}, in which is computed; "
                "arrays on a GPU are taken as they are: cast it there"
                + (", or give dtype=" if function == "solve" else "")
            )
        return array
    return _array.plain(host(array), dtype)


def spread(function: str, name: str, array: Array | DeviceArray, shape: tuple[int, ...]) -> Array | DeviceArray:
    """The array broadcast to a shape; one on a GPU must have it.

    Raises:
        ValueError: an array on a GPU has another shape.
    """
    if not isinstance(array, DeviceArray):
        return _array.spread(array, shape)
    if array.shape != shape:
        raise ValueError(
            f"{function}: {name} on {array.device} has shape {array.shape}, want {shape}: arrays on a GPU are taken as "
            "they are, so broadcast it there"
        )
    return array


def describe(args: Any, names: Iterable[str], arrays: Iterable[Any]) -> None:
    """Set fields of the library's arguments to those of arrays that are on a GPU."""
    for name, array in zip(names, arrays, strict=False):
        if isinstance(array, DeviceArray):
            setattr(args, name, array.describe())


def target(
    function: str, out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], where: int | None, others: Iterable[Any]
) -> Any:
    """The array for the library to write to: a new one on a GPU or the host if out is None; see `_array.target`."""
    if out is None:
        return np.empty(shape, dtype) if where is None else empty(shape, dtype, where)
    found = None if isinstance(out, np.ndarray) else _find(function, "out", out, write=True)
    if found is None:
        return _array.target(function, out, shape, dtype, (other for other in others if isinstance(other, np.ndarray)))
    if found.dtype != dtype:
        raise TypeError(f"{function}: out has dtype {found.dtype}, want {dtype}, in which is computed")
    if found.shape != shape:
        raise ValueError(f"{function}: out has shape {found.shape}, want {shape}")
    first, last = found._address, found._address + found.nbytes
    for other in others:
        if isinstance(other, DeviceArray) and other._address < last and first < other._address + other.nbytes:
            raise ValueError(f"{function}: out shares memory with an argument, want memory of its own on a GPU")
    return found


def _find(function: str, name: str, value: Any, write: bool = False) -> DeviceArray | None:
    """The array on a GPU that value is, None if it is none."""
    if isinstance(value, DeviceArray):
        return value
    where = getattr(value, "__dlpack_device__", None)
    interface = None if where is not None and not write else getattr(value, "__cuda_array_interface__", None)
    if where is None and interface is None:
        return None
    if where is not None:
        kind, number = where()
        if kind in _HOST:
            return None
        if kind not in _CUDA:
            raise TypeError(f"{function}: {name} is on a device of DLPack's type {int(kind)}, want the host or CUDA")
        if write and interface is not None and interface["data"][1]:
            raise ValueError(f"{function}: {name} is read-only, want an array to write to")
        return _from_dlpack(function, name, value, int(number))
    return _from_interface(function, name, value, interface, write)


def _from_interface(function: str, name: str, value: Any, interface: Any, write: bool) -> DeviceArray:
    """An array by version 2 or 3 of https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html."""
    (address, readonly), stream = interface["data"], interface.get("stream")
    if interface.get("mask") is not None:
        raise TypeError(f"{function}: {name} has a mask, want an array without")
    if readonly and write:
        raise ValueError(f"{function}: {name} is read-only, want an array to write to")
    dtype = np.dtype(interface["typestr"])
    if not dtype.isnative:
        raise TypeError(f"{function}: {name} has dtype {dtype}, want the byte order of this machine")
    shape, strides = tuple(interface["shape"]), interface.get("strides")
    where = ctypes.c_int64()
    _lib.call("pards_device_of", address, where)
    if stream is not None and stream != _DEFAULT_STREAM:
        _lib.call("pards_device_wait", where.value, stream)
    return _checked(function, name, address, shape, strides, dtype, where.value, (value,))


class _Tensor(ctypes.Structure):
    """DLTensor, the first member of DLManagedTensor."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


def _from_dlpack(function: str, name: str, value: Any, number: int) -> DeviceArray:
    """An array by DLPack. The capsule is kept, not consumed: it gives the memory back when it goes."""
    capsule = value.__dlpack__(stream=_DEFAULT_STREAM)
    tensor = _Tensor.from_address(_capsule_pointer(capsule, _CAPSULE))
    kind, size = _KINDS.get(tensor.code, ""), tensor.bits // 8
    if not kind or tensor.lanes != 1 or size not in (1, 2, 4, 8):
        raise TypeError(
            f"{function}: {name} has DLPack's dtype ({tensor.code}, {tensor.bits}, {tensor.lanes}), "
            "want float32, float64 or integers"
        )
    shape = tuple(tensor.shape[: tensor.ndim])
    dtype = np.dtype(f"{kind}{size}")
    strides = tuple(size * n for n in tensor.strides[: tensor.ndim]) if tensor.strides else None
    address = (tensor.data or 0) + tensor.byte_offset
    return _checked(function, name, address, shape, strides, dtype, number, (value, capsule))


def _checked(
    function: str,
    name: str,
    address: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...] | None,
    dtype: np.dtype[Any],
    number: int,
    owner: Any,
) -> DeviceArray:
    """The array, if it lies as the library wants it."""
    step = dtype.itemsize
    for axis in reversed(range(len(shape)) if strides and math.prod(shape) else ()):
        if shape[axis] > 1 and strides[axis] != step:  # pyright: ignore[reportOptionalSubscript]
            raise ValueError(
                f"{function}: {name} on cuda:{number} has shape {shape} and strides {tuple(strides or ())} in bytes, "
                "want it C-contiguous: arrays on a GPU are taken as they are, so copy it there"
            )
        step *= shape[axis]
    if address % dtype.itemsize:
        raise ValueError(f"{function}: {name} on cuda:{number} is misaligned at {address:#x}, want a copy of it")
    return DeviceArray(address, shape, dtype, number, owner)


_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype, _capsule_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_DESTRUCTOR = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, _DESTRUCTOR)(
    ("PyCapsule_New", ctypes.pythonapi)
)
_is_capsule = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_dying_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class _Managed(ctypes.Structure):
    """DLManagedTensor."""

    _fields_ = [
        ("tensor", _Tensor),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
    ]


@_DESTRUCTOR
def _drop(capsule: int) -> None:
    """Delete what a capsule holds that nobody took: a taken one has another name."""
    if _is_capsule(capsule, _CAPSULE):
        pointer = _dying_pointer(capsule, _CAPSULE)
        _Managed.from_address(pointer).deleter(pointer)


ctypes.pythonapi.Py_IncRef(ctypes.py_object(_drop))  # capsules may be left when the interpreter takes modules apart
