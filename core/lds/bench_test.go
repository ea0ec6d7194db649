package lds_test

import (
	"fmt"
	"testing"

	"pards/core/internal/par"
	"pards/core/lds"
)

// BenchmarkDiagonal times a scan of diagonal matrices; MB/s count what is read and written once.
func BenchmarkDiagonal(b *testing.B) {
	for _, d := range []int{8, 32, 64, 256} {
		b.Run(fmt.Sprintf("D%d", d), func(b *testing.B) {
			steps := 1 << 20 / d
			a, in, out := make([]float32, steps*d), make([]float32, steps*d), make([]float32, steps*d)
			for i := range a {
				a[i], in[i] = 0.5, 1
			}
			w := par.New(1, nil)
			b.SetBytes(int64(12 * steps * d))
			for range b.N {
				lds.Scan[float32](w, lds.Diagonal[float32]{}, a, in, nil, out, 1, steps, d, false)
			}
		})
	}
}
