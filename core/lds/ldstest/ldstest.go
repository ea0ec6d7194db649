// Package ldstest is the table of cases that any scanner must pass: that of the CPU, in any cut of time, and that of a GPU.
package ldstest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pards/core/lds"
	"pards/core/num"
)

// Scanner evaluates x[t] = A[t] x[t-1] + b[t] for a batch; a nil x0 is none.
type Scanner[T num.Float] func(s lds.Structure[T], a, b, x0, out []T, batch, steps, d int, reverse bool) error

// Sizes are lengths around a chunk of 16 steps: none, one, two, one less and more than a chunk, a prime, long.
var Sizes = []int{0, 1, 2, 15, 16, 17, 101, 1000}

// Matrices draws valid numbers for n matrices of a structure, of norm at most about 1, so that no product of them grows.
func Matrices[T num.Float](rng *rand.Rand, s lds.Structure[T], n, d int) []T {
	a := make([]T, n*s.Len(d))
	if s.Name() == "permutation" {
		for t := range n {
			for i, k := range rng.Perm(d) {
				a[t*d+i] = T(k)
			}
		}
		return a
	}
	for i := range a {
		a[i] = T((2*rng.Float64() - 1) / math.Sqrt(float64(max(s.Len(d)/d, 1))))
	}
	return a
}

// Loop is the oracle: the plain loop, in double precision, over matrices written in full.
func Loop[T num.Float](s lds.Structure[T], a, b, x0 []T, steps, d int, reverse bool) []float64 {
	full, x := make([]T, d*d), make([]float64, steps*d)
	var prev []float64
	if x0 != nil {
		prev = num.Wide(x0)
	}
	for k := range steps {
		t := k
		if reverse {
			t = steps - 1 - k
		}
		now := x[t*d : (t+1)*d]
		copy(now, num.Wide(b[t*d:(t+1)*d]))
		if prev != nil {
			s.Dense(full, a[t*s.Len(d):(t+1)*s.Len(d)], d)
			for i := range d {
				for j, v := range prev {
					now[i] += float64(full[i*d+j]) * v
				}
			}
		}
		prev = now
	}
	return x
}

// Run holds a scanner to every registered structure over the table.
func Run[T num.Float](t *testing.T, scan Scanner[T]) {
	for _, name := range lds.Names() {
		s, err := lds.ByName[T]("ldstest", name)
		if err != nil {
			t.Fatal(err)
		}
		for _, steps := range Sizes {
			for _, d := range []int{1, 2, 3, 4, 8, 11} {
				for _, batch := range []int{0, 1, 3} {
					for bits := range 4 {
						c := testCase[T]{s, steps, d, batch, bits&1 > 0, bits&2 > 0}
						t.Run(fmt.Sprintf("%s/T%d/D%d/B%d/x0=%v/reverse=%v", name, steps, d, batch, c.start, c.reverse), func(t *testing.T) { c.run(t, scan) })
					}
				}
			}
		}
	}
}

type testCase[T num.Float] struct {
	s               lds.Structure[T]
	steps, d, batch int
	start, reverse  bool
}

func (c testCase[T]) run(t *testing.T, scan Scanner[T]) {
	rng := rand.New(rand.NewPCG(1, uint64(c.steps*100+c.d)))
	length := c.s.Len(c.d)
	a := guarded(Matrices(rng, c.s, c.batch*c.steps, c.d))
	b := guarded(normal[T](rng, c.batch*c.steps*c.d))
	x0 := guarded(normal[T](rng, c.batch*c.d))
	var given []T
	if c.start {
		given = x0.in
	} else if length > 0 && c.steps > 0 { // the first A is never read
		for i := range c.batch {
			first := i * c.steps
			if c.reverse {
				first += c.steps - 1
			}
			for k := range length {
				a.in[first*length+k] = T(math.NaN())
			}
		}
		a.keep()
	}
	out, again := guarded(make([]T, c.batch*c.steps*c.d)), guarded(make([]T, c.batch*c.steps*c.d))
	for _, o := range []buffer[T]{out, again} {
		for i := range o.in {
			o.in[i] = T(math.NaN())
		}
		if err := scan(c.s, a.in, b.in, given, o.in, c.batch, c.steps, c.d, c.reverse); err != nil {
			t.Fatal(err)
		}
	}
	for _, in := range []buffer[T]{a, b, x0} {
		if in.changed() {
			t.Error("an input was changed")
		}
	}
	for i, v := range out.in {
		if v != again.in[i] {
			t.Fatalf("two runs differ at %d: %v and %v", i, v, again.in[i])
		}
	}
	if out.outside() || again.outside() {
		t.Error("wrote outside the output")
	}
	// Each step adds at most (D+2) roundings of numbers of the trajectory's size, and passes earlier ones on unamplified.
	for i := range c.batch {
		n := c.steps * c.d
		want := Loop(c.s, a.in[i*c.steps*length:(i+1)*c.steps*length], b.in[i*n:(i+1)*n], part(given, i, c.d), c.steps, c.d, c.reverse)
		top := 1.0
		for _, v := range want {
			top = max(top, math.Abs(v))
		}
		bound := num.Eps[T]() * float64(c.d+2) * float64(c.steps) * top
		for k, v := range want {
			if got := float64(out.in[i*n+k]); !(math.Abs(got-v) <= bound) {
				t.Fatalf("sequence %d, step %d, component %d: %v, want %v within %.2g", i, k/c.d, k%c.d, got, v, bound)
			}
		}
	}
}

func part[T any](x []T, i, d int) []T {
	if x == nil {
		return nil
	}
	return x[i*d : (i+1)*d]
}

func normal[T num.Float](rng *rand.Rand, n int) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(rng.NormFloat64())
	}
	return x
}

// buffer has a margin of a known number on both sides.
type buffer[T num.Float] struct{ in, all, was []T }

const (
	margin   = 16
	sentinel = 12345
)

func guarded[T num.Float](x []T) buffer[T] {
	all := make([]T, len(x)+2*margin)
	for i := range all {
		all[i] = sentinel
	}
	b := buffer[T]{in: all[margin : margin+len(x) : margin+len(x)], all: all, was: make([]T, len(all))}
	copy(b.in, x)
	b.keep()
	return b
}

// keep remembers the present content as what must stay.
func (b buffer[T]) keep() { copy(b.was, b.all) }

func (b buffer[T]) changed() bool {
	for i, v := range b.all {
		if v != b.was[i] && (v == v || b.was[i] == b.was[i]) {
			return true
		}
	}
	return false
}

func (b buffer[T]) outside() bool {
	for i := range margin {
		if b.all[i] != sentinel || b.all[len(b.all)-1-i] != sentinel {
			return true
		}
	}
	return false
}
