"""Programs over several host devices, each in a process of its own, since that of the tests has one; what a test on a GPU leaves out;
and JAX with or without its 64-bit types."""

import os
import subprocess
import sys
import textwrap

import pytest


def of_a_cpu(why: str = "by the last bits, or counts that hang on them, which on a GPU are others"):
    """A test that JAX must run on a CPU; test_gpu.py has what goes for GPUs. Asked when it is run: a module of tests that
    is imported must not begin what jax.distributed is to begin."""
    return pytest.mark.skipif("jax.default_backend() != 'cpu'", reason=why)


def x64(on: bool):
    """A context in which JAX has its 64-bit types, or has not."""
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(on)
    return jax.experimental.enable_x64() if on else jax.experimental.disable_x64()  # JAX 0.6


HEAD = """
import numpy as np, jax, jax.numpy as jnp, pards, pards.jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
try:
    shard_map = jax.shard_map
except AttributeError:  # JAX 0.6
    from jax.experimental.shard_map import shard_map
jax.config.update("jax_enable_x64", True)
mesh = Mesh(np.array(jax.devices()), ("time",))
"""


def run(program: str, count: int, folder) -> str:
    """What a program, after HEAD and in a folder, prints; it must succeed."""
    environment = {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}",
        "JAX_PLATFORMS": "cpu",
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    command = [sys.executable, "-c", HEAD + textwrap.dedent(program)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def without_the_library(monkeypatch):
    """Solves of functions are updated, measured and tested by JAX's operations, as on devices that are no CPU."""
    from types import SimpleNamespace

    from pards.jax import _judge, _measure

    for module, name, by_jax in (
        (_measure, "measure_p", _measure._measure_by_jax),
        (_measure, "update_p", _measure._updated),
        (_judge, "proceed_p", _judge._by_jax),
    ):
        monkeypatch.setattr(module, name, SimpleNamespace(bind=by_jax))
