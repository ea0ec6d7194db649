package lds_test

import (
	"fmt"
	"testing"

	"pards/core/internal/par"
	"pards/core/lds"
	"pards/core/num"
)

// BenchmarkDiagonal times a scan of diagonal matrices; MB/s count what is read and written once.
func BenchmarkDiagonal(b *testing.B) {
	for _, d := range []int{1, 2, 4, 8, 16, 32, 64, 256} {
		b.Run(fmt.Sprintf("D%d", d), func(b *testing.B) {
			steps := 1 << 20 / d // below what is cut into chunks
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

// BenchmarkReduce times the products of diagonals.
func BenchmarkReduce(b *testing.B) {
	for _, d := range []int{1, 2, 8, 32} {
		b.Run(fmt.Sprintf("D%d", d), func(b *testing.B) {
			a, p := make([]float32, 1<<14*d), make([]float32, d)
			for i := range a {
				a[i] = 1
			}
			b.SetBytes(int64(4 * len(a)))
			for range b.N {
				lds.Diagonal[float32]{}.Reduce(p, lds.Span[float32]{D: d, A: a, B: a, X: a})
			}
		})
	}
}

// BenchmarkDense times a scan of full matrices, in memory and in cache.
func BenchmarkDense(b *testing.B) {
	b.Run("float32", benchmarkDense[float32])
	b.Run("float64", benchmarkDense[float64])
}

func benchmarkDense[T num.Float](b *testing.B) {
	for _, numbers := range []int{1 << 22, 1 << 15} {
		for _, d := range []int{2, 3, 4, 5, 8, 11, 16, 32, 64} {
			b.Run(fmt.Sprintf("%dk/D%d", numbers>>10, d), func(b *testing.B) {
				steps := numbers / (d * d)
				a, in, out := make([]T, steps*d*d), make([]T, steps*d), make([]T, steps*d)
				for i := range a {
					a[i] = T(i%7-3) / T(4*d)
				}
				for i := range in {
					in[i] = T(i%5) - 2
				}
				w := par.New(1, nil)
				b.SetBytes(int64(num.Size[T]() * (len(a) + 2*len(in))))
				for range b.N {
					lds.Scan[T](w, lds.Dense[T]{}, a, in, nil, out, 1, steps, d, false)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*steps), "ns/step")
			})
		}
	}
}
