package cell

import (
	"math"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/mat"

	"pards/core/internal/simd"
	"pards/core/num"
)

// far is the simd.Far of a mixture, made once components had no weight so often that it pays.
type far[T num.Float] struct {
	idle atomic.Int64 // steps at which that was so
	once sync.Once
	made *simd.Far[T]
}

const (
	farSide = 8 // products of smaller matrices cost as little as telling that they are not needed
	farIdle = 8 // for each component of a state: about as many steps as it costs to make
)

// of returns it, nil for none.
func (f *far[T]) of(c *langevin[T]) *simd.Far[T] {
	if c.diagonal || c.d < farSide || f.idle.Load() < int64(farIdle*c.d) {
		return nil
	}
	f.once.Do(func() { f.made = newFar(c) })
	return f.made
}

// newFar takes for each component the direction v to the middle of all means: about where a chain in another well is.
//
// Slack: with u half of the type's eps and s = tr(P) |y|^2, rounding changes y'P y by up to 2 D u s, (w'y)^2 by 2 (D + 1) u s; where P has
// eigenvalues below 0 because its numbers are rounded, w is of P + 2 D u tr(P), which has none, and that is 2 D u s. What double precision does
// to w and to the proof that there are none is up to some D eps s r, r = tr(P) |v|^2 / v'P v. All of it is taken twice.
func newFar[T num.Float](c *langevin[T]) *simd.Far[T] {
	d, part := c.d, simd.Padded[T](c.d)
	f := &simd.Far[T]{Along: make([]T, c.k*part), Slack: make([]T, c.k), Below: simd.NoWeight[T]()}
	middle, v, p := make([]float64, d), make([]float64, d), make([]float64, d*d)
	for i, m := range c.means {
		middle[i%d] += float64(m) / float64(c.k)
	}
	eps := num.Eps[T]()
	for k := range c.k {
		f.Below += 16 * T(eps) * T(math.Abs(float64(c.weights[k])))
		trace := symmetric(p, c.precision[k*d*d:(k+1)*d*d], d)
		for i := range d {
			p[i*d+i] += float64(d) * eps * trace
			v[i] = middle[i] - float64(c.means[k*d+i])
		}
		f.Slack[k] = T(math.Inf(1))
		if square := along(f.Along[k*part:][:d], p, v); square > 0 && new(mat.Cholesky).Factorize(mat.NewSymDense(d, p)) {
			r := trace * simd.Dot(v, v) / square
			f.Slack[k] = T(8 * float64(d+4) * trace * (eps + r*num.Eps[float64]()))
		}
	}
	return f
}

// symmetric writes the symmetric part of a and returns its trace.
func symmetric[T num.Float](dst []float64, a []T, d int) (trace float64) {
	for i := range d {
		for j := range d {
			dst[i*d+j] = (float64(a[i*d+j]) + float64(a[j*d+i])) / 2
		}
		trace += dst[i*d+i]
	}
	return trace
}

// along writes P v / sqrt(v'P v) and returns v'P v.
func along[T num.Float](w []T, p, v []float64) float64 {
	d := len(v)
	pv := make([]float64, d)
	for i := range pv {
		pv[i] = simd.Dot(p[i*d:(i+1)*d], v)
	}
	square := simd.Dot(pv, v)
	for i, x := range pv {
		w[i] = T(x / math.Sqrt(square))
	}
	return square
}
