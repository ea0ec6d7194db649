// The word problem of a group, see core/cell/word.go. Weights: G permutations, each one word of 4-bit
// indices, y[i] = x[index[i]], D at most 16.
#pragma once
#include "portable.cuh"

using packed_permutation = unsigned long long;

PARDS_FN int permuted(packed_permutation p, int i) { return int(p >> (4 * i)) & 15; }

// One of D registers: they cannot be indexed by a number that is not known when the program is compiled.
template <int D, class real>
PARDS_FN real pick(const real* x, int k) {
    real v = x[0];
    PARDS_UNROLL
    for (int j = 1; j < D; j++) v = k == j ? x[j] : v;
    return v;
}

template <int D, class real>
PARDS_FN void permute(packed_permutation p, const real* x, real* y) {
    PARDS_UNROLL
    for (int i = 0; i < D; i++) y[i] = pick<D>(x, permuted(p, i));
}

template <class real, int D, int G>
struct group_word {
    using number = packed_permutation;
    static constexpr bool affine = true, uses_linear = false;
    static constexpr int numbers = G;

    const packed_permutation *w, *given;

    struct point {
        packed_permutation p;
    };
    struct linear {
        real h[1];
    };
    struct drive {
        packed_permutation p;
    };

    PARDS_FN void prepare(const real* u, drive& v) const { v.p = w[int(u[0])]; }
    PARDS_FN void before(const real*, linear&) const {}
    PARDS_FN void before(const real*, linear&, const real*, linear&) const {}

    template <bool derivative>
    PARDS_FN void at(const real* x, const linear&, const drive& v, real* f, point& p) const {
        p.p = v.p;
        permute<D>(v.p, x, f);
    }

    PARDS_FN void jacobian(const point& p, real* J) const {
        PARDS_UNROLL
        for (int i = 0; i < D; i++) {
            PARDS_UNROLL
            for (int j = 0; j < D; j++) J[i * D + j] = permuted(p.p, i) == j ? 1 : 0;
        }
    }

    PARDS_FN void diagonal(const point& p, real* a) const {
        PARDS_UNROLL
        for (int i = 0; i < D; i++) a[i] = permuted(p.p, i) == i ? 1 : 0;
    }

    PARDS_FN void jvp(const point& p, const real* v, const real*, real* y) const { permute<D>(p.p, v, y); }
};
