"""What the README shows runs as it stands."""

import re
from pathlib import Path

import pytest

from pards import _lib

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)


@pytest.mark.parametrize("code", BLOCKS, ids=[f"block{i}" for i in range(len(BLOCKS))])
def test_block(code: str) -> None:
    if "import cupy" in code:
        pytest.importorskip("cupy")
        if why := _lib.described()["gpu"]:
            pytest.skip(f"no GPU: {why}")
    if "import jax" in code:
        pytest.importorskip("jax", minversion="0.7", reason="needs JAX, and for shard_map 0.7: pip install '.[jax]'")
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    if "sol" not in names:
        return
    assert names["sol"].success.all() if hasattr(names["sol"].success, "all") else names["sol"].success


def test_methods_table_is_complete() -> None:
    import pards

    text = README.read_text()
    for name in (*pards._catalog.METHODS, "auto"):
        assert f"`{name}`" in text
