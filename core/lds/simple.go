package lds

import (
	"pards/core/internal/simd"
	"pards/core/num"
)

// Zero is A = 0: no scan at all.
type Zero[T num.Float] struct{}

// Identity is A = I: a cumulative sum.
type Identity[T num.Float] struct{}

func init() {
	register(Entry{Class: "Zero", Doc: "A[t] = 0: a copy of b."}, Zero[float32]{}, Zero[float64]{})
	register(Entry{Class: "Identity", Doc: "A[t] = I: a cumulative sum."}, Identity[float32]{}, Identity[float64]{})
}

var _ Restrainable[float64] = Zero[float64]{}
var _ Restrainable[float64] = Identity[float64]{}

// Name returns "zero".
func (Zero[T]) Name() string { return "zero" }

// Len returns 0.
func (Zero[T]) Len(int) int { return 0 }

// Shape returns no axes.
func (Zero[T]) Shape(int) []int { return nil }

// Valid accepts all.
func (Zero[T]) Valid([]T, int) string { return "" }

// Growth returns 1.
func (Zero[T]) Growth(int) int { return 1 }

// Apply copies b.
func (Zero[T]) Apply(s Span[T], carry []T) {
	copy(s.X, s.B)
	s.carryOut(carry)
}

// Reduce has nothing to write.
func (Zero[T]) Reduce([]T, Span[T]) {}

// Mul writes zeros.
func (Zero[T]) Mul(dst, _, _ []T, _ int) { clear(dst) }

// Transpose has nothing to write.
func (Zero[T]) Transpose(_, _ []T, _ int) {}

// Dense writes zeros.
func (Zero[T]) Dense(dst, _ []T, _ int) { clear(dst) }

// Clip changes nothing.
func (Zero[T]) Clip([]T, int) {}

// Damped returns Zero.
func (Zero[T]) Damped() Structure[T] { return Zero[T]{} }

// Scale changes nothing.
func (Zero[T]) Scale(_, _ []T, _ T) {}

// Name returns "identity".
func (Identity[T]) Name() string { return "identity" }

// Len returns 0.
func (Identity[T]) Len(int) int { return 0 }

// Shape returns no axes.
func (Identity[T]) Shape(int) []int { return nil }

// Valid accepts all.
func (Identity[T]) Valid([]T, int) string { return "" }

// Growth returns 2.
func (Identity[T]) Growth(int) int { return 2 }

// Apply adds up.
func (Identity[T]) Apply(s Span[T], carry []T) {
	simd.Diagonal(s.X, nil, s.B, s.Ref, carry, s.Steps(), s.Reverse)
}

// Reduce has nothing to write.
func (Identity[T]) Reduce([]T, Span[T]) {}

// Mul copies.
func (Identity[T]) Mul(dst, _, x []T, _ int) { copy(dst, x) }

// Transpose has nothing to write.
func (Identity[T]) Transpose(_, _ []T, _ int) {}

// Dense writes unit matrices.
func (Identity[T]) Dense(dst, _ []T, d int) {
	clear(dst)
	for i := 0; i < len(dst); i += d * d {
		for j := range d {
			dst[i+j*(d+1)] = 1
		}
	}
}

// Clip changes nothing: the identity lies within the bounds.
func (Identity[T]) Clip([]T, int) {}

// Damped returns ScaledIdentity.
func (Identity[T]) Damped() Structure[T] { return ScaledIdentity[T]{} }

// Scale writes k for each step.
func (Identity[T]) Scale(dst, _ []T, k T) {
	for i := range dst {
		dst[i] = k
	}
}
