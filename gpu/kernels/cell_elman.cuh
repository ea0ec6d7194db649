// Elman, see core/cell/elman.go. Weights, see cell_gates.cuh.
#pragma once
#include "cell_gates.cuh"
#include "numeric.cuh"

template <class real, int D, int M>
struct elman : driven_gates<real, D, M, 1> {
    using base = driven_gates<real, D, M, 1>;
    static constexpr bool affine = false;

    template <bool derivative>
    PARDS_FN void at(const real*, const typename base::linear& l, const typename base::drive& v, real* f, typename base::point& p) const {
        PARDS_UNROLL
        for (int i = 0; i < D; i++) {
            f[i] = hyperbolic(l.h[i] + v.g[i]);
            if (derivative) p.coef[i] = 1 - f[i] * f[i], p.self[i] = 0;
        }
    }
};
