// A full matrix of any D: a block runs through a whole sequence, warps share the rows. There is no summing up: it would take D
// products for each of the plain loop, and D rows fill a block without it.
#pragma once
#include "levels.cuh"

template <class T, int, int block, bool> struct large {
    typedef T real;
    static constexpr int team = block, teams = 1, bytes = 0;
    static PARDS_FN int length(int d) { return d * d; }

    int tid, d;
    PARDS_FN large(int tid, char*, int d) : tid(tid), d(d) {}

    PARDS_FN void reduce(const span<T>&, bool, int) {}

    PARDS_FN void apply(const span<T>& c, bool there, int most) {
        const T* before = c.carry;
        for (int t = 0; t < most; t++) {
            const bool work = there && t < c.steps;
            for (int i = tid / 32; i < d; i += block / 32) {
                T sum = 0;
                if (work && before) {
                    const T* row = c.a + t * c.step_a + (long long)i * d;
                    for (int k = tid % 32; k < d; k += 32) sum += row[k] * before[k];
                }
                for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(~0u, sum, by);
                if (work && tid % 32 == 0) c.x[t * c.step_b + i] = sum + c.b[t * c.step_b + i];
            }
            __syncthreads();
            before = c.x + t * c.step_b;
        }
    }
};
