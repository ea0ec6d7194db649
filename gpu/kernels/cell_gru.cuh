// GRU, see core/cell/gru.go. Weights, see cell_gates.cuh: columns of the matrix of the state and their
// diagonals, columns of the matrix of the inputs, bias (3D), bias_n (D).
#pragma once
#include "cell_gates.cuh"
#include "numeric.cuh"

template <class real, int D, int M, bool exchanged>
struct gru : gates<real, D, 3> {
    using base = gates<real, D, 3>;
    using typename base::linear;
    using typename base::point;
    using number = real;
    static constexpr bool affine = false, uses_linear = true;
    static constexpr int input = base::matrix + base::column, bias = input + M * base::column, bias_n = bias + base::column;
    static constexpr int numbers = bias_n + padded<real>(D);

    const real* w;

    // What the inputs alone decide, the same at every iterate. Exchanged, it is the product that the reset gate lets through.
    struct drive {
        real g[3 * D], u[exchanged ? D : 1];
    };

    PARDS_FN void prepare(const real* u, drive& v) const {
        take<3 * D>(v.g, w + bias);
        if (exchanged) take<D>(v.g + 2 * D, w + bias_n);
        add_columns<3 * D, M>(v.g, w + input, u);
        if (exchanged) {
            PARDS_UNROLL
            for (int i = 0; i < D; i++) v.u[exchanged ? i : 0] = u[i];
        }
    }

    PARDS_FN void before(const real* x, linear& l) const { base::before(w, x, l); }
    PARDS_FN void before(const real* x, linear& l, const real* y, linear& m) const { base::before(w, x, l, y, m); }

    template <bool derivative>
    PARDS_FN void at(const real* x, const linear& l, const drive& v, real* f, point& p) const {
        real b[D]; // what is added to the product with the state inside tanh
        if (exchanged) {
            real all[3 * D];
            take<3 * D>(all, w + bias);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) b[i] = all[2 * D + i];
        } else {
            take<D>(b, w + bias_n);
        }
        PARDS_UNROLL
        for (int i = 0; i < D; i++) {
            real r = sigmoid(v.g[i] + l.h[i]), z = sigmoid(v.g[D + i] + l.h[D + i]);
            real in = exchanged ? l.h[2 * D + i] + b[i] : v.g[2 * D + i];
            real held = exchanged ? v.g[2 * D + i] : l.h[2 * D + i] + b[i];
            real n = hyperbolic(in + r * held), last = (exchanged ? v.u[exchanged ? i : 0] : x[i]) - n;
            f[i] = n + z * last;
            if (derivative) {
                real dn = (1 - z) * (1 - n * n);
                p.coef[i] = dn * r * (1 - r) * held;
                p.coef[D + i] = z * (1 - z) * last;
                p.coef[2 * D + i] = exchanged ? dn : dn * r;
                p.self[i] = exchanged ? real(0) : z;
            }
        }
    }

    PARDS_FN void jacobian(const point& p, real* J) const { base::jacobian(w, p, J); }
    PARDS_FN void diagonal(const point& p, real* a) const { base::diagonal(w + base::matrix, p, a); }
};
