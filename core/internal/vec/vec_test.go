package vec

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestMatMulT(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 1, 2, 3, 8} {
		for _, m := range []int{0, 1, 3, 8} {
			for _, p := range []int{1, 2, 3, 4, 5, 8, 9, 16} {
				x, w, c := draw(rng, n*m), draw(rng, p*m), make([]float64, n*p)
				MatMulT(c, x, w, n, m, p)
				again := make([]float64, n*p)
				MatMul(again, x, Transpose(w, p, m), w, n, m, p)
				for i := range n {
					for j := range p {
						want := 0.0
						for k := range m {
							want += x[i*m+k] * w[j*m+k]
						}
						if off := math.Abs(again[i*p+j] - want); off > 1e-14 {
							t.Fatalf("n %d m %d p %d: MatMul is %v off at (%d, %d)", n, m, p, off, i, j)
						}
						if math.Abs(c[i*p+j]-want) > 1e-14 { // m products of numbers of order 1
							t.Fatalf("n %d m %d p %d: (%d, %d) is %v, want %v", n, m, p, i, j, c[i*p+j], want)
						}
					}
				}
			}
		}
	}
}

func draw(rng *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	return x
}

// An arena gives disjoint pieces, and after a release of everything serves the same demand without allocating.
func TestArena(t *testing.T) {
	a := &Arena[float32]{}
	work := func() {
		a.Release(0)
		x, y := a.Take(10), a.Take(20)
		Fill(x, 1)
		Fill(y, 2)
		if x[9] != 1 || y[0] != 2 {
			t.Fatal("pieces overlap")
		}
	}
	work()
	a.Release(0)
	if n := testing.AllocsPerRun(10, work); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
