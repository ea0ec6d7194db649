"""What pards is compared with, where it is installed: loops in Numba, accelerated-scan, PyTorch."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .harness import PEERS, Flavour, Work

SETTLE = 0.02  # seconds, for the threads of PyTorch and of Numba


def load(package: str) -> Any:
    return importlib.import_module(package)


@functools.cache
def there(package: str) -> bool:
    """Whether a package of PEERS is installed."""
    return importlib.util.find_spec(package.replace("-", "_")) is not None


def missing() -> list[str]:
    return [package for package in PEERS if not there(package)]


def by_numba(make: Callable[[Any], Callable[..., Any]], *parameters: Any, batch: int) -> Flavour:
    """A loop compiled by Numba, over the sequences of a batch in parallel; make gets numba.prange."""

    def flavour(inputs: Sequence[Any]) -> Work:
        numba = load("numba")
        kernel = numba.njit(make(numba.prange), parallel=batch > 1, fastmath=True, error_model="numpy")
        start = time.perf_counter()
        kernel(*parameters, *inputs[0])
        seconds = time.perf_counter() - start
        return Work(lambda i: kernel(*parameters, *inputs[i]), seconds, settle=SETTLE if batch > 1 else 0)

    return flavour


def numba_diagonal(prange: Any) -> Callable[..., Any]:
    def scan(a: Any, b: Any) -> Any:
        B, T, D = b.shape
        x = np.empty_like(b)
        for n in prange(B):
            x[n, 0] = b[n, 0]
            for t in range(1, T):
                for d in range(D):
                    x[n, t, d] = a[n, t, d] * x[n, t - 1, d] + b[n, t, d]
        return x

    return scan


def numba_dense(prange: Any) -> Callable[..., Any]:
    def scan(A: Any, b: Any) -> Any:
        B, T, D = b.shape
        x = np.empty_like(b)
        for n in prange(B):
            x[n, 0] = b[n, 0]
            for t in range(1, T):
                for i in range(D):
                    total = b[n, t, i]
                    for j in range(D):
                        total += A[n, t, i, j] * x[n, t - 1, j]
                    x[n, t, i] = total
        return x

    return scan


def numba_word(prange: Any) -> Callable[..., Any]:
    def loop(index: Any, x0: Any, words: Any) -> Any:
        (B, T), D = words.shape, len(x0)
        x = np.empty((B, T, D), x0.dtype)
        for n in prange(B):
            before = x0
            for t in range(T):
                for d in range(D):
                    x[n, t, d] = before[index[words[n, t], d]]
                before = x[n, t]
        return x

    return loop


def numba_gru(prange: Any) -> Callable[..., Any]:
    """Weights transposed, so that the inner loops run over neighbours; one is 1 in their dtype."""

    def loop(W_ih: Any, W_hh: Any, bias: Any, bias_n: Any, x0: Any, one: Any, u: Any) -> Any:
        (B, T, M), D = u.shape, len(x0)
        states = np.empty((B, T, D), x0.dtype)
        for s in prange(B):
            x, i, h = x0.copy(), np.empty_like(bias), np.empty_like(bias)
            for t in range(T):
                i[:] = bias
                h[:] = 0
                for m in range(M):
                    for j in range(3 * D):
                        i[j] += W_ih[m, j] * u[s, t, m]
                for d in range(D):
                    for j in range(3 * D):
                        h[j] += W_hh[d, j] * x[d]
                for d in range(D):
                    r = one / (one + np.exp(-i[d] - h[d]))
                    z = one / (one + np.exp(-i[D + d] - h[D + d]))
                    n = np.tanh(i[2 * D + d] + r * (h[2 * D + d] + bias_n[d]))
                    x[d] = n + z * (x[d] - n)
                    states[s, t, d] = x[d]
        return states

    return loop


def numba_langevin(prange: Any) -> Callable[..., Any]:
    """Precisions are symmetric; scale is sqrt(2 step)."""

    def loop(means: Any, precisions: Any, logs: Any, step: Any, scale: Any, x0: Any, u: Any) -> Any:
        (B, T, D), K = u.shape, len(logs)
        states = np.empty_like(u)
        for s in prange(B):
            x, h, weight = x0.copy(), np.empty_like(means), np.empty_like(logs)
            for t in range(T):
                for k in range(K):
                    h[k] = 0
                    for j in range(D):
                        away = means[k, j] - x[j]
                        for i in range(D):
                            h[k, i] += precisions[k, j, i] * away
                    energy = step * 0
                    for i in range(D):
                        energy += h[k, i] * (means[k, i] - x[i])
                    weight[k] = logs[k] - energy / 2
                top = weight.max()
                for k in range(K):
                    weight[k] = np.exp(weight[k] - top)
                total = weight.sum()
                for i in range(D):
                    slope = step * 0
                    for k in range(K):
                        slope += weight[k] * h[k, i]
                    x[i] += step * slope / total + scale * u[s, t, i]
                    states[s, t, i] = x[i]
        return states

    return loop


def by_accelerated_scan(device: str) -> Flavour:
    """accelerated-scan's diagonal scan, of (B, D, T): its Triton kernel on a GPU, else its reference in PyTorch."""

    def flavour(inputs: Sequence[Any]) -> Work:
        torch = load("torch")
        arrays = [[torch.from_numpy(np.swapaxes(x, 1, 2).copy()).to(device) for x in one] for one in inputs]
        if device == "cpu":
            scan = load("accelerated_scan.ref").scan
            run = lambda i: scan(*arrays[i])  # noqa: E731
        else:
            kernel, out = load("accelerated_scan.scalar").forward_scan, torch.empty_like(arrays[0][0])
            B, D, T = out.shape

            def run(i: int) -> Any:
                kernel[(B, D)](*arrays[i], out, T, enable_fp_fusion=False)
                torch.cuda.synchronize()
                return out

        return Work(run, result=lambda x: np.swapaxes(x.cpu().numpy(), 1, 2), settle=SETTLE)

    return flavour


def by_torch(make: Callable[[Any], Callable[..., Any]], device: str) -> Flavour:
    """A function of PyTorch, which make builds of the module torch, without gradients."""

    def flavour(inputs: Sequence[Any]) -> Work:
        torch = load("torch")
        function = make(torch)
        arrays = [[torch.from_numpy(x).to(device) for x in one] for one in inputs]

        def run(i: int) -> Any:
            with torch.no_grad():
                result = function(*arrays[i])
            if device != "cpu":
                torch.cuda.synchronize()
            return result

        return Work(run, result=lambda x: x.cpu().numpy(), settle=SETTLE)

    return flavour
