// Cells whose states are spread over a block, or over a cluster of blocks, that steps through time: see wide.cu.
//
// A cell has units, each with some gates, which are products of rows of weights with the first columns of the state. Lanes that lie side by
// side have a unit, of all its rows the same columns each: when they have added up, all of them have the unit's gates, and make its
// components without a word from other units. So a step has one barrier, before which components are put where the next one reads them.
//
// A cell is this: dim, units, columns, gates; joined, where components do need a word from other units, and more barriers: not in a cluster;
// and step, from v, what the inputs decide of it, and rest, other numbers. What own, v and rest hold, gpu/wideplan.go says.
#pragma once
#include "group.cuh"
#include "numeric.cuh"

template <class real>
struct alignas(16) quad {
    real v[16 / sizeof(real)];
};

template <class real, int n>
struct numbers {
    real v[n];
    PARDS_FN real operator[](int i) const { return v[i]; }
};

// A thread of those that step through time.
template <class real, class cell, int lanes, int threads, int blocks, bool held>
struct walker {
    static constexpr int D = cell::dim, N = cell::columns, G = cell::gates, rows = G > 0 ? G : 1, vector = 16 / sizeof(real);
    static constexpr int own = (N + vector * lanes - 1) / (vector * lanes) * vector; // columns of a lane; weights of those from N on are zeros
    static constexpr int padded = own * lanes, room = padded > D ? padded : (D + vector - 1) / vector * vector;
    static constexpr int of_block = (cell::units + blocks - 1) / blocks, together = threads / lanes, turns = (of_block + together - 1) / together;
    static_assert(!held || G == 0 || turns == 1, "a lane holds the rows of one unit");

    // The state and the next one; sums of warps.
    struct memory {
        alignas(16) real x[2][room];
        real sums[cell::joined ? rows : 1][threads / 32];
        real halted;
    };

    memory& shared;
    const real* weights; // (gates, units, columns)
    real* row;           // where the state of this step goes
    real w[rows][held && G > 0 ? own : 1];
    int place, first, last, at, step, bad; // units are first, first + together, ... up to the last; bad: the first step not finite

    PARDS_FN walker(memory& m, const real* given) : shared(m), weights(given), at(0), step(0), bad(0x7fffffff) {
        int rank = blockIdx.x % blocks;
        place = stays(threadIdx.x % lanes), first = stays(rank * of_block + threadIdx.x / lanes);
        last = min((rank + 1) * of_block, cell::units) - 1;
        if constexpr (held && G > 0) {
            PARDS_UNROLL
            for (int g = 0; g < G; g++) {
                PARDS_UNROLL
                for (int j = 0; j < own; j++) {
                    int column = (j / vector * lanes + place) * vector + j % vector;
                    w[g][j] = column < N ? weights[((long long)g * cell::units + unit(0)) * N + column] : real(0);
                }
            }
        }
        for (int i = threadIdx.x; i < 2 * room; i += threads) shared.x[i / room][i % room] = 0;
        block_barrier();
    }

    // What came by a shuffle stays in a register; what the thread's index says would be asked for anew at every step, which takes its time.
    PARDS_FN static int stays(int v) { return from_lane(v, threadIdx.x % 32); }

    // Lanes that would have no unit have the last once more. All lanes of a unit write what it comes to, the same number to the same place:
    // so no step has a branch, behind which the compiler would put what it loads and computes.
    PARDS_FN int unit(int turn) const { return min(first + turn * together, last); }
    // Whether the lane is the one to count what the unit adds.
    PARDS_FN bool counts(int turn) const { return place == 0 && first + turn * together <= last; }

    PARDS_FN real x(int i) const { return shared.x[at][i]; }
    // Where the next state is in all blocks.
    PARDS_FN void publish(int i, real v) {
        PARDS_UNROLL
        for (int b = 0; b < blocks; b += lanes) store_to<blocks>((place + b) % blocks, &shared.x[at ^ 1][i], v);
    }
    // All have published: what they did is the state.
    PARDS_FN void meet() {
        cluster_barrier<blocks>();
        at ^= 1;
    }
    // A component of the step's result.
    PARDS_FN void put(int i, real v) {
        publish(i, v);
        row[i] = v;
        if (!is_finite(v)) bad = min(bad, step);
    }

    // The gates of a unit, in all its lanes.
    PARDS_FN void products(int unit, real (&h)[rows]) const {
        PARDS_UNROLL
        for (int g = 0; g < rows; g++) h[g] = 0;
        if constexpr (G > 0) {
            const real* now = shared.x[at];
            if constexpr (held) {
                real odd[rows]; // two sums, so that they wait less for each other
                PARDS_UNROLL
                for (int g = 0; g < G; g++) odd[g] = 0;
                PARDS_UNROLL
                for (int c = 0; c < own / vector; c++) {
                    quad<real> q = reinterpret_cast<const quad<real>*>(now)[c * lanes + place];
                    PARDS_UNROLL
                    for (int e = 0; e < vector; e++) {
                        PARDS_UNROLL
                        for (int g = 0; g < G; g++) (e & 1 ? odd[g] : h[g]) += w[g][c * vector + e] * q.v[e];
                    }
                }
                PARDS_UNROLL
                for (int g = 0; g < G; g++) h[g] += odd[g];
            } else {
                const real* from = weights + (long long)unit * N;
                PARDS_FOURS
                for (int j = place; j < N; j += lanes) {
                    real v = now[j];
                    PARDS_UNROLL
                    for (int g = 0; g < G; g++) h[g] += from[(long long)g * cell::units * N + j] * v;
                }
            }
            PARDS_UNROLL
            for (int d = lanes / 2; d > 0; d /= 2) {
                PARDS_UNROLL
                for (int g = 0; g < G; g++) h[g] += from_other(h[g], d);
            }
        }
    }

    // f(turn, unit) for the units of this thread's lanes.
    template <class F>
    PARDS_FN void units(F f) const {
        PARDS_UNROLL
        for (int turn = 0; turn < turns; turn++) f(turn, unit(turn));
    }
    // f(turn, unit, gates, what take(unit) returned), likewise. What take reads comes while products are made.
    template <class Take, class F>
    PARDS_FN void gates(Take take, F f) const {
        auto once = [&](int turn) {
            real h[rows];
            auto taken = take(unit(turn));
            products(unit(turn), h);
            f(turn, unit(turn), h, taken);
        };
        if constexpr (held) {
            PARDS_UNROLL
            for (int turn = 0; turn < turns; turn++) once(turn);
        } else {
            PARDS_LOOP
            for (int turn = 0; turn < turns; turn++) once(turn);
        }
    }

    // The sums over all threads of a block, in the same order in each.
    PARDS_FN void add_up(real (&q)[rows]) {
        PARDS_UNROLL
        for (int g = 0; g < rows; g++) {
            real sum = warp_sum(q[g]);
            if (threadIdx.x % 32 == 0) shared.sums[g][threadIdx.x / 32] = sum;
        }
        block_barrier(); // the sums before were read before the step's last
        PARDS_UNROLL
        for (int g = 0; g < rows; g++) {
            q[g] = 0;
            for (int k = 0; k < threads / 32; k++) q[g] += shared.sums[g][k];
        }
    }
};

// rest: bias_n, or where exchanged the bias beside the gate's product. v: what is added to the gates; exchanged, the third stands alone, and u.
template <class real, int D, int, bool exchanged>
struct gru_wide {
    static constexpr int dim = D, units = D, columns = D, gates = 3;
    static constexpr bool joined = false;

    template <class W>
    PARDS_FN static void step(W& w, const real* v, const real* rest) {
        w.gates([&](int i) { return numbers<real, 5>{{v[i], v[D + i], v[2 * D + i], exchanged ? v[3 * D + i] : w.x(i), rest[i]}}; },
                [&](int, int i, const real(&h)[3], const numbers<real, 5>& g) {
                    real r = sigmoid(g[0] + h[0]), z = sigmoid(g[1] + h[1]), own = h[2] + g[4];
                    real n = exchanged ? hyperbolic(own + r * g[2]) : hyperbolic(g[2] + r * own);
                    w.put(i, n + z * (g[3] - n));
                });
    }
};

// The state is (h, c).
template <class real, int D, int, bool>
struct lstm_wide {
    static constexpr int dim = D, H = D / 2, units = H, columns = H, gates = 4;
    static constexpr bool joined = false;

    template <class W>
    PARDS_FN static void step(W& w, const real* v, const real*) {
        w.gates([&](int i) { return numbers<real, 5>{{v[i], v[H + i], v[2 * H + i], v[3 * H + i], w.x(H + i)}}; },
                [&](int, int i, const real(&h)[4], const numbers<real, 5>& g) {
                    real in = sigmoid(g[0] + h[0]), keep = sigmoid(g[1] + h[1]), fresh = hyperbolic(g[2] + h[2]), out = sigmoid(g[3] + h[3]);
                    real c = keep * g[4] + in * fresh;
                    w.put(i, out * hyperbolic(c));
                    w.put(H + i, c);
                });
    }
};

template <class real, int D, int, bool squashed>
struct linear_wide {
    static constexpr int dim = D, units = D, columns = D, gates = 1;
    static constexpr bool joined = false;

    template <class W>
    PARDS_FN static void step(W& w, const real* v, const real*) {
        w.gates([&](int i) { return numbers<real, 1>{{v[i]}}; },
                [&](int, int i, const real(&h)[1], const numbers<real, 1>& g) { w.put(i, squashed ? hyperbolic(g[0] + h[0]) : g[0] + h[0]); });
    }
};

template <class real, int D, int K, bool>
struct elman_wide : linear_wide<real, D, K, true> {};

// rest: permutations (G, D) as indices. v: the word.
template <class real, int D, int, bool>
struct group_word_wide {
    static constexpr int dim = D, units = D, columns = D, gates = 0;
    static constexpr bool joined = false;

    template <class W>
    PARDS_FN static void step(W& w, const real* v, const real* rest) {
        const real* index = rest + (long long)v[0] * D;
        w.units([&](int, int i) { w.put(i, w.x(int(index[i]))); });
    }
};

// rest: forcing, step.
template <class real, int D, int, bool>
struct lorenz96_wide {
    static constexpr int dim = D, units = D, columns = D, gates = 0;
    static constexpr bool joined = true;

    template <class W>
    PARDS_FN static void step(W& w, const real*, const real* rest) {
        const real forcing = rest[0], size = rest[1];
        real x[W::turns], f[W::turns], slope[W::turns];
        w.units([&](int k, int i) { x[k] = f[k] = w.x(i); });
        PARDS_UNROLL
        for (int s = 0; s < 4; s++) {
            if (s > 0) {
                w.units([&](int k, int i) { w.publish(i, x[k] + size * (s == 3 ? real(1) : real(0.5)) * slope[k]); });
                w.meet();
            }
            w.units([&](int k, int i) {
                slope[k] = (w.x((i + 1) % D) - w.x((i + 2 * D - 2) % D)) * w.x((i + D - 1) % D) - w.x(i) + forcing;
                f[k] += size * (s == 0 || s == 3 ? real(1. / 6) : real(1. / 3)) * slope[k];
            });
        }
        w.units([&](int k, int i) { w.put(i, f[k]); });
    }
};

// The gates are products of the precisions with the state. rest: means (K, D), products of the precisions with them, log weights (K), step
// size, what the noise is multiplied by. v: the noise.
template <class real, int D, int K, bool>
struct langevin_wide {
    static constexpr int dim = D, units = D, columns = D, gates = K;
    static constexpr bool joined = true;

    template <class W>
    PARDS_FN static void step(W& w, const real* v, const real* rest) {
        const real *means = rest, *turned = means + K * D, *log_weight = turned + K * D;
        real h[W::turns][K], q[K] = {}, top = 0, sum = 0;
        w.gates([&](int i) { return numbers<real, 1>{{w.x(i)}}; },
                [&](int turn, int i, const real(&product)[K], const numbers<real, 1>& x) {
                    PARDS_UNROLL
                    for (int k = 0; k < K; k++) {
                        h[turn][k] = turned[k * D + i] - product[k];
                        if (w.counts(turn)) q[k] += h[turn][k] * (means[k * D + i] - x[0]);
                    }
                });
        w.add_up(q);
        PARDS_UNROLL
        for (int k = 0; k < K; k++) {
            q[k] = log_weight[k] - q[k] / 2;
            top = k == 0 ? q[k] : largest(top, q[k]);
        }
        PARDS_UNROLL
        for (int k = 0; k < K; k++) sum += q[k] = exponential(q[k] - top);
        w.units([&](int turn, int i) {
            real g = 0;
            PARDS_UNROLL
            for (int k = 0; k < K; k++) g += q[k] / sum * h[turn][k];
            w.put(i, w.x(i) + log_weight[K] * g + log_weight[K + 1] * v[i]);
        });
    }
};
