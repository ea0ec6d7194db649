// A = I: a cumulative sum; a run of steps is a map x -> x + b.
#pragma once
#include "memory.cuh"

template <class T> struct identity {
    typedef T real;
    typedef T state;
    static constexpr int parts = 1;
    static constexpr int reads = 0;
    static constexpr bool shared = false;
    static constexpr int numbers = 1;

    struct map {
        T b;
    };
    static PARDS_FN T& part(T& x, int) { return x; }
    static PARDS_FN map none() { return {0}; }
    static PARDS_FN map then(map m, T, T b) { return {m.b + b}; }
    static PARDS_FN map compose(map later, map earlier) { return {earlier.b + later.b}; }
    static PARDS_FN T apply(map m, T x) { return x + m.b; }
    static PARDS_FN T step(T, T x, T b) { return x + b; }
    static PARDS_FN T& number(map& m, int) { return m.b; }
};
