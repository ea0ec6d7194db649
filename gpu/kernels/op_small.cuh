// A full matrix of a few rows, in registers: a run of steps is a map x -> P x + s.
#pragma once
#include "memory.cuh"

template <class T, int D> struct small_dense {
    typedef T real;
    static constexpr int parts = D, numbers = D * D + D;
    struct state {
        T v[D];
    };
    struct map {
        T p[D][D], s[D];
    };

    static PARDS_FN T& part(state& x, int i) { return x.v[i]; }
    static PARDS_FN T& number(map& m, int i) { return i < D * D ? m.p[i / D][i % D] : m.s[i - D * D]; }
    static PARDS_FN map none() {
        map m;
#pragma unroll
        for (int i = 0; i < D; i++) {
#pragma unroll
            for (int k = 0; k < D; k++) m.p[i][k] = i == k ? 1 : 0;
            m.s[i] = 0;
        }
        return m;
    }
    static PARDS_FN map compose(const map& later, const map& earlier) {
        map m;
#pragma unroll
        for (int i = 0; i < D; i++) {
#pragma unroll
            for (int k = 0; k < D; k++) {
                m.p[i][k] = 0;
#pragma unroll
                for (int q = 0; q < D; q++) m.p[i][k] += later.p[i][q] * earlier.p[q][k];
            }
            m.s[i] = later.s[i];
#pragma unroll
            for (int q = 0; q < D; q++) m.s[i] += later.p[i][q] * earlier.s[q];
        }
        return m;
    }
    static PARDS_FN state apply(const map& m, const state& x) {
        state y;
#pragma unroll
        for (int i = 0; i < D; i++) {
            y.v[i] = m.s[i];
#pragma unroll
            for (int q = 0; q < D; q++) y.v[i] += m.p[i][q] * x.v[q];
        }
        return y;
    }
    // one is the map of step t; where A is not read it is zero.
    template <class F> static PARDS_FN map one(F number, int t, bool unread) {
        map m;
#pragma unroll
        for (int i = 0; i < D; i++) {
#pragma unroll
            for (int k = 0; k < D; k++) m.p[i][k] = unread ? 0 : number(t, true, i * D + k);
            m.s[i] = number(t, false, i);
        }
        return m;
    }
    template <class F> static PARDS_FN map then(const map& m, F number, int t, bool unread) { return compose(one(number, t, unread), m); }
    template <class F> static PARDS_FN state step(const state& x, F number, int t, bool unread) { return apply(one(number, t, unread), x); }
};
