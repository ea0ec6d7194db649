"""How works are timed side by side, what a row of the result holds, and files of rows.

A case is one piece of work done by several flavours. Each is warmed up once and its result compared with that of the
first; then all run in turns, beginning with another one each turn and taking other inputs each call, so that what the
machine does meanwhile meets all alike. What is short is called several times a turn, after once more that is not timed.
What is asynchronous is waited for. Absolute seconds of different runs are not to be compared: `ratio` is.

A row holds: name, axes (sizes), flavour, device; seconds (median of a call) and spread (the middle half of the turns);
runs (turns) and calls (in each); compile_seconds, which seconds do not hold; bytes that must be moved at least, and
copy_share, the seconds of a memory copy of as many over those of the row; ratio, how many times as long as the first
flavour it took (median over the turns) and ratio_spread; error, the largest difference to the first flavour's result
over that one's largest number; load, how many processes wanted to run in the last minute; missing, the peers that
failed and why, if any, and what of pards gave up by TimeoutError; versions and commit.
"""

from __future__ import annotations

import json
import operator
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from .. import _device, _lib
from .._wrong import Wrong

Row = dict[str, Any]
COPY = "memory copy"
PEERS = ("jax", "torch", "accelerated-scan", "numba")  # packages that pards is compared with where they are installed


@dataclass(frozen=True)
class Work:
    """A flavour ready to run: run(i) does the work on the i-th inputs, made ready in compile_seconds."""

    run: Callable[[int], Any]
    compile_seconds: float = 0.0
    result: Callable[[Any], Any] = np.asarray  # the numbers of what run returns, to compare
    about: Callable[[Any], Row] = lambda _: {}  # what else a row says of a result, as the number of iterations
    # Seconds until its threads rest: those of OpenMP spin on for milliseconds, beside what runs next.
    settle: float = 0.0


Flavour = Callable[[Sequence[Any]], Work]


@dataclass(frozen=True)
class Case:
    """One piece of work; each flavour is a function that makes a Work for the inputs, which are taken in turn.

    The names of those that are pards begin with that: compare.py tells them from their peers by it.
    """

    name: str
    axes: Row
    inputs: Sequence[Any]
    flavours: dict[str, Flavour]
    nbytes: int = 0  # moved at least, read and written; 0 where that says nothing
    tolerance: float = 1e-4  # of the results' differences
    copy: Callable[[int], Flavour] | None = None  # of so many bytes; None: in main memory


@dataclass(frozen=True)
class Settings:
    """How long to measure."""

    quick: bool = False
    device: str = "cpu"
    least: int = 9  # turns
    budget: float = 4.0  # seconds a case may take beyond them
    longest: float = 1.0  # seconds of a call from which on one is enough
    single: float = 10.0  # seconds of a call from which on the warm-up is the one
    shortest: float = 1e-3  # seconds of a turn, calls being repeated to fill them


@dataclass
class _Timed:
    work: Work
    warm_up: float = 0.0  # its seconds
    calls: int = 1
    slow: bool = False
    count: int = 0  # of calls so far: the next takes the inputs after those of the last
    seconds: list[float] = field(default_factory=list)


def wait(result: Any) -> Any:
    """The result once it is there: JAX returns before it is."""
    jax = sys.modules.get("jax")
    return jax.block_until_ready(result) if jax else result


def host_clock(work: Callable[[], Any]) -> float:
    """Seconds by the host's clock until the result is there. What has another clock gets a function like this one."""
    start = time.perf_counter()
    wait(work())
    return time.perf_counter() - start


def measure(case: Case, settings: Settings, clock: Callable[[Callable[[], Any]], float] = host_clock) -> list[Row]:
    """The rows of a case, one a flavour."""
    makers = dict(case.flavours)
    if case.nbytes:
        makers[COPY] = (case.copy or copying)(case.nbytes)
    timed, results, missing = dict[str, _Timed](), dict[str, Any](), dict[str, str]()
    for name, make in makers.items():
        try:
            work = make(case.inputs)
            results[name], warm_up = _first(work, clock)
        except Exception as error:
            late = isinstance(error, TimeoutError)
            if not results or (name.startswith("pards") and not late):
                raise
            missing[name] = f"{type(error).__name__}: {error}"[:200]
            continue
        timed[name] = _Timed(work, warm_up)
    errors = _errors(case, timed, results)
    for t in timed.values():
        once = t.warm_up if t.warm_up > settings.single else clock(lambda t=t: t.work.run(0))
        t.slow = settings.quick or once > settings.longest
        t.calls = 1 if t.slow else max(1, round(settings.shortest / once))
        t.seconds = [once] if t.slow else []
    _turns(timed, settings, len(case.inputs), clock)
    rows = _rows(case, settings, timed, results, errors)
    return [row | {"missing": missing} for row in rows] if missing else rows


def _first(work: Work, clock: Callable[[Callable[[], Any]], float]) -> tuple[Any, float]:
    """The result of the warm-up, and its seconds."""
    kept = list[Any]()
    seconds = clock(lambda: kept.append(wait(work.run(0))))
    return kept[0], seconds


def _errors(case: Case, timed: dict[str, _Timed], results: dict[str, Any]) -> dict[str, float]:
    """The distance of each result to the first flavour's; flavours that disagree measure different things."""
    own = [name for name in timed if name != COPY]

    def numbers(name: str) -> Any:
        return np.asarray(timed[name].work.result(results[name]), np.float64)

    first = numbers(own[0])
    scale = max(float(np.abs(first).max(initial=0)), np.finfo(np.float64).tiny)
    errors = {name: float(np.abs(numbers(name) - first).max(initial=0)) / scale for name in own}
    for name, error in errors.items():
        if not error <= case.tolerance:
            raise ValueError(f"{name} is {error:.2g} off the result of {own[0]}, want at most {case.tolerance:.2g}")
    return errors


def _turns(
    timed: dict[str, _Timed], settings: Settings, inputs: int, clock: Callable[[Callable[[], Any]], float]
) -> None:
    """Run all flavours in turns until there are enough and the time is up."""
    running = [t for t in timed.values() if not t.slow]
    start, turn = time.perf_counter(), 0
    while running and (turn < settings.least or time.perf_counter() - start < settings.budget):
        shift = turn % len(running)
        for t in running[shift:] + running[:shift]:

            def calls(t: _Timed = t) -> Any:
                result = None
                for _ in range(t.calls):
                    result = wait(t.work.run(t.count % inputs))
                    t.count += 1
                return result

            # The first of several would find what the others left in the caches, and asleep what it wakes.
            if t.calls > 1:
                wait(t.work.run(t.count % inputs))
            t.seconds.append(clock(calls) / t.calls)
            time.sleep(t.work.settle)
        turn += 1


def _rows(
    case: Case, settings: Settings, timed: dict[str, _Timed], results: dict[str, Any], errors: dict[str, float]
) -> list[Row]:
    base, copy = next(iter(timed.values())), timed.get(COPY)
    load, rows = os.getloadavg()[0], list[Row]()
    for name, t in timed.items():
        seconds = statistics.median(t.seconds)
        pairs = [own / first for own, first in zip(t.seconds, base.seconds, strict=False)]
        if t.slow or base.slow:
            pairs = [seconds / statistics.median(base.seconds)]
        row: Row = {"name": case.name, "axes": case.axes, "flavour": name, "device": settings.device}
        row |= {"seconds": seconds, "spread": spread(t.seconds), "runs": len(t.seconds), "calls": t.calls}
        row |= {"compile_seconds": t.work.compile_seconds, "ratio": statistics.median(pairs)}
        row |= {"ratio_spread": spread(pairs), "load": load}
        if copy:
            row |= {"bytes": case.nbytes, "copy_share": statistics.median(copy.seconds) / seconds}
        if name in errors:
            row["error"] = errors[name]
        rows.append(row | t.work.about(results[name]))
    return rows


def spread(values: list[float]) -> float:
    """The width of the middle half; of fewer than four values their range."""
    if len(values) < 4:
        return max(values) - min(values)
    quarters = statistics.quantiles(values, n=4)
    return quarters[2] - quarters[0]


def copying(nbytes: int) -> Flavour:
    """The flavour that copies memory, half of the bytes read and half written, on one core."""
    source, target = np.ones(max(nbytes // 2, 1), np.uint8), np.empty(max(nbytes // 2, 1), np.uint8)
    return lambda _: Work(lambda _: np.copyto(target, source))


def copying_on(device: str) -> Callable[[int], Flavour]:
    """What copies memory where the work is done; of a GPU's the library copies nothing, so JAX does, if it is there."""
    if device == "cpu":
        return copying

    def of(nbytes: int) -> Flavour:
        source = np.ones(max(nbytes // 8, 1), np.float32)

        def make(_: Sequence[Any]) -> Work:
            work = jitted(operator.neg)([(source,)])
            return Work(lambda _: work.run(0), work.compile_seconds)

        return make

    return of


def place(device: str) -> str:
    """cpu or cuda."""
    why = _lib.described()["gpu"] if device != "cpu" else ""
    if device == "cuda" and why:
        raise Wrong(f"--device cuda: there is no GPU that pards can use: {why}")
    return device if device != "auto" else "cpu" if why else "cuda"


def placed(array: Any, device: str) -> Any:
    """An array where the work is done."""
    if device == "cpu" or array.dtype.kind != "f":
        return array
    there = _device.empty(array.shape, array.dtype, 0)
    _lib.call("pards_device_copy", 0, there.__cuda_array_interface__["data"][0], array.ctypes.data, array.nbytes, 1)
    return there


def by(function: Callable[..., Any], **more: Any) -> Flavour:
    """A flavour that calls a function with the arrays of the inputs."""
    return lambda inputs: Work(lambda i: function(*inputs[i]), **more)


def widened(dtype: Any) -> None:
    """JAX's 64-bit types as a case of this dtype needs them, for what is compiled from here on."""
    if jax := sys.modules.get("jax"):
        jax.config.update("jax_enable_x64", np.dtype(dtype).itemsize == 8)


def jitted(function: Callable[..., Any]) -> Flavour:
    """A flavour of JAX: compiled ahead for the inputs, which are on the device already."""
    import jax

    def make(inputs: Sequence[Any]) -> Work:
        placed = [jax.device_put(arrays) for arrays in inputs]
        jax.jit(operator.neg).lower(0.0).compile()  # a process's first program takes JAX's own start too
        start = time.perf_counter()
        compiled = jax.jit(function).lower(*placed[0]).compile()
        return Work(lambda i: compiled(*placed[i]), time.perf_counter() - start)

    return make


def states(solution: Any) -> Any:
    """The numbers of what pards returns."""
    return getattr(solution, "states", solution)


def outcome(solution: Any) -> Row:
    """How a solve ended."""
    return {"iterations": int(np.max(solution.iterations)), "status": str(np.ravel(solution.status)[0])}


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("pards", "numpy", *PEERS):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> Row:
    return {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform(aliased=True)}


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)", about.read_text(), re.MULTILINE) if about.exists() else []
    return names[0] if names else platform.machine()


def write(rows: list[Row], path: Path) -> None:
    """A JSON file with a row a line."""
    lines = ",\n".join("  " + json.dumps(row, default=float) for row in rows)
    new = path.with_name(path.name + ".new")  # so that the file is whole at any time
    new.write_text(f'{{\n "machine": {json.dumps(machine())},\n "rows": [\n{lines}\n ]\n}}\n')
    new.replace(path)


def read(path: Path) -> list[Row]:
    return json.loads(path.read_text())["rows"]


def sizes(axes: Row) -> str:
    return " ".join(f"{name}={value}" for name, value in axes.items())


def line(row: Row) -> str:
    """A row to read while it runs."""
    axes = sizes(row["axes"])
    share = f", {row['copy_share']:.0%} of a copy" if "copy_share" in row else ""
    return f"{row['name']} {axes}: {row['flavour']} {1e3 * row['seconds']:.3g} ms, x{row['ratio']:.3g}{share}"
