"""Rough treatment: odd arrays, threads, signals, forks, calls within calls."""

import gc
import io
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types

import numpy as np
import pytest

import pards

RNG = np.random.default_rng(0)
CELL = pards.cells.GRU.init(hidden=4, inputs=3, seed=0)
X0, U = RNG.standard_normal((2, 4)), RNG.standard_normal((2, 50, 3))
WANT = pards.solve(CELL, X0, U, method="newton").states


def misaligned(a):
    raw = np.empty(a.nbytes + 1, np.uint8)[1:]
    view = raw.view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def frozen(a):
    a = a.copy()
    a.flags.writeable = False
    return a


@pytest.mark.parametrize(
    "odd",
    [
        np.asfortranarray,
        misaligned,
        frozen,
        lambda a: np.repeat(a, 2, -1)[..., ::2],
        lambda a: a[::-1].copy()[::-1],
        lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: a.tolist(),
    ],
    ids=["fortran", "misaligned", "read-only", "strided", "reversed", "byteswapped", "list"],
)
def test_odd_arrays(odd) -> None:
    sol = pards.solve(CELL, odd(X0), odd(U), method="newton", guess=odd(np.zeros((50, 4))))
    assert np.allclose(sol.states, WANT, rtol=1e-8)
    b = RNG.standard_normal((20, 3))
    a = RNG.uniform(-1, 1, (20, 3))
    assert np.array_equal(pards.lds.scan(pards.lds.Diagonal(odd(a)), odd(b)), pards.lds.scan(pards.lds.Diagonal(a), b))


@pytest.mark.parametrize("method", ["sequential", "newton"])
@pytest.mark.parametrize("odd", [lambda a: a.astype(a.dtype.newbyteorder()), np.ma.array], ids=["byteswapped", "mask"])
def test_odd_results_of_a_function(odd, method: str) -> None:
    """In the other byte order, as arguments may be, or with a mask that hides nothing."""
    u = RNG.standard_normal((20, 3))
    want = pards.solve(lambda x, u: 0.5 * x + u, np.zeros(3), u, method=method).states
    got = pards.solve(lambda x, u: odd(0.5 * x + u), np.zeros(3), odd(u), method=method).states
    assert np.array_equal(got, want)


def test_a_folder_called_jax_is_not_jax(monkeypatch) -> None:
    """What `import jax` finds where JAX is missing and a folder of that name is on the path: a module with nothing in it."""
    monkeypatch.setitem(sys.modules, "jax", types.ModuleType("jax"))
    a, b = RNG.uniform(-1, 1, (20, 3)), RNG.standard_normal((20, 3))
    assert np.array_equal(pards.lds.scan(pards.lds.Diagonal(a), b)[0], b[0])


def test_shared_axes_equal_repeated_ones() -> None:
    one = pards.solve(CELL, X0[0], U, method="newton")
    two = pards.solve(CELL, np.stack([X0[0]] * 2), U, method="newton", guess=np.broadcast_to(X0[0], (2, 50, 4)))
    assert np.array_equal(one.states, two.states)
    alone = pards.solve(CELL, X0[0], U[0], method="newton")
    assert alone.states.shape == (50, 4) and isinstance(alone.iterations, int) and isinstance(alone.success, bool)
    assert np.array_equal(alone.states, one.states[0])


@pytest.mark.parametrize("method", ["sequential", "newton", "quasi_newton", "picard", "rotated_quasi_newton"])
def test_workers_change_no_bit(method: str) -> None:
    cell, rng = pards.cells.GRU.init(hidden=8, inputs=3, seed=0), np.random.default_rng(1)
    u = rng.standard_normal((3, 5000, 3))
    runs = [
        pards.solve(cell, np.zeros(8), u, method=method, num_threads=n, max_iterations=8, raise_on_failure=False)
        for n in (1, 2, 5)
    ]
    for r in runs[1:]:
        assert np.array_equal(r.states, runs[0].states) and np.array_equal(r.merit, runs[0].merit)


def test_out(tmp_path) -> None:
    out = np.full((2, 50, 4), np.nan)
    assert pards.solve(CELL, X0, U, method="newton", out=out).states is out
    assert np.array_equal(out, WANT)
    memory = np.memmap(tmp_path / "states", np.float64, "w+", shape=(2, 50, 4))
    pards.solve(CELL, X0, U, method="newton", out=memory)
    assert np.array_equal(memory, WANT)


def test_threads_at_once() -> None:
    """Four threads, each with its own cell, some by callables; the results are those of one thread."""
    failures = []

    def work(k: int) -> None:
        try:
            for _ in range(30):
                assert np.array_equal(pards.solve(CELL, X0, U, method="newton").states, WANT)
                sol = pards.solve(lambda x, u: np.tanh(x + u * k), np.zeros(1), np.ones((20, 1)), method="quasi_newton")
                assert abs(sol.states[0, 0] - np.tanh(k)) < 1e-6
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


def test_gil_is_released() -> None:
    """Another thread counts while a solve runs."""
    cell, steps = pards.cells.GRU.init(hidden=32, inputs=1, seed=0), 20000
    ticks, done = [], threading.Event()

    def count() -> None:
        while not done.wait(0.005):
            ticks.append(time.perf_counter())

    t = threading.Thread(target=count)
    t.start()
    start = end = 0.0
    while end - start < 0.1:  # however fast the machine: long enough for some twenty counts
        u, steps = np.zeros((8, steps, 1)), 2 * steps
        start = time.perf_counter()
        pards.solve(cell, np.zeros(32), u, method="sequential")
        end = time.perf_counter()
    done.set()
    t.join()
    assert len([x for x in ticks if start < x < end]) >= 3


def test_calls_within_a_callable() -> None:
    inner = pards.cells.Linear(np.array([[0.5]]), np.eye(1))

    def f(x, u):
        pards.solve(inner, np.zeros(1), np.ones((5, 1)), method="newton")
        return inner(x, u)

    assert pards.solve(f, np.zeros(1), np.ones((9, 1)), method="newton").success


def test_what_a_callable_keeps_stays_valid() -> None:
    kept = []

    def f(x, u):
        kept.append((x, x.copy()))
        return 0.5 * x + u

    pards.solve(f, np.zeros(3), np.ones((100, 3)), method="newton")
    gc.collect()
    pards.solve(CELL, X0, U)
    assert len(kept) > 1 and all(np.array_equal(a, b) for a, b in kept)


@pytest.mark.parametrize("method", ["newton", "picard", "sequential"])
@pytest.mark.parametrize("window", [None, 30])
def test_an_exception_in_progress_ends_the_solve(method: str, window) -> None:
    """It arrives as it is, whatever the solve was at, and no state passes for solved."""

    class Enough(Exception):
        pass

    def progress(*_) -> None:
        raise Enough

    def slow(x, u):
        time.sleep(0.03)
        return np.sin(3 * x) + u

    for x0 in (np.zeros(1), np.zeros((3, 1))):
        with pytest.raises(Enough):
            pards.solve(slow, x0, np.ones((90, 1)), method=method, window=window, progress=progress, merit_tol=0.0)


def test_out_may_be_the_inputs() -> None:
    u = np.random.default_rng(0).standard_normal((60, 2))
    want = pards.solve(lambda x, u: 0.5 * x + u, np.zeros(2), u, method="newton").states
    shared = u.copy()
    assert np.array_equal(
        pards.solve(lambda x, u: 0.5 * x + u, np.zeros(2), shared, method="newton", out=shared).states, want
    )
    cell, shared = pards.cells.Linear(np.eye(2) / 2, np.eye(2)), u.copy()
    sol = pards.solve(cell, np.zeros(2), shared, method="newton", out=shared)
    assert np.allclose(sol.states, want, rtol=1e-12)
    assert "out shares memory with an argument" in sol.explain() and "Lyapunov" not in sol.explain()
    with pytest.raises(ValueError, match=r"plot\.jacobians: out shares memory with an argument"):
        pards.plot.jacobians(sol)
    sol = pards.solve(cell, np.zeros(2), u, method="newton", out=shared)
    assert "Lyapunov" in sol.explain()


def test_large_evaluations_come_in_pieces() -> None:
    """More rows than one call of the library takes."""
    cell = pards.cells.Lorenz96(dim=8)
    x = RNG.standard_normal((40_000, 8))
    J = cell.jacobian(x)
    assert J.shape == (40_000, 8, 8)
    assert np.array_equal(J[-3:], cell.jacobian(x[-3:]))


def run(code: str, text: bool = True, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=text,
        timeout=120,
        env={**os.environ, **env},
    )


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
@pytest.mark.parametrize(
    "solve",
    [
        "pards.solve(gru, np.zeros(16), u, method='sequential')",
        "pards.solve(gru, np.zeros(16), u[0], method='sequential')",
        "pards.solve(gru, np.zeros(16), u, method='jacobi', merit_tol=0.0)",
        "pards.solve(gru, np.zeros(16), u[0], method='newton', merit_tol=0.0)",
        "pards.solve(lambda x, u: x + 1, np.zeros(16), u[0, :20000], method='jacobi', merit_tol=0.0)",
        "pards.theory.analyse(gru, np.zeros(16), u[0, :1_000_000], np.zeros((1_000_000, 16)))",
        "pards.theory.analyse(lambda x, u: x + 1, np.zeros(16), u[0, :30000], np.zeros((30_000, 16)))",
        "pards.solve(gru, np.zeros(16), u[0, :200000], method=pards.ELK(adaptive=False), merit_tol=0.0)",
    ],
)
def test_interrupt(solve: str) -> None:
    """Ctrl-C: KeyboardInterrupt within 0.2 s of the signal, and the next solve works. A call of f itself is not cut short: it is kept brief."""
    done = run(f"""
        import signal, time, numpy as np, pards
        gru = pards.cells.GRU.init(hidden=16, inputs=1, seed=0)
        u = np.zeros((4, 2_000_000, 1))
        pards.solve(gru, np.zeros(16), u[:, :10], method="newton")
        sent = []
        def handler(number, frame):
            sent.append(time.perf_counter())
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        start = time.perf_counter()
        try:
            {solve}
            signal.setitimer(signal.ITIMER_REAL, 0)
            print("finished")
        except KeyboardInterrupt:
            late = time.perf_counter() - start - 0.3
            print("interrupted", late)
        assert pards.solve(gru, np.zeros(16), u[0, :10], method="newton").success
    """)
    assert done.returncode == 0, done.stderr
    word, *late = done.stdout.split()
    assert word == "interrupted", done.stdout
    assert float(late[0]) < 0.2


@pytest.mark.parametrize("level", ["generic", "avx2", "avx512"])
def test_vector_instructions_agree(level: str) -> None:
    """Every level that this machine has solves and scans as the one that is chosen here."""
    script = """
        import numpy as np, pards, sys
        rng = np.random.default_rng(0)
        p = pards.problems.gru(2000, 8, 3)
        A, b = rng.standard_normal((2, 300, 17, 17)) / 5, rng.standard_normal((2, 300, 17))
        newton = p.solve(method="newton")
        np.savez(sys.stdout.buffer, newton.states, newton.iterations, pards.lds.scan(A, b), p.solve(method="sequential").states)
    """
    done, best = (run(script, text=False, PARDS_SIMD=name) for name in (level, ""))
    if done.returncode and b"which this machine has" in done.stderr:
        pytest.skip(f"the processor has no {level}")
    assert done.returncode == 0, done.stderr
    here, there = (np.load(io.BytesIO(one.stdout)) for one in (done, best))
    np.testing.assert_array_equal(here["arr_1"], there["arr_1"])
    # float32: states of order 1, which a GRU's steps contract; float64: 300 products of norm below 1.7, of which rounding adds up
    for name, atol in (("arr_0", 2e-6), ("arr_2", 1e-9), ("arr_3", 2e-6)):
        np.testing.assert_allclose(here[name], there[name], rtol=1e-9, atol=atol)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PARDS_SIMD", "sse", 'PARDS_SIMD is "sse", want one of'),
        ("PARDS_NUM_THREADS", "many", 'PARDS_NUM_THREADS is "many", want a whole number of at least 1'),
        ("PARDS_NUM_THREADS", "0", 'PARDS_NUM_THREADS is "0", want a whole number of at least 1'),
    ],
)
def test_wrong_environment(variable: str, value: str, said: str) -> None:
    done = run("import numpy as np, pards; pards.lds.scan(pards.lds.Identity(), np.ones((3, 2)))", **{variable: value})
    assert done.returncode == 1
    assert f"ValueError: {said}" in done.stderr


def test_fork() -> None:
    """In a forked child a call raises at once instead of hanging; spawn works."""
    done = run("""
        import os, sys, time, numpy as np, pards
        cell = pards.cells.Linear(np.eye(1), np.eye(1))
        pards.solve(cell, np.zeros(1), np.ones((3, 1)))
        pid = os.fork()
        if pid == 0:
            try:
                pards.solve(cell, np.zeros(1), np.ones((3, 1)))
            except RuntimeError as e:
                os._exit(0 if "spawn" in str(e) else 2)
            os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        pards.solve(cell, np.zeros(1), np.ones((3, 1)))
    """)
    assert done.returncode == 0 and done.stdout.split() == ["0"], (done.stdout, done.stderr)


def test_fork_before_first_use() -> None:
    done = run("""
        import os, numpy as np, pards
        pid = os.fork()
        cell = pards.cells.Linear(np.eye(1), np.eye(1))
        sol = pards.solve(cell, np.zeros(1), np.ones((3, 1)))
        if pid == 0:
            os._exit(0 if sol.success else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    assert done.returncode == 0 and done.stdout.split() == ["0"], (done.stdout, done.stderr)


def test_spawn(tmp_path) -> None:
    script = tmp_path / "spawned.py"
    script.write_text(
        textwrap.dedent("""
        import multiprocessing, numpy as np, pards
        def work(k):
            cell = pards.cells.Linear(np.eye(1), np.eye(1))
            return float(pards.solve(cell, np.zeros(1), np.full((3, 1), k)).states[-1, 0])
        if __name__ == "__main__":
            pards.solve(pards.cells.Linear(np.eye(1), np.eye(1)), np.zeros(1), np.ones((3, 1)))
            with multiprocessing.get_context("spawn").Pool(2) as pool:
                print(pool.map(work, [1.0, 2.0]))
    """)
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[3.0, 6.0]", done.stderr


def test_faulthandler_lives_beside() -> None:
    """Python's faulthandler and Go's signal handlers, in either order; a fault still names the Python line."""
    for order in ("faulthandler.enable(); solve()", "solve(); faulthandler.enable()"):
        done = run(f"""
            import faulthandler, ctypes, numpy as np, pards
            cell = pards.cells.Linear(np.eye(1), np.eye(1))
            def solve(): assert pards.solve(cell, np.zeros(1), np.ones((3, 1))).success
            {order}
            solve()
            print("alive", flush=True)
        """)
        assert done.returncode == 0 and done.stdout.strip() == "alive", done.stderr


@pytest.mark.parametrize("method", ["newton", "jacobi", "elk", "sequential"])
def test_callers_that_raise_all_of_numpys_errors(method: str) -> None:
    """An iterate, or a model that decays, may underflow where the status tells all there is to tell."""
    with np.errstate(all="raise"):
        sol = pards.solve(lambda x, u: 0.5 * x * np.exp(-x * x), np.ones(2), length=1200, method=method)
        assert sol.success
        assert sol.explain() and sol._repr_html_()


def test_nothing_is_printed() -> None:
    done = run(
        """
        import numpy as np, pards
        cell = pards.cells.GRU.init(hidden=2, inputs=1, seed=0)
        sol = pards.solve(cell, np.zeros(2), np.ones((30, 1)), method="newton", trace=True)
        try:
            pards.solve(cell, np.zeros(3), np.ones((30, 1)))
        except ValueError:
            pass
        """,
        GOPY_HANDLE_TRACE="1",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_pickle() -> None:
    for cell in (CELL, pards.problems.langevin(5, 3, 1, seed=0).cell, pards.problems.s5_word(5, 1, 0).cell):
        copy = pickle.loads(pickle.dumps(cell))
        assert copy.dim == cell.dim and copy.inputs == cell.inputs
    copy = pickle.loads(pickle.dumps(CELL))
    assert np.array_equal(pards.solve(copy, X0, U, method="newton").states, WANT)
    sol = pickle.loads(pickle.dumps(pards.solve(CELL, X0, U, method="newton", trace=True)))
    assert np.array_equal(sol.states, WANT) and sol.trace.merit.shape[1] == 2


@pytest.mark.parametrize(
    "cell",
    [pards.cells.GRU.init(3, 3, exchanged=True), pards.cells.Lorenz96(5, 7.5), pards.problems.s5_word(1).cell],
    ids=lambda cell: cell.name,
)
def test_savez(cell, tmp_path) -> None:
    """Parameters come back from a file in which numbers and flags are arrays."""
    np.savez(tmp_path / "cell.npz", **{name: getattr(cell, name) for name in cell.fields})
    with np.load(tmp_path / "cell.npz") as file:
        back = type(cell)(**file)
    x, u = np.arange(1.0, cell.dim + 1), None if not cell.inputs else 3 if cell.words else np.ones(3)
    assert np.array_equal(back(x, u), cell(x, u))
    assert {name: type(getattr(back, name)) for name in cell.fields} == {n: type(getattr(cell, n)) for n in cell.fields}


def test_handles_are_given_back() -> None:
    from pards import _lib

    def alive() -> int:
        gc.collect()
        return _lib.get().pards_handles()

    pards.solve(CELL, X0, U)
    before = alive()
    for _ in range(20):
        cell = pards.cells.Linear(np.eye(1), np.eye(1))
        pards.solve(cell, np.zeros(1), np.ones((3, 1)), method="newton", trace=True)
        pards.solve(lambda x, u: 0.5 * x, np.zeros(1), np.ones((3, 1)), method="newton")
    del cell
    assert alive() == before


def test_what_is_to_be_imported_is_said() -> None:
    """They need packages that pards does not, so that they are not imported with it."""
    done = run("""
        import sys, pards
        for name in ("reproduce", "jax"):
            try:
                getattr(pards, name)
            except AttributeError as error:
                print(error)
        assert not hasattr(pards, "jax") and "jax" not in sys.modules
        from pards import reproduce
        print(reproduce is pards.reproduce)
    """)
    told = "module 'pards' has no attribute '{0}' before it is imported: import pards.{0}\n"
    assert done.stdout == told.format("reproduce") + told.format("jax") + "True\n", done.stderr
