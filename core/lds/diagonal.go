package lds

import "pards/core/num"

// Diagonal is A = diag(a), D numbers a step.
type Diagonal[T num.Float] struct{}

// ScaledIdentity is A = a I, one number a step.
type ScaledIdentity[T num.Float] struct{}

func init() {
	register(Entry{Class: "Diagonal", Array: "a", Axes: 1, Doc: "Diagonal matrices, a (..., T, D) their diagonals: D products a step."},
		Diagonal[float32]{}, Diagonal[float64]{})
	register(Entry{Class: "ScaledIdentity", Array: "a", Doc: "Multiples of the identity, a (..., T) the factors."},
		ScaledIdentity[float32]{}, ScaledIdentity[float64]{})
}

var _ Restrainable[float64] = Diagonal[float64]{}
var _ Restrainable[float64] = ScaledIdentity[float64]{}

// Name returns "diagonal".
func (Diagonal[T]) Name() string { return "diagonal" }

// Len returns d.
func (Diagonal[T]) Len(d int) int { return d }

// Shape returns (d,).
func (Diagonal[T]) Shape(d int) []int { return []int{d} }

// Valid accepts all.
func (Diagonal[T]) Valid([]T, int) string { return "" }

// Growth returns 3.
func (Diagonal[T]) Growth(int) int { return 3 }

// Apply multiplies element by element.
func (Diagonal[T]) Apply(s Span[T], carry []T) {
	d := s.D
	t, step := s.order()
	for range s.Steps() {
		a, b, x := s.A[t*d:(t+1)*d], s.B[t*d:(t+1)*d], s.X[t*d:(t+1)*d]
		for i := range x {
			x[i] = a[i]*carry[i] + b[i]
		}
		next(carry, x, s.Ref, t*d)
		t += step
	}
}

// Reduce multiplies the diagonals.
func (Diagonal[T]) Reduce(p []T, s Span[T]) {
	d := s.D
	t, step := s.order()
	copy(p, s.A[t*d:(t+1)*d])
	for range s.Steps() - 1 {
		t += step
		for i, v := range s.A[t*d : (t+1)*d] {
			p[i] *= v
		}
	}
}

// Mul multiplies element by element.
func (Diagonal[T]) Mul(dst, a, x []T, _ int) {
	for i, v := range x {
		dst[i] = a[i] * v
	}
}

// Transpose copies.
func (Diagonal[T]) Transpose(dst, a []T, _ int) { copy(dst, a) }

// Dense writes full matrices.
func (Diagonal[T]) Dense(dst, a []T, d int) {
	clear(dst)
	for i, v := range a {
		dst[i/d*d*d+i%d*(d+1)] = v
	}
}

// Clip limits the entries to [-1, 1].
func (Diagonal[T]) Clip(a []T, _ int) {
	for i, v := range a {
		a[i] = max(min(v, 1), -1)
	}
}

// Damped returns Diagonal.
func (Diagonal[T]) Damped() Structure[T] { return Diagonal[T]{} }

// Scale multiplies by k.
func (Diagonal[T]) Scale(dst, a []T, k T) {
	for i, v := range a {
		dst[i] = k * v
	}
}

// Name returns "scaled_identity".
func (ScaledIdentity[T]) Name() string { return "scaled_identity" }

// Len returns 1.
func (ScaledIdentity[T]) Len(int) int { return 1 }

// Shape returns no axes.
func (ScaledIdentity[T]) Shape(int) []int { return nil }

// Valid accepts all.
func (ScaledIdentity[T]) Valid([]T, int) string { return "" }

// Growth returns 3.
func (ScaledIdentity[T]) Growth(int) int { return 3 }

// Apply multiplies each step by its number.
func (ScaledIdentity[T]) Apply(s Span[T], carry []T) {
	d := s.D
	t, step := s.order()
	for range s.Steps() {
		a, b, x := s.A[t], s.B[t*d:(t+1)*d], s.X[t*d:(t+1)*d]
		for i := range x {
			x[i] = a*carry[i] + b[i]
		}
		next(carry, x, s.Ref, t*d)
		t += step
	}
}

// Reduce multiplies the numbers.
func (ScaledIdentity[T]) Reduce(p []T, s Span[T]) {
	t, step := s.order()
	p[0] = s.A[t]
	for range s.Steps() - 1 {
		t += step
		p[0] *= s.A[t]
	}
}

// Mul multiplies each row by its number.
func (ScaledIdentity[T]) Mul(dst, a, x []T, d int) {
	for i, v := range x {
		dst[i] = a[i/d] * v
	}
}

// Transpose copies.
func (ScaledIdentity[T]) Transpose(dst, a []T, _ int) { copy(dst, a) }

// Dense writes full matrices.
func (ScaledIdentity[T]) Dense(dst, a []T, d int) {
	clear(dst)
	for t, v := range a {
		for j := range d {
			dst[t*d*d+j*(d+1)] = v
		}
	}
}

// Clip limits the numbers to [-1, 1].
func (ScaledIdentity[T]) Clip(a []T, d int) { Diagonal[T]{}.Clip(a, d) }

// Damped returns ScaledIdentity.
func (ScaledIdentity[T]) Damped() Structure[T] { return ScaledIdentity[T]{} }

// Scale multiplies by k.
func (ScaledIdentity[T]) Scale(dst, a []T, k T) { Diagonal[T]{}.Scale(dst, a, k) }
