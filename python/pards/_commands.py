"""The subcommands of `pards`."""

from __future__ import annotations

import json
import platform
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from . import __version__, _demo, _lib, _memory
from ._wrong import Wrong

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"pards {__version__}")
        raise typer.Exit


@app.callback()
def _command(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Say which version this is.")
    ] = False,
) -> None:
    """Sequential models, solved for the whole trajectory at once."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where to write the picture of the convergence.")] = Path("pards-demo.png"),
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the length, in a few seconds.")] = False,
) -> None:
    """Solve the paper's three problems by every method, and a NumPy function against a Python loop."""
    _demo.run(out, quick)


class Question(str, Enum):
    """What pards bench measures."""

    SCAN = "scan"
    SOLVE = "solve"
    ALL = "all"


class Device(str, Enum):
    """Where it is measured."""

    CPU = "cpu"
    CUDA = "cuda"
    AUTO = "auto"


@app.command()
def bench(
    what: Annotated[Question, typer.Argument(help="Linear recurrences, the paper's problems, or both.")] = Question.ALL,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes, each once: to see that all runs.")] = False,
    device: Annotated[Device, typer.Option(help="auto: a GPU if there is one.")] = Device.AUTO,
    out: Annotated[Path | None, typer.Option("--json", help="File to write the rows to, one a measurement.")] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="OLD NEW", help="Measure nothing: compare two such files.")
    ] = None,
    slower: Annotated[
        float, typer.Option(help="With --compare: exit with 1 if pards became slower by more than this factor.")
    ] = 1.1,
) -> None:
    """Measure pards beside the peers that are installed (JAX, PyTorch, accelerated-scan, Numba), all in turns."""
    from ._bench import command

    try:
        if compare is not None:
            if quick or out is not None:
                raise Wrong("--compare measures nothing, so it goes without --quick and --json")
            raise typer.Exit(command.compared(*compare, slower))
        failed = command.run(what.value, quick, device.value, out)
    except Wrong as error:
        raise typer.BadParameter(str(error)) from None
    for line in failed:
        typer.echo(f"failed and left out: {line}", err=True)
    raise typer.Exit(bool(failed))


@app.command()
def reproduce(
    figure: Annotated[str, typer.Argument(help="fig2, fig3, fig4, fig7, fig8, fig9, fig10, or all.")],
    device: Annotated[Device, typer.Option(help="auto: a GPU if there is one.")] = Device.AUTO,
    seeds: Annotated[int | None, typer.Option(help="How many draws of each problem: 10, with --quick 2.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small sizes, in a minute or so: to see that all runs.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Directory for rows, plots and the page.")] = Path("pards-reproduced"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the rows that are there.")] = False,
    budget: Annotated[
        float | None, typer.Option(help="Seconds to spend: what does not fit is skipped, and said.")
    ] = None,
    exchanged: Annotated[
        bool,
        typer.Option("--exchanged", help="The GRU with its arguments exchanged, as the paper's public code has it."),
    ] = False,
    part: Annotated[
        str,
        typer.Option(
            metavar="K/N", help="The K-th of N parts, by seeds: for N GPUs or machines, at once, into one directory."
        ),
    ] = "1/1",
) -> None:
    """Run the paper's experiments again, and say which of its claims hold here."""
    from . import reproduce as experiments

    try:
        experiments.run(
            figure,
            out,
            device=device.value,
            seeds=seeds,
            quick=quick,
            resume=resume,
            budget=budget,
            exchanged=exchanged,
            part=part,
        )
    except Wrong as error:
        raise typer.BadParameter(str(error)) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command()
def info(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    problem: Annotated[
        str | None, typer.Option(help=f"Tell the memory of a solve: {', '.join(_memory.PROBLEMS)}.")
    ] = None,
    dim: Annotated[
        int | None, typer.Option(help="D, components of the state; 8, or what the problem has.", show_default=False)
    ] = None,
    length: Annotated[int, typer.Option(help="T, steps.")] = 10_000,
    batch: Annotated[int, typer.Option(help="B, sequences.")] = 1,
    method: Annotated[str, typer.Option(help="As in pards.solve.")] = "auto",
    window: Annotated[int, typer.Option(help="Steps of a window; 0: none, -1: chosen.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    threads: Annotated[int, typer.Option(help="Workers; 0: as many as the process may use.")] = 0,
) -> None:
    """Say which versions run, where the library is, and what it found on this machine; or what a solve will need."""
    if problem is None:
        for name in ("dim", "length", "batch", "method", "window", "dtype", "threads"):
            source = context.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                raise typer.BadParameter(f"--{name} is of a solve, want --problem with it")
        found = _info()
    else:
        try:
            dim = _memory.dimension(problem, dim)
            memory = _memory.predict(problem, dim, length, batch, method, window, dtype, threads)
            found: dict[str, str | int] = {"problem": problem, "D": dim, "T": length, "B": batch, "dtype": dtype}
            found |= _needs(memory)
        except (TypeError, ValueError) as error:
            raise typer.BadParameter(str(error)) from None
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    width = max(map(len, found))
    for name, value in found.items():
        typer.echo(f"{name:{width}}  {value}")


def _needs(memory: _memory.Memory) -> dict[str, str | int]:
    arrays = {f"{name} (bytes)": size for name, size in memory.arrays.items()}
    beside = {"beside them (bytes)": memory.beside, "in all (bytes)": memory.total}
    return {"method": memory.method, "window": memory.window or "none", **arrays, **beside}


def _info() -> dict[str, str | int]:
    about: dict[str, str | int] = {"pards": __version__, "python": platform.python_version(), "numpy": np.__version__}
    try:
        library = _lib.get()
        told = _lib.described()
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        return about | {"library": f"none: {error}"}
    about |= {"library": str(library.path), "built": told["version"], "ABI": told["abi"]}
    about |= {"workers": told["workers"], "vectors": told["vectors"]}
    about["gpu"] = f"none: {told['gpu']}" if told["gpu"] else "found"
    try:
        about["jax"] = metadata.version("jax")
    except metadata.PackageNotFoundError:
        about["jax"] = "none: not installed; pards.jax needs it"
    return about
