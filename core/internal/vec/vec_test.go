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
			for _, p := range []int{1, 2, 3, 4, 5, 9} {
				x, w, bias, c := draw(rng, n*m), draw(rng, p*m), draw(rng, p), make([]float64, n*p)
				MatMulT(c, x, w, bias, n, m, p)
				for i := range n {
					for j := range p {
						want := bias[j]
						for k := range m {
							want += x[i*m+k] * w[j*m+k]
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

// The float32 functions are right to an ulp or so everywhere, and have their limits at infinity.
func TestElementary(t *testing.T) {
	for v := -100.0; v < 100; v += 0.0037 {
		for _, scale := range []float64{1, 1e-3, 1e-6} {
			x := float32(v * scale)
			th, sg := []float32{x}, []float32{x}
			Tanh(th)
			Sigmoid(sg)
			if want := math.Tanh(float64(x)); math.Abs(float64(th[0])-want) > 0x1p-23*math.Abs(want) {
				t.Fatalf("tanh(%v) = %v, want %v", x, th[0], want)
			}
			// below the smallest normal number the spacing is absolute
			if want := 1 / (1 + math.Exp(-float64(x))); math.Abs(float64(sg[0])-want) > 0x1p-23*want+0x1p-149 {
				t.Fatalf("sigmoid(%v) = %v, want %v", x, sg[0], want)
			}
		}
	}
	ends := []float32{float32(math.Inf(-1)), float32(math.Inf(1))}
	Tanh(ends)
	if ends[0] != -1 || ends[1] != 1 {
		t.Errorf("tanh at infinity: %v", ends)
	}
	s := []float64{-1000, 0, -1001}
	Softmax(s)
	if math.Abs(s[1]-1) > 1e-15 || s[0] != 0 {
		t.Errorf("softmax: %v", s)
	}
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
