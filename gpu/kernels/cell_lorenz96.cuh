// Lorenz 96, a step of Runge and Kutta, see core/cell/lorenz.go. Weights: forcing, step.
#pragma once
#include "portable.cuh"

template <class real, int D>
struct lorenz96 {
    using number = real;
    static constexpr bool affine = false, uses_linear = false;
    static constexpr int numbers = padded<real>(2);

    const real *w, *given;

    // The states of the four stages.
    struct point {
        real x[4][D], step;
    };
    struct linear {
        real h[1];
    };
    struct drive {};

    PARDS_FN void prepare(const real*, drive&) const {}
    PARDS_FN void before(const real*, linear&) const {}
    PARDS_FN void before(const real*, linear&, const real*, linear&) const {}

    PARDS_FN static constexpr real offset(int stage) { return stage == 0 ? real(0) : stage == 3 ? real(1) : real(0.5); }
    PARDS_FN static constexpr real weight(int stage) { return stage == 0 || stage == 3 ? real(1. / 6) : real(1. / 3); }

    template <bool derivative>
    PARDS_FN void at(const real* x, const linear&, const drive&, real* f, point& p) const {
        real number[2], slope[D]; // forcing and step
        take_given<2>(number, given);
        p.step = number[1];
        PARDS_UNROLL
        for (int i = 0; i < D; i++) f[i] = x[i], slope[i] = 0;
        PARDS_UNROLL
        for (int s = 0; s < 4; s++) {
            real* at = p.x[s];
            PARDS_UNROLL
            for (int i = 0; i < D; i++) at[i] = x[i] + number[1] * offset(s) * slope[i];
            PARDS_UNROLL
            for (int i = 0; i < D; i++) {
                slope[i] = (at[(i + 1) % D] - at[(i + D - 2) % D]) * at[(i + D - 1) % D] - at[i] + number[0];
                f[i] += number[1] * weight(s) * slope[i];
            }
        }
    }

    PARDS_FN void jvp(const point& p, const real* v, const real*, real* y) const {
        real slope[D];
        PARDS_UNROLL
        for (int i = 0; i < D; i++) y[i] = v[i], slope[i] = 0;
        PARDS_UNROLL
        for (int s = 0; s < 4; s++) {
            const real* at = p.x[s];
            real z[D];
            PARDS_UNROLL
            for (int i = 0; i < D; i++) z[i] = v[i] + p.step * offset(s) * slope[i];
            PARDS_UNROLL
            for (int i = 0; i < D; i++) {
                constexpr int n = D;
                int next = (i + 1) % n, before = (i + n - 1) % n, two = (i + n - 2) % n;
                slope[i] = (z[next] - z[two]) * at[before] + (at[next] - at[two]) * z[before] - z[i];
                y[i] += p.step * weight(s) * slope[i];
            }
        }
    }

    // Column k of J.
    PARDS_FN void column(const point& p, int k, real* y) const {
        real v[D];
        PARDS_UNROLL
        for (int i = 0; i < D; i++) v[i] = i == k ? real(1) : real(0);
        jvp(p, v, nullptr, y);
    }

    PARDS_FN void jacobian(const point& p, real* J) const {
        PARDS_UNROLL
        for (int k = 0; k < D; k++) {
            real y[D];
            column(p, k, y);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) J[i * D + k] = y[i];
        }
    }

    PARDS_FN void diagonal(const point& p, real* a) const {
        PARDS_UNROLL
        for (int k = 0; k < D; k++) {
            real y[D];
            column(p, k, y);
            a[k] = y[k];
        }
    }
};
