// Threads working together: a warp, a block, a group of blocks. On the host the same calls go to gpu/kernels/host/emulate.cuh.
#pragma once
#include "portable.cuh"

#ifdef PARDS_DEVICE

#include "cluster.cuh"

#define PARDS_CONSTANT_PARAMETER __grid_constant__
#define PARDS_SHARED(type, name) __shared__ type name

template <class T>
PARDS_FN T* dynamic_shared() {
    extern __shared__ __align__(16) unsigned char dynamic_memory[];
    return reinterpret_cast<T*>(dynamic_memory);
}

constexpr unsigned whole_warp = 0xffffffffu;

template <class T>
PARDS_FN T from_below(T v, int by) { return __shfl_up_sync(whole_warp, v, by); }
template <class T>
PARDS_FN T from_lane(T v, int lane) { return __shfl_sync(whole_warp, v, lane); }
template <class T>
PARDS_FN T from_other(T v, int mask) { return __shfl_xor_sync(whole_warp, v, mask); }

// The largest of non-negative numbers, NaN if any is: their bits are ordered as they are, with NaN on top.
PARDS_FN float warp_largest(float v) { return __uint_as_float(__reduce_max_sync(whole_warp, __float_as_uint(v))); }
PARDS_FN int warp_least(int v) { return __reduce_min_sync(whole_warp, v); }
PARDS_FN void lower(int* p, int v) { atomicMin(p, v); }

PARDS_FN void block_barrier() { __syncthreads(); }
PARDS_FN void warp_barrier() { __syncwarp(); }

// One number copied to shared memory while the thread goes on; copies are closed together, and waited for but those closed last.
template <class T>
PARDS_FN void copy_behind(T* shared, const T* from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"((unsigned)__cvta_generic_to_shared(shared)), "l"(from), "n"(sizeof(T)) : "memory");
}
PARDS_FN void close_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
PARDS_FN void wait_copies_but_last() { asm volatile("cp.async.wait_group 1;" ::: "memory"); }

// Every block of the group has come: what they wrote before is seen after. The counter only grows; turn counts the barriers passed. A group
// that is a cluster has a barrier in hardware.
template <int cluster>
PARDS_FN void group_barrier(unsigned* counter, unsigned blocks, unsigned& turn) {
#if __CUDA_ARCH__ >= 900
    if constexpr (cluster > 1) {
        cluster_barrier<cluster>();
        return;
    }
#endif
    __syncthreads();
    turn += blocks;
    if (threadIdx.x == 0 && blocks > 1) {
        __threadfence();
        atomicAdd(counter, 1u);
        unsigned seen;
        do {
            asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
        } while (int(seen - turn) < 0);
        __threadfence();
    }
    __syncthreads();
}

// The last block to leave sets both counters to zero again, for the next launch.
PARDS_FN void leave(unsigned* counters, unsigned groups) {
    __syncthreads();
    if (threadIdx.x != 0) return;
    __threadfence();
    if (atomicAdd(counters + groups, 1u) != gridDim.x - 1) return;
    for (unsigned g = 0; g <= groups; g++) counters[g] = 0;
}

#else
#include "host/emulate.cuh"
#endif

PARDS_FN double warp_largest(double v) {
    PARDS_UNROLL
    for (int by = 16; by; by >>= 1) v = largest(v, from_other(v, by));
    return v;
}

template <class T>
PARDS_FN T warp_sum(T v) { // in the order of a butterfly: the same bits in every lane
    PARDS_UNROLL
    for (int by = 16; by; by >>= 1) v += from_other(v, by);
    return v;
}
