"""Scans over a mesh of eight host devices, for tests/test_jax_scan.py, whose process has one."""

import os
from functools import partial

os.environ |= {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}

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
MESH = Mesh(np.array(jax.devices()), ("time",))


def leaves(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if leaf.dtype != jax.dtypes.float0]


def check(got, want):
    # the parts are scanned twice and their products multiplied: 32 steps of 5 roundings, thrice
    for x, y in zip(leaves(got), leaves(want), strict=True):
        assert np.allclose(x, y, rtol=0, atol=500 * np.finfo(float).eps * max(1, np.abs(y).max()))


def compare(args, specs, reverse):
    def scan(*args, axis_name=None):
        return pards.jax.scan(*args, reverse=reverse, axis_name=axis_name)

    cut = shard_map(partial(scan, axis_name="time"), mesh=MESH, in_specs=specs, out_specs=TIME)
    weights, wanted = RNG.standard_normal(args[1].shape), tuple(range(len(args)))
    both = [
        jax.jit(jax.value_and_grad(lambda *a, f=f: jnp.sum(weights * f(*a) ** 2), wanted, allow_int=True))
        for f in (cut, scan)
    ]
    check(jax.jit(cut)(*args), scan(*args))
    check(both[0](*args), both[1](*args))
    placed = [
        jax.tree.map(lambda leaf, spec=spec: jax.device_put(leaf, NamedSharding(MESH, spec)), arg)
        for arg, spec in zip(args, specs, strict=True)
    ]
    check(jax.jit(scan)(*placed), scan(*args))


if __name__ == "__main__":
    assert len(jax.devices()) == 8
    for name in NAMES:
        A, _ = case(name, (2,), 32, 4)
        b, x0 = RNG.standard_normal((2, 32, 4)), RNG.standard_normal((2, 4))
        for reverse in (False, True):
            for start in ((), (x0,)):
                compare((A, b, *start), (TIME if jax.tree.leaves(A) else ALL, TIME, *(ALL for _ in start)), reverse)
        print(name)
    print("passed")
