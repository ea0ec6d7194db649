package gpu

// The tables of sizes, as measured by benchmarks/gpu/scan.py on an H200. They are data: a row that is wrong is slow, not false.

// onePass is a variant of kernels/scan.cu, in the letters of scan.cuh.
type onePass struct {
	staged     bool
	v, c, j, k int
	resident   int // blocks that a multiprocessor is to hold
}

// stagedPolicy is by the dimension; only these lie in one piece that is worth taking through shared memory. float32, then float64.
var stagedPolicy = [2]map[int]onePass{
	{
		1: {true, 1, 1, 256, 16, 3},
		2: {true, 1, 2, 128, 16, 2},
		4: {true, 1, 4, 64, 16, 2},
	},
	{
		1: {true, 1, 1, 256, 8, 2},
		2: {true, 1, 2, 128, 8, 2},
	},
}

// matrixPolicy is by the dimension of matrices that fit in registers; float32, then float64. c and v are 1.
var matrixPolicy = [2]map[int]onePass{
	{
		2: {false, 1, 1, 64, 16, 8},
		3: {false, 1, 1, 128, 4, 4},
		4: {false, 1, 1, 64, 8, 4},
	},
	{
		2: {false, 1, 1, 128, 4, 3},
		3: {false, 1, 1, 128, 3, 2},
		4: {false, 1, 1, 128, 2, 2},
	},
}

// directPolicy is by how many words of 4 bytes a thread moves at once; v and c follow from the dimension, j counts all threads.
var directPolicy = [2]map[int]onePass{
	{
		2: {j: 256, k: 16, resident: 2},
		1: {j: 256, k: 16, resident: 3},
	},
	{
		2: {j: 256, k: 16, resident: 2},
	},
}

// leveled is a variant of kernels/levels.cu.
type leveled struct {
	most            int // for dimensions up to this
	block, resident int
	// Microseconds that a team takes a step, when it sums up and when it runs through: what the cut of time is chosen by.
	reduce, apply float64
}

// densePolicy is by dimension; float32, then float64.
var densePolicy = [2][]leveled{
	{
		{2, 128, 3, 0.06, 0.05},
		{4, 128, 5, 0.08, 0.06},
		{8, 128, 4, 0.12, 0.07},
		{16, 128, 3, 0.3, 0.09},
		{32, 64, 6, 2, 0.3},
		{64, 128, 4, 4, 0.5},
	},
	{
		{2, 128, 2, 0.07, 0.06},
		{4, 128, 4, 0.1, 0.07},
		{8, 128, 3, 0.2, 0.1},
		{16, 128, 2, 0.7, 0.15},
		{32, 64, 2, 2.5, 0.2},
		{64, 128, 2, 5, 0.4},
	},
}

// tensored is a variant of kernels/levels.cu by op_tensor_dense.cuh, in its letters.
type tensored struct {
	leveled
	high, stages, many int
}

// tensorPolicy is by dimension, for float32 whose rows come in eights.
var tensorPolicy = []tensored{
	{leveled{8, 256, 2, 0.1, 0.07}, 1, 4, 8},
	{leveled{16, 256, 2, 0.2, 0.08}, 1, 4, 2},
	{leveled{32, 192, 2, 0.6, 0.15}, 2, 3, 1},
	{leveled{48, 96, 4, 0.9, 0.25}, 1, 3, 1},
	{leveled{56, 128, 2, 1.1, 0.3}, 1, 4, 1},
	{leveled{64, 128, 2, 1.1, 0.3}, 1, 5, 1},
}

// Permutations and matrices too large for shared memory are right, not fast.
var (
	permutationPolicy = leveled{0, 128, 4, 1, 0.5}
	largePolicy       = leveled{0, 256, 1, 0, 1}
)
