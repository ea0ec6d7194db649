"""Whether the JAX that is there will do."""

import re

OLDEST = (0, 6)


def check() -> None:
    """Raise ImportError if JAX is missing or too old."""
    wanted = ".".join(map(str, OLDEST))
    try:
        from jax import __version__ as version
    except ImportError as error:
        raise ImportError(f"pards.jax: JAX is missing ({error}); pip install 'jax>={wanted}'") from None
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST:
        raise ImportError(f"pards.jax: JAX has version {version}, want {wanted} or newer; pip install -U jax")
