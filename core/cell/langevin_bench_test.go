package cell_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pards/core/cell"
	"pards/core/num"
	"pards/core/param"
)

// BenchmarkLangevin times a step of a chain of the paper's problem, precisions 2 Z'Z with Z (D+1, D) standard normal and wells at 1 and 0, and
// of one whose wells are so close that all of them have weight: alone, sixteen side by side, and what an iteration evaluates along it.
func BenchmarkLangevin(b *testing.B) {
	for _, d := range []int{32, 64, 128} {
		b.Run(fmt.Sprintf("float32/D=%d", d), func(b *testing.B) { langevins[float32](b, d) })
		b.Run(fmt.Sprintf("float64/D=%d", d), func(b *testing.B) { langevins[float64](b, d) })
	}
}

func langevins[T num.Float](b *testing.B, d int) {
	const steps, team = 512, 16
	for _, apart := range []float64{1, 0.01} {
		c := wells[T](b, 2, d, apart, 1e-5)
		u, y, start := normal[T](rand.New(rand.NewPCG(7, 8)), team*steps*d), make([]T, team*steps*d), make([]T, team*d)
		run := func(name string, per int, f func()) {
			b.Run(fmt.Sprintf("apart=%g/%s", apart, name), func(b *testing.B) {
				for b.Loop() {
					f()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*per), "ns/step")
			})
		}
		scratch := &cell.Arena[T]{}
		block := cell.Block[T]{N: steps, X: start, U: u[:steps*d], Y: y[:steps*d], Scratch: scratch}
		run("alone", steps, func() { c.(cell.Runner[T]).Run(block) })
		run("sixteen", team*steps, func() {
			clear(start)
			c.(cell.Teamed[T]).Together(cell.Team[T]{N: team, Steps: steps, X: start, U: u, Y: y, UPitch: steps * d, YPitch: steps * d, Scratch: scratch})
		})
		clear(start)
		c.(cell.Runner[T]).Run(block)
		block.X, block.Y = append(make([]T, d), y[:(steps-1)*d]...), make([]T, steps*d)
		q, out := make([]T, d*d), make([]T, steps*d)
		for i := range d {
			q[i*d+i] = 1
		}
		rotated := c.(cell.Rotator[T]).Rotate(q)
		for name, f := range map[string]func() error{
			"step": func() error { return c.Step(block) }, "rotated": func() error { return rotated(block, out) },
			"diagonal": func() error { return c.Diagonal(block, out) }, "jvp": func() error { return c.JVP(block, out, block.X) }} {
			run(name, steps, func() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// wells makes a mixture as in the paper's problem: centres at multiples of apart in every component.
func wells[T num.Float](t testing.TB, k, d int, apart, eps float64) cell.Cell[T] {
	rng := rand.New(rand.NewPCG(5, 6))
	means, P, logs := make([]T, k*d), make([]T, k*d*d), make([]T, k)
	for i := range means {
		means[i] = T(apart * float64(i/d))
	}
	z := make([]float64, (d+1)*d)
	for w := range k {
		for i := range z {
			z[i] = rng.NormFloat64()
		}
		for i := range d {
			for j := range d {
				sum := 0.0
				for r := range d + 1 {
					sum += z[r*d+i] * z[r*d+j]
				}
				P[(w*d+i)*d+j] = T(2 * sum)
			}
		}
		logs[w] = T(-math.Log(float64(k)))
	}
	c, err := cell.New("langevin", param.Values[T]{"means": {Shape: []int{k, d}, Data: means}, "precisions": {Shape: []int{k, d, d}, Data: P},
		"log_weights": {Shape: []int{k}, Data: logs}, "step_size": {Number: eps}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
