// Langevin dynamics on a mixture of K Gaussians, see core/cell/langevin.go. Weights, each vector padded: means (K, D), diagonals of the
// precisions (K, D), log_weights (K), (step size, sqrt(2 step size)), columns of the precisions (K, D, D) where these are not diagonal.
#pragma once
#include "numeric.cuh"

template <class real, int D, int K, bool diagonal_precision>
struct langevin {
    using number = real;
    static constexpr bool affine = false, uses_linear = false;
    static constexpr int row = padded<real>(D), diagonals = K * row, weight = 2 * K * row, steps = weight + padded<real>(K);
    static constexpr int precisions = steps + padded<real>(2), numbers = precisions + (diagonal_precision ? 0 : K * D * row);

    const real *w, *given;

    // The weights of the components, their gradients h = -P (x - m), and the mean of those.
    struct point {
        real w[K], h[K][D], g[D];
    };
    struct linear {
        real h[1];
    };
    struct drive {
        real u[D];
    };

    PARDS_FN void prepare(const real* u, drive& v) const {
        real step[2]; // and the size of the noise
        take<2>(step, w + steps);
        PARDS_UNROLL
        for (int i = 0; i < D; i++) v.u[i] = step[1] * u[i];
    }

    PARDS_FN void before(const real*, linear&) const {}
    PARDS_FN void before(const real*, linear&, const real*, linear&) const {}

    PARDS_FN void multiply(int k, const real* y, real* out) const {
        PARDS_UNROLL
        for (int i = 0; i < D; i++) out[i] = 0;
        if constexpr (diagonal_precision) {
            take<D>(out, w + diagonals + k * row);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) out[i] *= y[i];
        } else {
            add_columns<D, D>(out, w + precisions + k * D * row, y);
        }
    }

    template <bool derivative>
    PARDS_FN void at(const real* x, const linear&, const drive& v, real* f, point& p) const {
        real top = 0, base[K], step[2];
        take<K>(base, w + weight);
        take<2>(step, w + steps);
        PARDS_UNROLL
        for (int k = 0; k < K; k++) {
            real y[D], q = 0;
            take<D>(y, w + k * row);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) y[i] -= x[i];
            multiply(k, y, p.h[k]);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) q += p.h[k][i] * y[i];
            p.w[k] = base[k] - q / 2;
            top = k == 0 ? p.w[k] : largest(top, p.w[k]);
        }
        real sum = 0;
        PARDS_UNROLL
        for (int k = 0; k < K; k++) sum += p.w[k] = exponential(p.w[k] - top);
        PARDS_UNROLL
        for (int i = 0; i < D; i++) p.g[i] = 0;
        PARDS_UNROLL
        for (int k = 0; k < K; k++) {
            p.w[k] /= sum;
            PARDS_UNROLL
            for (int i = 0; i < D; i++) p.g[i] += p.w[k] * p.h[k][i];
        }
        PARDS_UNROLL
        for (int i = 0; i < D; i++) f[i] = x[i] + step[0] * p.g[i] + v.u[i];
    }

    // I + eps H, H = sum_k w_k ((h_k - g) (h_k - g)' - P_k): h_k h_k' - g g' is rounding where one component has all the weight.
    PARDS_FN void jacobian(const point& p, real* J) const {
        real step[2];
        take<2>(step, w + steps);
        PARDS_UNROLL
        for (int j = 0; j < D; j++) {
            real s[D];
            PARDS_UNROLL
            for (int i = 0; i < D; i++) s[i] = 0;
            PARDS_UNROLL
            for (int k = 0; k < K; k++) {
                real P[D];
                if constexpr (diagonal_precision) {
                    take<D>(P, w + diagonals + k * row);
                    PARDS_UNROLL
                    for (int i = 0; i < D; i++) P[i] = i == j ? P[i] : real(0);
                } else {
                    take<D>(P, w + precisions + (k * D + j) * row);
                }
                PARDS_UNROLL
                for (int i = 0; i < D; i++) s[i] += p.w[k] == 0 ? real(0) : p.w[k] * ((p.h[k][i] - p.g[i]) * (p.h[k][j] - p.g[j]) - P[i]);
            }
            PARDS_UNROLL
            for (int i = 0; i < D; i++) J[i * D + j] = i == j ? 1 + step[0] * s[i] : step[0] * s[i];
        }
    }

    PARDS_FN void diagonal(const point& p, real* a) const {
        real step[2];
        take<2>(step, w + steps);
        PARDS_UNROLL
        for (int i = 0; i < D; i++) a[i] = 0;
        PARDS_UNROLL
        for (int k = 0; k < K; k++) {
            real P[D];
            take<D>(P, w + diagonals + k * row);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) a[i] += p.w[k] == 0 ? real(0) : p.w[k] * ((p.h[k][i] - p.g[i]) * (p.h[k][i] - p.g[i]) - P[i]);
        }
        PARDS_UNROLL
        for (int i = 0; i < D; i++) a[i] = 1 + step[0] * a[i];
    }

    PARDS_FN void jvp(const point& p, const real* v, const real*, real* y) const {
        real out[D], step[2];
        take<2>(step, w + steps);
        PARDS_UNROLL
        for (int i = 0; i < D; i++) out[i] = 0;
        PARDS_UNROLL
        for (int k = 0; k < K; k++) {
            real Pv[D], c = 0;
            multiply(k, v, Pv);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) c += (p.h[k][i] - p.g[i]) * v[i];
            PARDS_UNROLL
            for (int i = 0; i < D; i++) out[i] += p.w[k] == 0 ? real(0) : p.w[k] * (c * (p.h[k][i] - p.g[i]) - Pv[i]);
        }
        PARDS_UNROLL
        for (int i = 0; i < D; i++) y[i] = v[i] + step[0] * out[i];
    }
};
