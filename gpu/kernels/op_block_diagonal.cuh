// Blocks along the diagonal: each is a dense recurrence of its own, beside the others in a row (level_args.units).
#pragma once
#include "op_dense.cuh"

template <class T, int D, int block, bool aligned> using block_diagonal = dense<T, D, block, aligned>;
