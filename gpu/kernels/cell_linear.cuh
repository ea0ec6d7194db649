// Linear, see core/cell/linear.go. Weights, see cell_gates.cuh.
#pragma once
#include "cell_gates.cuh"

template <class real, int D, int M>
struct linear_cell : driven_gates<real, D, M, 1> {
    using base = driven_gates<real, D, M, 1>;
    static constexpr bool affine = true;

    template <bool derivative>
    PARDS_FN void at(const real*, const typename base::linear& l, const typename base::drive& v, real* f, typename base::point& p) const {
        PARDS_UNROLL
        for (int i = 0; i < D; i++) {
            f[i] = l.h[i] + v.g[i];
            if (derivative) p.coef[i] = 1, p.self[i] = 0;
        }
    }
};
