// Cells whose state enters through G matrices of weights alone: J = sum_g diag(coef[g]) W_g + diag(self). See core/cell/gates.go.
#pragma once
#include "portable.cuh"

// Point is the derivative of such a cell at one state.
template <class real, int D, int G>
struct gates_point {
    real coef[G * D], self[D];
};

template <class real, int D, int G>
struct gates {
    using point = gates_point<real, D, G>;
    // What is linear in x: h = W x. The difference of two of them is W times the difference of the states.
    struct linear {
        real h[G * D];
    };

    // The weights as they are kept: D columns of G D numbers, and the diagonals of the W_g.
    static constexpr int column = padded<real>(G * D), matrix = D * column;

    PARDS_FN static void before(const real* W, const real* x, linear& l) {
        PARDS_UNROLL
        for (int i = 0; i < G * D; i++) l.h[i] = 0;
        add_columns<G * D, D>(l.h, W, x);
    }

    // Of two states at once.
    PARDS_FN static void before(const real* W, const real* x, linear& l, const real* y, linear& m) {
        PARDS_UNROLL
        for (int i = 0; i < G * D; i++) l.h[i] = m.h[i] = 0;
        PARDS_UNROLL
        for (int j = 0; j < D; j++) {
            real w[G * D];
            take<G * D>(w, W + j * column);
            PARDS_UNROLL
            for (int i = 0; i < G * D; i++) l.h[i] += w[i] * x[j], m.h[i] += w[i] * y[j];
        }
    }

    PARDS_FN static void jacobian(const real* W, const point& p, real* J) {
        PARDS_UNROLL
        for (int j = 0; j < D; j++) {
            real w[G * D];
            take<G * D>(w, W + j * column);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) {
                real s = p.coef[i] * w[i];
                PARDS_UNROLL
                for (int g = 1; g < G; g++) s += p.coef[g * D + i] * w[g * D + i];
                J[i * D + j] = i == j ? s + p.self[i] : s;
            }
        }
    }

    PARDS_FN static void diagonal(const real* diagonals, const point& p, real* a) {
        real w[G * D];
        take<G * D>(w, diagonals);
        PARDS_UNROLL
        for (int i = 0; i < D; i++) {
            real s = p.self[i];
            PARDS_UNROLL
            for (int g = 0; g < G; g++) s += p.coef[g * D + i] * w[g * D + i];
            a[i] = s;
        }
    }

    // y = J v, hv being W v.
    PARDS_FN static void jvp(const point& p, const real* v, const real* hv, real* y) {
        PARDS_UNROLL
        for (int i = 0; i < D; i++) {
            real s = p.self[i] * v[i];
            PARDS_UNROLL
            for (int g = 0; g < G; g++) s += p.coef[g * D + i] * hv[g * D + i];
            y[i] = s;
        }
    }
};

// Such a cell with the weights of M inputs: columns of the matrix of the state and their diagonals, columns of the matrix of the inputs,
// bias (G D), N more numbers.
template <class real, int D, int M, int G, int N = 0>
struct driven_gates : gates<real, D, G> {
    using base = gates<real, D, G>;
    using typename base::linear;
    using typename base::point;
    using number = real;
    static constexpr bool uses_linear = true;
    static constexpr int input = base::matrix + base::column, bias = input + M * base::column, more = bias + base::column;
    static constexpr int numbers = more + padded<real>(N);

    const real *w, *given; // the weights in shared memory, and as they came

    // What the inputs alone decide, the same at every iterate.
    struct drive {
        real g[G * D];
    };

    PARDS_FN void prepare(const real* u, drive& v) const {
        take_given<G * D>(v.g, given + bias);
        add_inputs(u, v);
    }
    PARDS_FN void add_inputs(const real* u, drive& v) const { add_given_columns<G * D, M>(v.g, given + input, u); }

    PARDS_FN void before(const real* x, linear& l) const { base::before(w, x, l); }
    PARDS_FN void before(const real* x, linear& l, const real* y, linear& m) const { base::before(w, x, l, y, m); }
    PARDS_FN void jacobian(const point& p, real* J) const { base::jacobian(w, p, J); }
    PARDS_FN void diagonal(const point& p, real* a) const { base::diagonal(w + base::matrix, p, a); }
};
