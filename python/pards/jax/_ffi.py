"""The library's handlers, given to XLA."""

from __future__ import annotations

from typing import Any

import jax

from .. import _lib

# By the names that JAX's lowering rules have for platforms.
TARGETS = {"cpu": "pards_xla_cpu", "cuda": "pards_xla_cuda"}
_RECORDED = {("cuda", "scan"): "pards_xla_cuda_scan"}  # calls that XLA may put into a graph: nothing waits for those
_PLATFORMS = {"cpu": "cpu", "cuda": "CUDA"}


def register() -> None:
    """Make the handlers known to XLA."""
    library = _lib.get()
    for platform, target in [*TARGETS.items(), *((platform, target) for (platform, _), target in _RECORDED.items())]:
        handler = jax.ffi.pycapsule(getattr(library, target))
        jax.ffi.register_ffi_target(target, handler, platform=_PLATFORMS[platform])


def call(platform: str, what: str, results: Any, *arguments: Any, **attributes: Any) -> Any:
    """Ask the library for something in a program for a platform; results are jax.ShapeDtypeStructs, one or several."""
    target = _RECORDED.get((platform, what), TARGETS[platform])
    return jax.ffi.ffi_call(target, results)(*arguments, call=what, **attributes)


register()
