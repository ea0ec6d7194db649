package gpu

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"pards/core/method"
	"pards/core/num"
	"pards/core/param"
)

// wideForm is a cell as kernels/wide.cuh knows it.
type wideForm[T num.Float] struct {
	wideShape
	cell string // its type
	own  []T    // what the state is multiplied by: (gates, units, columns)
	// v = in u + bias is what the inputs decide of a step; in (inputs, drive), bias (drive). Without in, v is the bias of every step, and
	// without a bias, the inputs as they are.
	in, bias []T
	rest     []T // what else a step needs
}

// wideShape is all that a plan depends on, beside the dtype and the device.
type wideShape struct {
	dim, units, columns, gates, drive int
	joined                            bool // components need a word from other units: no cluster
}

// wideOf returns the form of a registered cell of any size, false for one that has none.
func wideOf[T num.Float](name string, v param.Values[T], d, m int) (f wideForm[T], ok bool) {
	f.wideShape = wideShape{dim: d, units: d, columns: d}
	components, flag := 0, false
	switch name {
	case "gru":
		f.gates, f.own, f.rest, flag = 3, v["weight_hh"].Data, v["bias_n"].Data, v["exchanged"].Number != 0
		f.drives(v["weight_ih"].Data, v["bias"].Data, m)
		if flag {
			b := v["bias"].Data
			f.own, f.rest = v["weight_ih"].Data, b[2*d:]
			f.drives(slices.Concat(v["weight_hh"].Data, method.Identity[T](d)), slices.Concat(b[:2*d], v["bias_n"].Data, make([]T, d)), m)
		}
	case "lstm":
		f.gates, f.units, f.columns, f.own = 4, d/2, d/2, v["weight_hh"].Data
		f.drives(v["weight_ih"].Data, v["bias"].Data, m)
	case "elman":
		f.gates, f.own = 1, v["weight_hh"].Data
		f.drives(v["weight_ih"].Data, v["bias"].Data, m)
	case "linear":
		bias := v["bias"].Data
		if bias == nil {
			bias = make([]T, d)
		}
		f.gates, f.own = 1, v["A"].Data
		f.drives(v["B"].Data, bias, m)
	case "group_word":
		f.drive, f.rest = 1, indices(v["permutations"], d)
	case "lorenz96":
		f.joined, f.rest = true, lorenzForm(v, d).flat
	case "langevin":
		x := mixtureOf[T]{v["means"].Data, v["precisions"].Data, len(v["log_weights"].Data), d}
		f.joined, f.gates, f.drive, components, f.own = true, x.k, d, x.k, x.full()
		eps := v["step_size"].Number
		f.rest = slices.Concat(x.means, turnedMeans(x, f.own), v["log_weights"].Data, []T{T(eps), T(math.Sqrt(2 * eps))})
	default:
		return f, false
	}
	f.cell = fmt.Sprintf("%s_wide<real,%d,%d,%t>", name, d, components, flag)
	return f, true
}

// drives sets what the inputs decide of a step, by a matrix (drive, m) or, where there are no inputs, by the bias alone.
func (f *wideForm[T]) drives(in, bias []T, m int) {
	f.drive, f.in, f.bias = len(bias), nil, bias
	if m > 0 {
		f.in = make([]T, len(in))
		for i, w := range in {
			f.in[i%m*f.drive+i/m] = w
		}
	}
}

// indices returns permutations (G, D), given so or as matrices.
func indices[T num.Float](p param.Value[T], d int) (to []T) {
	if len(p.Shape) == 2 {
		return p.Data
	}
	for i, v := range p.Data {
		if v == 1 {
			to = append(to, T(i%d))
		}
	}
	return to
}

// turnedMeans are the products of each precision with its mean.
func turnedMeans[T num.Float](x mixtureOf[T], full []T) []T {
	to := make([]T, x.k*x.d)
	for i := range to {
		sum := 0.0
		for j, m := range x.means[i/x.d*x.d:][:x.d] {
			sum += float64(full[i*x.d+j]) * float64(m)
		}
		to[i] = T(sum)
	}
	return to
}

// widePlan is a variant of kernels/wide.cu.
type widePlan struct {
	variant
	threads, blocks int // blocks: of a sequence
}

// The most threads of a block, blocks of a cluster, and bytes of shared memory that need not be asked for.
const wideThreads, wideBlocks, wideShared = 1024, 8, 48 << 10

// planWide chooses the variant: the fewest blocks whose registers hold the weights, with as many lanes to a unit as are fastest; clusters of
// blocks from architecture 90 on. Weights that do not fit are read at every step, by eight lanes that read 32 bytes or more side by side.
// ok is false where the state does not fit in shared memory.
func planWide[T num.Float](f wideForm[T], arch int) (p widePlan, ok bool) {
	size, best, lanes, held := num.Size[T](), math.Inf(1), 8, 0
	for p.blocks = 1; ; p.blocks *= 2 {
		for l := 1; l <= 32; l *= 2 {
			if threads, cost, fits := f.held(size, p.blocks, l); fits && cost < best {
				best, held, lanes, p.threads = cost, 1, l, threads
			}
		}
		if held == 1 || arch < 90 || f.joined || p.blocks == wideBlocks {
			break
		}
	}
	if held == 0 {
		p.blocks, p.threads = 1, min(wideThreads/2, roundUp(f.units*lanes, 32))
	}
	shared := 2*max(roundUp(f.columns, 16/size*lanes), f.dim+16/size) + p.threads/32*max(f.gates, 1) + 4 // as walker::memory
	if held == 1 {
		shared += 2 * min(16*f.drive, max(f.drive, 2048))
	}
	p.variant = variant{"wide.cu", []string{define("REAL", realName(size)), define("CELL", f.cell), define("DRIVE", f.drive), define("LANES", lanes),
		define("THREADS", p.threads), define("BLOCKS", p.blocks), define("HELD", held)}}
	return p, shared*size <= wideShared
}

// held returns the threads of a block where l lanes have a unit's weights in registers, and the cycles that a step takes by a rough count: the
// products that a scheduler issues, each exchange of sums between lanes, and exponentials. Beside weights a thread has 56 registers, of doubles
// 80.
func (s wideShape) held(bytes, blocks, l int) (threads int, cost float64, fits bool) {
	own := roundUp((s.columns+l-1)/l, 16/bytes) * s.gates * bytes / 4
	threads = roundUp((s.units+blocks-1)/blocks*l, 32)
	if s.gates == 0 {
		threads = min(threads, wideThreads/2) // which have several units each
	}
	other := map[int]int{4: 56, 8: 80}[bytes]
	registers := min(1<<16/roundUp(threads, 128)/8*8, 255) // warps get theirs four at a time
	turns := float64((threads + 127) / 128)
	return threads, turns*float64(own+50) + 30*float64(bits.Len(uint(l))-1), threads <= wideThreads && own+other <= registers
}

func roundUp(n, by int) int { return (n + by - 1) / by * by }

// inputsThreads are those of a block of kernels/inputs.cu; a block has so many steps.
const inputsThreads, inputsSteps = 128, 16

func inputsVariant(bytes int) variant {
	return variant{"inputs.cu", []string{define("REAL", realName(bytes)), define("THREADS", inputsThreads)}}
}

// inputsBlocks is the grid of kernels/inputs.cu.
func inputsBlocks(sequences, steps, drive int) int {
	return sequences * ((steps + inputsSteps - 1) / inputsSteps) * ((drive + inputsThreads - 1) / inputsThreads)
}

// inputsBytes bounds the memory of what the inputs decide ahead of the loop.
const inputsBytes = 64 << 20

// wideTask is loop of kernels/wide.cu, inputsTask is task of kernels/inputs.cu.
type wideTask struct {
	x0, v, weights, rest, states, members, bad, stop uint64
	x0Stride, vSlot, vMember, vStep                  int64
	total, first, steps, _                           int32
}

type inputsTask struct {
	u, weights, bias, v, members uint64
	uStride, vSlot               int64
	m, rows, first, steps        int32
}

// tasks returns the numbers of both for some members; addresses are the caller's, and first and steps, which go on by ahead. The inputs of so
// many sequences decide ahead of the loop, as many steps as there is room for in some bytes; none where v is known.
func (f wideForm[T]) tasks(p *method.Problem[T], members, bytes int) (t wideTask, d inputsTask, sequences, ahead int) {
	t = wideTask{x0Stride: int64(p.X0Stride), total: int32(p.Steps)}
	d = inputsTask{uStride: int64(p.UStride), m: int32(p.Inputs), rows: int32(f.drive)}
	switch {
	case f.in != nil:
		if sequences = members; p.UStride == 0 { // one decides for all
			sequences = 1
		}
		ahead = min(p.Steps, max(bytes/(sequences*f.drive*num.Size[T]()), inputsSteps))
		d.vSlot, t.vStep = int64(ahead*f.drive), int64(f.drive)
		if sequences > 1 {
			t.vSlot = d.vSlot
		}
	case f.bias != nil:
		ahead = p.Steps
	default:
		t.vMember, t.vStep, ahead = int64(p.UStride), int64(p.Inputs), p.Steps
	}
	return t, d, sequences, ahead
}
