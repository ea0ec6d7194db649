package core_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pards/core"
	"pards/core/cell"
	"pards/core/param"
)

// langevin32 is the paper's Langevin problem at D = 32.
func langevin32(b *testing.B, batch, steps int) *core.Problem[float32] {
	const d = 32
	rng := rand.New(rand.NewPCG(1, 1))
	normal := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		return x
	}
	means, precisions := make([]float32, 2*d), make([]float32, 2*d*d)
	for i := range d {
		means[i] = 1
	}
	for k := range 2 {
		z := normal((d + 1) * d)
		for i := range d {
			for j := range d {
				for m := range d + 1 {
					precisions[(k*d+i)*d+j] += 2 * z[m*d+i] * z[m*d+j]
				}
			}
		}
	}
	c, err := cell.New("langevin", param.Values[float32]{"means": {Shape: []int{2, d}, Data: means}, "precisions": {Shape: []int{2, d, d}, Data: precisions},
		"log_weights": {Shape: []int{2}, Data: []float32{0, 0}}, "step_size": {Number: 1e-5}})
	if err != nil {
		b.Fatal(err)
	}
	return &core.Problem[float32]{Cell: c, Batch: batch, Length: steps, X0: core.Array[float32]{Data: make([]float32, d), Shape: []int{d}},
		Inputs: core.Array[float32]{Data: normal(batch * steps * d), Shape: []int{batch, steps, d}},
		Guess:  core.Array[float32]{Data: normal(steps * d), Shape: []int{steps, d}}}
}

func BenchmarkLangevin(b *testing.B) {
	for _, batch := range []int{1, 16} {
		for _, m := range []string{"sequential", "newton", "rotated_quasi_newton"} {
			b.Run(fmt.Sprintf("%s/B%d", m, batch), func(b *testing.B) {
				p := langevin32(b, batch, 2000)
				states := make([]float32, batch*p.Length*p.Cell.Dim())
				o := core.Defaults[float32]()
				o.Method, o.MeritTol = m, 5e-4
				b.ReportAllocs()
				for b.Loop() {
					if _, err := core.Solve(core.CPU[float32]{}, p, &o, states); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
