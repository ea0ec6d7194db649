// A full matrix of D numbers a row, D up to 64 known when compiled.
//
// A team of threads, at least one for each row, works on a chunk; the steps come through a ring in shared memory, some on their way while
// one is worked on. Summing up goes backwards in time: s += P b, P = P A. So each row of P is a recurrence of its own, and threads share
// nothing but A. Beyond 16 rows P is in shared memory, and each thread makes parts of some rows; beyond 32 a team is four warps.
#pragma once
#include "levels.cuh"

template <class T, int D, int block, bool aligned> struct dense {
    typedef T real;
    static constexpr bool wide = D > 32; // a team is a block
    static constexpr int lanes = D <= 2 ? 2 : D <= 4 ? 4 : D <= 8 ? 8 : D <= 16 ? 16 : D <= 32 ? 32 : 128;
    static constexpr int team = lanes, teams = block / lanes;
    static constexpr int V = D % pack_most<T> == 0 && aligned ? pack_most<T> : D % 2 == 0 && sizeof(T) == 4 && aligned ? 2 : 1; // numbers moved at once
    static constexpr int stride = D + (D >= 8 ? (V > 1 ? V : 1 - D % 2) : 0); // of rows in shared memory: rows in different banks
    static constexpr int many = D <= 2 ? 8 : D <= 4 ? 4 : D <= 8 ? 2 : 1;                                      // steps of a stage
    static constexpr int stages = D <= 16 ? 4 : D <= 32 ? 3 : 2;
    static constexpr int one = (D * stride + pack_most<T> - 1) / pack_most<T> * pack_most<T>, vec = (D + pack_most<T> - 1) / pack_most<T> * pack_most<T>;
    static constexpr int stage = many * (one + vec);
    static constexpr bool in_registers = D <= 16; // the row of P
    static constexpr int kept = in_registers ? 0 : (wide ? 64 : 32) * D;
    static constexpr int numbers = stages * stage + kept + 2 * vec; // of shared memory, a team
    static constexpr int bytes = numbers * teams * sizeof(T);

    static PARDS_FN int length(int) { return D * D; }

    T *ring, *P, *state;
    int lane;

    PARDS_FN dense(int tid, char* memory, int) {
        lane = tid % lanes;
        ring = (T*)memory + tid / lanes * numbers;
        P = ring + stages * stage;
        state = P + kept;
    }

    static PARDS_FN void meet() {
        if constexpr (wide) __syncthreads();
        else __syncwarp();
    }

    // fetch begins to copy the steps of a stage; steps beyond the chunk are left out. back: the last step of the chunk comes first.
    PARDS_FN void fetch(const span<T>& c, bool there, int number, bool back) {
        if (there) {
            T* to = ring + number % stages * stage;
#pragma unroll
            for (int m = 0; m < many; m++) {
                const int t = number * many + m;
                if (t >= c.steps) break;
                const long long at = back ? c.steps - 1 - t : t;
                const T *a = c.a + at * c.step_a, *b = c.b + at * c.step_b;
#pragma unroll 4
                for (int e = lane * V; e < D * D; e += lanes * V) copy_async<V * sizeof(T)>(to + m * (one + vec) + e / D * stride + e % D, a + e);
#pragma unroll
                for (int e = lane * V; e < D; e += lanes * V) copy_async<V * sizeof(T)>(to + m * (one + vec) + one + e, b + e);
            }
        }
        copy_commit();
    }

    // each calls f(t, A, b) for the steps of a chunk; `most` steps for every team.
    template <class F> PARDS_FN void each(const span<T>& c, bool there, int most, bool back, F f) {
        const int count = (most + many - 1) / many;
#pragma unroll
        for (int i = 0; i < stages - 1; i++) fetch(c, there, i, back);
        for (int i = 0; i < count; i++) {
            copy_wait<stages - 2>();
            meet();
            fetch(c, there, i + stages - 1, back); // overwrites what was used a round ago
            const T* from = ring + i % stages * stage;
#pragma unroll 1
            for (int m = 0; m < many; m++) f(i * many + m, from + m * (one + vec), from + m * (one + vec) + one);
        }
        copy_wait<0>();
        meet();
    }

    // row adds p times a row of n numbers to sum.
    template <int n> static PARDS_FN void add(T (&sum)[n], T p, const T* row) {
        if constexpr (V == pack_most<T> && n % V == 0) {
#pragma unroll
            for (int i = 0; i < n; i += V) {
                const pack<T, V> r = *(const pack<T, V>*)(row + i);
#pragma unroll
                for (int v = 0; v < V; v++) sum[i + v] += p * r.v[v];
            }
        } else {
#pragma unroll
            for (int i = 0; i < n; i++) sum[i] += p * row[i];
        }
    }

    PARDS_FN void reduce(const span<T>& c, bool there, int most) {
        if constexpr (in_registers) reduce_registers(c, there, most);
        else reduce_shared(c, there, most);
    }

    PARDS_FN void reduce_registers(const span<T>& c, bool there, int most) {
        T p[D], s = 0;
        const bool mine = there && lane < D;
#pragma unroll
        for (int k = 0; k < D; k++) p[k] = k == lane ? 1 : 0;
        each(c, there, most, true, [&](int t, const T* A, const T* b) {
            if (!mine || t >= c.steps) return;
            T sum[D];
#pragma unroll
            for (int k = 0; k < D; k++) sum[k] = 0, s += p[k] * b[k];
            if (t == c.steps - 1 && !c.carry && c.first) {
#pragma unroll
                for (int k = 0; k < D; k++) p[k] = 0;
                return;
            }
#pragma unroll
            for (int k = 0; k < D; k++) add(sum, p[k], A + k * stride);
#pragma unroll
            for (int k = 0; k < D; k++) p[k] = sum[k];
        });
        if (!mine) return;
#pragma unroll
        for (int k = 0; k < D; k++) c.p[lane * D + k] = p[k];
        c.s[lane] = s;
    }

    // Larger P stand in shared memory, as P[k][row]. A thread makes 4 by 8 of the numbers of P A, so that it reads 12 for 32 products: 4
    // rows, and twice 4 columns, which lie half of the columns apart so that threads side by side read side by side.
    static constexpr int height = wide ? 64 : 32, across = height / 8, half = height / 2; // across: threads to a row

    static PARDS_FN void four(T (&to)[4], const T* from) {
        constexpr int most = pack_most<T>;
#pragma unroll
        for (int i = 0; i < 4; i += most) {
            const pack<T, most> r = *(const pack<T, most>*)(from + i);
#pragma unroll
            for (int v = 0; v < most; v++) to[i + v] = r.v[v];
        }
    }
    static PARDS_FN void four_columns(T (&to)[4], const T* row, int column) {
        if constexpr (V == pack_most<T> && D % 4 == 0) {
            if (column < D) return four(to, row + column);
#pragma unroll
            for (int i = 0; i < 4; i++) to[i] = 0;
        } else {
#pragma unroll
            for (int i = 0; i < 4; i++) to[i] = column + i < D ? row[column + i] : 0;
        }
    }

    // product adds P A to sum, and the thread's share of P b to s.
    PARDS_FN void product(T (&sum)[2][4][4], T (&s)[4], const T* A, const T* b, bool unread) {
        const int row = lane / across * 4, column = lane % across * 4;
        for (int k = lane % across; k < D; k += across) {
            T p[4];
            four(p, P + k * height + row);
#pragma unroll
            for (int r = 0; r < 4; r++) s[r] += p[r] * b[k];
        }
        if (unread) return;
#pragma unroll 4
        for (int k = 0; k < D; k++) {
            T p[4], a[2][4];
            four(p, P + k * height + row);
#pragma unroll
            for (int h = 0; h < 2; h++) four_columns(a[h], A + k * stride, column + h * half);
#pragma unroll
            for (int h = 0; h < 2; h++)
#pragma unroll
                for (int r = 0; r < 4; r++)
#pragma unroll
                    for (int i = 0; i < 4; i++) sum[h][r][i] += p[r] * a[h][i];
        }
    }

    PARDS_FN void reduce_shared(const span<T>& c, bool there, int most) {
        const int row = lane / across * 4, column = lane % across * 4;
        T s[4] = {0, 0, 0, 0};
        meet(); // others may still read P of the chunk before
        for (int e = lane; e < D * height; e += lanes) P[e] = e / height == e % height ? 1 : 0;
        each(c, there, most, true, [&](int t, const T* A, const T* b) {
            const bool work = there && t < c.steps;
            T sum[2][4][4] = {};
            if (work) product(sum, s, A, b, t == c.steps - 1 && !c.carry && c.first);
            meet();
            if (work) {
#pragma unroll
                for (int h = 0; h < 2; h++)
#pragma unroll
                    for (int i = 0; i < 4; i++)
                        if (column + h * half + i < D)
#pragma unroll
                            for (int r = 0; r < 4; r += pack_most<T>) {
                                pack<T, pack_most<T>> w;
#pragma unroll
                                for (int v = 0; v < pack_most<T>; v++) w.v[v] = sum[h][r + v][i];
                                *(pack<T, pack_most<T>>*)(P + (column + h * half + i) * height + row + r) = w;
                            }
            }
            meet();
        });
#pragma unroll
        for (int by = across / 2; by > 0; by /= 2)
#pragma unroll
            for (int r = 0; r < 4; r++) s[r] += __shfl_xor_sync(~0u, s[r], by);
        if (!there) return;
#pragma unroll
        for (int r = 0; r < 4; r++) {
            if (row + r >= D) continue;
            for (int k = 0; k < 8; k++) {
                const int at = column + k / 4 * half + k % 4;
                if (at < D) c.p[(row + r) * D + at] = P[at * height + row + r];
            }
            if (column == 0) c.s[row + r] = s[r];
        }
    }

    PARDS_FN void apply(const span<T>& c, bool there, int most) {
        if (lane < D) state[lane] = there && c.carry ? c.carry[lane] : 0;
        T* now = state;
        T* next = state + vec;
        meet();
        each(c, there, most, false, [&](int t, const T* A, const T* b) {
            if (there && t < c.steps && lane < D) {
                T sum[4] = {b[lane], 0, 0, 0};
                if (t > 0 || c.carry) {
                    const T* row = A + lane * stride;
                    if constexpr (V > 1) {
#pragma unroll
                        for (int k = 0; k < D; k += V) {
                            const pack<T, V> r = *(const pack<T, V>*)(row + k), x = *(const pack<T, V>*)(now + k);
#pragma unroll
                            for (int v = 0; v < V; v++) sum[v] += r.v[v] * x.v[v];
                        }
                    } else {
#pragma unroll
                        for (int k = 0; k < D; k++) sum[k % 4] += row[k] * now[k];
                    }
                }
                const T x = (sum[0] + sum[1]) + (sum[2] + sum[3]);
                next[lane] = x;
                c.x[t * c.step_b + lane] = x;
            }
            meet();
            T* was = now;
            now = next, next = was;
        });
    }
};
