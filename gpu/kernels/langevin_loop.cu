// Langevin dynamics on a mixture of Gaussians, one step after another: a cluster of PARDS_BLOCKS blocks for each sequence.
//
// The rows of all precisions are spread over the cluster's threads, PARDS_LANES lanes a row, and stay in registers where they fit
// (PARDS_HELD), else are read every step. Each step: products with m_k - x; a row's h to every block of the cluster; a barrier; then each
// block weighs the components and makes the whole next state for itself.
#include "cluster.cuh"

#include "memory.cuh"

using real = PARDS_REAL;
constexpr int dim = PARDS_DIM, components = PARDS_COMPONENTS, lanes = PARDS_LANES, threads = PARDS_THREADS, blocks = PARDS_BLOCKS;
constexpr bool held = PARDS_HELD;
constexpr int all_rows = components * dim, block_rows = (all_rows + blocks - 1) / blocks, together = threads / lanes;
constexpr int own = held ? (dim + lanes - 1) / lanes : 1, chunk = dim <= 64 ? 32 : 8;

struct loop {
    const real *start, *noise, *means, *precisions, *log_weights; // precisions (components, dim, dim)
    long start_sequence, noise_sequence;
    real* states; // by states_sequence
    long states_sequence;
    int* bad; // (batch): the smallest index of a row that is not finite, steps counting from first
    real step_size, noise_scale;
    int steps, first;
};

PARDS_FN float exponential(float v) { return expf(v); }
PARDS_FN double exponential(double v) { return exp(v); }

// Stores to the shared memory of each block of the cluster.
PARDS_FN void store_all(real* p, real v) {
    PARDS_UNROLL for (int b = 0; b < blocks; b++) store_to<blocks>(b, p, v);
}

extern "C" __global__ void PARDS_CLUSTER_OF(PARDS_BLOCKS) __launch_bounds__(threads) langevin_loop(loop s) {
    constexpr int warps = threads / 32, turns = (block_rows + together - 1) / together;
    __shared__ real away[components][dim];               // m_k - x
    __shared__ real gradient[2][all_rows];               // h, of this step and the one before, which slower blocks may still read
    __shared__ real square[2][components][blocks * warps]; // parts of h_k . (m_k - x)
    __shared__ real noise[2][chunk * dim];
    int sequence = blockIdx.x / blocks, rank = blockIdx.x % blocks, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int group = threadIdx.x / lanes, place = threadIdx.x % lanes;
    const real* u = s.noise + sequence * s.noise_sequence;
    real* states = s.states + sequence * s.states_sequence;
    auto fetch = [&](int t) {
        if (t < s.steps)
            for (int i = threadIdx.x; i < chunk * dim && t * dim + i < s.steps * (long)dim; i += threads)
                copy_async<sizeof(real)>(&noise[t / chunk % 2][i], u + (long)t * dim + i);
        copy_commit();
    };
    fetch(0);
    real p[own];
    int row = rank * block_rows + group, end = min((rank + 1) * block_rows, all_rows);
    if (held) {
        PARDS_UNROLL for (int j = 0; j < own; j++) p[j] = row < end && place + j * lanes < dim ? s.precisions[(long)row * dim + place + j * lanes] : real(0);
    }
    for (int i = threadIdx.x; i < 2 * components * blocks * warps; i += threads) (&square[0][0][0])[i] = 0;
    real x[(dim + threads - 1) / threads];
    PARDS_UNROLL for (int i = 0; i < (dim + threads - 1) / threads; i++) {
        int c = threadIdx.x + i * threads;
        if (c >= dim) continue;
        x[i] = s.start[sequence * s.start_sequence + c];
        for (int k = 0; k < components; k++) away[k][c] = s.means[k * dim + c] - x[i];
    }
    int bad = s.steps;
    cluster_barrier<blocks>();
    for (int t = 0; t < s.steps; t++) {
        if (t % chunk == 0) fetch(t + chunk);
        int now = t % 2;
        real squares[components] = {};
        PARDS_UNROLL for (int turn = 0; turn < turns; turn++) {
            int r = row + turn * together;
            bool mine = r < end;
            int k = mine ? r / dim : 0;
            real h = 0;
            if (held) {
                real h1 = 0, h2 = 0, h3 = 0;
                PARDS_UNROLL for (int j = 0; j < own; j++) {
                    real v = place + j * lanes < dim ? away[k][place + j * lanes] : real(0);
                    real& sum = j % 4 == 0 ? h : j % 4 == 1 ? h1 : j % 4 == 2 ? h2 : h3;
                    sum += p[j] * v;
                }
                h = (h + h1) + (h2 + h3);
            } else if (mine) {
                const real* from = s.precisions + (long)r * dim;
#pragma unroll 4
                for (int j = place; j < dim; j += lanes) h += from[j] * away[k][j];
            }
            PARDS_UNROLL for (int d = lanes / 2; d > 0; d /= 2) h += __shfl_xor_sync(~0u, h, d);
            if (place == 0 && mine) {
                store_all(&gradient[now][r], h);
                PARDS_UNROLL for (int c = 0; c < components; c++)
                    if (c == k) squares[c] += h * away[k][r - k * dim];
            }
        }
        if (components > 1) {
            PARDS_UNROLL for (int c = 0; c < components; c++) {
                PARDS_UNROLL for (int d = 16; d >= lanes; d /= 2) squares[c] += __shfl_xor_sync(~0u, squares[c], d);
                if (lane == 0) store_all(&square[now][c][rank * warps + warp], squares[c]);
            }
        }
        if (t % chunk == 0) copy_wait<1>();
        cluster_barrier<blocks>();
        real weight[components], total = 0, top = 0;
        PARDS_UNROLL for (int k = 0; k < components; k++) {
            real q = 0;
            if (components > 1) {
                for (int w = 0; w < blocks * warps; w++) q += square[now][k][w];
            }
            weight[k] = s.log_weights[k] - q / 2;
            top = k == 0 || weight[k] > top ? weight[k] : top;
        }
        PARDS_UNROLL for (int k = 0; k < components; k++) total += weight[k] = components > 1 ? exponential(weight[k] - top) : real(1);
        PARDS_UNROLL for (int i = 0; i < (dim + threads - 1) / threads; i++) {
            int c = threadIdx.x + i * threads;
            if (c >= dim) continue;
            real g = 0;
            PARDS_UNROLL for (int k = 0; k < components; k++) g += weight[k] / total * gradient[now][k * dim + c];
            x[i] = x[i] + s.step_size * g + s.noise_scale * noise[t / chunk % 2][t % chunk * dim + c];
            if (rank == c * blocks / dim) {
                states[(long)t * dim + c] = x[i];
                if (!is_finite(x[i])) bad = min(bad, t);
            }
            PARDS_UNROLL for (int k = 0; k < components; k++) away[k][c] = s.means[k * dim + c] - x[i];
        }
        __syncthreads();
    }
    if (bad < s.steps) atomicMin(s.bad + sequence, s.first + bad);
    cluster_barrier<blocks>(); // no block ends while others store to it
}
