// The plain loop over time: a warp for each sequence, see sequential.cuh.
//
// PARDS_REAL, PARDS_DIM, PARDS_INPUTS: real, D, M. PARDS_CELL: the cell's type.
#include "sequential.cuh"

using real = PARDS_REAL;
constexpr int D = PARDS_DIM, M = PARDS_INPUTS, piece = M > 64 ? 4 : 16; // steps whose inputs are fetched together

struct loop {
    const real *x0, *u, *weights;
    const packed_permutation* table;
    real* states;
    const int* members; // null: all
    int* bad;           // of each member: the first row that is not finite, -1
    const volatile int* stop;
    long long x0_stride, u_stride;
    int members_count, steps;
};

struct shared_inputs {
    real u[2][piece * (M > 0 ? M : 1)];
};

// The inputs of a piece come while the one before is worked on.
PARDS_FN void fetch(const real* u, real* to, int first, int steps, int lane) {
    int n = min(piece, steps - first) * M;
    for (int i = lane; i < n; i += 32) copy_behind(to + i, u + (long long)first * M + i);
    close_copies();
}

extern "C" __global__ void __launch_bounds__(32) sequential(const PARDS_CONSTANT_PARAMETER loop t) {
    PARDS_SHARED(shared_inputs, shared);
    int lane = threadIdx.x;
    long long member = t.members ? t.members[blockIdx.x] : blockIdx.x;
    const real* u = t.u + member * t.u_stride;
    real* states = t.states + member * t.steps * D;
    PARDS_CELL cell;
    cell.set(t.weights, t.table, lane);
    real x = lane < D ? t.x0[member * t.x0_stride + lane] : real(0);
    int bad = 0x7fffffff;
    if (M > 0) fetch(u, shared.u[0], 0, t.steps, lane);
    for (int first = 0, at = 0; first < t.steps; first += piece, at ^= 1) {
        if (first % (64 * piece) == 0 && *t.stop != 0) break;
        if (M > 0) {
            if (first + piece < t.steps) fetch(u, shared.u[at ^ 1], first + piece, t.steps, lane);
            else close_copies();
            wait_copies_but_last();
            warp_barrier();
        }
        int n = min(piece, t.steps - first);
        typename PARDS_CELL::drive v;
        cell.prepare(shared.u[at], v);
        for (int i = 0; i < n; i++) {
            typename PARDS_CELL::drive now = v;
            if (i + 1 < n) cell.prepare(shared.u[at] + (i + 1) * M, v);
            x = cell.step(x, now);
            if (lane < D) {
                states[(long long)(first + i) * D + lane] = x;
                if (!is_finite(x)) bad = min(bad, first + i);
            }
        }
        warp_barrier();
    }
    bad = warp_least(bad);
    if (lane == 0) t.bad[blockIdx.x] = bad == 0x7fffffff ? -1 : bad;
}
