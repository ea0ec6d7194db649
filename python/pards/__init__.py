"""Sequential models x[t] = f(x[t-1], u[t]), solved for the whole trajectory at once by parallel iteration."""

from . import cells as cells
from . import lds as lds
from . import plot as plot
from . import problems as problems
from . import theory as theory
from ._catalog import *  # noqa: F403 - the methods, one class each
from ._device import DeviceArray as DeviceArray
from ._method import Method as Method
from ._solution import Solution as Solution
from ._solution import SolveError as SolveError
from ._solution import Trace as Trace
from ._solve import solve as solve

__version__: str


def __getattr__(name: str) -> str:
    """The version, looked up when first asked for: importlib.metadata takes longer to import than all of pards."""
    if name in ("jax", "reproduce"):  # which need packages that pards does not, so that they are not imported here
        raise AttributeError(f"module 'pards' has no attribute {name!r} before it is imported: import pards.{name}")
    if name != "__version__":
        raise AttributeError(f"module 'pards' has no attribute {name!r}")
    from importlib import metadata

    try:
        version = metadata.version("pards")
    except metadata.PackageNotFoundError:  # a source tree that is not installed
        version = "0+unknown"
    globals()[name] = version
    return version
