"""What all structures have in common."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from . import _array, _device
from ._array import Array


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
        chars = _array.INTEGERS if self.whole else _array.FLOATS + _array.INTEGERS
        for field in fields(self):
            array = _device.take(type(self).__name__, field.name, getattr(self, field.name), chars)
            object.__setattr__(self, field.name, array)

    @property
    def array(self) -> Array | _device.DeviceArray | None:
        """The array, None for a structure without numbers."""
        return next(iter(vars(self).values()), None)
