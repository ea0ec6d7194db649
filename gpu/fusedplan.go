package gpu

import (
	"encoding/binary"
	"fmt"
	"math"

	"pards/core"
	"pards/core/method"
	"pards/core/num"
)

// The fused solve of kernels/solve.cu: which plans it takes, the variant, and how the work is laid out.
const (
	fusedThreads  = 256  // of a block, on a device
	mostDense     = 8    // dimensions
	mostDiagonal  = 16   // also of permutations
	mostByValue   = 3400 // bytes of weights that travel with the launch
	mostTraceRows = 1 << 22
)

// fusedPlan is a fused solve but for its arrays and the device's size.
type fusedPlan[T num.Float] struct {
	variant
	form[T]
	declared  method.Declaration[T]
	unit      int // bytes of a number of a summary
	resident  int // blocks that a multiprocessor is to hold at least
	summary   int // numbers of a summary
	byValue   bool
	keep      float64 // what A is multiplied by
	traceRows int     // of a sequence
}

// planFused returns the plan of a solve, false where the engine does not take it.
func planFused[T num.Float](p *core.Plan[T], threads int) (fusedPlan[T], bool) {
	d, o := p.Problem.Dim, p.Options
	plan := fusedPlan[T]{declared: method.Declare(p.Name, p.Method), unit: num.Size[T](), keep: 1 - o.Damping}
	structure, derivative, ok := plan.structure(p)
	if !ok || p.Problem.Steps > math.MaxInt32/2 || p.Problem.Batch > math.MaxInt32/2 {
		return plan, false
	}
	if o.Trace {
		plan.traceRows = traceRows(p)
		if plan.traceRows*p.Problem.Batch > mostTraceRows {
			return plan, false
		}
	}
	if plan.form, ok = formOf(p.Given.Name, p.Given.Params, d, p.Problem.Inputs); !ok {
		return plan, false
	}
	numbers := max(len(plan.numbers), len(plan.words))
	bytes := len(plan.numbers)*num.Size[T]() + 8*len(plan.words)
	plan.byValue = bytes <= mostByValue
	plan.resident = residentBlocks(d, plan.unit)
	if !plan.byValue {
		numbers = 0
	}
	plan.variant = variant{"solve.cu", []string{define("REAL", realName(num.Size[T]())), define("DIM", d), define("INPUTS", p.Problem.Inputs),
		define("CELL", plan.solve), define("CELL_FILE", `"`+plan.file+`"`), define("SUMMARY", structure), define("THREADS", threads),
		define("NUMBERS", numbers), define("DERIVATIVE", derivative)}}
	return plan, true
}

// structure returns the type of a chunk's summary and the kind of derivative, see solve.cu; false for a method that the engine lacks.
func (f *fusedPlan[T]) structure(p *core.Plan[T]) (structure string, derivative int, ok bool) {
	d, o := p.Problem.Dim, p.Options
	diagonal := func(n, fixed, derivative int) (string, int, bool) {
		f.summary = n + d
		return fmt.Sprintf("diagonal_summary<real,%d,%d,%d>", d, n, fixed), derivative, d <= mostDiagonal
	}
	switch f.declared.Name {
	case "newton":
		if p.Given.Name == "group_word" && o.Damping == 0 && !o.Clip {
			f.summary, f.unit = 1, 8
			return fmt.Sprintf("permutation_summary<real,%d>", d), 1, true
		}
		f.summary = d*d + d
		return fmt.Sprintf("dense_summary<real,%d>", d), 1, d <= mostDense && !o.Clip
	case "quasi_newton":
		if f.declared.Hutchinson {
			return diagonal(d, 0, 2)
		}
		return diagonal(d, 0, 1)
	case "scaled_identity":
		return diagonal(1, 0, 1)
	case "picard":
		if o.Damping != 0 {
			return diagonal(1, 0, 0)
		}
		return diagonal(0, 1, 0)
	case "jacobi":
		return diagonal(0, 0, 0)
	}
	return "", 0, false
}

// residentBlocks returns how many blocks a multiprocessor is to hold, which bounds the registers of a thread: as many as hardly spill.
func residentBlocks(d, bytes int) int {
	if d <= 2 && bytes == 4 {
		return 2
	}
	return 1
}

// traceRows returns the most rows that the trace of a sequence can have.
func traceRows[T num.Float](p *core.Plan[T]) (rows int) {
	o, steps := p.Options, p.Problem.Steps
	for first := 0; first < steps && rows <= mostTraceRows; first += o.Window {
		rows += 1 + capOf(o, min(o.Window, steps-first))
	}
	return rows
}

// capOf returns the largest number of updates of a window, as the kernel has it.
func capOf(o method.Options, steps int) int {
	switch {
	case o.Cap >= 0:
		return min(o.Cap, math.MaxInt32)
	case !math.IsNaN(o.MeritTol):
		return steps
	}
	return min(steps+1, 1000)
}

// kernel completes the variant: whether iterates lie in shared memory, how many blocks a cluster has, and to how many bytes rows in memory
// are aligned.
func (f *fusedPlan[T]) kernel(resident bool, cluster int, addresses ...uintptr) variant {
	bytes := uintptr(16)
	for _, a := range addresses {
		for a%bytes != 0 {
			bytes /= 2
		}
	}
	v := f.variant
	v.options = append(append([]string(nil), v.options...), define("VECTOR", bytes), define("RESIDENT", b2i(resident)), define("BLOCKS", f.resident),
		define("CLUSTER", cluster))
	return v
}

// layout is how blocks share the sequences: groups of blocks, each thread a chunk of steps.
type layout struct{ groups, blocks, chunk int }

// layOut shares a solve among the blocks that a device holds at once. A window of as many steps as a block has threads is left to one block,
// since a barrier of several costs more; beyond, half the threads have a step: a warp for each scheduler.
func layOut(sequences, window, resident, threads int) layout {
	blocks := 1
	if window > threads {
		blocks = min((window+threads/2-1)/(threads/2), max(resident/sequences, 1))
	}
	return layout{groups: min(sequences, max(resident/blocks, 1)), blocks: blocks, chunk: (window + blocks*threads - 1) / (blocks * threads)}
}

// clusterOf returns how many blocks form a cluster on an architecture: the group, else 1. Clusters lie within parts of a device that differ
// in size, so they are taken where they need half of it at most: then all of them run at once, whatever the device lacks.
func clusterOf(l layout, arch, multiprocessors int) int {
	if arch < 90 || l.blocks > 8 || 2*l.blocks*l.groups > multiprocessors {
		return 1
	}
	return l.blocks
}

// strideOf is stride_of of kernels/solve.cuh.
func strideOf[T num.Float](numbers, row int) int {
	access := 16 / num.Size[T]()
	for row%access != 0 {
		access /= 2
	}
	return ((numbers+access-1)/access | 1) * access
}

// residentBytes is the dynamic shared memory of a block that keeps its steps there.
func (f *fusedPlan[T]) residentBytes(d, m, chunk, threads int) int {
	row := 2*strideOf[T](chunk*d, d) + strideOf[T](d, d)
	if m > 0 {
		row += strideOf[T](chunk*m, m)
	}
	return row * threads * num.Size[T]()
}

// staticBytes bounds the shared memory that the kernel has of its own: shared_block of kernels/solve.cuh.
func (f *fusedPlan[T]) staticBytes(d, threads int) int {
	staged := 8
	if f.recordBytes(d) <= 256 {
		staged = 32
	}
	bytes := staged*f.recordBytes(d) + (threads/32+2)*(3*f.summary*f.unit+7*d*num.Size[T]()) + len(f.numbers)*num.Size[T]() + 8*len(f.words) + 2048
	if 4*d*num.Size[T]() <= 128 {
		bytes += 4 * d * threads * num.Size[T]()
	}
	return bytes
}

// recordBytes is the size of record of kernels/solve.cuh.
func (f *fusedPlan[T]) recordBytes(d int) int {
	bytes := f.summary*f.unit + 4*d*num.Size[T]()
	return (bytes+7)/8*8 + 8 + 16
}

// solveTask is task of kernels/solve.cuh but for the weights, which follow.
type solveTask struct {
	x0, u, guess, states, work, members, signs, weights, records, counters, reports, windows, trace, stop uint64
	x0Stride, uStride, guessStride, traceCapacity                                                         int64
	seed                                                                                                  uint64
	meritTol, rtol, scaleFloor, eps, keep                                                                 float64
	sequences, steps, window, groups, blocks, chunk, cap, policy, clip, probes, fresh, _                  int32
}

// task returns the numbers of a task; its addresses are the caller's.
func (f *fusedPlan[T]) task(p *core.Plan[T], sequences int, l layout) solveTask {
	o, q := p.Options, p.Problem
	t := solveTask{x0Stride: int64(q.X0Stride), uStride: int64(q.UStride), guessStride: int64(q.GuessStride), traceCapacity: int64(f.traceRows),
		seed: o.Seed, meritTol: o.MeritTol, rtol: o.Rtol, scaleFloor: o.Atol / o.Rtol, eps: num.Eps[T](), keep: f.keep,
		sequences: int32(sequences), steps: int32(q.Steps), window: int32(o.Window), groups: int32(l.groups), blocks: int32(l.blocks),
		chunk: int32(l.chunk), cap: int32(min(o.Cap, math.MaxInt32)), clip: int32(b2i(o.Clip)), probes: int32(f.declared.Probes),
		fresh: int32(b2i(f.declared.Fresh))}
	switch o.Nonfinite {
	case method.Continue:
		t.policy = 1
	case method.Reset:
		t.policy = 2
	}
	return t
}

// appendWeights appends those that travel by value.
func (f *fusedPlan[T]) appendWeights(to []byte) []byte {
	if !f.byValue {
		return append(to, make([]byte, 8)...)
	}
	for _, w := range f.words {
		to = binary.LittleEndian.AppendUint64(to, w)
	}
	for _, v := range f.numbers {
		if num.Size[T]() == 4 {
			to = binary.LittleEndian.AppendUint32(to, math.Float32bits(float32(v)))
		} else {
			to = binary.LittleEndian.AppendUint64(to, math.Float64bits(float64(v)))
		}
	}
	for len(to)%8 != 0 {
		to = append(to, 0)
	}
	return to
}

// solveReport is report of kernels/solve.cuh.
type solveReport struct {
	error, merit, residual, update                    float64
	status, iterations, resets, badStep, traceRows, _ int32
}

// result turns a report into the result of a sequence.
func (r solveReport) result(windows []int32, trace []float64) method.Result {
	m := method.Result{Status: method.Status(r.status), Iterations: int(r.iterations), Error: r.error, Merit: r.merit, Residual: r.residual,
		Update: r.update, Resets: int(r.resets), BadStep: int(r.badStep), Windows: make([]int, len(windows))}
	for i, n := range windows {
		m.Windows[i] = int(n)
	}
	for i := 0; i+2 < len(trace) && i < 3*int(r.traceRows); i += 3 {
		m.Trace = append(m.Trace, method.Row{Merit: trace[i], Residual: trace[i+1], Update: trace[i+2]})
	}
	return m
}
