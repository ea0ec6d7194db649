// y[i] = x[index[i]], whole numbers held in a T. A run of steps is y[i] = x[p[i]] + s[i]: compositions of indices are exact.
//
// A team has a thread for each component, up to a block of them, which then take several each.
#pragma once
#include "levels.cuh"

template <class T, int lanes, int block, bool> struct permutation {
    typedef T real;
    static constexpr int team = lanes, teams = block / lanes, bytes = 0;
    static PARDS_FN int length(int d) { return d; }

    int lane, d;
    PARDS_FN permutation(int tid, char*, int d) : lane(tid % lanes), d(d) {}

    static PARDS_FN void meet() {
        if constexpr (lanes > 32) __syncthreads();
        else __syncwarp();
    }

    // reduce goes backwards in time: what component i of the end comes from is one number, and i needs no other.
    PARDS_FN void reduce(const span<T>& c, bool there, int) {
        for (int i = lane; there && i < d; i += lanes) {
            int p = i;
            T s = 0;
            for (int t = c.steps - 1; t >= 0; t--) {
                s += c.b[t * c.step_b + p];
                if (t > 0 || c.carry || !c.first) p = (int)c.a[t * c.step_a + p];
            }
            c.p[i] = p, c.s[i] = s;
        }
    }

    PARDS_FN void apply(const span<T>& c, bool there, int most) {
        const T* before = c.carry;
        for (int t = 0; t < most; t++) {
            if (there && t < c.steps)
                for (int i = lane; i < d; i += lanes) {
                    const long long at = t * c.step_b + i;
                    c.x[at] = c.b[at] + (before ? before[(int)c.a[t * c.step_a + i]] : 0);
                }
            meet();
            before = c.x + t * c.step_b;
        }
    }
};
