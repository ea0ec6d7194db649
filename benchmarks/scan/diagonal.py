"""x[t] = A[t] x[t-1] + b[t] with diagonal A: pards against the peers of `pards bench scan`, whose cases these are. Float32."""

from __future__ import annotations

import sys
from pathlib import Path

from pards._bench import scans

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

if __name__ == "__main__":
    _harness.main(lambda settings: (scans.diagonal(size, settings) for size in scans.DIAGONAL))
