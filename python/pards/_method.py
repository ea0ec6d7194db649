"""What all methods have in common, and the form of a status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from . import _array, _cell


class Status(NamedTuple):
    """An outcome of a sequence."""

    name: str
    success: bool
    advice: str
    own: Mapping[str, str] = {}  # the advice for methods that the general one does not suit

    def advise(self, method: str) -> str:
        """The advice for a method, the last of those that ran one after another."""
        return self.own.get(method.rpartition("+")[2], self.advice)


@dataclass(frozen=True)
class Method:
    """A way to choose A[t] in x'[t] = f(x[t-1], u[t]) + A[t] (x'[t-1] - x[t-1]).

    Attributes:
        name: the name by which `solve` knows it.
        structure: the structure in which A is scanned, "none" for a method that does not iterate.
        derivative: what is asked of the model: "full", "diagonal", "mean_diagonal", "rotated_diagonal" or "none".
    """

    name: ClassVar[str]
    structure: ClassVar[str]
    derivative: ClassVar[str]
    arrays: ClassVar[tuple[str, ...]] = ()  # the settings that are arrays; kept as read-only copies

    def __post_init__(self) -> None:
        """Checks what the library cannot tell apart, as a flag travels as a number; the rest it checks in `solve`."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "bool":
                object.__setattr__(self, field.name, _array.flag(type(self).__name__, field.name, value))
            elif field.type in ("int", "float") and (value is None or isinstance(value, bool | np.bool_)):
                raise TypeError(f"{type(self).__name__}: {field.name} is {value!r}, want a number")
        for name in self.arrays:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _cell.frozen(type(self).__name__, name, value))

    def settings(self) -> dict[str, Any]:
        """The settings by name."""
        return dict(vars(self))
