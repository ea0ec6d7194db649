// Full matrices of float of D = 8, 16, .. 64 rows: as op_dense.cuh, with P A by the tensor cores in three passes of tf32, which keep the
// error of float.
//
// A warp keeps its rows of P in registers, as the tensor cores lay out a sum: a lane has two numbers of each tile of 8 columns, in rows g
// and g + 8. They take part in the next product where they are: the order of its steps is free, so steps q and q + 4 of a tile are the two
// columns of the lane, and A's rows are read in that order. Warps share nothing but A, and a team of one warp meets nobody.
#pragma once
#include "levels.cuh"
#include "tensor.cuh"

// high: tiles of 16 rows that a warp has; many: steps of a stage of the ring.
template <int D, int block, int high, int stages, int many> struct tensor_dense {
    typedef float T;
    typedef T real;
    static_assert(D % 8 == 0 && D <= 64, "left to op_dense.cuh");
    static constexpr int lanes = (D + 16 * high - 1) / (16 * high) * 32, team = lanes, teams = block / lanes;
    static constexpr bool wide = lanes > 32;         // a team is a block
    static constexpr int tiles = D / 8;              // of 8 columns
    static constexpr int pitch = D == 8 ? D : D + 4; // of rows in shared memory: what a warp reads at once is in different banks
    static constexpr int one = D * pitch, stage = many * (one + D);
    static constexpr int numbers = stages * stage + 2 * D; // of shared memory, a team
    static constexpr int bytes = numbers * teams * sizeof(T);
    static_assert(block % lanes == 0 && (!wide || (teams == 1 && many == 1)), "whole teams, which meet at each stage");

    static PARDS_FN int length(int) { return D * D; }

    T *ring, *state;
    int lane, warp, g, q;

    PARDS_FN tensor_dense(int tid, char* memory, int) {
        lane = tid % lanes;
        warp = lane / 32, g = lane % 32 / 4, q = lane % 4;
        ring = (T*)memory + tid / lanes * numbers;
        state = ring + stages * stage;
    }

    static PARDS_FN void meet() {
        if constexpr (wide) __syncthreads();
        else __syncwarp();
    }

    // What a lane copies of each step: pieces of 16 bytes, those of several steps at once where a step has fewer than the team has lanes.
    static constexpr int pieces = D * D / 4, at_once = pieces < lanes ? lanes / pieces : 1, rounds = pieces < lanes ? 1 : pieces / lanes;
    static constexpr bool even = at_once > 1 || (pieces % lanes == 0 && lanes * 4 % D == 0); // a lane's pieces are in one column
    static constexpr int vec_pieces = D / 4;
    static_assert(many % at_once == 0 && many * vec_pieces <= lanes, "each lane has its part");

    struct source {
        const T *a, *b; // where the lane's next pieces are
        long long step_a, step_b;
        int left, slot; // steps not asked for, stage of the ring
    };

    PARDS_FN source source_of(const span<T>& c, int steps, bool back) {
        source s;
        const int last = steps - 1, own_a = at_once > 1 ? lane / pieces : 0, own_b = lane / vec_pieces;
        s.step_a = back ? -c.step_a : c.step_a, s.step_b = back ? -c.step_b : c.step_b;
        s.a = c.a + (back ? last * c.step_a : 0) + own_a * s.step_a + (at_once > 1 ? lane % pieces : lane) * 4;
        s.b = c.b + (back ? last * c.step_b : 0) + own_b * s.step_b + lane % vec_pieces * 4;
        s.left = steps, s.slot = 0;
        return s;
    }

    // fetch begins to copy the steps of a stage.
    PARDS_FN void fetch(source& s) {
        T* to = ring + s.slot * stage;
        if (lane < many * vec_pieces && lane / vec_pieces < s.left) copy_async<16>(to + many * one + lane * 4, s.b);
        s.b += many * s.step_b;
#pragma unroll
        for (int m = 0; m < many; m += at_once) {
            if (m + (at_once > 1 ? lane / pieces : 0) < s.left) {
                if constexpr (even) {
                    const int e = (at_once > 1 ? lane % pieces : lane) * 4, own = (at_once > 1 ? lane / pieces * one : 0) + e / D * pitch + e % D;
#pragma unroll
                    for (int i = 0; i < rounds; i++) copy_async<16>(to + m * one + own + i * (lanes * 4 / D * pitch), s.a + i * (lanes * 4));
                } else {
#pragma unroll
                    for (int e = lane * 4; e < D * D; e += lanes * 4) copy_async<16>(to + m * one + e / D * pitch + e % D, s.a + (e - lane * 4));
                }
            }
            s.a += at_once * s.step_a;
        }
        s.left -= many;
        s.slot = s.slot == stages - 1 ? 0 : s.slot + 1;
        copy_commit();
    }

    // each calls f(t, A, b) for the steps of a chunk; back: the last one comes first.
    template <class F> PARDS_FN void each(const span<T>& c, int steps, bool back, F f) {
        source s = source_of(c, steps, back);
#pragma unroll
        for (int i = 0; i < stages - 1; i++) fetch(s);
        int slot = 0;
        for (int t = 0; t < steps; t += many) {
            copy_wait<stages - 2>();
            meet();
            fetch(s); // overwrites what was used a round ago
            __syncwarp();
            const T *A = ring + slot * stage, *b = A + many * one;
            slot = slot == stages - 1 ? 0 : slot + 1;
            if (t + many <= steps) {
#pragma unroll
                for (int m = 0; m < many; m++) f(t + m, A + m * one, b + m * D);
            } else {
#pragma unroll 1
                for (int m = 0; t + m < steps; m++) f(t + m, A + m * one, b + m * D);
            }
        }
        copy_wait<0>();
        meet();
    }

    // Where the lane's numbers are: of a tile, column e of two; as a second factor, its row e and its column. With 8 columns they are
    // chosen so that rows need no gap between them.
    PARDS_FN int column(int tile, int e) const { return tile * 8 + (D == 8 ? q + 4 * e : 2 * q + e); }
    PARDS_FN int across(int tile) const { return tile * 8 + (D == 8 ? g / 2 + g % 2 * 4 : g); }
    PARDS_FN int row(int h, int half) const { return (warp * high + h) * 16 + half * 8 + g; }
    static constexpr int halves = D == 8 ? 1 : 2;

    typedef T rows[high][tiles][4]; // (row g, columns 0 and 1), then row g + 8

    static constexpr int together_tiles = together / 8, abreast = tiles < 2 ? tiles : 2;

    // multiply makes p into p A.
    PARDS_FN void multiply(rows& p, const T* A) {
        rows sum;
        const T* own = A + column(0, 0) * pitch + across(0);
        const int next = (column(0, 1) - column(0, 0)) * pitch;
#pragma unroll
        for (int k = 0; k < tiles; k += together_tiles) {
            T large[together_tiles][high][4], rest[together_tiles][high][4];
#pragma unroll
            for (int i = 0; i < together_tiles; i++) {
                if (k + i >= tiles) continue;
#pragma unroll
                for (int h = 0; h < high; h++)
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        const T v = e % 2 < halves ? p[h][k + i][e / 2 + e % 2 * 2] : 0;
                        large[i][h][e] = e % 2 < halves ? leading(v) : 0, rest[i][h][e] = v - large[i][h][e];
                    }
            }
#pragma unroll
            for (int n = 0; n < tiles; n += abreast) {
                T part[abreast][high][4] = {};
#pragma unroll
                for (int i = 0; i < together_tiles; i++) {
                    if (k + i >= tiles) continue;
                    T a[abreast][2], r[abreast][2];
#pragma unroll
                    for (int j = 0; j < abreast; j++)
#pragma unroll
                        for (int e = 0; e < 2; e++) {
                            if (n + j >= tiles) continue;
                            const T v = own[(k + i) * 8 * pitch + e * next + (n + j) * 8];
                            a[j][e] = leading(v), r[j][e] = v - a[j][e];
                        }
                    auto pass = [&](const T(&x)[high][4], const T(&y)[abreast][2]) { // products that do not wait for each other
#pragma unroll
                        for (int j = 0; j < abreast; j++)
#pragma unroll
                            for (int h = 0; h < high; h++)
                                if (n + j < tiles) tensor_product(part[j][h], x[h], y[j]);
                    };
                    pass(rest[i], a), pass(large[i], r), pass(large[i], a);
                }
#pragma unroll
                for (int j = 0; j < abreast; j++)
#pragma unroll
                    for (int h = 0; h < high; h++)
#pragma unroll
                        for (int e = 0; e < 4; e++)
                            if (n + j < tiles) sum[h][n + j][e] = k ? sum[h][n + j][e] + part[j][h][e] : part[j][h][e];
            }
        }
#pragma unroll
        for (int h = 0; h < high; h++)
#pragma unroll
            for (int n = 0; n < tiles; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) p[h][n][e] = sum[h][n][e];
    }

    PARDS_FN void reduce(const span<T>& c, bool there, int) {
        rows p;
        T s[high][2] = {};
#pragma unroll
        for (int h = 0; h < high; h++)
#pragma unroll
            for (int n = 0; n < tiles; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) p[h][n][e] = row(h, e / 2) == column(n, e % 2) ? 1 : 0;
        each(c, there ? c.steps : 0, true, [&](int, const T* A, const T* b) {
#pragma unroll
            for (int n = 0; n < tiles; n++) {
                const T x[2] = {b[column(n, 0)], b[column(n, 1)]};
#pragma unroll
                for (int h = 0; h < high; h++)
#pragma unroll
                    for (int e = 0; e < 2 * halves; e++) s[h][e / 2] += p[h][n][e] * x[e % 2];
            }
            multiply(p, A);
        });
        if (!there) return;
        const bool unread = !c.carry && c.first; // the first A may be anything
#pragma unroll
        for (int h = 0; h < high; h++)
#pragma unroll
            for (int half = 0; half < halves; half++) {
                T total = s[h][half];
#pragma unroll
                for (int by = 1; by < 4; by *= 2) total += __shfl_xor_sync(~0u, total, by);
                const int r = row(h, half);
                if (r >= D) continue;
#pragma unroll
                for (int n = 0; n < tiles; n++)
#pragma unroll
                    for (int e = 0; e < 2; e++) c.p[r * D + column(n, e)] = unread ? 0 : p[h][n][2 * half + e];
                if (q == 0) c.s[r] = total;
            }
    }

    PARDS_FN void apply(const span<T>& c, bool there, int) {
        if constexpr (D == 8) apply_registers(c, there);
        else apply_shared(c, there);
    }

    // Four lanes make a component, of two products each; each of them then asks for the two states it multiplies next.
    PARDS_FN void apply_registers(const span<T>& c, bool there) {
        T x[2] = {0, 0};
        if (there && c.carry) x[0] = c.carry[2 * q], x[1] = c.carry[2 * q + 1];
        T* out = c.x + g;
        each(c, there ? c.steps : 0, false, [&](int t, const T* A, const T* b) {
            const pack<T, 2> r = *(const pack<T, 2>*)(A + lane * 2);
            T y = t > 0 || c.carry ? r.v[0] * x[0] + r.v[1] * x[1] : 0;
#pragma unroll
            for (int by = 1; by < 4; by *= 2) y += __shfl_xor_sync(~0u, y, by);
            y += b[g];
            if (q == 0) *out = y;
            out += c.step_b;
            x[0] = __shfl_sync(~0u, y, 8 * q), x[1] = __shfl_sync(~0u, y, 8 * q + 4);
        });
    }

    // Where a warp has lanes enough two of them make a component, 16 lanes apart.
    static constexpr int parts = lanes >= 2 * D ? 2 : 1, own_rows = 32 / parts;

    PARDS_FN void apply_shared(const span<T>& c, bool there) {
        const int part = lane % 32 / own_rows, r = warp * own_rows + lane % own_rows;
        const bool mine = part == 0 && r < D;
        if (mine) state[r] = there && c.carry ? c.carry[r] : 0;
        T *now = state, *next = state + D, *out = c.x + r;
        each(c, there ? c.steps : 0, false, [&](int t, const T* A, const T* b) {
            T sum[4] = {0, 0, 0, 0};
            if (t > 0 || c.carry) {
                const T *of = A + (r < D ? r : 0) * pitch + part * 4, *x = now + part * 4;
#pragma unroll
                for (int k = 0; k < D; k += 4 * parts) {
                    const pack<T, 4> m = *(const pack<T, 4>*)(of + k), v = *(const pack<T, 4>*)(x + k);
#pragma unroll
                    for (int i = 0; i < 4; i++) sum[i] += m.v[i] * v.v[i];
                }
            }
            T y = (sum[0] + sum[1]) + (sum[2] + sum[3]);
            if constexpr (parts > 1) y += __shfl_xor_sync(~0u, y, own_rows);
            if (mine) y += b[r], next[r] = y, *out = y;
            out += c.step_b;
            if constexpr (many > 1) meet(); // else each does
            T* was = now;
            now = next, next = was;
        });
    }
};
