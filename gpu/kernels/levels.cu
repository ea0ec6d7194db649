// The entry point of scans in levels, of the variant that the options name: PARDS_REAL, PARDS_OP, PARDS_DIM, PARDS_BLOCK (threads),
// PARDS_ALIGNED (matrices begin at multiples of 16 bytes), PARDS_RESIDENT (blocks that a multiprocessor is to hold), PARDS_SHARED and
// PARDS_TEAM (what the launch takes the variant to need); of matrices that the tensor cores multiply also what tensor_dense wants.
#include "op_block_diagonal.cuh"
#include "op_dense.cuh"
#include "op_large.cuh"
#include "op_permutation.cuh"
#include "op_tensor_dense.cuh"

#ifdef PARDS_STAGES
typedef tensor_dense<PARDS_DIM, PARDS_BLOCK, PARDS_HIGH, PARDS_STAGES, PARDS_MANY> variant;
#else
typedef PARDS_OP<PARDS_REAL, PARDS_DIM, PARDS_BLOCK, PARDS_ALIGNED> variant;
#endif

extern "C" __global__ void __launch_bounds__(PARDS_BLOCK, PARDS_RESIDENT) scan(level_args<PARDS_REAL> g) {
    run_levels<variant>(g, dynamic_shared());
}

// The launch is planned without the compiler, in gpu/scanplan.go.
static_assert(PARDS_SHARED == variant::bytes && PARDS_TEAM == variant::team, "gpu/scanplan.go and the kernel disagree on memory or teams");
