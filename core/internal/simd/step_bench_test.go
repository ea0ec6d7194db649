package simd

import "testing"

// BenchmarkStep times what a step of sixteen GRUs (D = M = 8, float32) is made of, each by itself and in the cache, and a product that is
// bound by multiplications alone: what no loop can be faster than.
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
	run("peak", 2*wide*wide*64, func() { Mix(large, large, large, nil, 64, wide, wide, wide) })
}
