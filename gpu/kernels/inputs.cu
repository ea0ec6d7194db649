// What the inputs alone decide of some steps, ahead of the loop of wide.cu: v[t] = W u[t] + bias. A thread has a row of W, and a block some
// rows at some steps, whose inputs it shares.
//
// PARDS_REAL, PARDS_THREADS: real, threads of a block. The grid: sequences by pieces of steps by pieces of rows.
#include "group.cuh"

using real = PARDS_REAL;
constexpr int threads = PARDS_THREADS, together = 16, columns = 32;

struct task {
    const real *u, *weights, *bias; // weights (M, rows): as the threads read them
    real* v;                        // (sequences, steps, rows), by v_slot
    const int* members;             // null: all
    long long u_stride, v_slot;
    int m, rows, first, steps; // steps from first on
};

struct shared_inputs {
    alignas(16) real u[columns][together];
};

extern "C" __global__ void __launch_bounds__(threads) inputs(const PARDS_CONSTANT_PARAMETER task t) {
    PARDS_SHARED(shared_inputs, shared);
    int parts = (t.rows + threads - 1) / threads, pieces = (t.steps + together - 1) / together;
    int row = blockIdx.x % parts * threads + threadIdx.x, from = blockIdx.x / parts % pieces * together, slot = blockIdx.x / parts / pieces;
    long long member = t.members ? t.members[slot] : slot;
    const real* u = t.u + member * t.u_stride + (long long)(t.first + from) * t.m;
    int n = min(together, t.steps - from);
    real sum[together];
    PARDS_UNROLL
    for (int s = 0; s < together; s++) sum[s] = row < t.rows ? t.bias[row] : real(0);
    for (int left = 0; left < t.m; left += columns) {
        block_barrier();
        for (int i = threadIdx.x; i < together * columns; i += threads) {
            int s = i / columns, j = i % columns;
            shared.u[j][s] = s < n && left + j < t.m ? u[(long long)s * t.m + left + j] : real(0);
        }
        block_barrier();
        for (int j = 0; j < min(columns, t.m - left); j++) {
            real w = row < t.rows ? t.weights[(long long)(left + j) * t.rows + row] : real(0);
            PARDS_UNROLL
            for (int s = 0; s < together; s++) sum[s] += w * shared.u[j][s];
        }
    }
    PARDS_UNROLL
    for (int s = 0; s < together; s++)
        if (s < n && row < t.rows) t.v[slot * t.v_slot + (long long)(from + s) * t.rows + row] = sum[s];
}
