"""Scans and solves inside JAX programs: under jit, vmap, grad and shard_map, on CPUs and GPUs.

Importing this module imports JAX, of which it wants version 0.6 or newer; importing pards does not.
"""

from ._version import check

check()

from ._scan import scan as scan  # noqa: E402 - JAX must be there, and new enough, before its parts are looked for
from ._solve import STATUSES as STATUSES  # noqa: E402
from ._solve import Solution as Solution  # noqa: E402
from ._solve import solve as solve  # noqa: E402
