"""The public code of the paper, https://github.com/lindermanlab/parallelizing_with_lds, as a peer: its src/ is looked for in .ref/plds_src.

It is run, never copied. It needs JAX and equinox; where they or it are missing, what asks for it gets None. It counts one update more than
pards, since it tests the iterate before the one it returns.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import _harness

MERIT = 5e-4  # its stopping rule, and the paper's


def there() -> bool:
    """Whether it can be imported."""
    folder = str(_harness.ROOT / ".ref" / "plds_src")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        import deer  # noqa: F401
        import gru  # noqa: F401
    except ImportError:
        return False
    return True


def gru_model(D: int) -> Any:
    import jax
    from gru import GRU

    return GRU(D, jax.random.PRNGKey(0))


def word_model() -> Any:
    from s5_word import S5_word

    return S5_word()


def langevin_model(cell: Any) -> Any:
    """Its two wells with the parameters of a pards.cells.Langevin; its precisions are half of ours."""
    import jax.numpy as jnp
    from two_well import TwoWellAnisotropic

    mixture = cell.potential
    means, precisions = jnp.asarray(mixture.means), jnp.asarray(mixture.precisions) / 2
    return TwoWellAnisotropic(
        mu1=means[0], mu2=means[1], prec1=precisions[0], prec2=precisions[1], epsilon=cell.step_size
    )


def solver(model: Any, x0: Any, guess: Any, method: str) -> Callable[[Any], Any]:
    """Its solve of a batch of inputs by newton, quasi_newton (whose diagonals it estimates by Hutchinson's probes) or picard."""
    import jax
    from deer import deer_alg, picard_alg

    def one(u: Any) -> Any:
        if method == "picard":
            return picard_alg(model.deer_fxn, x0, guess, u, len(u))[1]
        quasi = method == "quasi_newton"
        return deer_alg(model.deer_fxn, x0, guess, u, len(u), quasi=quasi, qmem_efficient=quasi, full_trace=False)[1]

    return jax.vmap(one)
