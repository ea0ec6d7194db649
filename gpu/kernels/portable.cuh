// What the kernels need of the language, on the device and, for tests, in plain C++.
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define PARDS_DEVICE 1
#define PARDS_FN __device__ __forceinline__
#else
#include <cmath>
#include <cstring>
#define PARDS_FN inline
#endif

#ifdef PARDS_DEVICE
#define PARDS_UNROLL _Pragma("unroll")
#define PARDS_LOOP _Pragma("unroll 1")
#define PARDS_FOURS _Pragma("unroll 4")
#else
#define PARDS_UNROLL
#define PARDS_LOOP
#define PARDS_FOURS
#endif

template <class real>
PARDS_FN bool is_finite(real v) { return v - v == real(0); }

template <class real>
PARDS_FN real absolute(real v) { return v < real(0) ? -v : v; }

// The larger of two numbers, and NaN if either is.
template <class real>
PARDS_FN real largest(real a, real b) { return a > b || a != a ? a : b; }

template <class real>
PARDS_FN real smallest(real a, real b) { return a < b || a != a ? a : b; }

#ifdef PARDS_DEVICE
template <>
PARDS_FN float absolute(float v) { return __uint_as_float(__float_as_uint(v) & 0x7fffffffu); }
template <>
PARDS_FN float largest(float a, float b) {
    float m;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(m) : "f"(a), "f"(b));
    return m;
}
template <>
PARDS_FN float smallest(float a, float b) {
    float m;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(m) : "f"(a), "f"(b));
    return m;
}
#endif

// Vectors of weights are kept in pieces of 16 bytes.
template <class real>
PARDS_FN constexpr int padded(int n) { return (n * int(sizeof(real)) + 15) / 16 * 16 / int(sizeof(real)); }

// N numbers of a padded vector in shared memory. Weights are read again and again: registers hold the states, and constants come one at a time.
template <int N>
PARDS_FN void take(float* to, const float* shared) {
#ifdef PARDS_DEVICE
    unsigned from = (unsigned)__cvta_generic_to_shared(shared);
    PARDS_UNROLL
    for (int i = 0; i < N; i += 4) {
        float a, b, c, d;
        asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(a), "=f"(b), "=f"(c), "=f"(d) : "r"(from + 4 * i));
        to[i] = a;
        if (i + 1 < N) to[i + 1] = b;
        if (i + 2 < N) to[i + 2] = c;
        if (i + 3 < N) to[i + 3] = d;
    }
#else
    for (int i = 0; i < N; i++) to[i] = shared[i];
#endif
}
template <int N>
PARDS_FN void take(double* to, const double* shared) {
#ifdef PARDS_DEVICE
    unsigned from = (unsigned)__cvta_generic_to_shared(shared);
    PARDS_UNROLL
    for (int i = 0; i < N; i += 2) {
        double a, b;
        asm volatile("ld.shared.v2.f64 {%0, %1}, [%2];" : "=d"(a), "=d"(b) : "r"(from + 8 * i));
        to[i] = a;
        if (i + 1 < N) to[i + 1] = b;
    }
#else
    for (int i = 0; i < N; i++) to[i] = shared[i];
#endif
}

#if defined(PARDS_DEVICE) && PARDS_NUMBERS > 0 && PARDS_DIM < 8
// Weights that came with the launch, read from the constant bank: as operands of products they cost shared memory nothing. Those that are
// read twice in a step would be kept in registers in between, which are short where D = 8.
template <int N>
PARDS_FN void take_given(float* to, const float* parameter) {
    PARDS_UNROLL
    for (int i = 0; i < N; i++) asm volatile("ld.param.f32 %0, [%1];" : "=f"(to[i]) : "l"(parameter + i));
}
template <int N>
PARDS_FN void take_given(double* to, const double* parameter) {
    PARDS_UNROLL
    for (int i = 0; i < N; i++) asm volatile("ld.param.f64 %0, [%1];" : "=d"(to[i]) : "l"(parameter + i));
}
#else
template <int N, class real>
PARDS_FN void take_given(real* to, const real* from) { take<N>(to, from); }
#endif

// y += W x, W being kept as C padded columns of R numbers.
template <int R, int C, class real>
PARDS_FN void add_columns(real* y, const real* W, const real* x) {
    PARDS_UNROLL
    for (int j = 0; j < C; j++) {
        real w[R];
        take<R>(w, W + j * padded<real>(R));
        PARDS_UNROLL
        for (int i = 0; i < R; i++) y[i] += w[i] * x[j];
    }
}

// The same, of weights that came with the launch.
template <int R, int C, class real>
PARDS_FN void add_given_columns(real* y, const real* W, const real* x) {
    PARDS_UNROLL
    for (int j = 0; j < C; j++) {
        real w[R];
        take_given<R>(w, W + j * padded<real>(R));
        PARDS_UNROLL
        for (int i = 0; i < R; i++) y[i] += w[i] * x[j];
    }
}

// y += A x, A being row-major, in registers.
template <int R, int C, class real>
PARDS_FN void add_product(real* y, const real* A, const real* x) {
    PARDS_UNROLL
    for (int j = 0; j < C; j++) {
        PARDS_UNROLL
        for (int i = 0; i < R; i++) y[i] += A[i * C + j] * x[j];
    }
}
