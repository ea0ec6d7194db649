package simd

import (
	"fmt"
	"testing"
)

// BenchmarkStep times what a step of sixteen GRUs (D = M = 8, float32) or Langevin chains (two wells) is made of, each by itself and in the
// cache, and a product that is bound by multiplications alone: what no loop can be faster than.
func BenchmarkStep(b *testing.B) {
	const d, lanes, wide = 8, 16, 256
	x, y, h, gates, bias := make([]float32, d*lanes), make([]float32, d*lanes), make([]float32, d*lanes), make([]float32, 3*d*lanes), make([]float32, 3*d)
	w, large := make([]float32, 3*d*d), make([]float32, wide*wide)
	for i := range x {
		x[i] = float32(i%5-2) / 4
	}
	for i := range w {
		w[i] = float32(i%7-3) / 8
	}
	run := func(name string, flops int, f func()) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f()
			}
			if flops > 0 {
				b.ReportMetric(float64(flops)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "Gflop/s")
			}
		})
	}
	run("products", 2*6*d*d*lanes, func() {
		Mix(gates, w, x, bias, 3*d, d, lanes, lanes)
		Mix(gates, w, x, nil, 2*d, d, lanes, lanes)
		Mix(h, w, x, bias, d, d, lanes, lanes)
	})
	run("activations", 0, func() {
		clear(gates)
		GRU(y, gates, h, x, nil, d*lanes)
	})
	for _, D := range []int{32, 64} {
		const wells = 2
		p, x, diff, h, logs := make([]float32, wells*D*D), make([]float32, D*lanes), make([]float32, D*lanes), make([]float32, wells*D*lanes), make([]float32, wells*lanes)
		means, zero, rows := make([]float32, D), make([]float32, D), make([]float32, lanes*D)
		name := fmt.Sprintf("langevin%d/", D)
		run(name+"products", 2*wells*D*D*lanes, func() {
			for k := range wells {
				Mix(h[k*D*lanes:], p[k*D*D:], diff, zero, D, D, lanes, lanes)
			}
		})
		run(name+"offsets", 0, func() {
			for range wells {
				SubRows(diff, means, x, D, lanes, lanes)
			}
		})
		run(name+"squares", 0, func() {
			for k := range wells {
				DotRows(logs[k*lanes:], h[k*D*lanes:], diff, D, lanes, lanes)
			}
		})
		run(name+"mixture", 0, func() {
			clear(logs)
			Mixture(x, nil, logs, x, diff, h, 0, 0, wells, D, lanes, lanes)
		})
		run(name+"turns", 0, func() {
			Transpose(diff, rows, lanes, D, lanes, D)
			Transpose(rows, diff, D, lanes, D, lanes)
		})
	}
	run("peak", 2*wide*wide*64, func() { Mix(large, large, large, nil, 64, wide, wide, wide) })
}

// BenchmarkChain times, a step, loops of float32 in which each step waits for the one before, in the cache, and what makes up such a step, each
// waiting for itself: what one chain alone cannot be faster than.
func BenchmarkChain(b *testing.B) {
	const steps, d, words = 512, 8, 120
	run := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*steps), "ns/step")
		})
	}
	each := func(f func()) func() {
		return func() {
			for range steps {
				f()
			}
		}
	}
	x, w := make([]float32, d), make([]float32, 3*d*d)
	run("gru/sigmoid", each(func() { Sigmoid(x) }))
	run("gru/tanh", each(func() { Tanh(x) }))
	run("gru/product", each(func() { Mix(x, x, w, nil, 1, d, d, d) }))
	y, gates, own := make([]float32, (steps+2)*d), make([]float32, 3*steps*d), make([]float32, d)
	run("gru/step", func() { GRUSteps(y, gates, w, own, y, d, steps, false) })

	const wells = 2
	for _, D := range []int{32, 64} {
		p, at, h := make([]float32, wells*D*D), make([]float32, D), make([]float32, D)
		run(fmt.Sprintf("langevin%d/products", D), each(func() {
			for k := range wells {
				Mix(h, at, p[k*D*D:], nil, 1, D, D, D)
			}
		}))
		c := &Wells[float32]{D: D, Logs: make([]float32, wells), Means: make([]float32, wells*D), Precisions: p}
		y, u, room := make([]float32, steps*D), make([]float32, steps*D), make([]float32, MixtureRoom(c))
		run(fmt.Sprintf("langevin%d/step", D), func() { MixtureSteps(y, u, at, c, nil, 1e-5, 1e-3, steps, room) })
	}
	weights := make([]float32, wells)
	run("langevin/exp", each(func() { Exp(weights) }))

	index, u, states := make([]int32, words*PermuteWidth), make([]float32, steps), make([]float32, 5*steps+PermuteWidth)
	run("s5/step", func() { Permute(states, (*[PermuteWidth]float32)(x), u, index, 5) })

	for _, D := range []int{1, 2, 4, 8} {
		a, v, states, carry := make([]float32, D*D*steps), make([]float32, D*steps), make([]float32, D*steps), make([]float32, D)
		run(fmt.Sprintf("diagonal%d/step", D), func() {
			if Prefix(states, a[:D*steps], v, carry, steps, false) == 0 {
				Diagonal(states, a[:D*steps], v, nil, carry, steps, false)
			}
		})
		if of[float32]().denseTwo != nil && (D == 2 || D == 4) {
			run(fmt.Sprintf("dense%d/step", D), func() {
				for n := steps; n > 0; n -= DenseSmall(states[(steps-n)*D:], a[(steps-n)*D*D:], v[(steps-n)*D:], nil, carry, n, false) {
				}
			})
		}
		if HasDense[float32](D) {
			run(fmt.Sprintf("dense%d/step", D), func() { Dense(states, a, v, nil, carry, steps, false) })
		}
	}
}
