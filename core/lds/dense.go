package lds

import (
	"gonum.org/v1/gonum/mat"

	"pards/core/num"
)

// Dense is a full matrix, row-major, D*D numbers a step.
type Dense[T num.Float] struct{}

func init() {
	register(Entry{Class: "Dense", Array: "A", Axes: 2, Doc: "Full matrices, A (..., T, D, D): D*D products a step."}, Dense[float32]{}, Dense[float64]{})
}

var _ Restrainable[float64] = Dense[float64]{}

// Name returns "dense".
func (Dense[T]) Name() string { return "dense" }

// Len returns d*d.
func (Dense[T]) Len(d int) int { return d * d }

// Shape returns (d, d).
func (Dense[T]) Shape(d int) []int { return []int{d, d} }

// Valid accepts all.
func (Dense[T]) Valid([]T, int) string { return "" }

// Growth returns d+2: a chunk's product costs d times its application.
func (Dense[T]) Growth(d int) int { return d + 2 }

// Apply multiplies by each matrix in turn.
func (Dense[T]) Apply(s Span[T], carry []T) {
	d := s.D
	t, step := s.order()
	for range s.Steps() {
		x := s.X[t*d : (t+1)*d]
		matvec(x, s.A[t*d*d:(t+1)*d*d], carry)
		for i, v := range s.B[t*d : (t+1)*d] {
			x[i] += v
		}
		next(carry, x, s.Ref, t*d)
		t += step
	}
}

// matvec writes a x, two rows at a time so that their sums do not wait for each other.
func matvec[T num.Float](dst, a, x []T) {
	d, i := len(x), 0
	for ; i+1 < len(dst); i += 2 {
		r, q := a[i*d:(i+1)*d], a[(i+1)*d:(i+2)*d]
		var s, u, s2, u2 T
		j := 0
		for ; j+1 < d; j += 2 {
			s += r[j] * x[j]
			u += q[j] * x[j]
			s2 += r[j+1] * x[j+1]
			u2 += q[j+1] * x[j+1]
		}
		if j < d {
			s += r[j] * x[j]
			u += q[j] * x[j]
		}
		dst[i], dst[i+1] = s+s2, u+u2
	}
	for ; i < len(dst); i++ {
		var s T
		for j, v := range a[i*d : (i+1)*d] {
			s += v * x[j]
		}
		dst[i] = s
	}
}

// Reduce multiplies the matrices.
func (Dense[T]) Reduce(p []T, s Span[T]) {
	d := s.D
	t, step := s.order()
	copy(p, s.A[t*d*d:(t+1)*d*d])
	next := make([]T, d*d)
	for range s.Steps() - 1 {
		t += step
		multiply(next, s.A[t*d*d:(t+1)*d*d], p, d)
		copy(p, next)
	}
}

// multiply writes the product a p of two d by d matrices.
func multiply[T num.Float](dst, a, p []T, d int) {
	clear(dst)
	for i := range d {
		row := dst[i*d : (i+1)*d]
		for k, v := range a[i*d : (i+1)*d] {
			for j, q := range p[k*d : (k+1)*d] {
				row[j] += v * q
			}
		}
	}
}

// Mul multiplies each row of x by its matrix.
func (Dense[T]) Mul(dst, a, x []T, d int) {
	for t := 0; t*d < len(x); t++ {
		matvec(dst[t*d:(t+1)*d], a[t*d*d:(t+1)*d*d], x[t*d:(t+1)*d])
	}
}

// Transpose writes the transposed matrices.
func (Dense[T]) Transpose(dst, a []T, d int) {
	for m := 0; m < len(a); m += d * d {
		for i := range d {
			for j := range d {
				dst[m+j*d+i] = a[m+i*d+j]
			}
		}
	}
}

// Dense copies.
func (Dense[T]) Dense(dst, a []T, _ int) { copy(dst, a) }

// Clip divides each matrix by the larger of 1 and its largest singular value. A matrix that is not finite is left as it is.
func (Dense[T]) Clip(a []T, d int) {
	full, svd := mat.NewDense(d, d, nil), mat.SVD{}
	for m := 0; m < len(a); m += d * d {
		one := a[m : m+d*d]
		if num.FirstNonFinite(one) >= 0 {
			continue
		}
		for i, v := range one {
			full.Set(i/d, i%d, float64(v))
		}
		if svd.Factorize(full, mat.SVDNone) {
			if s := svd.Values(nil)[0]; s > 1 {
				Diagonal[T]{}.Scale(one, one, T(1/s))
			}
		}
	}
}

// Damped returns Dense.
func (Dense[T]) Damped() Structure[T] { return Dense[T]{} }

// Scale multiplies by k.
func (Dense[T]) Scale(dst, a []T, k T) { Diagonal[T]{}.Scale(dst, a, k) }
