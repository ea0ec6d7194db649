package theory

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"pards/core/internal/par"
	"pards/core/lds"
)

// dense is Jt in full.
func dense(s lds.Structure[float64], a []float64, d, steps int) *mat.Dense {
	m, full := mat.NewDense(steps*d, steps*d, nil), make([]float64, d*d)
	for t := range steps {
		if t > 0 {
			s.Dense(full, a[t*s.Len(d):(t+1)*s.Len(d)], d)
		}
		for i := range d {
			m.Set(t*d+i, t*d+i, 1)
			for j := 0; t > 0 && j < d; j++ {
				m.Set(t*d+i, (t-1)*d+j, -full[i*d+j])
			}
		}
	}
	return m
}

// TestInverseNorm against the singular values of the whole matrix, for every structure.
func TestInverseNorm(t *testing.T) {
	for _, name := range lds.Names() {
		s, _ := lds.ByName[float64]("test", name)
		for _, d := range []int{1, 2, 4} {
			for _, steps := range []int{1, 2, 3, 40} {
				for _, size := range []float64{0.3, 1, 1.5} {
					rng := rand.New(rand.NewPCG(uint64(steps), uint64(d)))
					a := make([]float64, steps*s.Len(d))
					for i := range a {
						a[i] = size * rng.NormFloat64()
					}
					if name == "permutation" {
						for i := range a {
							a[i] = float64(d - 1 - i%d)
						}
					}
					for i := range s.Len(d) {
						if name != "permutation" {
							a[i] = math.NaN() // not to be read
						}
					}
					w := par.New(1, nil)
					got := NewChain(w, s, a, d, steps).InverseNorm(w, steps)
					var svd mat.SVD
					svd.Factorize(dense(s, a, d, steps), mat.SVDNone)
					values := svd.Values(nil)
					want := 1 / values[len(values)-1]
					// dense algebra knows the smallest singular value to eps times the largest; Lanczos stops 1e-7 below at most by its test
					tolerance := 1e-5 + 1e-15*want*values[0]
					if math.Abs(got/want-1) > tolerance {
						t.Errorf("%s d %d steps %d size %v: %v, want %v", name, d, steps, size, got, want)
					}
				}
			}
		}
	}
}

func TestInverseNormOverflows(t *testing.T) {
	a := make([]float64, 2000)
	for i := range a {
		a[i] = 3
	}
	if got := NewChain(par.New(1, nil), lds.Diagonal[float64]{}, a, 1, 2000).InverseNorm(par.New(1, nil), 2000); !math.IsInf(got, 1) {
		t.Errorf("3^2000 gives %v", got)
	}
}

func TestLargest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	m := make([]float64, 200*9)
	for i := range m {
		m[i] = rng.NormFloat64()
	}
	var all Largest
	all.See(m, 3)
	want := 0.0
	for i := 0; i < len(m); i += 9 {
		var square mat.SymDense
		square.SymOuterK(1, mat.NewDense(3, 3, m[i:i+9]))
		var eig mat.EigenSym
		eig.Factorize(&square, false)
		want = max(want, math.Sqrt(eig.Values(nil)[2]))
	}
	if math.Abs(all.Norm-want) > 1e-12*want {
		t.Errorf("%v, want %v", all.Norm, want)
	}
	all.See([]float64{math.NaN(), 0, 0, 0, 0, 0, 0, 0, 0}, 3)
	if !math.IsNaN(all.Norm) {
		t.Errorf("NaN was overlooked: %v", all.Norm)
	}
}

// TestLyapunov: a constant rotation that grows by e^0.1, and multiplications by 2 and 1/2 at random, whose exponent is 0.
func TestLyapunov(t *testing.T) {
	var turning, drawn Lyapunov
	c, s, g := math.Cos(1), math.Sin(1), math.Exp(0.1)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 4000 {
		turning.Step([]float64{g * c, -g * s, g * s, g * c}, 2)
		drawn.Step([]float64{math.Exp2(float64(2*rng.IntN(2) - 1))}, 1)
	}
	if mean, err := turning.Exponent(); math.Abs(mean-0.1) > 1e-12 || err > 1e-12 {
		t.Errorf("%v +- %v, want 0.1", mean, err)
	}
	mean, err := drawn.Exponent()
	want := math.Ln2 / math.Sqrt(3600) // of the mean of 3600 independent signs times log 2
	if math.Abs(mean) > 4*err || err < want/2 || err > 2*want {
		t.Errorf("%v +- %v, want 0 +- %v", mean, err, want)
	}
	if mean, err := new(Lyapunov).Exponent(); !math.IsNaN(mean) || !math.IsNaN(err) {
		t.Errorf("nothing gives %v +- %v", mean, err)
	}
}

// TestLyapunovOfProducts: matrices, and their products with the vector, are followed alike.
func TestLyapunovOfProducts(t *testing.T) {
	var full Lyapunov
	var products Growth
	rng := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		j := []float64{rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()}
		full.Step(j, 2)
		products.Advance(2, func(next, v []float64) { next[0], next[1] = j[0]*v[0]+j[1]*v[1], j[2]*v[0]+j[3]*v[1] })
	}
	want, _ := full.Exponent()
	if got, _ := products.Exponent(); math.Abs(got-want) > 1e-10 { // vectors of both have turned to the same direction, by e^-10 at least
		t.Errorf("%v, want %v", got, want)
	}
}

// TestLyapunovErrors: how often exponents that are known lie within one and two of their errors; 68 and 95 of 100 were right. Every draw is
// from a seed, so counts are always the same.
func TestLyapunovErrors(t *testing.T) {
	const draws = 200
	normal := func(d int) func(*rand.Rand) func() []float64 { // Newman (1986): (log 2 + digamma(d / 2)) / 2
		return func(rng *rand.Rand) func() []float64 {
			j := make([]float64, d*d)
			return func() []float64 {
				for i := range j {
					j[i] = rng.NormFloat64()
				}
				return j
			}
		}
	}
	sluggish := func(rng *rand.Rand) func() []float64 { // a scalar whose logarithm forgets in ten steps
		z := rng.NormFloat64()
		return func() []float64 {
			z = 0.9*z + math.Sqrt(1-0.81)*rng.NormFloat64()
			return []float64{math.Exp(0.3*z - 0.1)}
		}
	}
	logistic := func(rng *rand.Rand) func() []float64 { // x' = 4 x (1 - x)
		x := 0.1 + 0.8*rng.Float64()
		return func() []float64 {
			j := 4 - 8*x
			x *= 4 * (1 - x)
			return []float64{j}
		}
	}
	slow := func(rng *rand.Rand) func() []float64 { // eigenvalues 1 and 0.99, at a right angle: no vector has turned in 100 steps
		c, s := math.Sincos(math.Pi * rng.Float64())
		j := []float64{1 - 0.01*s*s, 0.01 * c * s, 0.01 * c * s, 1 - 0.01*c*c}
		return func() []float64 { return j }
	}
	for _, c := range []struct {
		name        string
		d, steps    int
		want        float64
		draw        func(*rand.Rand) func() []float64
		least, most [2]int // of 100 within one error, and within two
	}{
		{"normal", 1, 300, -0.6351814227307392, normal(1), [2]int{60, 90}, [2]int{80, 99}},
		{"normal", 2, 300, 0.057965757829206, normal(2), [2]int{60, 90}, [2]int{80, 99}},
		{"normal", 4, 300, 0.557965757829206, normal(4), [2]int{60, 90}, [2]int{80, 99}},
		{"sluggish", 1, 200, -0.1, sluggish, [2]int{55, 80}, [2]int{80, 99}},        // ten times as long as it remembers
		{"logistic", 1, 300, math.Ln2, logistic, [2]int{95, 100}, [2]int{100, 100}}, // sums of its logarithms stay bounded
		{"slow", 2, 100, 0, slow, [2]int{75, 85}, [2]int{100, 100}},
	} {
		var within [2]int
		for seed := range uint64(draws) {
			next, follow := c.draw(rand.New(rand.NewPCG(seed, 7))), Lyapunov{}
			for range c.steps {
				follow.Step(next(), c.d)
			}
			mean, err := follow.Exponent()
			for i := range within {
				if math.Abs(mean-c.want) <= float64(i+1)*err {
					within[i]++
				}
			}
		}
		for i, n := range within {
			if share := 100 * n / draws; share < c.least[i] || share > c.most[i] {
				t.Errorf("%s, D = %d: %d of 100 exponents are within %d of their errors", c.name, c.d, share, i+1)
			}
		}
	}
}

func TestConstants(t *testing.T) {
	c := Constants{Difference: 0.1, Inverse: 2, Lipschitz: 0.5}
	if c.Rate() != 0.2 || math.Abs(c.Radius()-1.6) > 1e-15 {
		t.Errorf("rate %v, radius %v", c.Rate(), c.Radius())
	}
	if c := (Constants{Difference: 0, Inverse: math.Inf(1), Lipschitz: 0}); c.Rate() != 0 || !math.IsInf(c.Radius(), 1) {
		t.Errorf("rate %v, radius %v of what is exact", c.Rate(), c.Radius())
	}
}
