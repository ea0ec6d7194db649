"""What all structures have in common."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from . import _array, _device
from ._array import Array


def no_class(A: Any) -> None:
    """Want an object where a class of structures may be.

    Raises:
        TypeError: it is the class.
    """
    if isinstance(A, type) and issubclass(A, Structure):
        made = f"{A.__name__}({'...' if fields(A) else ''})"
        raise TypeError(f"scan: A is the class {A.__name__}, want an object of it: {made}")


@dataclass(frozen=True)
class Structure:
    """A form of the matrices A[t], and the array that holds them, if there is one.

    Attributes:
        name: the name by which the library knows it.
        axes: how many axes of the array hold one A[t].
        whole: it holds whole numbers, which have no say in the dtype of a result.
    """

    name: ClassVar[str]
    axes: ClassVar[int] = 0
    whole: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not _array.of_jax(value, "Array"):  # which may be a tracer
                object.__setattr__(self, field.name, self._take(field.name, value))

    @property
    def array(self) -> Any:
        """The array, None for a structure without numbers."""
        return next(iter(vars(self).values()), None)

    def taken(self) -> Array | _device.DeviceArray | None:
        """The array in NumPy or on a GPU."""
        return next((self._take(name, value) for name, value in vars(self).items()), None)

    def check(self, shape: tuple[int, ...], b: tuple[int, ...]) -> None:
        """Want an array of this structure to have a shape that fits the shape of b, (..., T, D).

        Raises:
            ValueError: it does not.
        """
        steps, dim = b[-2:]
        own = shape[-1 - self.axes :]
        if self.axes < 3:
            if own == (steps, dim, dim)[: 1 + self.axes]:
                return
            want = ", ".join((f"time={steps}", f"dim={dim}", f"dim={dim}")[: 1 + self.axes]) + ")"
        else:
            if len(own) == 4 and own[0] == steps and own[2] == own[3] and own[1] * own[2] == dim:
                return
            want = f"time={steps}, n, d, d) with n d = {dim}"
        hint = "; diagonal matrices are pards.lds.Diagonal(A)" if self.axes == 2 and shape[-2:] == b[-2:] else ""
        raise ValueError(f"scan: A ({self.name}) has shape {shape}, want (..., {want}; b has shape {b}{hint}")

    def _take(self, name: str, value: Any) -> Array | _device.DeviceArray:
        chars = _array.INTEGERS if self.whole else _array.FLOATS + _array.INTEGERS
        return _device.take(type(self).__name__, name, value, chars)
