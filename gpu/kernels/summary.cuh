// What a run of steps does to what comes in, y = P c + e, in registers: one struct for each structure of P.
//
// A summary is a number of units (reals, e last). matrix is how one A is held; of, scale, clip and product deal with one, begin and extend
// take in a step (extend also gives A e), apply gives what comes out. composed and passed work on summaries in memory.
//
// A product leaves out terms whose factor from the state is zero: where an iterate is exact nothing comes in, whatever P has grown to.
#pragma once
#include "cell_group_word.cuh"
#include "group.cuh"

template <class real>
PARDS_FN real times(real a, real c) { return c == real(0) ? real(0) : a * c; }

// The methods shared by structures that are held in reals.
template <class S, class real, int D, int N>
struct summary_base {
    static constexpr int numbers = N;
    static constexpr bool from_start = false; // what comes in at a window's first step: nothing
    using unit = real;
    real v[N];

    PARDS_FN void store(real* to) const {
        PARDS_UNROLL
        for (int i = 0; i < N; i++) to[i] = v[i];
    }
    PARDS_FN void ends(real* e) const {
        PARDS_UNROLL
        for (int i = 0; i < D; i++) e[i] = v[N - D + i];
    }

    // y = P c + e, and just e where nothing comes in.
    PARDS_FN void apply(const real* c, real* y) const {
        bool some = false;
        PARDS_UNROLL
        for (int i = 0; i < D; i++) some |= c[i] != real(0);
        PARDS_UNROLL
        for (int i = 0; i < D; i++) y[i] = v[N - D + i];
        if (some) S::multiply(v, c, y);
    }

    // Puts the summaries of the lanes one after another: each becomes that of all steps from the warp's first to its own last.
    PARDS_FN void scan(int lane) {
        PARDS_LOOP
        for (int by = 1; by < 32; by <<= 1) static_cast<S*>(this)->follow(by, lane >= by);
    }
};

template <class real, int D>
struct dense_summary : summary_base<dense_summary<real, D>, real, D, D * D + D> {
    using base = summary_base<dense_summary<real, D>, real, D, D * D + D>;
    using base::v;
    struct matrix {
        real a[D * D];
    };

    template <class Cell>
    PARDS_FN static void of(const Cell& c, const typename Cell::point& p, matrix& A) { c.jacobian(p, A.a); }
    PARDS_FN static void scale(matrix& A, real k) {
        PARDS_UNROLL
        for (int i = 0; i < D * D; i++) A.a[i] *= k;
    }
    PARDS_FN static void clip(matrix&) {}
    PARDS_FN static void product(const matrix& A, const real* x, real* y) { // y += A x
        add_product<D, D>(y, A.a, x);
    }
    PARDS_FN static void multiply(const real* v, const real* c, real* y) { add_product<D, D>(y, v, c); }

    PARDS_FN void begin(const matrix& A, const real* r, bool unread) {
        PARDS_UNROLL
        for (int i = 0; i < D * D; i++) v[i] = unread ? real(0) : A.a[i];
        PARDS_UNROLL
        for (int i = 0; i < D; i++) v[D * D + i] = r[i];
    }
    PARDS_FN void extend(const matrix& A, const real* r, real* Ae) {
        PARDS_UNROLL
        for (int j = 0; j <= D; j++) {
            real y[D];
            PARDS_UNROLL
            for (int i = 0; i < D; i++) y[i] = 0;
            PARDS_UNROLL
            for (int k = 0; k < D; k++) {
                PARDS_UNROLL
                for (int i = 0; i < D; i++) y[i] += A.a[i * D + k] * (j == D ? v[D * D + k] : v[k * D + j]);
            }
            PARDS_UNROLL
            for (int i = 0; i < D; i++) {
                if (j == D)
                    Ae[i] = y[i], v[D * D + i] = y[i] + r[i];
                else
                    v[i * D + j] = y[i];
            }
        }
    }
    PARDS_FN void follow(int by, bool takes) {
        real e[D];
        PARDS_UNROLL
        for (int i = 0; i < D; i++) e[i] = v[D * D + i];
        PARDS_UNROLL
        for (int k = 0; k < D; k++) {
            real c = from_below(v[D * D + k], by);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) e[i] += times(v[i * D + k], c);
        }
        PARDS_UNROLL
        for (int i = 0; i < D; i++) v[D * D + i] = takes ? e[i] : v[D * D + i];
        real q[D * D]; // products row by row would need all of P until the last; its columns come from below one after another
        PARDS_UNROLL
        for (int i = 0; i < D * D; i++) q[i] = 0;
        PARDS_UNROLL
        for (int j = 0; j < D; j++) {
            PARDS_UNROLL
            for (int k = 0; k < D; k++) {
                real c = from_below(v[k * D + j], by);
                PARDS_UNROLL
                for (int i = 0; i < D; i++) q[i * D + j] += v[i * D + k] * c;
            }
        }
        PARDS_UNROLL
        for (int i = 0; i < D * D; i++) v[i] = takes ? q[i] : v[i];
    }
    // Number n of the summary of two that lie in memory, the later after the earlier.
    PARDS_FN static real composed(const real* later, const real* earlier, int n) {
        int i = n < D * D ? n / D : n - D * D, j = n % D;
        real s = n < D * D ? real(0) : later[n];
        for (int k = 0; k < D; k++) s += n < D * D ? later[i * D + k] * earlier[k * D + j] : times(later[i * D + k], earlier[D * D + k]);
        return s;
    }
    // Component i of what comes out of one that lies in memory; lanes hold the components of what goes in. All lanes call it.
    PARDS_FN static real passed(const real* s, real c, int i) {
        real y = s[D * D + i];
        PARDS_UNROLL
        for (int k = 0; k < D; k++) y += times(s[i * D + k], from_lane(c, k));
        return y;
    }
};

// P is N numbers: D of a diagonal, 1 of a multiple of the identity, none of the identity (fixed 1) or zero (fixed 0).
template <class real, int D, int N, int fixed>
struct diagonal_summary : summary_base<diagonal_summary<real, D, N, fixed>, real, D, N + D> {
    using base = summary_base<diagonal_summary<real, D, N, fixed>, real, D, N + D>;
    using base::v;
    struct matrix {
        real a[N > 0 ? N : 1];
    };

    PARDS_FN static real factor(const real* a, int i) { return N == 0 ? real(fixed) : a[N == 1 ? 0 : i]; }

    template <class Cell>
    PARDS_FN static void of(const Cell& c, const typename Cell::point& p, matrix& A) {
        if (N == 0) return;
        real a[D];
        c.diagonal(p, a);
        set(a, A);
    }
    // From a diagonal.
    PARDS_FN static void set(const real* a, matrix& A) {
        if (N == 0) return;
        A.a[0] = a[0];
        PARDS_UNROLL
        for (int i = 1; i < D; i++) {
            if (N == 1)
                A.a[0] += a[i];
            else
                A.a[N > 1 ? i : 0] = a[i];
        }
        if (N == 1) A.a[0] /= D;
    }
    PARDS_FN static void scale(matrix& A, real k) {
        PARDS_UNROLL
        for (int i = 0; i < N; i++) A.a[i] *= k;
    }
    PARDS_FN static void clip(matrix& A) {
        PARDS_UNROLL
        for (int i = 0; i < N; i++) A.a[i] = A.a[i] > 1 ? real(1) : A.a[i] < -1 ? real(-1) : A.a[i];
    }
    PARDS_FN static void product(const matrix& A, const real* x, real* y) { multiply(A.a, x, y); }
    PARDS_FN static void multiply(const real* a, const real* c, real* y) {
        if (N == 0 && fixed == 0) return;
        PARDS_UNROLL
        for (int i = 0; i < D; i++) y[i] += factor(a, i) * c[i];
    }

    PARDS_FN void begin(const matrix& A, const real* r, bool unread) {
        PARDS_UNROLL
        for (int i = 0; i < N; i++) v[i] = unread ? real(0) : A.a[i];
        PARDS_UNROLL
        for (int i = 0; i < D; i++) v[N + i] = r[i];
    }
    PARDS_FN void extend(const matrix& A, const real* r, real* Ae) {
        PARDS_UNROLL
        for (int i = 0; i < D; i++) {
            Ae[i] = N == 0 && fixed == 0 ? real(0) : factor(A.a, i) * v[N + i];
            v[N + i] = Ae[i] + r[i];
        }
        PARDS_UNROLL
        for (int i = 0; i < N; i++) v[i] *= A.a[i];
    }
    PARDS_FN void follow(int by, bool takes) {
        if (N == 0 && fixed == 0) return; // the warp's last steps alone count
        PARDS_UNROLL
        for (int i = 0; i < D; i++) {
            real e = v[N + i] + times(factor(v, i), from_below(v[N + i], by));
            v[N + i] = takes ? e : v[N + i];
        }
        PARDS_UNROLL
        for (int i = 0; i < N; i++) {
            real p = v[i] * from_below(v[i], by);
            v[i] = takes ? p : v[i];
        }
    }
    PARDS_FN static real composed(const real* later, const real* earlier, int n) {
        if (n < N) return later[n] * earlier[n];
        return N == 0 && fixed == 0 ? later[n] : later[n] + times(factor(later, n - N), earlier[n]);
    }
    PARDS_FN static real passed(const real* s, real c, int i) {
        return N == 0 && fixed == 0 ? s[i] : s[N + i] + times(factor(s, i), c);
    }
};

// Products of permutations of what comes in; e is zero, and what comes in at the first step is the state before it.
template <class real, int D>
struct permutation_summary {
    static constexpr int numbers = 1;
    static constexpr bool from_start = true;
    using unit = packed_permutation;
    unit v[1];
    struct matrix {
        packed_permutation p;
    };

    template <class Cell>
    PARDS_FN static void of(const Cell&, const typename Cell::point& p, matrix& A) { A.p = p.p; }
    PARDS_FN static void scale(matrix&, real) {}
    PARDS_FN static void clip(matrix&) {}

    PARDS_FN static unit after(unit later, unit earlier) {
        unit p = 0;
        PARDS_UNROLL
        for (int i = 0; i < D; i++) p |= unit(permuted(earlier, permuted(later, i))) << (4 * i);
        return p;
    }
    PARDS_FN void store(unit* to) const { to[0] = v[0]; }
    PARDS_FN void begin(const matrix& A, const real*, bool) { v[0] = A.p; }
    PARDS_FN void extend(const matrix& A, const real*, real*) { v[0] = after(A.p, v[0]); }
    PARDS_FN void apply(const real* c, real* y) const { permute<D>(v[0], c, y); }
    PARDS_FN void scan(int lane) {
        PARDS_LOOP
        for (int by = 1; by < 32; by <<= 1) {
            unit p = after(v[0], from_below(v[0], by));
            v[0] = lane >= by ? p : v[0];
        }
    }
    PARDS_FN static unit composed(const unit* later, const unit* earlier, int) { return after(later[0], earlier[0]); }
    PARDS_FN static real passed(const unit* s, real c, int i) { return from_lane(c, permuted(s[0], i)); }
};
