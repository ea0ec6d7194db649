// Blocks of a cluster: a barrier of all their threads, and stores to each other's shared memory. Of one block it is the block's own.
#pragma once
#include "portable.cuh"

// Clusters are of architecture 90 and later; for others the source compiles, and is not launched.
#if __CUDA_ARCH__ >= 900
#define PARDS_CLUSTER_OF(blocks) __cluster_dims__(blocks, 1, 1)
#else
#define PARDS_CLUSTER_OF(blocks)
#endif

template <int blocks>
PARDS_FN void cluster_barrier() {
#if __CUDA_ARCH__ >= 900
    if constexpr (blocks > 1) {
        asm volatile("barrier.cluster.arrive.release.aligned;\n barrier.cluster.wait.acquire.aligned;" ::: "memory");
        return;
    }
#endif
    __syncthreads();
}

// Stores to where p is in the shared memory of a block of the cluster; it is seen after the cluster's next barrier.
template <int blocks, class T>
PARDS_FN void store_to(int block, T* p, T v) {
#if __CUDA_ARCH__ >= 900
    if constexpr (blocks > 1) {
        unsigned there;
        asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"((unsigned)__cvta_generic_to_shared(p)), "r"(block));
        if constexpr (sizeof(T) == 4) asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(there), "f"((float)v) : "memory");
        else asm volatile("st.shared::cluster.f64 [%0], %1;" ::"r"(there), "d"((double)v) : "memory");
        return;
    }
#endif
    *p = v;
}
