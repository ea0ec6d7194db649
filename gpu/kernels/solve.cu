// One kernel that solves: all iterations, tests and windows of a batch, without the host.
//
// A group of blocks owns a sequence, and takes further ones in turn; groups know nothing of each other. Each thread owns a chunk of
// consecutive steps. An iteration is one walk through the chunk: the thread makes the rows of the new iterate from those of the old one
// and what comes into the chunk, evaluates f and A along them, and composes what the chunk will do to what comes in next (P, e). Lanes,
// warps and blocks compose theirs; after one barrier of the group every block folds the summaries and the statistics of all blocks in
// the same order, and so takes the same decision.
//
// The iterate's row at the end of a chunk is made from what the fold says comes out of the chunk, by its owner and by the next thread
// alike: both hold the same bits. Iterate k lies in states where k is odd and in work where k is even.
//
// The semantics are those of core/method/iterate.go and estimate.go: accept, test, the estimate and what is reported.
//
// PARDS_REAL, PARDS_DIM, PARDS_INPUTS: real, D, M. PARDS_CELL: the cell's type. PARDS_SUMMARY: the structure's. PARDS_THREADS: of a block.
// PARDS_NUMBERS: how many of the cell's numbers travel as a parameter, 0 for none. PARDS_VECTOR: bytes to which all rows are aligned.
// PARDS_BLOCKS: of a multiprocessor at least. PARDS_RESIDENT: 1 where iterates and inputs lie in shared memory, see solve.cuh; its size is the launch's.
// PARDS_DERIVATIVE: 0 none (A is constant), 1 the cell's, 2 Hutchinson's estimate of the diagonal.
// PARDS_CLUSTER: blocks of a group where it is launched as a cluster, else 1.
#include "solve.cuh"

extern "C" __global__ void PARDS_CLUSTER_OF(PARDS_CLUSTER) __launch_bounds__(PARDS_THREADS, PARDS_BLOCKS) solve(const PARDS_CONSTANT_PARAMETER task t) {
    PARDS_SHARED(shared_block, shared);
    solver<PARDS_CELL, PARDS_SUMMARY, PARDS_DERIVATIVE == 2> s(t, shared);
    PARDS_LOOP
    for (int i = blockIdx.x / t.blocks; i < t.members_count; i += t.groups) s.sequence(i);
    if (t.blocks > 1 && PARDS_CLUSTER == 1) leave(t.counters, t.groups);
}
