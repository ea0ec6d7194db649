// The plain loop over time for states of any size: a block, or a cluster of PARDS_BLOCKS blocks, for each sequence. See wide.cuh.
//
// PARDS_REAL: real. PARDS_CELL: the cell's type. PARDS_LANES: lanes of a unit. PARDS_THREADS: of a block. PARDS_HELD: weights stay in
// registers, else they are read at every step. PARDS_DRIVE: numbers that the inputs decide of a step.
//
// What a step cannot take less than, in cycles, of a GRU with D = 64 in float32 on one block of 128 threads: 96 for 3 D^2 products on 128
// units, 30 for the first numbers of the state out of shared memory, 25 for the other lane's sum, some 150 for a sigmoid and a tanh one after
// the other, 40 for stores and the barrier: 340, which is 0.2 us.
#include "wide.cuh"

using real = PARDS_REAL;
using cell = PARDS_CELL;
constexpr int threads = PARDS_THREADS, blocks = PARDS_BLOCKS, drive = PARDS_DRIVE;
constexpr bool fetched = PARDS_HELD && drive > 0;                             // else v is read where it is
constexpr int piece = drive <= 128 ? 16 : drive >= 2048 ? 1 : 2048 / drive; // steps whose v is fetched together
constexpr int looked = 64 / piece;                                          // pieces between two looks at the flag
using walk = walker<real, cell, PARDS_LANES, threads, blocks, PARDS_HELD>;

struct loop {
    const real *x0, *v, *weights, *rest;
    real* states;
    const int* members; // null: all
    int* bad;           // of each member: the first row that is not finite, if there is one
    const volatile int* stop;
    long long x0_stride, v_slot, v_member, v_step; // v_slot for v of the members one after another, v_member for that of the whole batch
    int total, first, steps;                       // of a total of steps those from first on
};

struct block_memory {
    walk::memory state;
    real v[2][fetched ? piece * drive : 1];
};
static_assert(sizeof(block_memory) <= 48 << 10, "more shared memory than the plan expects");

// v of a piece comes while the one before is worked on.
PARDS_FN void fetch(const loop& t, const real* v, real* to, int from) {
    if (!fetched) return;
    for (int s = 0; s < min(piece, t.steps - from); s++)
        for (int i = threadIdx.x; i < drive; i += threads) copy_behind(to + s * drive + i, v + (from + s) * t.v_step + i);
    close_copies();
}

PARDS_FN void wait_copies() {
    close_copies(); // of none, the last
    wait_copies_but_last();
}

extern "C" __global__ void PARDS_CLUSTER_OF(PARDS_BLOCKS) __launch_bounds__(threads, 1) wide(const PARDS_CONSTANT_PARAMETER loop t) {
    PARDS_SHARED(block_memory, shared);
    int slot = blockIdx.x / blocks;
    long long member = t.members ? t.members[slot] : slot;
    const real* v = t.v + slot * t.v_slot + member * t.v_member;
    real* states = t.states + (member * t.total + t.first) * cell::dim;
    fetch(t, v, shared.v[0], 0);
    walk w(shared.state, t.weights);
    w.row = states;
    for (int i = threadIdx.x; i < cell::dim; i += threads)
        shared.state.x[0][i] = t.first > 0 ? states[i - cell::dim] : t.x0[member * t.x0_stride + i];
    wait_copies();
    cluster_barrier<blocks>();
    for (int from = 0, turn = 0; from < t.steps; from += piece, turn ^= 1) {
        bool looks = from % (piece * looked) == 0;
        if (looks && threadIdx.x == 0 && blockIdx.x % blocks == 0) {
            real halted = *t.stop;
            for (int b = 0; b < blocks; b++) store_to<blocks>(b, &shared.state.halted, halted);
        }
        if (from + piece < t.steps) fetch(t, v, shared.v[turn ^ 1], from + piece);
        int end = min(from + piece, t.steps);
        const real* given = fetched ? shared.v[turn] : v + from * t.v_step;
        for (w.step = from; w.step < end; w.step++) {
            cell::step(w, given, t.rest);
            given += fetched ? drive : t.v_step;
            w.row += cell::dim;
            if (fetched && w.step == end - 1) wait_copies();
            w.meet();
        }
        if (looks && shared.state.halted != 0) break;
    }
    int bad = warp_least(w.bad);
    if (threadIdx.x % 32 == 0 && bad < t.steps) lower(t.bad + slot, t.first + bad);
}
