// The language of scans and of Langevin chains on the host, for tests: what CUDA has, and the functions of memory.cuh.
#pragma once
#include <cstdio>

#include "fibers.h"

#define PARDS_FN inline
#define __device__
#define __shared__ static
typedef unsigned long long word;

inline void __syncthreads() { emulate::wait(emulate::now->home->all); }
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
template <int bytes> void copy_async(void* dst, const void* src) { memcpy(dst, src, bytes); }
inline void copy_commit() {}
template <int> void copy_wait() {}
inline char* dynamic_shared() { return (char*)emulate::now->home->dynamic.data(); }
