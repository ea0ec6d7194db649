// GRU, see core/cell/gru.go. Weights, see cell_gates.cuh: bias_n (D) is the last.
#pragma once
#include "cell_gates.cuh"
#include "numeric.cuh"

template <class real, int D, int M, bool exchanged>
struct gru : driven_gates<real, D, M, 3, D> {
    using base = driven_gates<real, D, M, 3, D>;
    using typename base::linear;
    using typename base::point;
    using base::bias, base::given;
    static constexpr bool affine = false;
    static constexpr int bias_n = base::more;

    // Exchanged, the inputs decide the product that the reset gate lets through.
    struct drive : base::drive {
        using base::drive::g;
        real u[exchanged ? D : 1];
    };

    PARDS_FN void prepare(const real* u, drive& v) const {
        take_given<3 * D>(v.g, given + bias);
        if (exchanged) {
            take_given<D>(v.g + 2 * D, given + bias_n);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) v.u[exchanged ? i : 0] = u[i];
        }
        base::add_inputs(u, v);
    }

    template <bool derivative>
    PARDS_FN void at(const real* x, const linear& l, const drive& v, real* f, point& p) const {
        real b[D]; // what is added to the product with the state inside tanh
        take_given<D>(b, given + (exchanged ? bias + 2 * D : bias_n));
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
};
