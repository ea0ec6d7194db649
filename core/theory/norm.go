package theory

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"pards/core/internal/par"
	"pards/core/lds"
)

// Chain is Jt: the matrices A of a structure, one a step; the first is not read.
type Chain struct {
	D         int
	Structure lds.Structure[float64]
	A         []float64
	turned    []float64 // transposed, and one step earlier
}

// NewChain makes a chain of matrices.
func NewChain(w *par.Worker, s lds.Structure[float64], a []float64, d, steps int) *Chain {
	c, n := &Chain{D: d, Structure: s, A: a, turned: make([]float64, len(a))}, s.Len(d)
	const piece = 1 << 10 // steps between two looks at whether to stop
	for from := 1; n > 0 && from < steps && !w.Stopped(); from += piece {
		s.Transpose(c.turned[(from-1)*n:], a[from*n:min(from+piece, steps)*n], d)
	}
	return c
}

// Inverse writes Jt^-1 b.
func (c *Chain) Inverse(w *par.Worker, dst, b []float64) {
	lds.Scan(w, c.Structure, c.A, b, nil, dst, 1, len(b)/c.D, c.D, false)
}

// Adjoint writes the transpose of Jt^-1 times b.
func (c *Chain) Adjoint(w *par.Worker, dst, b []float64) {
	lds.Scan(w, c.Structure, c.turned, b, nil, dst, 1, len(b)/c.D, c.D, true)
}

const (
	lanczosMost = 300
	lanczosLook = 8    // steps over which the norm must have
	lanczosStop = 1e-7 // changed less than this
)

// InverseNorm returns |Jt^-1| by the bidiagonalisation of Golub and Kahan, started from the start of a fixed random sequence: an estimate
// from below, by about lanczosStop where singular values crowd at the largest; infinite where products of A overflow.
func (c *Chain) InverseNorm(w *par.Worker, steps int) float64 {
	n := steps * c.D
	if n == 0 || w.Stopped() {
		return 0
	}
	u, v, t := make([]float64, n), make([]float64, n), make([]float64, n)
	Signs(u, 1)
	floats.Scale(1/math.Sqrt(float64(n)), u)
	var alpha, beta []float64
	var norms []float64
	for k := range min(lanczosMost, 2*n+2) {
		if w.Stopped() {
			return math.NaN()
		}
		c.Adjoint(w, t, u)
		if k > 0 {
			floats.AddScaled(t, -beta[k-1], v)
		}
		v, t = t, v
		a := floats.Norm(v, 2)
		if !(a <= math.MaxFloat64) {
			return math.Inf(1)
		}
		if a > 0 {
			floats.Scale(1/a, v)
		}
		c.Inverse(w, t, v)
		floats.AddScaled(t, -a, u)
		u, t = t, u
		b := floats.Norm(u, 2)
		if !(b <= math.MaxFloat64) {
			return math.Inf(1)
		}
		alpha, beta = append(alpha, a), append(beta, b)
		norms = append(norms, bidiagonalNorm(alpha, beta))
		if b == 0 || a == 0 || k >= lanczosLook && norms[k]-norms[k-lanczosLook] <= lanczosStop*norms[k] {
			break
		}
		floats.Scale(1/b, u)
	}
	return norms[len(norms)-1]
}

// bidiagonalNorm returns the norm of the matrix with a on its diagonal and b below, by bisection on the tridiagonal matrix of its squares.
func bidiagonalNorm(a, b []float64) float64 {
	top := max(floats.Max(a), floats.Max(b))
	if top == 0 {
		return 0
	}
	n := len(a)
	diagonal, off := make([]float64, n), make([]float64, n)
	for i := range n {
		x, y := a[i]/top, b[i]/top
		diagonal[i] = x*x + y*y
		if i+1 < n {
			off[i] = a[i+1] / top * y
		}
	}
	lo, hi := 0.0, 4.0 // of a matrix whose numbers are at most 1
	for range 60 {
		mid, q, above := (lo+hi)/2, 1.0, false
		for i := range n {
			step := diagonal[i] - mid
			if i > 0 {
				step -= off[i-1] * off[i-1] / q
			}
			if above = above || step > 0; above {
				break
			}
			q = min(step, -1e-300)
		}
		if above {
			lo = mid
		} else {
			hi = mid
		}
	}
	return top * math.Sqrt(lo)
}

// Signs fills x with signs that look drawn, the same ones each time.
func Signs(x []float64, seed uint64) {
	state := seed
	for i := range x {
		state += 0x9e3779b97f4a7c15
		z := (state ^ state>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		x[i] = 1 - 2*float64(z>>63)
	}
}

// Largest is the largest spectral norm of the matrices it has seen.
type Largest struct {
	Norm        float64
	svd         mat.SVD
	square, own mat.Dense
}

// See takes in d by d matrices, row-major. One whose other norms show it to be smaller is not factored.
func (l *Largest) See(m []float64, d int) {
	for ; len(m) >= d*d && d > 0; m = m[d*d:] {
		one := m[:d*d]
		if bound := normBound(one, d); bound <= l.Norm {
			continue
		} else if !(bound <= math.MaxFloat64) {
			l.Norm = bound
			return
		}
		full := mat.NewDense(d, d, one)
		if !l.passes(full) && l.svd.Factorize(full, mat.SVDNone) {
			l.Norm = max(l.Norm, l.svd.Values(nil)[0])
		}
	}
}

// passes tells by products, which cost much less than factors, that a matrix's norm is no larger: |M|^4 is at most the Frobenius norm of
// (M'M)^2, and near it.
func (l *Largest) passes(m *mat.Dense) bool {
	l.square.Reset()
	l.square.Mul(m.T(), m)
	l.own.Reset()
	l.own.Mul(&l.square, &l.square)
	return math.Sqrt(math.Sqrt(mat.Norm(&l.own, 2))) <= l.Norm
}

// normBound returns the smaller of two bounds of a spectral norm: Frobenius', and the root of the largest row sum times the largest column
// sum.
func normBound(m []float64, d int) float64 {
	rows, columns := 0.0, make([]float64, d)
	for i := range d {
		sum := 0.0
		for j, v := range m[i*d : (i+1)*d] {
			sum += math.Abs(v)
			columns[j] += math.Abs(v)
		}
		rows = math.Max(rows, sum)
	}
	return min(floats.Norm(m, 2), math.Sqrt(rows)*math.Sqrt(floats.Max(columns)))
}
