package lds

import (
	"math"

	"pards/core/internal/par"
	"pards/core/num"
)

// Trust is the problem of a trust region: the increments x that minimise
//
//	sum over t of |x[t] - A[t] x[t-1] + r[t]|^2 + weight |x[t]|^2,    x[0] - A[0] x[-1] read as x[0]
//
// which are the means of a Kalman smoother over x[t] ~ N(A[t] x[t-1] - r[t], I) that observes 0 at every step with variance 1/weight
// (Gonzalez et al. 2024, section 4). The A of the first step is not read.
type Trust[T num.Float] struct {
	D      int
	A, R   []T // n times Len(D), n times D
	Weight T
	Filter bool // the filter's means instead, which know of no later step
	X      []T  // n times D, written
	// Scratch holds n times TrustLen numbers.
	Scratch []T
}

// TrustLen returns how many numbers of scratch a step takes.
func TrustLen[T num.Float](s Structure[T], d int) int { return 2*s.Len(d) + d }

// Smoothable is a structure for which Smooth can minimise. A covariance P has the structure of A. Every one is bounded by 1/weight, which
// is why a chain of A that overflows does not overflow here.
//
// Passing through steps maps covariances by P -> C + F P (I + J P)^-1 F'; such maps, three matrices (F, C, J), compose (Särkkä and
// García-Fernández 2021), and so the covariances of chunks follow one from another.
type Smoothable[T num.Float] interface {
	Structure[T]
	// covariance takes the filter's covariance p through one step. It writes the gain W A, W = (I + weight P^-)^-1 with P^- = A p A' + I,
	// the smoother's gain p A' (P^-)^-1, and W r negated; a nil A stands for the first step, where p is not read.
	covariance(p, a, r, gain, back, b []T, weight T, d int, scratch []T)
	// begin writes the map that changes nothing.
	begin(m []T, d int)
	// extend puts one step behind a map.
	extend(m, a []T, weight T, d int, scratch []T)
	// pass takes a covariance through a map.
	pass(p, m []T, d int, scratch []T)
}

var _, _ Smoothable[float64] = Dense[float64]{}, Diagonal[float64]{}

const workMatrices = 6 // of scratch that covariance, extend and pass ask for

// Smooth minimises; chunk cuts time, see Chunk.
func Smooth[T num.Float](w *par.Worker, s Smoothable[T], p Trust[T], chunk int) {
	d, n := p.D, len(p.R)/p.D
	if n == 0 {
		return
	}
	length := s.Len(d)
	gain, back, b := p.Scratch[:n*length], p.Scratch[n*length:2*n*length], p.Scratch[2*n*length:][:n*d]
	gains(w, s, p, gain, back, b, chunk)
	carry := make([]T, d)
	copy(p.X[:d], b[:d])
	copy(carry, b[:d])
	if n == 1 || w.Stopped() {
		return
	}
	Run(w, Structure[T](s), Span[T]{D: d, A: gain[length:], B: b[d:], X: p.X[d:]}, carry, chunk)
	if p.Filter || w.Stopped() {
		return
	}
	// back[t] takes what is known of step t to step t-1: x[t-1] = back (x[t] - A[t] m + r[t]) + m, m the filter's mean.
	t, m := make([]T, d), p.X
	for i := 1; i < n; i++ {
		now := m[(i-1)*d : i*d]
		s.Mul(t, p.A[i*length:(i+1)*length], now, d)
		for j, v := range p.R[i*d : (i+1)*d] {
			t[j] -= v
		}
		h := b[(i-1)*d : i*d]
		s.Mul(h, back[i*length:(i+1)*length], t, d)
		for j, v := range now {
			h[j] = v - h[j]
		}
	}
	copy(carry, m[(n-1)*d:])
	Run(w, Structure[T](s), Span[T]{D: d, A: back[length:], B: b[:(n-1)*d], X: p.X[:(n-1)*d], Reverse: true}, carry, chunk)
}

// gains writes the gains of every step: those of a chunk from the covariance before it.
func gains[T num.Float](w *par.Worker, s Smoothable[T], p Trust[T], gain, back, b []T, chunk int) {
	d, n, length := p.D, len(p.R)/p.D, s.Len(p.D)
	count := (n + chunk - 1) / chunk
	starts, maps := make([]T, count*length), make([]T, count*3*length)
	w.For(count-2, 1, func(_ *par.Worker, i int) { // the first starts from nothing, the last leads nowhere
		m, scratch := maps[(i+1)*3*length:][:3*length], make([]T, workMatrices*length)
		s.begin(m, d)
		for t := (i + 1) * chunk; t < (i+2)*chunk; t++ {
			s.extend(m, p.A[t*length:(t+1)*length], p.Weight, d, scratch)
		}
	})
	run := func(w *par.Worker, i int, cov []T) {
		scratch := make([]T, workMatrices*length)
		for t := i * chunk; t < min(n, (i+1)*chunk); t++ {
			if t%256 == 0 && w.Stopped() {
				return
			}
			var a []T
			if t > 0 {
				a = p.A[t*length : (t+1)*length]
			}
			s.covariance(cov, a, p.R[t*d:(t+1)*d], gain[t*length:(t+1)*length], back[t*length:(t+1)*length], b[t*d:(t+1)*d], p.Weight, d, scratch)
		}
	}
	cov := make([]T, length)
	run(w, 0, cov)
	scratch := make([]T, workMatrices*length)
	for i := 1; i < count; i++ {
		copy(starts[i*length:], cov)
		if i+1 < count {
			s.pass(cov, maps[i*3*length:(i+1)*3*length], d, scratch)
		}
	}
	w.For(count-1, 1, func(w *par.Worker, i int) { run(w, i+1, starts[(i+1)*length:(i+2)*length]) })
}

func (Diagonal[T]) covariance(p, a, r, gain, back, b []T, weight T, _ int, _ []T) {
	for i, v := range r {
		if a == nil {
			p[i] = 1 / (1 + weight)
			gain[i], back[i], b[i] = 0, 0, -v/(1+weight)
			continue
		}
		before := a[i]*p[i]*a[i] + 1
		w := 1 / (1 + weight*before)
		gain[i], back[i], b[i] = w*a[i], p[i]*a[i]/before, -w*v
		p[i] = w * before
	}
}

func (Diagonal[T]) begin(m []T, d int) {
	clear(m)
	for i := range d {
		m[i] = 1
	}
}

func (Diagonal[T]) extend(m, a []T, weight T, d int, _ []T) {
	f, c, j := m[:d], m[d:2*d], m[2*d:]
	keep := 1 / (1 + weight)
	for i, v := range a {
		own := v * v * weight * keep
		turn := 1 / (1 + c[i]*own)
		j[i] += f[i] * own * turn * f[i]
		f[i] *= keep * v * turn
		c[i] = keep*v*turn*c[i]*v*keep + keep
	}
}

func (Diagonal[T]) pass(p, m []T, d int, _ []T) {
	f, c, j := m[:d], m[d:2*d], m[2*d:]
	for i, v := range p {
		p[i] = c[i] + f[i]*v/(1+j[i]*v)*f[i]
	}
}

func (Dense[T]) covariance(p, a, r, gain, back, b []T, weight T, d int, scratch []T) {
	if a == nil {
		clear(p)
		for i, v := range r {
			p[i*(d+1)] = 1 / (1 + weight)
			b[i] = -v / (1 + weight)
		}
		clear(gain)
		clear(back)
		return
	}
	n := d * d
	ap, before, m, x := scratch[:n], scratch[n:2*n], scratch[2*n:3*n], scratch[3*n:4*n]
	multiply(ap, a, p, d)
	multiplyT(before, ap, a, d)
	shift(before, 1, d)
	copy(m, before)
	copy(x, ap)
	factor(m, d)
	substitute(m, d, x, d) // (P^-)^-1 A p, the transposed gain of the smoother
	Dense[T]{}.Transpose(back, x, d)
	identityPlus(m, before, weight, d)
	copy(gain, a)
	copy(p, before)
	copy(b, r)
	factor(m, d)
	substitute(m, d, gain, d)
	substitute(m, d, p, d)
	substitute(m, d, b, 1)
	for i := range b {
		b[i] = -b[i]
	}
	symmetrise(p, d)
}

func (Dense[T]) begin(m []T, d int) {
	clear(m)
	for i := range d {
		m[i*(d+1)] = 1
	}
}

func (Dense[T]) extend(m, a []T, weight T, d int, scratch []T) {
	n := d * d
	f, c, j := m[:n], m[n:2*n], m[2*n:]
	own, lhs, left, right, t := scratch[:n], scratch[n:2*n], scratch[2*n:3*n], scratch[3*n:4*n], scratch[4*n:5*n]
	keep := 1 / (1 + weight)
	Dense[T]{}.Transpose(t, a, d)
	multiply(own, t, a, d)
	Dense[T]{}.Scale(own, own, weight*keep)
	multiply(lhs, c, own, d)
	shift(lhs, 1, d)
	copy(left, f)
	copy(right, c)
	eliminate(lhs, d, left, right) // (I + C own)^-1 F and ... C
	multiply(t, own, left, d)
	next := scratch[5*n : 6*n]
	transposeMultiply(next, f, t, d)
	for i, v := range next {
		j[i] += v
	}
	symmetrise(j, d)
	multiply(f, a, left, d)
	Dense[T]{}.Scale(f, f, keep)
	multiply(t, a, right, d)
	multiplyT(c, t, a, d)
	Dense[T]{}.Scale(c, c, keep*keep)
	shift(c, keep, d)
	symmetrise(c, d)
}

func (Dense[T]) pass(p, m []T, d int, scratch []T) {
	n := d * d
	f, c, j := m[:n], m[n:2*n], m[2*n:]
	lhs, x, t := scratch[:n], scratch[n:2*n], scratch[2*n:3*n]
	multiply(lhs, p, j, d)
	shift(lhs, 1, d)
	copy(x, p)
	eliminate(lhs, d, x) // P (I + J P)^-1 = (I + P J)^-1 P
	multiply(t, f, x, d)
	multiplyT(p, t, f, d)
	for i, v := range c {
		p[i] += v
	}
	symmetrise(p, d)
}

// identityPlus writes I + k a.
func identityPlus[T num.Float](dst, a []T, k T, d int) {
	for i, v := range a {
		dst[i] = k * v
	}
	shift(dst, 1, d)
}

// shift adds k to the diagonal.
func shift[T num.Float](a []T, k T, d int) {
	for i := range d {
		a[i*(d+1)] += k
	}
}

// multiplyT writes a b'.
func multiplyT[T num.Float](dst, a, b []T, d int) {
	for i := range d {
		matvec(dst[i*d:(i+1)*d], b, a[i*d:(i+1)*d])
	}
}

// transposeMultiply writes a'b.
func transposeMultiply[T num.Float](dst, a, b []T, d int) {
	clear(dst)
	for k := range d {
		for i, v := range a[k*d : (k+1)*d] {
			row := dst[i*d : (i+1)*d]
			for j, u := range b[k*d : (k+1)*d] {
				row[j] += v * u
			}
		}
	}
}

func symmetrise[T num.Float](a []T, d int) {
	for i := range d {
		for j := range i {
			v := (a[i*d+j] + a[j*d+i]) / 2
			a[i*d+j], a[j*d+i] = v, v
		}
	}
}

// factor writes the Cholesky factor of a positive definite matrix to its lower half. Eigenvalues here are at least 1: there is no pivot
// to fear but NaN, which spreads.
func factor[T num.Float](m []T, d int) {
	for i := range d {
		ri := m[i*d : i*d+i+1]
		for j := range i + 1 {
			rj, s := m[j*d:j*d+j], m[i*d+j]
			for k, v := range rj {
				s -= ri[k] * v
			}
			if i == j {
				m[i*d+i] = T(math.Sqrt(float64(s)))
			} else {
				m[i*d+j] = s / m[j*d+j]
			}
		}
	}
}

// substitute solves with a Cholesky factor for each column of x, row-major with some columns.
func substitute[T num.Float](l []T, d int, x []T, columns int) {
	for i := range d {
		xi := x[i*columns : (i+1)*columns]
		for k, v := range l[i*d : i*d+i] {
			subtract(xi, v, x[k*columns:(k+1)*columns])
		}
		divide(xi, l[i*(d+1)])
	}
	for i := d - 1; i >= 0; i-- {
		xi := x[i*columns : (i+1)*columns]
		for k := i + 1; k < d; k++ {
			subtract(xi, l[k*d+i], x[k*columns:(k+1)*columns])
		}
		divide(xi, l[i*(d+1)])
	}
}

func subtract[T num.Float](y []T, k T, x []T) {
	for i, v := range x {
		y[i] -= k * v
	}
}

func divide[T num.Float](y []T, k T) {
	for i := range y {
		y[i] /= k
	}
}

// eliminate solves m y = x in place for each x, row exchanges included; m is overwritten.
func eliminate[T num.Float](m []T, d int, xs ...[]T) {
	swap := func(a []T, i, j int) {
		for k := range d {
			a[i*d+k], a[j*d+k] = a[j*d+k], a[i*d+k]
		}
	}
	for i := range d {
		best := i
		for k := i + 1; k < d; k++ {
			if math.Abs(float64(m[k*d+i])) > math.Abs(float64(m[best*d+i])) {
				best = k
			}
		}
		if best != i {
			swap(m, i, best)
			for _, x := range xs {
				swap(x, i, best)
			}
		}
		for k := i + 1; k < d; k++ {
			q := m[k*d+i] / m[i*d+i]
			subtract(m[k*d:(k+1)*d], q, m[i*d:(i+1)*d])
			for _, x := range xs {
				subtract(x[k*d:(k+1)*d], q, x[i*d:(i+1)*d])
			}
		}
	}
	for i := d - 1; i >= 0; i-- {
		for _, x := range xs {
			for k := i + 1; k < d; k++ {
				subtract(x[i*d:(i+1)*d], m[i*d+k], x[k*d:(k+1)*d])
			}
			divide(x[i*d:(i+1)*d], m[i*(d+1)])
		}
	}
}
