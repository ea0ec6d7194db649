// The entry point of one-pass scans, of the variant that the options name:
// PARDS_REAL, PARDS_OP, PARDS_STAGED, PARDS_MATRIX (0, or the dimension of small matrices, which need no PARDS_OP), the sizes PARDS_V,
// PARDS_C, PARDS_J, PARDS_K of scan.cuh, PARDS_RESIDENT, the blocks that a multiprocessor is to hold, and PARDS_SHARED, what the launch
// takes the variant to need.
#include "scan.cuh"
#include "op_diagonal.cuh"
#include "op_identity.cuh"
#include "op_scaled_identity.cuh"
#include "op_small.cuh"

#if PARDS_MATRIX
typedef matrix_scan<small_dense<PARDS_REAL, PARDS_MATRIX>, PARDS_J, PARDS_K> variant;
#elif PARDS_STAGED
typedef staged_scan<PARDS_OP<PARDS_REAL>, PARDS_C, PARDS_J, PARDS_K> variant;
#else
typedef direct_scan<PARDS_OP<PARDS_REAL>, PARDS_V, PARDS_C, PARDS_J, PARDS_K> variant;
static_assert(PARDS_SHARED == variant::bytes, "gpu/scanplan.go and the kernel disagree on memory");
#endif

extern "C" __global__ void __launch_bounds__(variant::threads, PARDS_RESIDENT) scan(scan_args<PARDS_REAL> g) {
    __shared__ variant::shared s;
#if PARDS_STAGED || PARDS_MATRIX
    variant::run(g, s);
#else
    variant::run(g, s, dynamic_shared());
#endif
}
