// LSTM, see core/cell/lstm.go: D components, (h, c) of H units. Weights, see cell_gates.cuh for H components and four gates.
#pragma once
#include "cell_gates.cuh"
#include "numeric.cuh"

template <class real, int D, int M>
struct lstm {
    static constexpr int H = D / 2;
    using gate = driven_gates<real, H, M, 4>;
    using number = real;
    using linear = typename gate::linear;
    using drive = typename gate::drive;
    static constexpr bool affine = false, uses_linear = true;
    static constexpr int numbers = gate::numbers;

    const real *w, *given;

    // c' changes by low[g] W_g h and by f c, h' by s times that and by out W_o h.
    struct point {
        real low[3 * H], f[H], s[H], out[H];
    };

    PARDS_FN gate gates_of() const {
        gate g;
        g.w = w, g.given = given;
        return g;
    }
    PARDS_FN void prepare(const real* u, drive& v) const { gates_of().prepare(u, v); }
    PARDS_FN void before(const real* x, linear& l) const { gates_of().before(x, l); }
    PARDS_FN void before(const real* x, linear& l, const real* y, linear& m) const { gates_of().before(x, l, y, m); }

    template <bool derivative>
    PARDS_FN void at(const real* x, const linear& l, const drive& v, real* f, point& p) const {
        PARDS_UNROLL
        for (int j = 0; j < H; j++) {
            real in = sigmoid(v.g[j] + l.h[j]), keep = sigmoid(v.g[H + j] + l.h[H + j]);
            real fresh = hyperbolic(v.g[2 * H + j] + l.h[2 * H + j]), out = sigmoid(v.g[3 * H + j] + l.h[3 * H + j]);
            real c = keep * x[H + j] + in * fresh, squashed = hyperbolic(c);
            f[j] = out * squashed, f[H + j] = c;
            if (derivative) {
                p.low[j] = in * (1 - in) * fresh, p.low[H + j] = keep * (1 - keep) * x[H + j], p.low[2 * H + j] = in * (1 - fresh * fresh);
                p.f[j] = keep, p.s[j] = out * (1 - squashed * squashed), p.out[j] = out * (1 - out) * squashed;
            }
        }
    }

    // What c' and h' of unit j change by where the sums of its gates change by a[g H] and c by b.
    PARDS_FN static void change(const point& p, int j, const real* a, real b, real& h, real& c) {
        c = p.f[j] * b;
        PARDS_UNROLL
        for (int g = 0; g < 3; g++) c += p.low[g * H + j] * a[g * H];
        h = p.s[j] * c + p.out[j] * a[3 * H];
    }

    PARDS_FN void jacobian(const point& p, real* J) const {
        PARDS_UNROLL
        for (int k = 0; k < H; k++) {
            real a[4 * H];
            take<4 * H>(a, w + k * gate::column);
            PARDS_UNROLL
            for (int j = 0; j < H; j++) {
                change(p, j, a + j, real(0), J[j * D + k], J[(H + j) * D + k]);
                J[j * D + H + k] = j == k ? p.s[j] * p.f[j] : real(0);
                J[(H + j) * D + H + k] = j == k ? p.f[j] : real(0);
            }
        }
    }

    PARDS_FN void diagonal(const point& p, real* a) const {
        real d[4 * H], c;
        take<4 * H>(d, w + gate::matrix);
        PARDS_UNROLL
        for (int j = 0; j < H; j++) {
            change(p, j, d + j, real(0), a[j], c);
            a[H + j] = p.f[j];
        }
    }

    PARDS_FN void jvp(const point& p, const real* v, const real* hv, real* y) const {
        PARDS_UNROLL
        for (int j = 0; j < H; j++) change(p, j, hv + j, v[H + j], y[j], y[H + j]);
    }
};
