// The scan of structures whose summary of many steps is a matrix, in levels, by one kernel.
//
// Time is cut into chunks. Each chunk is summed up in one map x -> P x + s; the maps of the chunks are themselves a recurrence, shorter
// by the length of a chunk, which is cut and summed up in turn. The highest level is run through step by step; then each level below is,
// every chunk from the state that the level above found at its end. With one level there is no summary at all: the plain recurrence.
// A chunk is the work of a team of threads; all teams pass a barrier between two levels, so all blocks must be resident.
#pragma once
#include "memory.cuh"

constexpr int levels_most = 6;

template <class real> struct level {
    const real *a, *b;
    real* x;     // the states, this level's result
    real *p, *s; // summaries of all chunks but the last: those of one sequence one after another
    long long steps;
    int chunk, chunks;
};

template <class real> struct level_args {
    level<real> at[levels_most];
    const real* x0;
    unsigned* barrier; // two words that begin as zero, and end so
    long long row_a, row_b; // numbers from one step to the next of the lowest level; above it, steps are packed
    int count, batch, units, dim; // units: how many recurrences stand side by side in a row, each of dim components
    int reverse;
};

// every_block waits until all blocks have come here n times.
PARDS_FN void every_block(unsigned* barrier, unsigned n) {
    __syncthreads();
    if (threadIdx.x == 0) {
        add_release(barrier, 1u);
        while (load_acquire(barrier) < n * gridDim.x) spin();
    }
    __syncthreads();
}

// end leaves the barrier as it was found.
PARDS_FN void end(unsigned* barrier) {
    if (threadIdx.x != 0) return;
    if (atomicAdd(barrier + 1, 1u) == gridDim.x - 1) barrier[0] = barrier[1] = 0;
}

// span is one chunk: where its steps are and what stands before them.
template <class real> struct span {
    const real *a, *b, *carry; // carry null: the first A is not read
    real *x, *p, *s;
    long long step_a, step_b; // from one step to the next, in the direction of the scan
    int steps;
    bool first; // of its sequence
};

// span_of returns chunk number n of a level; the chunks of a sequence follow each other, and so do the sequences.
template <class real, class op> PARDS_FN span<real> span_of(const level_args<real>& g, int lv, long long n, int chunks) {
    const level<real>& l = g.at[lv];
    const int q = (int)(n / chunks), c = (int)(n % chunks), i = q / g.units, unit = q % g.units;
    const int length = op::length(g.dim);
    const long long row_a = lv ? length : g.row_a, row_b = lv ? g.dim : g.row_b;
    const bool back = lv == 0 && g.reverse;
    const long long first = (long long)c * l.chunk, row = (lv ? q : i) * l.steps + (back ? l.steps - 1 - first : first);
    const long long left = l.steps - first, x0 = i * g.row_b + (long long)unit * g.dim;
    span<real> r;
    r.first = c == 0;
    r.steps = left < l.chunk ? (int)left : l.chunk;
    r.a = l.a + row * row_a + (lv ? 0 : (long long)unit * length);
    r.b = l.b + row * row_b + (lv ? 0 : (long long)unit * g.dim);
    r.x = l.x + (r.b - l.b);
    r.step_a = back ? -row_a : row_a, r.step_b = back ? -row_b : row_b;
    r.carry = c ? (lv + 1 < g.count ? g.at[lv + 1].x + ((long long)q * (l.chunks - 1) + c - 1) * g.dim : nullptr) : g.x0 ? g.x0 + x0 : nullptr;
    const long long summary = (long long)q * (l.chunks - 1) + c;
    r.p = l.p + summary * length, r.s = l.s + summary * g.dim;
    return r;
}

// run takes a scan through all levels. op::team threads work on a chunk, a block has op::teams of them.
template <class op> PARDS_FN void run_levels(const level_args<typename op::real>& g, char* memory) {
    typedef typename op::real real;
    op team(threadIdx.x, memory, g.dim);
    const long long teams = (long long)gridDim.x * op::teams, first = (long long)(threadIdx.x / op::team) * gridDim.x + blockIdx.x; // few chunks: far apart
    const int sequences = g.batch * g.units;
    for (int lv = 0; lv + 1 < g.count; lv++) {
        const int chunks = g.at[lv].chunks - 1;
        const long long all = (long long)sequences * chunks;
        for (long long n = first; n - first < all; n += teams) { // as often for every team: they meet at barriers
            span<real> one = span_of<real, op>(g, lv, n < all ? n : 0, chunks);
            team.reduce(one, n < all, g.at[lv].chunk);
        }
        every_block(g.barrier, lv + 1);
    }
    for (int lv = g.count - 1; lv >= 0; lv--) {
        const int chunks = g.at[lv].chunks;
        const long long all = (long long)sequences * chunks;
        for (long long n = first; n - first < all; n += teams) {
            span<real> one = span_of<real, op>(g, lv, n < all ? n : 0, chunks);
            team.apply(one, n < all, g.at[lv].chunk);
        }
        if (lv > 0) every_block(g.barrier, 2 * g.count - 1 - lv);
    }
    if (g.count > 1) end(g.barrier);
}
