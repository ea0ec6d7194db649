"""The subcommands of `pards`."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from . import __version__, _demo, _lib

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _command() -> None:
    """Sequential models, solved for the whole trajectory at once."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where to write the picture of the convergence.")] = Path("pards-demo.png"),
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the length, in a few seconds.")] = False,
) -> None:
    """Solve the paper's three problems by every method, and a NumPy function against a Python loop."""
    _demo.run(out, quick)


@app.command()
def info(as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """Say which versions run, where the library is, and what it found on this machine."""
    found = _info()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    width = max(map(len, found))
    for name, value in found.items():
        typer.echo(f"{name:{width}}  {value}")


def _info() -> dict[str, str | int]:
    about: dict[str, str | int] = {"pards": __version__, "python": platform.python_version(), "numpy": np.__version__}
    try:
        library = _lib.get()
        told = _lib.described()
    except (ImportError, OSError, RuntimeError) as error:
        return about | {"library": f"none: {error}"}
    about |= {"library": str(library.path), "built": told["version"], "ABI": told["abi"], "workers": told["workers"]}
    about["gpu"] = f"none: {told['gpu']}" if told["gpu"] else "found"
    try:
        about["jax"] = metadata.version("jax")
    except metadata.PackageNotFoundError:
        about["jax"] = "none: not installed; pards.jax needs it"
    return about
