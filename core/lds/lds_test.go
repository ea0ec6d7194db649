package lds_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pards/core/internal/par"
	"pards/core/lds"
	"pards/core/lds/ldstest"
	"pards/core/num"
)

// chunked scans with a chunk length that the table's sizes straddle, on several workers.
func chunked[T num.Float](workers, chunk int) ldstest.Scanner[T] {
	return func(s lds.Structure[T], a, b, x0, out []T, batch, steps, d int, reverse bool) error {
		w := par.New(workers, nil)
		for i := range batch {
			length := s.Len(d)
			span := lds.Span[T]{D: d, A: a[i*steps*length : (i+1)*steps*length], B: b[i*steps*d : (i+1)*steps*d], X: out[i*steps*d : (i+1)*steps*d], Reverse: reverse}
			if x0 != nil && steps > 0 {
				carry := append([]T(nil), x0[i*d:(i+1)*d]...)
				lds.Run(w, s, span, carry, chunk)
			} else if steps > 0 {
				lds.Scan(w, s, span.A, span.B, nil, span.X, 1, steps, d, reverse)
			}
		}
		return nil
	}
}

func plain[T num.Float](s lds.Structure[T], a, b, x0, out []T, batch, steps, d int, reverse bool) error {
	lds.Scan(par.New(2, nil), s, a, b, x0, out, batch, steps, d, reverse)
	return nil
}

func TestScan(t *testing.T) {
	t.Run("float32", func(t *testing.T) { ldstest.Run(t, plain[float32]) })
	t.Run("float64", func(t *testing.T) { ldstest.Run(t, plain[float64]) })
}

func TestChunks(t *testing.T) {
	t.Run("float32", func(t *testing.T) { ldstest.Run(t, chunked[float32](3, 16)) })
	t.Run("float64", func(t *testing.T) { ldstest.Run(t, chunked[float64](1, 16)) })
}

// With a reference it is the loop x[t] = A[t] (x[t-1] - ref[t-1]) + b[t], either way, for every structure.
func TestReference(t *testing.T) {
	t.Run("float32", references[float32])
	t.Run("float64", references[float64])
}

func references[T num.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	const steps = 300
	for _, name := range lds.Names() {
		s, _ := lds.ByName[T]("test", name)
		for _, d := range []int{1, 2, 3, 4, 8} {
			for _, reverse := range []bool{false, true} {
				a, b, ref, carry := ldstest.Matrices(rng, s, steps, d), draw[T](rng, steps*d), draw[T](rng, steps*d), draw[T](rng, d)
				out, full, state := make([]T, steps*d), make([]T, d*d), make([]float64, d)
				for i, v := range carry {
					state[i] = float64(v)
				}
				s.Apply(lds.Span[T]{D: d, A: a, B: b, Ref: ref, X: out, Reverse: reverse}, carry)
				for k := range steps {
					at := k
					if reverse {
						at = steps - 1 - k
					}
					next := make([]float64, d)
					s.Dense(full, a[at*s.Len(d):(at+1)*s.Len(d)], d)
					for i := range next {
						want := float64(b[at*d+i])
						for j, v := range state {
							want += float64(full[i*d+j]) * v
						}
						// each step adds d+4 roundings of numbers of order 10, and passes earlier ones on unamplified
						if off := math.Abs(float64(out[at*d+i]) - want); !(off <= num.Eps[T]()*float64(d+4)*float64(k+1)*10) {
							t.Fatalf("%s, D %d, reverse %v: step %d, %d is %v, want %v", name, d, reverse, at, i, out[at*d+i], want)
						}
						next[i] = want - float64(ref[at*d+i])
					}
					state = next
				}
			}
		}
	}
}

// Where the reference is the trajectory up to some step, so is the result, to the bit, and the step behind is b: what is right stays right, and
// grows by a step at a time.
func TestReferenceIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	const steps = 500
	for _, d := range []int{1, 2, 3, 4, 8} {
		for _, right := range []int{0, 1, 77, 128, 301} {
			a, b, out := ldstest.Matrices[float32](rng, lds.Dense[float32]{}, steps, d), draw[float32](rng, steps*d), make([]float32, steps*d)
			ref := draw[float32](rng, steps*d)
			copy(ref, b[:right*d])
			lds.Dense[float32]{}.Apply(lds.Span[float32]{D: d, A: a, B: b, Ref: ref, X: out}, make([]float32, d))
			for i, v := range out[:(right+1)*d] {
				if v != b[i] {
					t.Fatalf("D %d, right up to %d: step %d is %v, want %v", d, right, i/d, v, b[i])
				}
			}
		}
	}
}

// What is not finite shows at the steps at which it does in the loop, and as it does there.
func TestNonFinite(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	const steps = 300
	s := lds.Structure[float64](lds.Dense[float64]{})
	for _, d := range []int{1, 2, 3, 4, 8} {
		for _, at := range []int{0, 1, 40, 127, 128, 255, 299} {
			for kind := range 8 {
				a, b, out := ldstest.Matrices(rng, s, steps, d), draw[float64](rng, steps*d), make([]float64, steps*d)
				bad, reverse := []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64}[kind/2], kind%2 > 0
				if b[at*d] = bad; kind/2 == 3 { // the step behind overflows
					a[at*s.Len(d)], a[(at+1)%steps*s.Len(d)] = 3, 3
				}
				x0 := draw[float64](rng, d)
				lds.Scan(par.New(1, nil), s, a, b, x0, out, 1, steps, d, reverse)
				top, loop := 1.0, ldstest.Loop(s, a, b, x0, steps, d, reverse)
				for k := range loop { // in the order of the scan
					i := k
					if reverse {
						i = len(loop) - 1 - k
					}
					want, finite := loop[i], math.Abs(loop[i]) <= math.MaxFloat64
					if finite {
						top = max(top, math.Abs(want))
					}
					if got := out[i]; finite && !(math.Abs(got-want) <= 1e-12*top) || !finite && got != want && (got == got || want == want) {
						t.Fatalf("D %d, %v in step %d, reverse %v: step %d is %v, want %v", d, bad, at, reverse, i/d, got, want)
					}
				}
			}
		}
	}
}

// A product that overflows spoils no state, wherever time is cut: the loop knows nothing of it.
func TestProductsOverflow(t *testing.T) {
	const steps = 2000
	for _, d := range []int{1, 2, 3, 4, 8} {
		for _, s := range []lds.Structure[float32]{lds.Dense[float32]{}, lds.Diagonal[float32]{}} {
			diagonal := make([]float32, steps*d)
			for i := range diagonal {
				diagonal[i] = []float32{2, 0.5}[(i%d)%2]
			}
			a, b, want, x0 := diagonal, make([]float32, steps*d), make([]float32, steps*d), make([]float32, d)
			if s.Name() == "dense" {
				a = make([]float32, steps*d*d)
				lds.Diagonal[float32]{}.Dense(a, diagonal, d)
			}
			for i := 1; i < d; i += 2 { // what grows is not there
				x0[i] = 1
			}
			lds.Run(par.New(2, nil), s, lds.Span[float32]{D: d, A: a, B: b, X: want}, append([]float32(nil), x0...), steps)
			for _, chunk := range []int{130, 300} {
				got := make([]float32, steps*d)
				lds.Run(par.New(2, nil), s, lds.Span[float32]{D: d, A: a, B: b, X: got}, append([]float32(nil), x0...), chunk)
				for i, v := range got {
					if v != want[i] || i < 20*d && v != x0[i%d]*float32(math.Exp2(-float64(i/d+1))) {
						t.Fatalf("%s, D %d, chunks of %d: step %d is %v, want %v", s.Name(), d, chunk, i/d, v, want[i])
					}
				}
			}
		}
	}
}

func draw[T num.Float](rng *rand.Rand, n int) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(rng.NormFloat64())
	}
	return x
}

// Products of permutations are exact, whatever the cut of time.
func TestPermutationProductsAreExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	const steps, d = 5000, 5
	p := lds.Permutation[float32]{}
	a := ldstest.Matrices(rng, lds.Structure[float32](p), steps, d)
	full := make([]float32, steps*d*d)
	p.Dense(full, a, d)
	b := make([]float32, steps*d)
	want := make([]float32, steps*d)
	x0, state := []float32{1, 2, 3, 4, 5}, []float32{1, 2, 3, 4, 5}
	for s := range steps {
		next := make([]float32, d)
		for i := range next {
			next[i] = state[int(a[s*d+i])]
		}
		copy(want[s*d:], next)
		state = next
	}
	for _, chunk := range []int{1, 7, 16, 1000, steps} {
		for _, c := range []struct {
			s lds.Structure[float32]
			a []float32
		}{{p, a}, {lds.Dense[float32]{}, full}} {
			out := make([]float32, steps*d)
			lds.Run(par.New(3, nil), c.s, lds.Span[float32]{D: d, A: c.a, B: b, X: out}, append([]float32(nil), x0...), chunk)
			for i, v := range out {
				if v != want[i] {
					t.Fatalf("%s in chunks of %d: %v at %d, want %v", c.s.Name(), chunk, v, i, want[i])
				}
			}
		}
	}
}

// The bits do not depend on the number of workers, also where time is cut.
func TestWorkersChangeNoBit(t *testing.T) {
	for _, c := range []struct {
		s        lds.Structure[float32]
		steps, d int
	}{{lds.Diagonal[float32]{}, 1 << 19, 5}, {lds.Dense[float32]{}, 1<<20 + 3, 2}} {
		rng := rand.New(rand.NewPCG(3, 3))
		if lds.Chunk(c.s, 1, c.steps, c.d) >= c.steps {
			t.Fatalf("%s: this size is not cut: the test shows nothing", c.s.Name())
		}
		a, b, want := ldstest.Matrices(rng, c.s, c.steps, c.d), draw[float32](rng, c.steps*c.d), make([]float32, c.steps*c.d)
		lds.Scan(par.New(1, nil), c.s, a, b, nil, want, 1, c.steps, c.d, false)
		for _, workers := range []int{2, 3, 16} {
			got := make([]float32, c.steps*c.d)
			lds.Scan(par.New(workers, nil), c.s, a, b, nil, got, 1, c.steps, c.d, false)
			for i, v := range got {
				if v != want[i] {
					t.Fatalf("%s, %d workers: %v at %d, one worker %v", c.s.Name(), workers, v, i, want[i])
				}
			}
		}
	}
}

// A scan looks between pieces whether it is to stop: here before the first one.
func TestScanStops(t *testing.T) {
	const steps = 10
	for _, chunk := range []int{7, steps} {
		w := par.New(2, func() bool { return true })
		time.Sleep(par.PollEvery + time.Millisecond)
		out := make([]float64, steps)
		lds.Run(w, lds.Structure[float64](lds.Identity[float64]{}), lds.Span[float64]{D: 1, B: []float64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, X: out}, []float64{0}, chunk)
		for i, v := range out {
			if v != 0 {
				t.Fatalf("chunk %d: step %d was written after the stop", chunk, i)
			}
		}
	}
}

// A transposed matrix is the transposed matrix, and Mul is its product.
func TestTransposeAndMul(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	const n, d = 6, 4
	for _, name := range lds.Names() {
		s, _ := lds.ByName[float64]("test", name)
		a := ldstest.Matrices(rng, s, n, d)
		aT, full, fullT := make([]float64, len(a)), make([]float64, n*d*d), make([]float64, n*d*d)
		s.Transpose(aT, a, d)
		s.Dense(full, a, d)
		s.Dense(fullT, aT, d)
		x, y := draw[float64](rng, n*d), make([]float64, n*d)
		s.Mul(y, a, x, d)
		for m := range n {
			for i := range d {
				sum := 0.0
				for j := range d {
					if full[(m*d+i)*d+j] != fullT[(m*d+j)*d+i] {
						t.Fatalf("%s: transpose differs", name)
					}
					sum += full[(m*d+i)*d+j] * x[m*d+j]
				}
				if diff := sum - y[m*d+i]; diff > 1e-15*d || diff < -1e-15*d { // d products of numbers of order 1
					t.Fatalf("%s: Mul gives %v, want %v", name, y[m*d+i], sum)
				}
			}
		}
	}
}

// Clip leaves no singular value above 1, and leaves alone what has none.
func TestClipDense(t *testing.T) {
	a := []float64{3, 0, 0, 0.5, 0.2, 0.1, 0, 0.3}
	want := []float64{1, 0, 0, 0.5 / 3, 0.2, 0.1, 0, 0.3}
	lds.Dense[float64]{}.Clip(a, 2)
	for i, v := range want {
		if d := a[i] - v; d > 1e-15 || d < -1e-15 {
			t.Fatalf("%v, want %v", a, want)
		}
	}
}

func TestCheck(t *testing.T) {
	p := lds.Structure[float64](lds.Permutation[float64]{})
	for _, c := range []struct {
		s          lds.Structure[float64]
		a          []float64
		as, bs, os []int
		x0         []int
		want       string
	}{
		{lds.Dense[float64]{}, nil, []int{1, 4, 2, 3}, []int{1, 4, 2}, []int{1, 4, 2}, nil, "scan: A (dense) has shape (1, 4, 2, 3), want (1, 4, 2, 2); b has shape (1, 4, 2)"},
		{lds.Dense[float64]{}, nil, []int{1, 4, 2, 2}, []int{4, 2}, []int{1, 4, 2}, nil, "scan: b has shape (4, 2), want (B, T, D)"},
		{lds.Dense[float64]{}, nil, []int{1, 4, 2, 2}, []int{1, 4, 2}, []int{1, 4, 2}, []int{1, 3}, "scan: x0 has shape (1, 3), want (B, D) = (1, 2); D is fixed by b has shape (1, 4, 2)"},
		{p, []float64{0, 1, 1, 1}, []int{1, 2, 2}, []int{1, 2, 2}, []int{1, 2, 2}, nil, "scan: A (permutation) has a row that holds 1 twice"},
		{p, []float64{0, 1, 0.5, 1}, []int{1, 2, 2}, []int{1, 2, 2}, []int{1, 2, 2}, nil, "scan: A (permutation) holds 0.5"},
	} {
		err := lds.Check(c.s, c.a, c.as, c.bs, c.os, c.x0, false)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// Update is the loop of what its states are apart from the reference, also where time is cut.
func TestUpdate(t *testing.T) {
	const long = 1 << 19
	for _, name := range lds.Names() {
		s, _ := lds.ByName[float64]("test", name)
		for _, size := range [][3]int{{1, 1, 4}, {3, 2, 4}, {2, 1000, 4}, {1, long, 4}} {
			batch, steps, d := size[0], size[1], size[2]
			if steps == long && name != "diagonal" {
				continue
			} else if steps == long && lds.Chunk(s, batch, steps, d) >= steps {
				t.Fatal("this size is not cut: the test shows nothing")
			}
			rng := rand.New(rand.NewPCG(9, 9))
			a := ldstest.Matrices(rng, s, batch*steps, d)
			b, ref := draw[float64](rng, batch*steps*d), draw[float64](rng, batch*steps*d)
			apart, out := make([]float64, batch*steps*d), make([]float64, batch*steps*d)
			for i := range b {
				apart[i], out[i] = b[i]-ref[i], math.NaN()
			}
			lds.Update(par.New(3, nil), s, a, b, ref, out, batch, steps, d)
			for i := range batch {
				from, length := i*steps*d, s.Len(d)
				want := ldstest.Loop(s, a[i*steps*length:(i+1)*steps*length], apart[from:from+steps*d], nil, steps, d, false)
				for j, v := range want {
					// sums of as many steps as matter, of numbers of their size
					if got := out[from+j]; !(math.Abs(got-ref[from+j]-v) <= 1e-12*(1+math.Abs(v))) {
						t.Fatalf("%s %v: %v at %d, want %v", name, size, got, from+j, v+ref[from+j])
					}
				}
			}
		}
	}
}
