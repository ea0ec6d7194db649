package core_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pards/core"
	"pards/core/cell"
	"pards/core/param"
)

// BenchmarkGRU times whole solves, to the paper's tolerance.
func BenchmarkGRU(b *testing.B) {
	for _, name := range []string{"sequential", "newton", "quasi_newton"} {
		for _, batch := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/B%d", name, batch), func(b *testing.B) {
				p := gru8(b, batch, 2000)
				states := make([]float32, batch*p.Length*p.Cell.Dim())
				o := core.Defaults[float32]()
				o.Method, o.MeritTol = name, 5e-4
				b.ReportAllocs()
				for b.Loop() {
					if _, err := core.Solve(core.CPU[float32]{}, p, &o, core.Host(states)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// gru8 is the paper's GRU at D = 8.
func gru8(b *testing.B, batch, steps int) *core.Problem[float32] {
	const d = 8
	rng := rand.New(rand.NewPCG(1, 1))
	uniform := func(shape ...int) param.Value[float32] {
		n := 1
		for _, k := range shape {
			n *= k
		}
		x := make([]float32, n)
		for i := range x {
			x[i] = float32((2*rng.Float64() - 1) * 0.35)
		}
		return param.Value[float32]{Shape: shape, Data: x}
	}
	c, err := cell.New("gru", param.Values[float32]{"weight_ih": uniform(3*d, d), "weight_hh": uniform(3*d, d), "bias": uniform(3 * d), "bias_n": uniform(d)})
	if err != nil {
		b.Fatal(err)
	}
	return &core.Problem[float32]{Cell: c, Batch: batch, Length: steps, X0: core.Array[float32]{Data: make([]float32, d), Shape: []int{d}},
		Inputs: core.Array[float32]{Data: uniform(batch * steps * d).Data, Shape: []int{batch, steps, d}}}
}
