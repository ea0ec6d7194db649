"""The paper's problems as native cells: pards by the methods that converge on them in few updates, against the loops of `pards bench solve`,
whose cases these are. Float32, default tolerances."""

from __future__ import annotations

import sys
from pathlib import Path

from pards._bench import solves

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

if __name__ == "__main__":
    _harness.main(solves.cases)
