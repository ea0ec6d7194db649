// A = diag(a): each component is a sequence of its own, and a run of steps is a map x -> a x + b.
#pragma once
#include "memory.cuh"

template <class T> struct diagonal {
    typedef T real;
    typedef T state;
    static constexpr int parts = 1;       // numbers of a state
    static constexpr int reads = 1;       // numbers of A a component and step
    static constexpr bool shared = false; // all components read the same number
    static constexpr int numbers = 2;     // that make up a map

    struct map {
        T a, b;
    };
    static PARDS_FN T& part(T& x, int) { return x; }
    static PARDS_FN map none() { return {1, 0}; }
    // then returns the map of one more step.
    static PARDS_FN map then(map m, T a, T b) { return {a * m.a, a * m.b + b}; }
    static PARDS_FN map compose(map later, map earlier) { return {later.a * earlier.a, later.a * earlier.b + later.b}; }
    static PARDS_FN T apply(map m, T x) { return m.a * x + m.b; }
    static PARDS_FN T step(T a, T x, T b) { return a * x + b; }
    static PARDS_FN T& number(map& m, int i) { return i ? m.b : m.a; }
};
