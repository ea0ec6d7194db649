"""Scans over a mesh of eight host devices, for tests/test_jax_scan.py, whose process has one."""

import itertools
import os
from functools import partial

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from test_jax_scan import NAMES, RNG, case

import pards.jax

try:
    shard_map = jax.shard_map
except AttributeError:  # JAX 0.6
    from jax.experimental.shard_map import shard_map

jax.config.update("jax_enable_x64", True)
TIME, ALL = PartitionSpec(None, "time"), PartitionSpec()


def leaves(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if leaf.dtype != jax.dtypes.float0]


def check(got, want):
    # the parts are scanned twice and their products multiplied: 32 steps of 5 roundings, thrice
    for x, y in zip(leaves(got), leaves(want), strict=True):
        assert np.allclose(x, y, rtol=0, atol=500 * np.finfo(float).eps * max(1, np.abs(y).max()))


def compare(mesh, args, specs, reverse):
    def scan(*args, axis_name=None):
        return pards.jax.scan(*args, reverse=reverse, axis_name=axis_name)

    cut = shard_map(partial(scan, axis_name="time"), mesh=mesh, in_specs=specs, out_specs=TIME)
    weights, wanted = RNG.standard_normal(args[1].shape), tuple(range(len(args)))
    both = [
        jax.jit(jax.value_and_grad(lambda *a, f=f: jnp.sum(weights * f(*a) ** 2), wanted, allow_int=True))
        for f in (cut, scan)
    ]
    check(jax.jit(cut)(*args), scan(*args))
    check(both[0](*args), both[1](*args))
    placed = [
        jax.tree.map(lambda leaf, spec=spec: jax.device_put(leaf, NamedSharding(mesh, spec)), arg)
        for arg, spec in zip(args, specs, strict=True)
    ]
    check(jax.jit(scan)(*placed), scan(*args))


def check_batch(mesh):
    """A batch spread over devices stays where it is, in gradients too."""
    A, b, x0 = RNG.uniform(-1, 1, (16, 9, 4, 4)) / 4, RNG.standard_normal((16, 9, 4)), RNG.standard_normal((16, 4))
    loss = lambda A, b, x0: jnp.sum(pards.jax.scan(A, b, x0) ** 2)  # noqa: E731
    placed = [jax.device_put(array, NamedSharding(mesh, PartitionSpec("time"))) for array in (A, b, x0)]
    compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(*placed).compile()
    check(compiled(*placed), jax.grad(loss, (0, 1, 2))(A, b, x0))
    assert "all-gather" not in compiled.as_text()


def check_explicit():
    """A mesh whose axes are part of JAX's types."""
    if not hasattr(jax, "set_mesh"):
        return
    mesh = jax.make_mesh((8,), ("time",), axis_types=(jax.sharding.AxisType.Explicit,))
    A, b = RNG.uniform(-1, 1, (2, 32, 4)), RNG.standard_normal((2, 32, 4))
    with jax.set_mesh(mesh):
        placed = [jax.device_put(array, NamedSharding(mesh, TIME)) for array in (A, b)]
        loss = lambda A, b: jnp.sum(pards.jax.scan(A, b) ** 2)  # noqa: E731
        got = jax.jit(pards.jax.scan)(*placed), jax.jit(jax.grad(loss, (0, 1)))(*placed)
    check(got, (pards.jax.scan(A, b), jax.grad(loss, (0, 1))(A, b)))


if __name__ == "__main__":
    assert len(jax.devices()) == 8
    mesh = Mesh(np.array(jax.devices()), ("time",))
    ways = list(itertools.product((False, True), (False, True)))  # reverse, start
    for i, name in enumerate(NAMES):
        A, _ = case(name, (2,), 32, 4)
        b, x0 = RNG.standard_normal((2, 32, 4)), RNG.standard_normal((2, 4))
        for reverse, start in ways if name == "dense" else [ways[i % 4]]:
            more = (x0,) if start else ()
            compare(mesh, (A, b, *more), (TIME if jax.tree.leaves(A) else ALL, TIME, *(ALL for _ in more)), reverse)
        print(name)
    check_batch(mesh)
    check_explicit()
    print("passed")
