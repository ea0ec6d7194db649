// The language of scans and of Langevin chains on the host, for tests: what CUDA has, and the functions of memory.cuh.
#pragma once
#include <cstdio>

#include "fibers.h"

#define PARDS_FN inline
#define __device__
#define __shared__ static
typedef unsigned long long word;

inline void __syncthreads() { emulate::wait(emulate::now->home->all); }
inline int __syncthreads_and(int v) {
    static int all;
    all = 1;
    __syncthreads();
    all &= v != 0;
    __syncthreads();
    v = all;
    __syncthreads();
    return v;
}
inline void __syncwarp(unsigned = ~0u) { emulate::wait(emulate::now->w->b); }
inline void __threadfence() {}
template <class T> T __shfl_up_sync(unsigned, T v, int by) { return emulate::exchange(v, emulate::now->lane - by); }
template <class T> T __shfl_down_sync(unsigned, T v, int by) { return emulate::exchange(v, emulate::now->lane + by); }
template <class T> T __shfl_sync(unsigned, T v, int from) { return emulate::exchange(v, from); }
template <class T> T __shfl_xor_sync(unsigned, T v, int mask) { return emulate::exchange(v, emulate::now->lane ^ mask); }
template <class T> T atomicAdd(T* p, T v) {
    T old = *p;
    *p += v;
    return old;
}

inline void spin() { emulate::yield(); }
inline void load_words(const word* p, word& v, word& w) { v = p[0], w = p[1]; }
inline void store_words(word* p, word v, word w) { p[0] = v, p[1] = w; }
inline word load_word(const word* p) { return *p; }
inline void store_word(word* p, word v) { *p = v; }
inline unsigned load_acquire(const unsigned* p) { return *p; }
inline void add_release(unsigned* p, unsigned v) { *p += v; }
template <int bytes> void copy_async(void* dst, const void* src) { memcpy(dst, src, bytes); }
inline void copy_commit() {}
template <int> void copy_wait() {}
inline char* dynamic_shared() { return (char*)emulate::now->home->dynamic.data(); }

template <class to, class from> to same_bits(from v) {
    to r;
    memcpy(&r, &v, sizeof r);
    return r;
}
inline unsigned __float_as_uint(float v) { return same_bits<unsigned>(v); }
inline float __uint_as_float(unsigned v) { return same_bits<float>(v); }

// Products of a warp, as tensor.cuh has them: every lane sees what the others hold, and of a float 12 of its 24 bits, one more
// than the device has: tests need no room for the last of a rest.
template <class T, int n, int m> struct factors { T a[n], b[m]; };
inline float cut_off(float v) { return __uint_as_float(__float_as_uint(v) & 0xfffff000u); }
inline void tensor_product(float (&c)[4], const float (&a)[4], const float (&b)[2]) {
    const int g = emulate::now->lane / 4, q = emulate::now->lane % 4;
    const auto all = emulate::show(factors<float, 4, 2>{{cut_off(a[0]), cut_off(a[1]), cut_off(a[2]), cut_off(a[3])}, {cut_off(b[0]), cut_off(b[1])}});
    for (int k = 0; k < 8; k++)
        for (int e = 0; e < 4; e++) c[e] += all(4 * g + k % 4).a[k / 4 * 2 + e / 2] * all(4 * (2 * q + e % 2) + k % 4).b[k / 4];
    emulate::wait(emulate::now->w->b);
}
inline void tensor_product(double (&c)[2], const double (&a)[1], const double (&b)[1]) {
    const int g = emulate::now->lane / 4, q = emulate::now->lane % 4;
    const auto all = emulate::show(factors<double, 1, 1>{{a[0]}, {b[0]}});
    for (int k = 0; k < 4; k++)
        for (int e = 0; e < 2; e++) c[e] += all(4 * g + k).a[0] * all(4 * (2 * q + e) + k).b[0];
    emulate::wait(emulate::now->w->b);
}
