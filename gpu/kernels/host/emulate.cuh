// The language of fused solves on the host, for tests: the functions of group.cuh.
#pragma once
#include <algorithm>

#include "fibers.h"

#define PARDS_CONSTANT_PARAMETER
#define PARDS_SHARED(type, name) type& name = *static_cast<type*>(emulate::shared(sizeof(type)))
using std::max;
using std::min;

inline double __longlong_as_double(long long v) {
    double d;
    std::memcpy(&d, &v, 8);
    return d;
}

template <class T>
T* dynamic_shared() { return reinterpret_cast<T*>(emulate::now->home->dynamic.data()); }

template <class T>
T from_below(T v, int by) {
    return emulate::exchange(v, emulate::now->lane - by);
}
template <class T>
T from_lane(T v, int lane) { return emulate::exchange(v, lane); }
template <class T>
T from_other(T v, int mask) { return emulate::exchange(v, emulate::now->lane ^ mask); }
inline float warp_largest(float v) {
    for (int by = 16; by; by >>= 1) v = largest(v, from_other(v, by));
    return v;
}
inline int warp_least(int v) {
    for (int by = 16; by; by >>= 1) v = min(v, from_other(v, by));
    return v;
}
inline void lower(int* p, int v) { *p = min(*p, v); }
inline void block_barrier() { emulate::wait(emulate::now->home->all); }
inline void warp_barrier() { emulate::wait(emulate::now->w->b); }

// Blocks of a cluster lie side by side, and run together.
#define PARDS_CLUSTER_OF(blocks)
template <int blocks>
emulate::group* of_cluster(int block) { return emulate::now->home + block - int(blockIdx.x % blocks); }
template <int blocks>
void cluster_barrier() {
    block_barrier();
    if (blocks == 1) return;
    if (threadIdx.x == 0) {
        of_cluster<blocks>(0)->joint.size = blocks;
        emulate::wait(of_cluster<blocks>(0)->joint);
    }
    block_barrier();
}
template <int blocks, class T>
void store_to(int block, T* p, T v) {
    auto from = reinterpret_cast<char*>(emulate::now->home->fixed.data()), to = reinterpret_cast<char*>(of_cluster<blocks>(block)->fixed.data());
    *reinterpret_cast<T*>(to + (reinterpret_cast<char*>(p) - from)) = v;
}

template <int>
void group_barrier(unsigned* counter, unsigned blocks, unsigned& turn) {
    block_barrier();
    turn += blocks;
    if (threadIdx.x == 0 && blocks > 1) {
        ++*counter;
        while (int(*counter - turn) < 0) emulate::yield();
    }
    block_barrier();
}

inline void leave(unsigned* counters, unsigned groups) {
    if (threadIdx.x == 0 && ++counters[groups] == gridDim.x) std::fill(counters, counters + groups + 1, 0u);
}

template <class T>
void copy_behind(T* shared, const T* from) { *shared = *from; }
inline void close_copies() {}
inline void wait_copies_but_last() {}
