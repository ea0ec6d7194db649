package lds

import (
	"pards/core/internal/simd"
	"pards/core/num"
)

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
	if s.Ref == nil && narrow[T](d) {
		n := s.Steps()
		for done := -1; done != 0; {
			p := s.part(s.Steps()-n, s.Steps(), d)
			done = simd.Prefix(p.X, p.A, p.B, carry, n, s.Reverse)
			n -= done
		}
		if n > 0 {
			strips(s.A, s.B, s.X, carry, (t+step*(s.Steps()-n))*d, step*d, n)
		}
		return
	}
	simd.Diagonal(s.X, s.A, s.B, s.Ref, carry, s.Steps(), s.Reverse)
}

// narrow tells whether rows are better cut into strips, each of which runs through time by itself, its carry in registers: those that do not
// fill a vector of 32 bytes, and in plain Go those whose strips leave of a line of the cache what is there for the next.
func narrow[T num.Float](d int) bool {
	if simd.Lanes[T]() == 1 {
		return d <= 16
	}
	return d*num.Size[T]() < 32
}

// strips evaluates x = a carry + b for n rows of len(carry) numbers, the first of which is at a position and each other a step further.
func strips[T num.Float](a, b, x, carry []T, at, step, n int) {
	for len(carry) >= 8 {
		strip8(a, b, x, (*[8]T)(carry), at, step, n)
		carry, at = carry[8:], at+8
	}
	for len(carry) >= 4 {
		strip4(a, b, x, (*[4]T)(carry), at, step, n)
		carry, at = carry[4:], at+4
	}
	for i, c := range carry {
		for k := range n {
			j := at + i + k*step
			c = a[j]*c + b[j]
			x[j] = c
		}
		carry[i] = c
	}
}

func strip4[T num.Float](a, b, x []T, carry *[4]T, at, step, n int) {
	c0, c1, c2, c3 := carry[0], carry[1], carry[2], carry[3]
	for range n {
		p, q, y := (*[4]T)(a[at:]), (*[4]T)(b[at:]), (*[4]T)(x[at:])
		c0, c1, c2, c3 = p[0]*c0+q[0], p[1]*c1+q[1], p[2]*c2+q[2], p[3]*c3+q[3]
		y[0], y[1], y[2], y[3] = c0, c1, c2, c3
		at += step
	}
	*carry = [4]T{c0, c1, c2, c3}
}

func strip8[T num.Float](a, b, x []T, carry *[8]T, at, step, n int) {
	c0, c1, c2, c3, c4, c5, c6, c7 := carry[0], carry[1], carry[2], carry[3], carry[4], carry[5], carry[6], carry[7]
	for range n {
		p, q, y := (*[8]T)(a[at:]), (*[8]T)(b[at:]), (*[8]T)(x[at:])
		c0, c1, c2, c3 = p[0]*c0+q[0], p[1]*c1+q[1], p[2]*c2+q[2], p[3]*c3+q[3]
		c4, c5, c6, c7 = p[4]*c4+q[4], p[5]*c5+q[5], p[6]*c6+q[6], p[7]*c7+q[7]
		y[0], y[1], y[2], y[3] = c0, c1, c2, c3
		y[4], y[5], y[6], y[7] = c4, c5, c6, c7
		at += step
	}
	*carry = [8]T{c0, c1, c2, c3, c4, c5, c6, c7}
}

// Reduce multiplies the diagonals; where these are narrow, several products of each component, which do not wait for each other.
func (Diagonal[T]) Reduce(p []T, s Span[T]) {
	const side = 8
	d, a := s.D, s.A
	if side%d != 0 || len(a) < 2*side {
		copy(p, a)
		gather(p, a[d:])
		return
	}
	c := *(*[side]T)(a)
	for a = a[side:]; len(a) >= side; a = a[side:] {
		v := (*[side]T)(a)
		c[0], c[1], c[2], c[3] = c[0]*v[0], c[1]*v[1], c[2]*v[2], c[3]*v[3]
		c[4], c[5], c[6], c[7] = c[4]*v[4], c[5]*v[5], c[6]*v[6], c[7]*v[7]
	}
	copy(p, c[:])
	gather(p, c[d:])
	gather(p, a)
}

// gather multiplies p by each row of a.
func gather[T num.Float](p, a []T) {
	for ; len(a) > 0; a = a[len(p):] {
		for i, v := range a[:len(p)] {
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
