"""One of two processes with two devices each, whose scan is cut over all four, for tests/test_jax_scan.py.

usage: jax_processes.py ADDRESS RANK
"""

import os
import sys

os.environ |= {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax_mesh import check, shard_map
from test_jax_scan import RNG, case

import pards.jax

TIME, ALL = PartitionSpec(None, "time"), PartitionSpec()


def compare(mesh, name, reverse):
    """States and gradients of what is cut against the whole, which every process can do."""
    A, _ = case(name, (2,), 32, 4)
    leaf, b, x0, weights = *jax.tree.leaves(A), *(RNG.standard_normal((2, *own)) for own in ((32, 4), (4,), (32, 4)))
    make = jax.tree.structure(A)

    def loss(scan):
        return lambda *args: jnp.sum(weights * scan(*args) ** 2)

    def cut(leaf, b, x0):
        return pards.jax.scan(jax.tree.unflatten(make, [leaf]), b, x0, reverse=reverse, axis_name="time")

    spread = shard_map(cut, mesh=mesh, in_specs=(TIME, TIME, ALL), out_specs=TIME)
    whole = lambda leaf, b, x0: pards.jax.scan(jax.tree.unflatten(make, [leaf]), b, x0, reverse=reverse)  # noqa: E731
    placed = [
        jax.make_array_from_callback(array.shape, NamedSharding(mesh, spec), lambda at, array=array: array[at])
        for array, spec in ((leaf, TIME), (b, TIME), (x0, ALL))
    ]
    got = [jax.jit(spread)(*placed), *jax.jit(jax.grad(loss(spread), (0, 1, 2)))(*placed)]
    want = [whole(leaf, b, x0), *jax.grad(loss(whole), (0, 1, 2))(leaf, b, x0)]
    for here, all_of_it in zip(got, want, strict=True):
        for shard in here.addressable_shards:
            check(shard.data, np.asarray(all_of_it)[shard.index])


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
    assert len(jax.devices()) == 4 and len(jax.local_devices()) == 2
    for name in ("dense", "diagonal"):
        for reverse in (False, True):
            compare(Mesh(np.array(jax.devices()), ("time",)), name, reverse)
    print("passed")
