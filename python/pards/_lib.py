"""The native library: found beside this file, loaded on first use, and called with errors turned into exceptions."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

from . import _header

_HERE = Path(__file__).resolve().parent
_LIBRARIES = [_HERE / "libpards.so"]
_HEADERS = [_HERE / "pards.h", _HERE.parents[1] / "capi" / "pards.h"]  # the second in a checkout that was built by hand
_MESSAGE = 4096
_Message = ctypes.c_char * _MESSAGE

_loaded: Library | None = None
_orphaned = False  # this process was forked from one that had loaded the library
_loading = threading.Lock()


class Library:
    """The loaded library: its functions, structs and constants are attributes."""

    def __init__(self, path: Path, header: Path) -> None:
        self.path = path
        declared = _header.read(header.read_text())
        # A CDLL call gives up the GIL. The functions for Python do so themselves, and PyDLL raises what they leave set.
        plain, python = ctypes.CDLL(str(path)), ctypes.PyDLL(str(path))
        for name, (result, arguments) in declared.functions.items():
            function = getattr(python if name.startswith("pards_python_") else plain, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        for name, value in (declared.constants | declared.structs).items():
            setattr(self, name, value)
        if self.pards_abi() != self.PARDS_ABI:
            raise RuntimeError(
                f"pards: {path} has ABI version {self.pards_abi()}, {header} wants {self.PARDS_ABI}; "
                "build both anew: pip install ."
            )
        self.interpreter = self.pards_python(
            **{field: address(getattr(ctypes.pythonapi, name)) for field, name in declared.interpreter.items()}
        )
        packages = [path for path in sys.path if os.path.isabs(path)]  # the GPU's compiler may be among them
        self.pards_search("\n".join(packages).encode(errors="surrogateescape"), None, 0)
        self.errors: dict[int, type[BaseException]] = {
            self.PARDS_VALUE: ValueError,
            self.PARDS_TYPE: TypeError,
            self.PARDS_MEMORY: MemoryError,
            self.PARDS_STOPPED: KeyboardInterrupt,
        }
        self.checked("pards_environment")

    def checked(self, name: str, *arguments: Any) -> None:
        """Call a function that reports errors, and raise what it reports."""
        message = _Message()
        code: int = getattr(self, name)(*arguments, message, _MESSAGE)
        if code:
            _fail(self.errors.get(code, RuntimeError), message.value)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"pards: pards.h declares no {name}")


def address(function: Any) -> int | None:
    """The address of a C function."""
    return ctypes.cast(function, ctypes.c_void_p).value


def get() -> Library:
    """The library, loaded if it was not.

    Raises:
        RuntimeError: in a process forked from one that had loaded it.
        ImportError: if it is missing.
        ValueError: PARDS_NUM_THREADS or PARDS_SIMD has a value that does not do.
    """
    global _loaded
    if _orphaned:
        raise RuntimeError(
            "pards: this process was forked from one that had used pards, whose threads do not survive a fork; "
            'start processes by "spawn" or "forkserver" (multiprocessing.set_start_method) or by subprocess, '
            "or fork before pards is first used"
        )
    if _loaded is None:
        with _loading:
            if _loaded is None:
                _loaded = Library(_find("library", _LIBRARIES), _find("header", _HEADERS))
    return _loaded


def call(name: str, *arguments: Any) -> None:
    """Call a function of the ABI that reports errors, and raise what it reports."""
    get().checked(name, *arguments)


def described() -> dict[str, Any]:
    """What the library says of itself: version, ABI, registries, workers, and why there is no GPU."""
    needed = ctypes.c_int64()
    call("pards_describe", None, 0, needed)
    text = ctypes.create_string_buffer(needed.value)
    call("pards_describe", text, needed, needed)
    import json  # here, for the sake of a fast import

    return json.loads(text.value)


def release(handle: int) -> None:
    """Give back a handle; a forked process has none."""
    if _loaded is not None and not _orphaned:
        _loaded.pards_release(handle, None, 0)


def _fail(error: type[BaseException], message: bytes) -> NoReturn:
    raise error(message.decode(errors="replace"))


def _find(what: str, paths: list[Path]) -> Path:
    for path in paths:
        if path.exists():
            return path
    tried = ", ".join(str(path) for path in paths)
    raise ImportError(f"pards: its {what} is missing; tried {tried}; build it in the source directory: pip install .")


def _after_fork() -> None:
    global _orphaned, _loading
    _orphaned = _orphaned or _loaded is not None or _loading.locked()  # or it was about to
    _loading = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
