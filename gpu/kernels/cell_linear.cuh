// Linear, see core/cell/linear.go. Weights, see cell_gates.cuh: columns of the matrix of the state and their diagonals,
// columns of the matrix of the inputs, bias (D).
#pragma once
#include "cell_gates.cuh"

template <class real, int D, int M>
struct linear_cell : gates<real, D, 1> {
    using base = gates<real, D, 1>;
    using typename base::linear;
    using typename base::point;
    using number = real;
    static constexpr bool affine = true, uses_linear = true;
    static constexpr int input = base::matrix + base::column, bias = input + M * base::column, numbers = bias + base::column;

    const real* w;

    struct drive {
        real g[D];
    };

    PARDS_FN void prepare(const real* u, drive& v) const {
        take<D>(v.g, w + bias);
        add_columns<D, M>(v.g, w + input, u);
    }

    PARDS_FN void before(const real* x, linear& l) const { base::before(w, x, l); }
    PARDS_FN void before(const real* x, linear& l, const real* y, linear& m) const { base::before(w, x, l, y, m); }

    template <bool derivative>
    PARDS_FN void at(const real*, const linear& l, const drive& v, real* f, point& p) const {
        PARDS_UNROLL
        for (int i = 0; i < D; i++) {
            f[i] = l.h[i] + v.g[i];
            if (derivative) p.coef[i] = 1, p.self[i] = 0;
        }
    }

    PARDS_FN void jacobian(const point& p, real* J) const { base::jacobian(w, p, J); }
    PARDS_FN void diagonal(const point& p, real* a) const { base::diagonal(w + base::matrix, p, a); }
};
