"""The experiments of the paper, run again: what `pards reproduce` does, as a function.

Source: Gonzalez et al., "A Unifying Framework for Parallelizing Sequential Models with Linear Dynamical Systems"
    (2025).
"""

from ._claims import Claim as Claim
from ._claims import check as check
from ._command import run as run
from ._rows import read as read

__all__ = ["Claim", "check", "read", "run"]
