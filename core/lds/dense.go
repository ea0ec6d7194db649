package lds

import (
	"gonum.org/v1/gonum/mat"

	"pards/core/internal/simd"
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

// Growth returns d+2: a chunk's product costs d times its application, where there is no vector code for both.
func (Dense[T]) Growth(d int) int { return d + 2 }

// Apply multiplies by each matrix in turn, or where there is vector code for it by products of a few.
func (Dense[T]) Apply(s Span[T], carry []T) {
	d := s.D
	if d == 2 || d == 4 {
		for n, done := s.Steps(), -1; done != 0; n -= done {
			s = s.part(s.Steps()-n, s.Steps(), d*d)
			done = simd.DenseSmall(s.X, s.A, s.B, s.Ref, carry, n, s.Reverse)
		}
	}
	switch {
	case d == 2:
		apply2(s, (*[2]T)(carry))
		return
	case d == 3:
		apply3(s, (*[3]T)(carry))
		return
	case d == 4:
		apply4(s, (*[4]T)(carry))
		return
	case simd.HasDense[T](d):
		simd.Dense(s.X, s.A, s.B, s.Ref, carry, s.Steps(), s.Reverse)
		return
	}
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

// Of a few rows the state stays in registers.

func apply2[T num.Float](s Span[T], carry *[2]T) {
	x0, x1 := carry[0], carry[1]
	t, step := s.order()
	for range s.Steps() {
		a, b, x := (*[4]T)(s.A[4*t:]), (*[2]T)(s.B[2*t:]), (*[2]T)(s.X[2*t:])
		x0, x1 = a[0]*x0+a[1]*x1+b[0], a[2]*x0+a[3]*x1+b[1]
		x[0], x[1] = x0, x1
		if s.Ref != nil {
			r := (*[2]T)(s.Ref[2*t:])
			x0, x1 = x0-r[0], x1-r[1]
		}
		t += step
	}
	carry[0], carry[1] = x0, x1
}

func apply3[T num.Float](s Span[T], carry *[3]T) {
	x0, x1, x2 := carry[0], carry[1], carry[2]
	t, step := s.order()
	for range s.Steps() {
		a, b, x := (*[9]T)(s.A[9*t:]), (*[3]T)(s.B[3*t:]), (*[3]T)(s.X[3*t:])
		x0, x1, x2 = a[0]*x0+a[2]*x2+a[1]*x1+b[0], a[3]*x0+a[5]*x2+a[4]*x1+b[1], a[6]*x0+a[7]*x1+a[8]*x2+b[2]
		x[0], x[1], x[2] = x0, x1, x2
		if s.Ref != nil {
			r := (*[3]T)(s.Ref[3*t:])
			x0, x1, x2 = x0-r[0], x1-r[1], x2-r[2]
		}
		t += step
	}
	carry[0], carry[1], carry[2] = x0, x1, x2
}

func apply4[T num.Float](s Span[T], carry *[4]T) {
	x0, x1, x2, x3 := carry[0], carry[1], carry[2], carry[3]
	t, step := s.order()
	for range s.Steps() {
		a, b, x := (*[16]T)(s.A[16*t:]), (*[4]T)(s.B[4*t:]), (*[4]T)(s.X[4*t:])
		x0, x1, x2, x3 = (a[0]*x0+a[2]*x2)+(a[1]*x1+a[3]*x3)+b[0], (a[4]*x0+a[6]*x2)+(a[5]*x1+a[7]*x3)+b[1],
			(a[8]*x0+a[10]*x2)+(a[9]*x1+a[11]*x3)+b[2], (a[12]*x0+a[14]*x2)+(a[13]*x1+a[15]*x3)+b[3]
		x[0], x[1], x[2], x[3] = x0, x1, x2, x3
		if s.Ref != nil {
			r := (*[4]T)(s.Ref[4*t:])
			x0, x1, x2, x3 = x0-r[0], x1-r[1], x2-r[2], x3-r[3]
		}
		t += step
	}
	*carry = [4]T{x0, x1, x2, x3}
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

// Summary is Reduce, and Apply without its states; matrices of two rows go through both at once.
func (Dense[T]) Summary(p []T, s Span[T], carry []T) {
	if s.D != 2 || s.Ref != nil {
		Dense[T]{}.Reduce(p, s)
		Dense[T]{}.Apply(s, carry)
		return
	}
	copy(p, []T{1, 0, 0, 1})
	for n, done := s.Steps(), -1; done != 0; n -= done {
		s = s.part(s.Steps()-n, s.Steps(), 4)
		done = simd.DenseProduct(p, carry, s.A, s.B, n, s.Reverse)
	}
	x0, x1, p0, p1, p2, p3 := carry[0], carry[1], p[0], p[1], p[2], p[3]
	t, step := s.order()
	for range s.Steps() {
		a, b := (*[4]T)(s.A[4*t:]), (*[2]T)(s.B[2*t:])
		x0, x1 = a[0]*x0+a[1]*x1+b[0], a[2]*x0+a[3]*x1+b[1]
		p0, p1, p2, p3 = a[0]*p0+a[1]*p2, a[0]*p1+a[1]*p3, a[2]*p0+a[3]*p2, a[2]*p1+a[3]*p3
		t += step
	}
	carry[0], carry[1] = x0, x1
	p[0], p[1], p[2], p[3] = p0, p1, p2, p3
}

// Reduce multiplies the matrices.
func (Dense[T]) Reduce(p []T, s Span[T]) {
	d := s.D
	t, step := s.order()
	copy(p, s.A[t*d*d:(t+1)*d*d])
	if d == 2 {
		reduce2((*[4]T)(p), s)
		return
	}
	next := make([]T, d*d)
	for range s.Steps() - 1 {
		t += step
		multiply(next, s.A[t*d*d:(t+1)*d*d], p, d)
		copy(p, next)
	}
}

// reduce2 multiplies p by the matrices after the first.
func reduce2[T num.Float](p *[4]T, s Span[T]) {
	p0, p1, p2, p3 := p[0], p[1], p[2], p[3]
	t, step := s.order()
	for range s.Steps() - 1 {
		t += step
		a := (*[4]T)(s.A[4*t:])
		p0, p1, p2, p3 = a[0]*p0+a[1]*p2, a[0]*p1+a[1]*p3, a[2]*p0+a[3]*p2, a[2]*p1+a[3]*p3
	}
	*p = [4]T{p0, p1, p2, p3}
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
		if simd.FirstNonFinite(one) >= 0 {
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
