// A full matrix of D numbers a row, D up to 64 known when compiled.
//
// A team of threads, one for each row, works on a chunk; the steps come through a ring in shared memory, some on their way while one is
// worked on. Summing up goes backwards in time: s += P b, P = P A. So each row of P is a recurrence of its own, and threads share
// nothing but A. For D > 32 the team is two warps, each with all rows and half of the columns: they exchange P at each step.
#pragma once
#include "levels.cuh"

template <class T, int D, int block, bool aligned> struct dense {
    typedef T real;
    static constexpr bool wide = D > 32;            // a team is a block of 64
    static constexpr int lanes = D <= 2 ? 2 : D <= 4 ? 4 : D <= 8 ? 8 : D <= 16 ? 16 : D <= 32 ? 32 : 64;
    static constexpr int team = lanes, teams = block / lanes;
    static constexpr int V = D % pack_most<T> == 0 && aligned ? pack_most<T> : D % 2 == 0 && sizeof(T) == 4 && aligned ? 2 : 1; // numbers moved at once
    static constexpr int stride = D + (D >= 8 ? (V > 1 ? V : 1 - D % 2) : 0); // of rows in shared memory: rows in different banks
    static constexpr int many = D <= 2 ? 8 : D <= 4 ? 4 : D <= 8 ? 2 : 1;                                      // steps of a stage
    static constexpr int stages = D <= 16 ? 4 : D <= 32 ? 3 : 2;
    static constexpr int one = (D * stride + pack_most<T> - 1) / pack_most<T> * pack_most<T>, vec = (D + pack_most<T> - 1) / pack_most<T> * pack_most<T>;
    static constexpr int stage = many * (one + vec);
    static constexpr bool in_registers = D <= 16; // the row of P
    static constexpr int rows = wide ? 2 : 1, columns = wide ? ((D + 1) / 2 + 3) / 4 * 4 : D; // of P, a thread's
    static constexpr int kept = in_registers ? 0 : 32 * rows * D;
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

    // P stands in shared memory as P[k][row], so that threads side by side read side by side.
    PARDS_FN void reduce_shared(const span<T>& c, bool there, int most) {
        constexpr int height = 32 * rows;
        const int row = lane % 32, from = wide ? lane / 32 * columns : 0;
        T s[rows];
#pragma unroll
        for (int r = 0; r < rows; r++) s[r] = 0;
        if constexpr (wide) meet(); // the other warp may still read P of the chunk before
        for (int k = wide ? lane / 32 : 0; k < D; k += wide ? 2 : 1)
#pragma unroll
            for (int r = 0; r < rows; r++) P[k * height + row + 32 * r] = k == row + 32 * r ? 1 : 0;
        meet();
        each(c, there, most, true, [&](int t, const T* A, const T* b) {
            const bool work = there && t < c.steps;
            const bool unread = t == c.steps - 1 && !c.carry && c.first;
            T sum[rows][columns];
#pragma unroll
            for (int r = 0; r < rows; r++)
#pragma unroll
                for (int i = 0; i < columns; i++) sum[r][i] = 0;
            if (work) {
#pragma unroll (V == pack_most<T> ? 4 : 1)
                for (int k = 0; k < D; k++) {
#pragma unroll
                    for (int r = 0; r < rows; r++) {
                        const T p = P[k * height + row + 32 * r];
                        s[r] += p * b[k];
                        if (!unread) add(sum[r], p, A + k * stride + from);
                    }
                }
            }
            if constexpr (wide) meet();
            if (work) {
#pragma unroll
                for (int r = 0; r < rows; r++)
#pragma unroll
                    for (int i = 0; i < columns; i++)
                        if (!wide || from + i < D) P[(from + i) * height + row + 32 * r] = sum[r][i];
            }
            if constexpr (wide) meet();
        });
        if (!there) return;
#pragma unroll
        for (int r = 0; r < rows; r++) {
            const int i = row + 32 * r;
            if (i >= D) continue;
            for (int k = 0; k < columns && from + k < D; k++) c.p[i * D + from + k] = P[(from + k) * height + i];
            if (from == 0) c.s[i] = s[r];
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
