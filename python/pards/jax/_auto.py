"""What method="auto" takes for a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from .. import _catalog
from . import _windows
from ._iterate import Options
from ._structure import Array

NEWTON_MOST = 64  # dimensions up to which the Jacobians of a function are formed
WHOLE_MOST = 1 << 24  # numbers of the Jacobians of all steps, up to which they are formed at a time


def choose(o: Options, step: Callable[..., Array], T: int, x0: Array, *rest: Any) -> Options:
    """Newton where f is affine in x, whose first update is exact; else what always ends, windows that adapt, by newton
    or, in many dimensions, quasi_newton. Over a mesh, where there are no windows, damping adapts."""
    d = x0.size
    if affine(step, x0, *rest):
        window = _windows.longest(T, d) if o.axis is None and T * d * d > WHOLE_MOST else None
        return o._replace(method=_catalog.Newton(), window=window if o.window is None or o.adapts else o.window)
    method = _catalog.Newton() if d <= NEWTON_MOST else _catalog.QuasiNewton()
    if o.axis is not None:
        return o._replace(method=method, damping=o.damping or -1.0)
    return o._replace(method=method, window=-1 if o.window is None else o.window)


def affine(step: Callable[..., Array], x0: Array, *rest: Any) -> bool:
    """Whether the derivative by x is the same for every x, as far as its operations tell: none of them may read x."""

    def derivative(x: Array, v: Array, rest: Any) -> Array:
        return jax.linearize(lambda at: step(at, *rest), x)[1](v)  # pyright: ignore[reportUnknownLambdaType]

    program = jax.make_jaxpr(derivative)(x0, x0, rest).jaxpr
    reads = {program.invars[0]}
    for eqn in program.eqns:
        if any(var in reads for var in eqn.invars if not hasattr(var, "val")):  # literals have one, and no hash
            reads.update(eqn.outvars)
    return all(hasattr(var, "val") or var not in reads for var in program.outvars)
