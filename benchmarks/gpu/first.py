"""The first use of a kernel on a GPU: seconds of the first solve of a process, with an empty and with a filled cache on disk.

Each is a fresh process, whose second solve is subtracted: what is left is finding NVRTC, compiling or reading, loading, and opening the
device, which is told apart by a scan before it with its own kernel.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

METHODS = ("newton", "quasi_newton", "sequential")
PROCESS = """
import sys, time
import numpy as np, pards
cell = pards.cells.GRU.init(hidden=8, inputs=8, seed=0, dtype=np.float32)
u, x0 = np.ones((1000, 8), np.float32), np.zeros(8, np.float32)
a, b = np.full((1000, 3), 0.5, np.float32), np.ones((1000, 3), np.float32)
pards.lds.scan(pards.lds.Diagonal(a), b, device="cuda")
start = time.perf_counter()
pards.solve(cell, x0, u, method=sys.argv[1], device="cuda")
first = time.perf_counter()
pards.solve(cell, x0, u, method=sys.argv[1], device="cuda")
print(2 * first - start - time.perf_counter())
"""


def row(method: str, cache: str, folder: str) -> _harness.Row:
    environment = os.environ | {"PARDS_CACHE_DIR": folder}
    done = subprocess.run([sys.executable, "-c", PROCESS, method], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    axes = {"method": method, "D": 8, "dtype": "float32"}
    return {
        "name": "first solve",
        "axes": axes,
        "flavour": f"pards, {cache} cache",
        "device": "cuda",
        "seconds": float(done.stdout),
    }


def rows() -> Iterator[_harness.Row]:
    for method in METHODS:
        with tempfile.TemporaryDirectory() as folder:
            yield row(method, "empty", folder)
            yield row(method, "filled", folder)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", nargs="?", type=Path, help="file for the rows, else they are only shown")
    parser.add_argument("--budget", help="as other programs have it; nothing here is repeated")
    options, found = parser.parse_args(), list[_harness.Row]()
    for one in rows():
        print(f"{one['axes']['method']}, {one['flavour']}: {one['seconds']:.2f} s", file=sys.stderr)
        found.append(one)
    if options.out:
        _harness.write(found, options.out)


if __name__ == "__main__":
    main()
