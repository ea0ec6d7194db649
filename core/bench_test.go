package core_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pards/core"
	"pards/core/cell"
	"pards/core/param"
)

// langevin draws the paper's Langevin problem.
func langevin(b *testing.B, d, batch, steps int) *core.Problem[float32] {
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
	for _, d := range []int{32, 64} {
		b.Run(fmt.Sprintf("D%d", d), func(b *testing.B) {
			for _, m := range []string{"sequential", "newton", "rotated_quasi_newton"} {
				benchmark(b, m, func(b *testing.B, batch, steps int) *core.Problem[float32] { return langevin(b, d, batch, steps) })
			}
		})
	}
}

func BenchmarkGRU(b *testing.B) {
	for _, m := range []string{"sequential", "newton", "quasi_newton"} {
		benchmark(b, m, gru8)
	}
}

func benchmark(b *testing.B, name string, draw func(b *testing.B, batch, steps int) *core.Problem[float32]) {
	for _, batch := range []int{1, 16} {
		b.Run(fmt.Sprintf("%s/B%d", name, batch), func(b *testing.B) {
			p := draw(b, batch, 2000)
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

// BenchmarkTiny is what a call costs that has next to nothing to do.
func BenchmarkTiny(b *testing.B) {
	for _, name := range []string{"sequential", "newton"} {
		b.Run(name, func(b *testing.B) {
			c, err := cell.New("linear", param.Values[float64]{"A": {Shape: []int{2, 2}, Data: []float64{0.5, 0, 0, 0.5}}, "B": {Shape: []int{2, 2}, Data: []float64{1, 0, 0, 1}}})
			if err != nil {
				b.Fatal(err)
			}
			p := &core.Problem[float64]{Cell: c, Batch: 1, Length: 10, X0: core.Array[float64]{Data: make([]float64, 2), Shape: []int{2}},
				Inputs: core.Array[float64]{Data: make([]float64, 20), Shape: []int{10, 2}}}
			states := make([]float64, 20)
			o := core.Defaults[float64]()
			o.Method = name
			b.ReportAllocs()
			for b.Loop() {
				if _, err := core.Solve(core.CPU[float64]{}, p, &o, core.Host(states)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
