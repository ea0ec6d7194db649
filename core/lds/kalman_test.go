package lds

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"pards/core/internal/par"
	"pards/core/num"
)

// minimiser solves the normal equations of a Trust as one dense system, in double precision.
func minimiser[T num.Float](s Structure[T], p Trust[T]) []float64 {
	d, n := p.D, len(p.R)/p.D
	m, r := mat.NewDense(n*d, n*d, nil), mat.NewVecDense(n*d, nil)
	full := make([]T, d*d)
	for t := range n {
		if t > 0 {
			s.Dense(full, p.A[t*s.Len(d):(t+1)*s.Len(d)], d)
		}
		for i := range d {
			m.Set(t*d+i, t*d+i, 1)
			r.SetVec(t*d+i, -float64(p.R[t*d+i]))
			for j := 0; t > 0 && j < d; j++ {
				m.Set(t*d+i, (t-1)*d+j, -float64(full[i*d+j]))
			}
		}
	}
	var normal mat.Dense
	normal.Mul(m.T(), m)
	for i := range n * d {
		normal.Set(i, i, normal.At(i, i)+float64(p.Weight))
	}
	var right, x mat.VecDense
	right.MulVec(m.T(), r)
	if err := x.SolveVec(&normal, &right); err != nil {
		panic(err)
	}
	return x.RawVector().Data
}

// filtered runs the textbook filter: predict, then weigh the prediction against the observation 0.
func filtered[T num.Float](s Structure[T], p Trust[T]) []float64 {
	d, n := p.D, len(p.R)/p.D
	x, cov := mat.NewVecDense(d, nil), mat.NewDense(d, d, nil)
	var all []float64
	full := make([]T, d*d)
	for t := range n {
		a := mat.NewDense(d, d, nil)
		if t > 0 {
			s.Dense(full, p.A[t*s.Len(d):(t+1)*s.Len(d)], d)
			for i, v := range full {
				a.Set(i/d, i%d, float64(v))
			}
		}
		var before, ap, gain, total, moved mat.Dense
		ap.Mul(a, cov)
		before.Mul(&ap, a.T())
		total.CloneFrom(&before)
		for i := range d {
			before.Set(i, i, before.At(i, i)+1)
			total.Set(i, i, before.At(i, i)+1/float64(p.Weight))
		}
		if err := gain.Inverse(&total); err != nil {
			panic(err)
		}
		gain.Mul(&before, &gain)
		var mean, correction mat.VecDense
		mean.MulVec(a, x)
		for i := range d {
			mean.SetVec(i, mean.AtVec(i)-float64(p.R[t*d+i]))
		}
		correction.MulVec(&gain, &mean)
		x.SubVec(&mean, &correction)
		moved.Mul(&gain, &before)
		cov.Sub(&before, &moved)
		all = append(all, x.RawVector().Data...)
	}
	return all
}

// TestSmooth: a chain that grows sevenfold a step, cut into chunks of any length, against dense algebra. The condition of the normal
// equations is at most (1 + |A|)^2 / weight + 1, and dense algebra loses that much; the smoother's own errors are below.
func TestSmooth(t *testing.T) {
	t.Run("float32", func(t *testing.T) { testSmooth[float32](t, 2e-3) })
	t.Run("float64", func(t *testing.T) { testSmooth[float64](t, 1e-9) })
}

func testSmooth[T num.Float](t *testing.T, tolerance float64) {
	for _, s := range []Smoothable[T]{Dense[T]{}, Diagonal[T]{}} {
		for _, d := range []int{1, 2, 5} {
			for _, n := range []int{1, 2, 7, 33} {
				for _, weight := range []T{1e-3, 1, 100} {
					p := drawn(s, n, d, weight)
					for _, chunk := range []int{1, 3, 8, 100} {
						for _, filter := range []bool{false, true} {
							p.Filter = filter
							want := minimiser[T](s, p)
							if filter {
								want = filtered[T](s, p)
							}
							for i := range p.X {
								p.X[i] = T(math.NaN())
							}
							Smooth(par.New(2, nil), s, p, chunk)
							name := fmt.Sprintf("%s d %d n %d weight %v chunk %d filter %v", s.Name(), d, n, weight, chunk, filter)
							near(t, name, p.X, want, tolerance)
						}
					}
				}
			}
		}
	}
}

// drawn is a problem whose A grow; the first one is not to be read.
func drawn[T num.Float](s Structure[T], n, d int, weight T) Trust[T] {
	rng := rand.New(rand.NewPCG(uint64(n), uint64(d)))
	p := Trust[T]{D: d, Weight: weight, A: make([]T, n*s.Len(d)), R: make([]T, n*d), X: make([]T, n*d), Scratch: make([]T, n*TrustLen(s, d))}
	for i := range p.A {
		p.A[i] = T(7 * rng.NormFloat64() / math.Sqrt(float64(max(s.Len(d)/d, 1))))
		if i < s.Len(d) {
			p.A[i] = T(math.NaN())
		}
	}
	for i := range p.R {
		p.R[i] = T(rng.NormFloat64())
	}
	return p
}

func near[T num.Float](t *testing.T, name string, got []T, want []float64, tolerance float64) {
	top := 0.0
	for _, v := range want {
		top = max(top, math.Abs(v))
	}
	for i, v := range want {
		if off := math.Abs(float64(got[i]) - v); !(off <= tolerance*top) {
			t.Fatalf("%s: %v at %d, want %v, off by %.2g of %.2g", name, got[i], i, v, off, top)
		}
	}
}
