package core_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pards/core"
	"pards/core/cell"
	"pards/core/num"
	"pards/core/param"
)

// BenchmarkSolve times a GRU, words of permutations and a Langevin chain: nanoseconds of a step of one sequence and one update.
func BenchmarkSolve(b *testing.B) {
	for _, batch := range []int{1, 16} {
		for _, d := range []int{2, 8, 32} {
			for _, m := range []string{"sequential", "newton", "quasi_newton", "picard"} {
				if d == 32 && m == "newton" {
					continue
				}
				b.Run(fmt.Sprintf("gru/B%d/D%d/%s", batch, d, m), func(b *testing.B) { solve(b, gruProblem[float32](d, batch, 3000), m) })
			}
		}
		b.Run(fmt.Sprintf("s5/B%d/D5/sequential", batch), func(b *testing.B) { solve(b, wordProblem[float32](5, batch, 3000), "sequential") })
		for _, m := range []string{"sequential", "quasi_newton", "rotated_quasi_newton"} {
			b.Run(fmt.Sprintf("langevin/B%d/D64/%s", batch, m), func(b *testing.B) { solve(b, langevinProblem[float32](64, batch, 1000), m) })
		}
	}
}

func gruProblem[T num.Float](d, batch, steps int) *core.Problem[T] {
	return gruScaled[T](d, batch, steps, 0.2)
}

// gruScaled has weights of the state of some size.
func gruScaled[T num.Float](d, batch, steps int, size float64) *core.Problem[T] {
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func(scale float64, shape ...int) param.Value[T] {
		n := 1
		for _, k := range shape {
			n *= k
		}
		v := param.Value[T]{Shape: shape, Data: make([]T, n)}
		for i := range v.Data {
			v.Data[i] = T(scale * rng.NormFloat64())
		}
		return v
	}
	values := param.Values[T]{"weight_ih": draw(0.5, 3*d, d), "weight_hh": draw(size, 3*d, d), "bias": draw(0.3, 3*d), "bias_n": draw(0.3, d)}
	c, err := cell.New("gru", values)
	if err != nil {
		panic(err)
	}
	u := draw(1, batch, steps, d)
	return &core.Problem[T]{Cell: c, Name: "gru", Params: values, Batch: batch, Length: steps, X0: core.Host(make([]T, d), d),
		Inputs: core.Host(u.Data, batch, steps, d)}
}

// wordProblem has words of eight permutations.
func wordProblem[T num.Float](d, batch, steps int) *core.Problem[T] {
	const g = 8
	rng := rand.New(rand.NewPCG(5, 6))
	index, u := []T{}, make([]T, batch*steps)
	for range g {
		for _, k := range rng.Perm(d) {
			index = append(index, T(k))
		}
	}
	for i := range u {
		u[i] = T(rng.IntN(g))
	}
	values := param.Values[T]{"permutations": {Shape: []int{g, d}, Data: index}}
	c, err := cell.New("group_word", values)
	if err != nil {
		panic(err)
	}
	return &core.Problem[T]{Cell: c, Name: "group_word", Params: values, Batch: batch, Length: steps, X0: core.Host(make([]T, d), d),
		Inputs: core.Host(u, batch, steps, 1)}
}

// langevinProblem has two wells of one precision each, 2 Z'Z as the paper's.
func langevinProblem[T num.Float](d, batch, steps int) *core.Problem[T] {
	rng := rand.New(rand.NewPCG(3, 4))
	draw := func(n int) []T {
		x := make([]T, n)
		for i := range x {
			x[i] = T(rng.NormFloat64())
		}
		return x
	}
	precisions := make([]T, 2*d*d)
	for k := range 2 {
		z := draw((d + 1) * d)
		for i := range d {
			for j := range d {
				for l := range d + 1 {
					precisions[(k*d+i)*d+j] += 2 * z[l*d+i] * z[l*d+j]
				}
			}
		}
	}
	values := param.Values[T]{"means": {Shape: []int{2, d}, Data: draw(2 * d)}, "precisions": {Shape: []int{2, d, d}, Data: precisions},
		"log_weights": {Shape: []int{2}, Data: make([]T, 2)}, "step_size": {Number: 1e-5}}
	c, err := cell.New("langevin", values)
	if err != nil {
		panic(err)
	}
	return &core.Problem[T]{Cell: c, Name: "langevin", Params: values, Batch: batch, Length: steps, X0: core.Host(make([]T, d), d),
		Inputs: core.Host(draw(batch*steps*d), batch, steps, d)}
}

func solve[T num.Float](b *testing.B, p *core.Problem[T], method string) {
	o := core.Defaults[T]()
	o.Method, o.MaxIterations = method, 4
	out := core.Host(make([]T, p.Batch*p.Length*p.Cell.Dim()))
	for range b.N {
		if _, err := core.Solve(core.CPU[T]{}, p, &o, out); err != nil {
			b.Fatal(err)
		}
	}
	updates := 1
	if method != "sequential" {
		updates = 5
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*p.Length*p.Batch*updates), "ns/step")
}

// BenchmarkFixed times solves with next to nothing to do, T = 10 and D = 2: what a solve costs beside its steps.
func BenchmarkFixed(b *testing.B) {
	for _, m := range []string{"sequential", "newton"} {
		b.Run(m, func(b *testing.B) {
			b.ReportAllocs()
			solve(b, gruProblem[float64](2, 1, 10), m)
		})
	}
}
