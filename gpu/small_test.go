//go:build cuda

package gpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pards/core"
	"pards/core/cell/celltest"
	"pards/core/lds"
	"pards/core/lds/ldstest"
	"pards/core/method/methodtest"
	"pards/core/num"
)

// A little of every family of kernels: what tools that slow a kernel down a hundred times have the time for (benchmarks/gpu/run sanitize).
func TestSmall(t *testing.T) {
	needDevice(t)
	t.Run("float32", small[float32])
	t.Run("float64", small[float64])
}

func small[T num.Float](t *testing.T) {
	smallScans[T](t)
	device := openBackend[T](t)
	solve := func(what string, p *core.Problem[T], change func(o *core.Options[T])) {
		o := core.Defaults[T]()
		change(&o)
		what = fmt.Sprintf("%s %s", what, o.Method)
		g, c, got, want := both[T](t, what, device, p, &o)
		compare(t, what, g, c, got, want)
	}
	for _, e := range celltest.Examples {
		for _, name := range []string{"newton", "quasi_newton", "sequential"} {
			p := methodtest.Problem[T](t, e, 2, 40)
			solve(e.Cell, p, func(o *core.Options[T]) { o.Method, o.Window, o.Trace = name, 30, true })
		}
	}
	eight := methodtest.Problem[T](t, gru8, 2, 600) // several blocks for a sequence
	solve("gru", eight, func(o *core.Options[T]) { o.Method = "newton" })
	for _, d := range []int{33, 136} { // weights held by a block, and of a GRU by a cluster
		for _, e := range wideExamples(d, 3) {
			p := methodtest.Problem[T](t, e, 2, 40)
			solve(fmt.Sprintf("%s/%s D=%d", e.Cell, e.Name, d), p, func(o *core.Options[T]) { o.Method = "sequential" })
		}
	}
	chain := mixtureProblem[T](t, 16, 2, 2, 150, 1e-4, true)
	for _, name := range []string{"rotated_quasi_newton", "jacobi", "sequential"} {
		solve("langevin", chain, func(o *core.Options[T]) { o.Method, o.MaxIterations = name, 3 })
	}
}

// smallScans runs every structure both ways, over a few tiles.
func smallScans[T num.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for _, name := range lds.Names() {
		for _, d := range []int{2, 8, 33} {
			s, _ := lds.ByName[T]("test", name)
			if blocks, ok := s.(lds.BlockDiagonal[T]); ok {
				if blocks.Size = 2; d%2 > 0 {
					continue
				}
				s = blocks
			}
			const batch, steps = 2, 700
			a, b, out := ldstest.Matrices(rng, s, batch*steps, d), make([]T, batch*steps*d), make([]T, batch*steps*d)
			for i := range b {
				b[i] = T(rng.NormFloat64())
			}
			for _, reverse := range []bool{false, true} {
				if err := onDevice(s, a, b, b[:batch*d], out, batch, steps, d, reverse); err != nil {
					t.Fatal(err)
				}
				want, top := ldstest.Loop(s, a[:steps*s.Len(d)], b[:steps*d], b[:d], steps, d, reverse), 1.0
				for i, v := range want {
					top = max(top, v, -v)
					if off := float64(out[i]) - v; !(max(off, -off) <= num.Eps[T]()*float64(d+2)*steps*top) { // as in ldstest
						t.Fatalf("%s D=%d reverse=%v: off by %.2g at %d", name, d, reverse, off, i)
					}
				}
			}
		}
	}
}
