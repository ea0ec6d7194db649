// Cells in lanes: lane i of a warp holds component i of the state and the weights of its rows, in registers.
//
// set:     takes the lane's weights.
// prepare: what the inputs alone decide of a step; off the chain of states, so it can be done a step ahead.
// step:    the next component, from the lane's own; others come by shuffles. All lanes call it, those from D on hold zeros.
#pragma once
#include "cell_group_word.cuh"
#include "group.cuh"
#include "numeric.cuh"

// y[g] += row i of W_g times the states of all lanes.
template <int D, int G, class real>
PARDS_FN void add_rows(real* y, const real (&W)[G][D], real x) {
    real odd[G];
    PARDS_UNROLL
    for (int g = 0; g < G; g++) odd[g] = 0;
    PARDS_UNROLL
    for (int j = 0; j < D; j++) {
        real v = from_lane(x, j);
        PARDS_UNROLL
        for (int g = 0; g < G; g++) (j & 1 ? odd[g] : y[g]) += W[g][j] * v; // two sums, so that they do not wait for each other
    }
    PARDS_UNROLL
    for (int g = 0; g < G; g++) y[g] += odd[g];
}

template <int N, int G, class real>
PARDS_FN void add_inputs(real* y, const real (&W)[G][N], const real* u) {
    PARDS_UNROLL
    for (int j = 0; j < N; j++) {
        PARDS_UNROLL
        for (int g = 0; g < G; g++) y[g] += W[g][j] * u[j];
    }
}

// Rows i, D + i, ... of a matrix (G D, N).
template <int D, int N, int G, class real>
PARDS_FN void take_rows(real (&W)[G][N], const real* from, int i) {
    PARDS_UNROLL
    for (int g = 0; g < G; g++) {
        PARDS_UNROLL
        for (int j = 0; j < N; j++) W[g][j] = i < D ? from[(g * D + i) * N + j] : real(0);
    }
}

template <class real, int D, int M, bool exchanged>
struct gru_lanes {
    real in[3][M > 0 ? M : 1], own[3][D], bias[3], bias_n;
    int lane;

    struct drive {
        real g[3], u;
    };

    PARDS_FN void set(const real* w, const packed_permutation*, int i) {
        lane = i;
        if constexpr (exchanged) {
            take_rows<D, D, 3>(own, w, i);
            take_rows<D, D, 3>(in, w + 3 * D * D, i);
        } else {
            if constexpr (M > 0) take_rows<D, M, 3>(in, w, i);
            take_rows<D, D, 3>(own, w + 3 * D * M, i);
        }
        const real* b = w + 3 * D * M + 3 * D * D;
        PARDS_UNROLL
        for (int g = 0; g < 3; g++) bias[g] = i < D ? b[g * D + i] : real(0);
        bias_n = i < D ? b[3 * D + i] : real(0);
    }
    PARDS_FN void prepare(const real* u, drive& v) const {
        v.g[0] = bias[0], v.g[1] = bias[1], v.g[2] = exchanged ? bias_n : bias[2];
        if constexpr (M > 0) add_inputs<M, 3>(v.g, in, u);
        v.u = exchanged ? u[lane < D ? lane : 0] : real(0);
    }
    PARDS_FN real step(real x, const drive& v) const {
        real h[3] = {v.g[0], v.g[1], exchanged ? bias[2] : bias_n};
        add_rows<D, 3>(h, own, x);
        real r = sigmoid(h[0]), z = sigmoid(h[1]);
        real n = hyperbolic(exchanged ? h[2] + r * v.g[2] : v.g[2] + r * h[2]);
        return n + z * ((exchanged ? v.u : x) - n);
    }
};

template <class real, int D, int M, bool squashed>
struct linear_lanes {
    real in[1][M > 0 ? M : 1], own[1][D], bias;

    struct drive {
        real g[1];
    };

    // Elman has weight_ih first, Linear has it second.
    PARDS_FN void set(const real* w, const packed_permutation*, int i) {
        if constexpr (M > 0) take_rows<D, M, 1>(in, squashed ? w : w + D * D, i);
        take_rows<D, D, 1>(own, squashed ? w + D * M : w, i);
        bias = i < D ? w[D * D + D * M + i] : real(0);
    }
    PARDS_FN void prepare(const real* u, drive& v) const {
        v.g[0] = bias;
        if constexpr (M > 0) add_inputs<M, 1>(v.g, in, u);
    }
    PARDS_FN real step(real x, const drive& v) const {
        real h[1] = {v.g[0]};
        add_rows<D, 1>(h, own, x);
        return squashed ? hyperbolic(h[0]) : h[0];
    }
};

template <class real, int D, int K, bool diagonal_precision>
struct langevin_lanes {
    static constexpr int size = diagonal_precision ? D : D * D;
    real means[K], precision[K][diagonal_precision ? 1 : D], weight[K], epsilon, noise;
    int lane;

    struct drive {
        real u;
    };

    PARDS_FN void set(const real* w, const packed_permutation*, int i) {
        lane = i;
        const real *P = w + K * D, *tail = P + K * size;
        PARDS_UNROLL
        for (int k = 0; k < K; k++) {
            means[k] = i < D ? w[k * D + i] : real(0);
            weight[k] = tail[k];
            PARDS_UNROLL
            for (int j = 0; j < (diagonal_precision ? 1 : D); j++)
                precision[k][j] = i < D ? P[diagonal_precision ? k * D + i : (k * D + i) * D + j] : real(0);
        }
        epsilon = tail[K], noise = tail[K + 1];
    }
    PARDS_FN void prepare(const real* u, drive& v) const { v.u = lane < D ? noise * u[lane] : real(0); }
    PARDS_FN real step(real x, const drive& v) const {
        real h[K], w[K], top = 0, sum = 0, g = 0;
        PARDS_UNROLL
        for (int k = 0; k < K; k++) {
            real y = lane < D ? means[k] - x : real(0);
            h[k] = 0;
            if constexpr (diagonal_precision) {
                h[k] = precision[k][0] * y;
            } else {
                real row[1][D];
                PARDS_UNROLL
                for (int j = 0; j < D; j++) row[0][j] = precision[k][j];
                add_rows<D, 1>(&h[k], row, y);
            }
            w[k] = weight[k] - warp_sum(h[k] * y) / 2;
            top = k == 0 ? w[k] : largest(top, w[k]);
        }
        PARDS_UNROLL
        for (int k = 0; k < K; k++) sum += w[k] = exponential(w[k] - top);
        PARDS_UNROLL
        for (int k = 0; k < K; k++) g += w[k] / sum * h[k];
        return x + epsilon * g + v.u;
    }
};

template <class real, int D>
struct group_word_lanes {
    const packed_permutation* table;
    int lane;

    struct drive {
        int from;
    };

    PARDS_FN void set(const real*, const packed_permutation* words, int i) { table = words, lane = i < D ? i : 0; }
    PARDS_FN void prepare(const real* u, drive& v) const { v.from = permuted(table[int(u[0])], lane); }
    PARDS_FN real step(real x, const drive& v) const { return from_lane(x, v.from); }
};

// Lanes from H on hold c and do what their unit's first lane does.
template <class real, int D, int M>
struct lstm_lanes {
    static constexpr int H = D / 2;
    real in[4][M > 0 ? M : 1], own[4][H], bias[4];
    int unit;
    bool lower;

    struct drive {
        real g[4];
    };

    PARDS_FN void set(const real* w, const packed_permutation*, int lane) {
        lower = lane < H, unit = lane < D ? lane % H : H;
        if constexpr (M > 0) take_rows<H, M, 4>(in, w, unit);
        take_rows<H, H, 4>(own, w + 4 * H * M, unit);
        PARDS_UNROLL
        for (int g = 0; g < 4; g++) bias[g] = unit < H ? w[4 * H * (M + H) + g * H + unit] : real(0);
    }
    PARDS_FN void prepare(const real* u, drive& v) const {
        PARDS_UNROLL
        for (int g = 0; g < 4; g++) v.g[g] = bias[g];
        if constexpr (M > 0) add_inputs<M, 4>(v.g, in, u);
    }
    PARDS_FN real step(real x, const drive& v) const {
        real g[4] = {v.g[0], v.g[1], v.g[2], v.g[3]};
        real c = from_lane(x, H + (unit < H ? unit : 0));
        add_rows<H, 4>(g, own, x);
        c = sigmoid(g[1]) * c + sigmoid(g[0]) * hyperbolic(g[2]);
        return lower ? sigmoid(g[3]) * hyperbolic(c) : c;
    }
};

template <class real, int D>
struct lorenz96_lanes {
    real forcing, size;
    int next, before, two;

    struct drive {};

    PARDS_FN void set(const real* w, const packed_permutation*, int lane) {
        int i = lane < D ? lane : 0;
        forcing = w[0], size = w[1], next = (i + 1) % D, before = (i + D - 1) % D, two = (i + 2 * D - 2) % D;
    }
    PARDS_FN void prepare(const real*, drive&) const {}
    PARDS_FN real step(real x, const drive&) const {
        real slope = 0, f = x;
        PARDS_UNROLL
        for (int s = 0; s < 4; s++) {
            real at = s == 0 ? x : x + size * (s == 3 ? real(1) : real(0.5)) * slope;
            slope = (from_lane(at, next) - from_lane(at, two)) * from_lane(at, before) - at + forcing;
            f += size * (s == 0 || s == 3 ? real(1. / 6) : real(1. / 3)) * slope;
        }
        return f;
    }
};
