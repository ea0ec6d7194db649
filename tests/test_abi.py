"""The C ABI, from plain C: a program built by the system's compiler solves a problem through pards.h alone and checks errors."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import pards
from pards import _lib

PACKAGE = Path(pards.__file__).parent

PROGRAM = r"""
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "pards.h"

static pards_array array(void *data, int64_t ndim, const int64_t *shape) {
    pards_array a = {data, PARDS_FLOAT64, 0, ndim, shape};
    return a;
}

/* f(x) = x / 2 + 1, called back. */
static int32_t halve(void *context, const pards_request *r) {
    int64_t n = r->sequences * r->steps;
    const double *x = r->x;
    double *out = r->out;
    if (context && ++*(int *)context > 3) return 7;
    for (int64_t i = 0; i < n; i++) out[i] = r->kind == PARDS_STEP ? x[i] / 2 + 1 : 0.5;
    return 0;
}

int main(void) {
    char msg[512];
    assert(pards_abi() == PARDS_ABI);
    /* x[t] = 0.5 x[t-1] + u[t] */
    double A = 0.5, B = 1;
    int64_t square[] = {1, 1};
    pards_param params[] = {{"A", array(&A, 2, square)}, {"B", array(&B, 2, square)}};
    int64_t cell = 0;
    int32_t rc = pards_cell("linear", PARDS_FLOAT64, params, 2, &cell, msg, sizeof msg);
    if (rc) { puts(msg); return 1; }
    double x0 = 0, u[4] = {1, 1, 1, 1}, states[4], report[PARDS_COLUMNS];
    int64_t one[] = {1}, steps[] = {4, 1}, out[] = {1, 4, 1}, columns[] = {1, PARDS_COLUMNS};
    pards_array ax = array(&x0, 1, one), au = array(u, 2, steps), as = array(states, 3, out), ar = array(report, 2, columns);
    pards_solve_args args = {0};
    args.size = sizeof args;
    args.cell = cell;
    args.method = "newton";
    args.x0 = &ax; args.inputs = &au; args.states = &as; args.report = &ar;
    args.batch = 1; args.length = 4;
    args.rtol = args.atol = args.merit_tol = NAN;
    args.max_iterations = -1;
    args.nonfinite = "stop"; args.device = "cpu";
    rc = pards_solve(&args, msg, sizeof msg);
    if (rc) { puts(msg); return 1; }
    double want[] = {1, 1.5, 1.75, 1.875};
    for (int i = 0; i < 4; i++) assert(states[i] == want[i]);
    assert(report[PARDS_STATUS] == 0);

    /* df/dA = x and df/dB = u, both summed over the steps and added; the change of f along dA = 1 is x */
    double w[4] = {1, 1, 1, 1}, dA = 10, dB = 20, unit = 1, change[4];
    pards_array ay = array(states, 2, steps), aw = array(w, 2, steps), ac = array(change, 2, steps);
    pards_param gradients[] = {{"B", array(&dB, 2, square)}, {"A", array(&dA, 2, square)}}, tangent = {"A", array(&unit, 2, square)};
    assert(pards_param_vjp(cell, &ay, &au, &aw, gradients, 2, msg, sizeof msg) == 0 && dA == 10 + 6.125 && dB == 20 + 4);
    assert(pards_param_jvp(cell, &ay, &au, &tangent, 1, &ac, msg, sizeof msg) == 0);
    for (int i = 0; i < 4; i++) assert(change[i] == states[i]);
    assert(pards_evaluate(cell, PARDS_INPUT_VJP, &ay, &au, &aw, &ac, msg, sizeof msg) == 0 && change[0] == B);
    gradients[0].name = "bias";
    assert(pards_param_vjp(cell, &ay, &au, &aw, gradients, 2, msg, sizeof msg) == PARDS_VALUE && strstr(msg, "one of A, B"));
    assert(pards_param_vjp(cell, &ay, &au, &aw, NULL, 1, msg, sizeof msg) == PARDS_VALUE && strstr(msg, "count"));
    assert(pards_param_vjp(cell, NULL, NULL, NULL, NULL, 0, msg, sizeof msg) == PARDS_VALUE && strstr(msg, "x is null"));
    assert(pards_param_jvp(0, &ay, &au, &tangent, 1, &ac, msg, sizeof msg) == PARDS_HANDLE);

    /* A = 0 is 0.5 from J, errors add up to nothing more than themselves, the chain shrinks by log 2 a step; the guess's residual is 1,
       then 0, 0, 0, after which each update leaves half of it, a step later */
    double theory[PARDS_THEORY_COLUMNS], decay[2 * 3];
    int64_t theories[] = {1, PARDS_THEORY_COLUMNS}, decays[] = {1, 3, 2};
    pards_array at = array(theory, 2, theories), ad = array(decay, 3, decays);
    args.method = "jacobi";
    assert(pards_analyse(&args, &at, &ad, msg, sizeof msg) == 0);
    assert(theory[PARDS_DIFFERENCE] == 0.5 && fabs(theory[PARDS_INVERSE] - 1) < 1e-12 && theory[PARDS_LIPSCHITZ] == 0);
    assert(fabs(theory[PARDS_LYAPUNOV] + log(2)) < 1e-12 && isnan(theory[PARDS_LYAPUNOV_ERROR]));
    assert(fabs(theory[PARDS_START] - sqrt(1 + 1.5 * 1.5 + 1.75 * 1.75 + 1.875 * 1.875)) < 1e-12);
    assert(decay[1] == 0.5 * 4 && decay[3] == 0.5 * 3 * 0.25 && decay[5] == 0.5 * 2 * 0.0625);
    decays[1] = 0;
    assert(pards_analyse(&args, &at, &ad, msg, sizeof msg) == PARDS_VALUE && strstr(msg, "decay"));
    assert(pards_analyse(&args, NULL, &ad, msg, sizeof msg) == PARDS_VALUE && strstr(msg, "report is null"));
    assert(pards_analyse(NULL, NULL, NULL, msg, sizeof msg) == PARDS_VALUE && strstr(msg, "args is null"));
    args.method = "newton";

    /* errors: a code and a text */
    args.size = 3;
    assert(pards_solve(&args, msg, sizeof msg) == PARDS_VALUE && strstr(msg, "size"));
    args.size = sizeof args;
    args.x0 = NULL;
    assert(pards_solve(&args, msg, sizeof msg) == PARDS_VALUE && strstr(msg, "x0 is null"));
    args.x0 = &ax;
    ax.data = (char *)&x0 + 1;
    assert(pards_solve(&args, msg, sizeof msg) == PARDS_VALUE && strstr(msg, "misaligned"));
    ax.data = NULL;
    assert(pards_solve(&args, msg, sizeof msg) == PARDS_VALUE && strstr(msg, "null data"));
    ax.data = &x0;
    int64_t huge[] = {INT64_MAX, INT64_MAX};
    au.shape = huge;
    assert(pards_solve(&args, msg, sizeof msg) == PARDS_VALUE && strstr(msg, "inputs"));
    au.shape = steps;
    ax.dtype = 99;
    assert(pards_solve(&args, msg, sizeof msg) == PARDS_TYPE && strstr(msg, "99"));
    ax.dtype = PARDS_FLOAT64;
    ax.ndim = -5;
    assert(pards_solve(&args, msg, sizeof msg) == PARDS_VALUE);
    ax.ndim = 1;
    assert(pards_solve(NULL, NULL, 0) == PARDS_VALUE);
    pards_python api = {0};
    assert(pards_python_solve(NULL, NULL, NULL, NULL, &args, msg, sizeof msg) == PARDS_VALUE);
    assert(pards_python_solve(&api, NULL, NULL, NULL, NULL, msg, sizeof msg) == PARDS_VALUE);
    assert(pards_python_scan(&api, NULL, NULL, msg, sizeof msg) == PARDS_VALUE);
    args.cell = 123456789;
    assert(pards_solve(&args, msg, sizeof msg) == PARDS_HANDLE && strstr(msg, "123456789"));
    msg[4] = 'X';
    assert(pards_solve(&args, msg, 4) == PARDS_HANDLE && strlen(msg) == 3 && msg[4] == 'X');

    /* a callback, and one that fails at its fourth call */
    int64_t own = 0;
    assert(pards_callable(1, PARDS_FLOAT64, halve, &own, msg, sizeof msg) == 0);
    args.cell = own; args.inputs = NULL;
    assert(pards_solve(&args, msg, sizeof msg) == 0);
    for (int i = 0; i < 4; i++) assert(states[i] == want[i]);
    int calls = 0;
    args.context = &calls; args.method = "jacobi"; args.merit_tol = 0; args.trace = 1;
    assert(pards_solve(&args, msg, sizeof msg) == PARDS_CALLBACK && strstr(msg, "7"));
    args.context = NULL;
    assert(pards_solve(&args, msg, sizeof msg) == 0 && args.history > 0);
    int64_t shape[3];
    assert(pards_history_shape(args.history, PARDS_TRACE, shape, msg, sizeof msg) == 0 && shape[0] == 5 && shape[1] == 1 && shape[2] == 3);
    assert(pards_history_shape(cell, PARDS_TRACE, shape, msg, sizeof msg) == PARDS_HANDLE);

    /* handles: given back once, stale after that */
    assert(pards_handles() == 3);
    assert(pards_retain(cell, msg, sizeof msg) == 0 && pards_release(cell, msg, sizeof msg) == 0);
    assert(pards_release(cell, msg, sizeof msg) == 0 && pards_release(cell, msg, sizeof msg) == PARDS_HANDLE);
    assert(pards_release(-1, msg, sizeof msg) == PARDS_HANDLE && pards_release(0, msg, sizeof msg) == PARDS_HANDLE);
    assert(pards_release(own, msg, sizeof msg) == 0 && pards_release(args.history, msg, sizeof msg) == 0);
    assert(pards_handles() == 0);
    puts("passed");
    return 0;
}
"""


def run_program(tmp_path: Path, place: Path, *flags: str) -> None:
    """Builds the program against the library and the header of a place, and runs it."""
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text(PROGRAM)
    command = ["cc", "-std=c11", "-Wall", "-Werror", *flags, f"-I{place}", source, place / "libpards.so", "-lm"]
    subprocess.run([*command, f"-Wl,-rpath,{place}", "-o", program], check=True)
    # What Go's runtime and handles that are alive hold at exit is no leak.
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, env=env)
    assert done.stdout == "passed\n", (done.returncode, done.stdout, done.stderr)


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler (cc) on PATH")
def test_a_program_in_plain_c(tmp_path: Path) -> None:
    run_program(tmp_path, PACKAGE)


@pytest.mark.skipif(
    "PARDS_ASAN" not in os.environ, reason="PARDS_ASAN names no library built with -asan (.ci/run asan)"
)
def test_a_program_under_the_address_sanitizer(tmp_path: Path) -> None:
    run_program(tmp_path, Path(os.environ["PARDS_ASAN"]), "-g", "-fsanitize=address")


@pytest.mark.skipif(not shutil.which("nm"), reason="no nm on PATH")
def test_exports_are_the_headers() -> None:
    names = subprocess.run(
        ["nm", "-D", "--defined-only", PACKAGE / "libpards.so"], capture_output=True, text=True, check=True
    ).stdout
    exported = {line.split()[-1].split("@")[0] for line in names.splitlines() if " T " in line}
    declared = set(re.findall(r"^(?:int(?:32|64)_t |void \*)(pards_\w+)\(", (PACKAGE / "pards.h").read_text(), re.M))
    assert exported == declared


def test_stale_handle_from_python() -> None:
    with pytest.raises(RuntimeError, match="handle is 987654321"):
        _lib.call("pards_release", 987654321)
