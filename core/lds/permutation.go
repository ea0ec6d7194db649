package lds

import (
	"fmt"

	"pards/core/num"
)

// Permutation is y[i] = x[index[i]], D indices a step, each a whole number held in a T (exact up to num.MaxInteger).
type Permutation[T num.Float] struct{}

func init() {
	register(Entry{Class: "Permutation", Array: "index", Axes: 1, Whole: true,
		Doc: "Permutations y[i] = x[index[i]], index (..., T, D) integers, which have no say in the dtype of the result."},
		Permutation[float32]{}, Permutation[float64]{})
}

var _ Structure[float64] = Permutation[float64]{}

// Name returns "permutation".
func (Permutation[T]) Name() string { return "permutation" }

// Len returns d.
func (Permutation[T]) Len(d int) int { return d }

// Shape returns (d,).
func (Permutation[T]) Shape(d int) []int { return []int{d} }

// Valid wants each row to hold every index once.
func (Permutation[T]) Valid(a []T, d int) string {
	if d > num.MaxInteger[T]() {
		return fmt.Sprintf("has D = %d, want at most %d: indices travel as %s", d, num.MaxInteger[T](), num.Name[T]())
	}
	seen := make([]int, d)
	for i, v := range a {
		row := i/d + 1
		if !(v >= 0 && v < T(d)) || v != T(int(v)) {
			return fmt.Sprintf("holds %v, want whole numbers from 0 to D - 1 = %d", v, d-1)
		}
		if seen[int(v)] == row {
			return fmt.Sprintf("has a row that holds %d twice, want each index once", int(v))
		}
		seen[int(v)] = row
	}
	return ""
}

// Growth returns 3.
func (Permutation[T]) Growth(int) int { return 3 }

// Apply gathers.
func (Permutation[T]) Apply(s Span[T], carry []T) {
	d := s.D
	t, step := s.order()
	for range s.Steps() {
		index, b, x := s.A[t*d:(t+1)*d], s.B[t*d:(t+1)*d], s.X[t*d:(t+1)*d]
		for i := range x {
			x[i] = carry[int(index[i])] + b[i]
		}
		next(carry, x, s.Ref, t*d)
		t += step
	}
}

// Reduce composes.
func (Permutation[T]) Reduce(p []T, s Span[T]) {
	d := s.D
	t, step := s.order()
	copy(p, s.A[t*d:(t+1)*d])
	next := make([]T, d)
	for range s.Steps() - 1 {
		t += step
		Permutation[T]{}.Mul(next, s.A[t*d:(t+1)*d], p, d)
		copy(p, next)
	}
}

// Mul gathers row by row.
func (Permutation[T]) Mul(dst, a, x []T, d int) {
	for i, v := range a {
		dst[i] = x[i/d*d+int(v)]
	}
}

// Transpose inverts.
func (Permutation[T]) Transpose(dst, a []T, d int) {
	for i, v := range a {
		dst[i/d*d+int(v)] = T(i % d)
	}
}

// Dense writes full matrices.
func (Permutation[T]) Dense(dst, a []T, d int) {
	clear(dst)
	for i, v := range a {
		dst[i*d+int(v)] = 1
	}
}
