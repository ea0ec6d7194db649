package simd

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"pards/core/num"
)

// at runs a test of the kernels of every level that this machine has.
func at(t *testing.T, test func(t *testing.T)) {
	defer func(was leveled) { use = was }(use)
	for _, use = range levels() {
		t.Run(use.name, test)
	}
}

// both is at for a test in either precision.
func both(t *testing.T, single, double func(t *testing.T)) {
	at(t, func(t *testing.T) {
		t.Run("float32", single)
		t.Run("float64", double)
	})
}

// ulps returns how many units in the last place of T, subnormal numbers' being absolute, v is from want.
func ulps[T num.Float](v T, want float64) float64 {
	_, e := math.Frexp(want)
	unit := math.Ldexp(1, max(e, map[int]int{4: -125, 8: -1021}[num.Size[T]()]))
	return math.Abs(float64(v)-want) / (unit * num.Eps[T]() / 2)
}

func normal[T num.Float](rng *rand.Rand, n int) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(rng.NormFloat64())
	}
	return x
}

// Functions of the whole range of arguments, small ones and large, are within the bounds they state.
func TestElementary(t *testing.T) {
	both(t, elementary[float32], elementary[float64])
}

func elementary[T num.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var args []T
	for range 200000 {
		args = append(args, T(rng.NormFloat64()*math.Exp2(rng.Float64()*12-4)), T(rng.NormFloat64()*math.Exp2(-30*rng.Float64())))
	}
	for _, f := range []struct {
		name  string
		own   func([]T)
		exact func(float64) float64
		most  float64
	}{
		{"exp", Exp[T], math.Exp, 2},
		{"sigmoid", Sigmoid[T], sigmoid, 3},
		{"tanh", Tanh[T], math.Tanh, 3},
	} {
		got, worst, where := append([]T(nil), args...), 0.0, T(0)
		f.own(got)
		for i, x := range args {
			want := f.exact(float64(x))
			if num.Size[T]() == 4 && want > math.MaxFloat32*(1-0x1p-25) || math.IsInf(want, 1) {
				if got[i] < math.MaxFloat32 {
					t.Fatalf("%s(%v) = %v, want %v", f.name, x, got[i], want)
				}
				continue
			}
			if off := ulps(got[i], want); !(off <= worst) {
				worst, where = off, x
			}
		}
		t.Logf("%s: %.2f ulp at %v", f.name, worst, where)
		if !(worst <= f.most) {
			t.Errorf("%s: %.2f ulp at %v", f.name, worst, where)
		}
		inf := math.Inf(1)
		for _, c := range [][2]float64{{inf, f.exact(inf)}, {-inf, f.exact(-inf)}, {0, f.exact(0)}, {math.NaN(), math.NaN()}} {
			v := []T{T(c[0])}
			if f.own(v); float64(v[0]) != c[1] && !(math.IsNaN(c[1]) && v[0] != v[0]) {
				t.Errorf("%s(%v) = %v", f.name, c[0], v[0])
			}
		}
	}
}

func sigmoid(x float64) float64 {
	if x < 0 {
		return math.Exp(x) / (1 + math.Exp(x))
	}
	return 1 / (1 + math.Exp(-x))
}

// A number's result does not depend on where it stands, nor does anything around the slice change.
func TestElementaryLengths(t *testing.T) {
	both(t, lengths[float32], lengths[float64])
}

func lengths[T num.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, f := range []func([]T){Exp[T], Sigmoid[T], Tanh[T]} {
		for n := range 40 {
			x := normal[T](rng, n+2)
			y := append([]T(nil), x...)
			f(y[1 : n+1])
			for i := range x {
				one := x[i : i+1 : i+1]
				if i > 0 && i < n+1 {
					one = append([]T(nil), one...)
					f(one)
				}
				if y[i] != one[0] {
					t.Fatalf("length %d, place %d: %v and %v", n, i, y[i], one[0])
				}
			}
		}
	}
}

// Mix is the loop of its comment, with and without a bias, for every number of rows about a block's.
func TestMix(t *testing.T) {
	both(t, mixes[float32], mixes[float64])
}

func mixes[T num.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	draw := func(n int) []T { return normal[T](rng, n) }
	for _, rows := range []int{0, 1, 2, 7, 8, 9, 17, 24} {
		for _, width := range []int{0, 1, 3, 8} {
			for _, n := range []int{1, Lanes[T](), 3*Lanes[T]() + 1} {
				pitch := Padded[T](n) + Lanes[T]()
				w, x, bias, c := draw(rows*width), draw(width*pitch), draw(rows), draw(rows*pitch)
				for _, given := range [][]T{bias, nil} {
					got := append([]T(nil), c...)
					Mix(got, w, x, given, rows, width, n, pitch)
					for r := range rows {
						for i := range pitch {
							want, scale := float64(c[r*pitch+i]), 1.0
							if given != nil {
								want = float64(bias[r])
							}
							for k := range width {
								term := float64(w[r*width+k]) * float64(x[k*pitch+i])
								want, scale = want+term, scale+math.Abs(term)
							}
							off := math.Abs(float64(got[r*pitch+i]) - want)
							if i < n && !(off <= scale*num.Eps[T]()*float64(width+1)) {
								t.Fatalf("%d rows of %d, n = %d: (%d, %d) is %v, want %v", rows, width, n, r, i, got[r*pitch+i], want)
							}
							if i >= Padded[T](n) && got[r*pitch+i] != c[r*pitch+i] {
								t.Fatalf("%d rows of %d, n = %d: (%d, %d) was written", rows, width, n, r, i)
							}
						}
					}
				}
			}
		}
	}
}

// GRU and Scaled do what their comments say: each level against the plain ones in double precision.
func TestGRU(t *testing.T) {
	both(t, grus[float32], grus[float64])
}

func grus[T num.Float](t *testing.T) {
	rng, exact := rand.New(rand.NewPCG(7, 8)), generic[float64]()
	for _, d := range []int{1, 2, 4, 7, 8, 9, 16, 33} {
		for _, n := range []int{1, Lanes[T](), 2*Lanes[T]() + 1} {
			pitch := Padded[T](n)
			in := make([][]float64, 3) // a, h, x
			own := make([][]T, 3)
			for i, size := range []int{3 * d * pitch, d * pitch, d * pitch} {
				in[i], own[i] = make([]float64, size), make([]T, size)
				for j := range in[i] {
					own[i][j] = T(rng.NormFloat64())
					in[i][j] = float64(own[i][j])
				}
			}
			y, coef, w := make([]T, d*pitch), make([]T, 4*d*pitch), make([]T, 4*d*d)
			yWant, coefWant, wWant := make([]float64, d*pitch), make([]float64, 4*d*pitch), make([]float64, 4*d*d)
			for i := range w {
				w[i] = T(rng.NormFloat64())
				wWant[i] = float64(w[i])
			}
			GRU(y, append([]T(nil), own[0]...), own[1], own[2], nil, d*pitch)
			plain := append([]T(nil), y...)
			GRU(y, own[0], own[1], own[2], coef, d*pitch)
			exact.gru(&yWant[0], &in[0][0], &in[1][0], &in[2][0], &coefWant[0], d*pitch)
			near := func(what string, got []T, want []float64, rows int) {
				for i := range rows * pitch {
					if i%pitch < n && !(math.Abs(float64(got[i])-want[i]) <= 32*num.Eps[T]()) { // some operations on numbers of order 1
						t.Fatalf("d = %d, n = %d: %s at %d is %v, want %v", d, n, what, i, got[i], want[i])
					}
				}
			}
			near("y", y, yWant, d)
			near("y alone", plain, yWant, d)
			near("z", own[0][d*pitch:], in[0][d*pitch:], d)
			near("coef", coef, coefWant, 4*d)
			for parts := 1; parts <= ScaledParts; parts++ {
				j, jWant := make([]T, d*(d+2)*pitch), make([]float64, d*(d+2)*pitch) // what stands between the matrices' rows stays 0
				Scaled(j, coef, w, parts, d, d+2, n, pitch)
				exact.scaled(&jWant[0], &coefWant[0], &wWant[0], parts, d, d+2, n, pitch)
				near(fmt.Sprintf("j of %d", parts), j, jWant, d*(d+2))
			}
		}
	}
}

// GRUSteps is the loop over Mix and GRU, to the bit, for every width about a vector's, and writes nothing else.
func TestGRUSteps(t *testing.T) {
	both(t, gruLoops[float32], gruLoops[float64])
}

func gruLoops[T num.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 5))
	draw := func(n int) []T { return normal[T](rng, n) }
	for _, d := range []int{1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33} {
		for _, n := range []int{0, 1, 6} {
			for _, swap := range []bool{false, true} {
				part := Padded[T](d)
				y, a, w, own, hidden := draw((n+1)*d+part+1), draw(3*n*part), draw(3*d*part), draw(part), draw(n*d+part)
				want, last := append([]T(nil), y...), y[(n+1)*d+part]
				if !swap {
					hidden = y
				}
				GRUSteps(y, a, w, own, hidden, d, n, swap)
				for s := range n {
					x, next := append(append([]T(nil), want[s*d:(s+1)*d]...), make([]T, part)...), make([]T, part)
					h := append([]T(nil), x...)
					if swap {
						copy(h, hidden[s*d:(s+1)*d])
					}
					gates := append(append([]T(nil), a[3*s*part:][:2*part]...), own...)
					Mix(gates, x, w, nil, 1, d, 3*part, 3*part)
					q := append([]T(nil), a[(3*s+2)*part:][:part]...)
					if !swap {
						for i := range q {
							q[i], gates[2*part+i] = gates[2*part+i], q[i]
						}
					}
					GRU(next, gates, q, h, nil, part)
					copy(want[(s+1)*d:], next[:d])
				}
				for i, v := range want[:(n+1)*d] {
					if y[i] != v {
						t.Fatalf("d %d, n %d, swap %v: %d is %v, want %v", d, n, swap, i, y[i], v)
					}
				}
				if y[(n+1)*d+part] != last {
					t.Fatalf("d %d, n %d: the number behind was written", d, n)
				}
			}
		}
	}
}

// Transpose is exact, and writes nothing beside the rows.
func TestTranspose(t *testing.T) {
	both(t, transposes[float32], transposes[float64])
}

func transposes[T num.Float](t *testing.T) {
	for rows := range 40 {
		for cols := range 40 {
			for _, apart := range [][2]int{{0, 0}, {3, 2}, {0, 2}, {3, 0}} {
				transposed[T](t, rows, cols, rows+apart[0], cols+apart[1])
			}
		}
	}
}

func transposed[T num.Float](t *testing.T, rows, cols, to, from int) {
	t.Helper()
	src, dst := make([]T, rows*from), make([]T, cols*to+40)
	for i := range src {
		src[i] = T(i + 1)
	}
	const kept = -1 // beside the rows and behind them
	for i := range dst {
		dst[i] = kept
	}
	Transpose(dst, src, rows, cols, to, from)
	for i, v := range dst {
		want := T(kept)
		if to > 0 && i/to < cols && i%to < rows {
			want = src[i%to*from+i/to]
		}
		if v != want {
			t.Fatalf("%d by %d, %d and %d apart: %v at %d, want %v", rows, cols, to, from, v, i, want)
		}
	}
}

// Diagonal is the loop of its comment, both ways, with ones and other numbers, for every width about a vector's, and writes nothing else.
func TestDiagonal(t *testing.T) {
	at(t, func(t *testing.T) {
		t.Run("float32", func(t *testing.T) { recurrences[float32](t, false) })
		t.Run("float64", func(t *testing.T) { recurrences[float64](t, false) })
	})
}

// Prefix is Diagonal to the bound that it states, both ways, for every width that it serves, leaves the rest alone, and steps back where a
// product of a overflows though no state does.
func TestPrefix(t *testing.T) {
	at(t, func(t *testing.T) {
		if of[float32]().prefix == nil {
			t.Skip("the plain level has none: package lds does it")
		}
		t.Run("float32", func(t *testing.T) { prefixes[float32](t, 1e38) })
		t.Run("float64", func(t *testing.T) { prefixes[float64](t, 1e300) })
	})
}

func prefixes[T num.Float](t *testing.T, huge T) {
	rng, lanes := rand.New(rand.NewPCG(9, 9)), 32/num.Size[T]()
	for _, d := range []int{1, 2, 3, 4, 5} {
		for _, n := range []int{0, 1, lanes - 1, lanes, 3*lanes + 1, 2 * prefixNumbers} {
			for kind := range 4 {
				back, over := kind&1 > 0, kind&2 > 0
				a, b, x, carry := make([]T, n*d), make([]T, n*d), make([]T, n*d), make([]T, d)
				for i := range a {
					a[i], b[i], x[i] = T(1.1*rng.NormFloat64()), T(rng.NormFloat64()), huge
				}
				if !over {
					for i := range carry {
						carry[i] = T(rng.NormFloat64())
					}
				} else if n > 2 { // 0 times these is 0, and of their product NaN
					clear(b)
					for i := range a {
						a[i] = huge
					}
				}
				was := append([]T(nil), carry...)
				rows, want := Prefix(x, a, b, carry, n, back), 0
				if d*num.Size[T]() <= 16 && d != 3 && !over {
					want = min(n, prefixNumbers/d) * d / lanes * lanes / d
				}
				if rows != want && !(over && n <= 2) {
					t.Fatalf("d %d n %d back %v over %v: %d rows, want %d", d, n, back, over, rows, want)
				}
				for i := range d {
					state, size, bound := float64(was[i]), math.Abs(float64(was[i])), 0.0
					for k := range n {
						j := k*d + i
						if back {
							j = (n-1-k)*d + i
						}
						if k >= rows {
							if rows > 0 && x[j] != huge {
								t.Fatalf("d %d n %d back %v: row %d is written", d, n, back, k)
							}
							continue
						}
						p := float64(a[j])
						state, size = p*state+float64(b[j]), math.Abs(p)*size+math.Abs(float64(b[j]))
						bound = math.Abs(p)*bound + 6*num.Eps[T]()*size
						if off := math.Abs(float64(x[j]) - state); !(off <= bound) {
							t.Fatalf("d %d n %d back %v: row %d, %d is %v, want %v within %v", d, n, back, k, i, x[j], state, bound)
						}
						if k == rows-1 && carry[i] != x[j] {
							t.Fatalf("d %d n %d back %v: carry %v after %v", d, n, back, carry[i], x[j])
						}
					}
				}
				if rows == 0 && !slices.Equal(was, carry) {
					t.Fatalf("d %d n %d back %v: carry changed", d, n, back)
				}
			}
		}
	}
}

// DenseSmall is Dense to the bound that it states, both ways, with and without ref, for either number of rows, leaves the rest alone, and steps
// back where a product of matrices overflows though no state does.
func TestDenseSmall(t *testing.T) {
	at(t, func(t *testing.T) {
		if of[float32]().denseTwo == nil {
			t.Skip("the plain level has none: package lds does it")
		}
		t.Run("float32", func(t *testing.T) { smallDense[float32](t, 1e38) })
		t.Run("float64", func(t *testing.T) { smallDense[float64](t, 1e300) })
	})
}

func smallDense[T num.Float](t *testing.T, huge T) {
	lanes := 32 / num.Size[T]()
	for _, d := range []int{0, 1, 2, 3, 4, 5} {
		for _, n := range []int{0, 1, 2, 3, lanes, 2*lanes - 1, 2 * lanes, 7*lanes + 3, lanes * deepTwo, 2*lanes*deepTwo + 1, prefixNumbers} {
			for kind := range 8 {
				c := smallCase[T]{d: d, n: n, back: kind&1 > 0, given: kind&2 > 0}
				if over := kind&4 > 0; !over {
					c.draw(huge, func(rng *rand.Rand) T { return T(rng.NormFloat64()) / T(max(d, 1)) })
				} else if c.draw(huge, func(*rand.Rand) T { return huge }); n >= 2*lanes { // 0 times these is 0, and of their product NaN
					clear(c.b)
					clear(c.ref)
					clear(c.carry)
				} else {
					continue
				}
				was := append([]T(nil), c.carry...)
				rows, want := DenseSmall(c.x, c.a, c.b, c.ref, c.carry, n, c.back), 0
				switch most := min(n, prefixNumbers/max(d, 1)); {
				case kind&4 > 0:
				case d == 4:
					want = most / 2 * 2
				case d == 2:
					deep := min(most/lanes, deepTwo)
					if num.Size[T]() == 4 {
						deep -= deep % 2
					}
					want = most / max(lanes*deep, 1) * lanes * deep
				}
				if rows != want {
					t.Fatalf("%v: %d rows, want %d", c, rows, want)
				}
				if rows == 0 && !slices.Equal(was, c.carry) {
					t.Fatalf("%v: carry changed", c)
				}
				c.check(t, was, rows, huge)
			}
		}
	}
}

// DenseProduct is the loop of its comment, for each column to the bound that DenseSmall states, both ways, also over more rows than DenseSmall takes.
func TestDenseProduct(t *testing.T) {
	at(t, func(t *testing.T) {
		if of[float32]().denseTwo == nil {
			t.Skip("the plain level has none: package lds does it")
		}
		t.Run("float32", denseProducts[float32])
		t.Run("float64", denseProducts[float64])
	})
}

func denseProducts[T num.Float](t *testing.T) {
	const d = 2
	lanes := 32 / num.Size[T]()
	for _, n := range []int{0, 1, lanes, 2 * lanes, 7*lanes + 3, 2*lanes*deepTwo + 1, prefixNumbers} {
		for _, back := range []bool{false, true} {
			c := smallCase[T]{d: d, n: n, back: back}
			c.draw(0, func(rng *rand.Rand) T { return T(rng.NormFloat64()) / 2 })
			x, p, was := append([]T(nil), c.carry...), []T{1, -2, 3, 0.5}, []T{1, -2, 3, 0.5}
			rows := DenseProduct(p, x, c.a, c.b, n, back)
			if rows == 0 && n >= 2*lanes || rows > n || n-rows >= lanes*deepTwo {
				t.Fatalf("%v: %d rows", c, rows)
			}
			c.n = rows
			if back {
				c.a, c.b = c.a[(n-rows)*d*d:], c.b[(n-rows)*d:]
			}
			c.ends(t, c.carry, x)
			clear(c.b)
			for i := range d {
				c.ends(t, []T{was[i], was[d+i]}, []T{p[i], p[d+i]})
			}
		}
	}
}

// ends holds the last state from some start on to the loop in long arithmetic.
func (c smallCase[T]) ends(t *testing.T, start, end []T) {
	state, bound, size := make([]*big.Float, c.d), make([]float64, c.d), make([]float64, c.d)
	for i, v := range start {
		state[i], size[i] = long(v), math.Abs(float64(v))
	}
	for k := range c.n {
		row := k
		if c.back {
			row = c.n - 1 - k
		}
		state, size, bound = c.step(row, 0, state, size, bound)
	}
	for i, v := range end {
		if far, _ := new(big.Float).Sub(state[i], long(v)).Float64(); !(math.Abs(far) <= bound[i]) {
			t.Fatalf("%v: from %v to %v, want %v within %v", c, start, end, state, bound)
		}
	}
}

func long[T num.Float](v T) *big.Float { return new(big.Float).SetPrec(200).SetFloat64(float64(v)) }

// step is one row of the recurrence of x in long arithmetic, ref a 0 or 1 for whether that of a row counts; with the size s of DenseSmall's
// comment, and its bound.
func (c smallCase[T]) step(row, ref int, state []*big.Float, size, bound []float64) (next []*big.Float, sizes, bounds []float64) {
	for i := range c.d {
		j := row*c.d + i
		x, s, e := long(c.b[j]), float64(c.b[j]), 0.0
		if ref > 0 {
			s = float64(c.b[j] - c.ref[j])
		}
		s = math.Abs(s)
		for m, p := range c.a[j*c.d:][:c.d] {
			x.Add(x, new(big.Float).SetPrec(200).Mul(long(p), state[m]))
			s, e = s+math.Abs(float64(p))*size[m], e+math.Abs(float64(p))*bound[m]
		}
		next, sizes, bounds = append(next, x), append(sizes, s), append(bounds, e+3*num.Eps[T]()*s)
	}
	return next, sizes, bounds
}

// smallCase is the arguments of DenseSmall, and how it shows itself.
type smallCase[T num.Float] struct {
	d, n                int
	back, given         bool
	a, b, ref, x, carry []T
}

func (c smallCase[T]) String() string {
	return fmt.Sprintf("d %d n %d back %v ref %v", c.d, c.n, c.back, c.given)
}

// draw makes the arguments, x of what no state is.
func (c *smallCase[T]) draw(huge T, entry func(*rand.Rand) T) {
	rng := rand.New(rand.NewPCG(9, uint64(c.n)))
	c.a, c.b, c.carry, c.x = make([]T, c.n*c.d*c.d), normal[T](rng, c.n*c.d), normal[T](rng, c.d), make([]T, c.n*c.d)
	for i := range c.a {
		c.a[i] = entry(rng)
	}
	if c.given {
		c.ref = normal[T](rng, c.n*c.d)
	}
	for i := range c.x {
		c.x[i] = huge
	}
}

// check holds what was written for some rows, from a carry on, to the loop in long arithmetic, and the other rows to what they were.
func (c smallCase[T]) check(t *testing.T, was []T, rows int, huge T) {
	state, size, bound := make([]*big.Float, c.d), make([]float64, c.d), make([]float64, c.d)
	for i, v := range was {
		state[i], size[i] = long(v), math.Abs(float64(v))
	}
	for k := range c.n {
		row, given := k, 0
		if c.back {
			row = c.n - 1 - k
		}
		if c.given {
			given = 1
		}
		if x := c.x[row*c.d:][:c.d]; k < rows {
			state, size, bound = c.step(row, given, state, size, bound)
		} else if rows > 0 && slices.ContainsFunc(x, func(v T) bool { return v != huge }) {
			t.Fatalf("%v: row %d is written", c, k)
		} else {
			continue
		}
		for i, want := range state {
			j, allowed := row*c.d+i, bound[i]
			if c.given { // x is rounded as well, and on the way b - ref
				allowed += num.Eps[T]() * (size[i] + math.Abs(float64(c.b[j])))
			}
			if far, _ := new(big.Float).Sub(want, long(c.x[j])).Float64(); !(math.Abs(far) <= allowed) {
				t.Fatalf("%v: row %d, %d is %v, want %v within %v", c, k, i, c.x[j], want, allowed)
			}
			if c.given {
				want.Sub(want, long(c.ref[j]))
			}
			if far, _ := new(big.Float).Sub(want, long(c.carry[i])).Float64(); k == rows-1 && !(math.Abs(far) <= bound[i]) {
				t.Fatalf("%v: carry %d is %v, want %v within %v", c, i, c.carry[i], want, bound[i])
			}
		}
	}
}

// Dense is the loop of its comment likewise, where a level has it.
func TestDense(t *testing.T) {
	at(t, func(t *testing.T) {
		if !HasDense[float32](8) {
			t.Skip("the plain level has none: package lds does it")
		}
		t.Run("float32", func(t *testing.T) { recurrences[float32](t, true) })
		t.Run("float64", func(t *testing.T) { recurrences[float64](t, true) })
	})
}

func recurrences[T num.Float](t *testing.T, full bool) {
	rng := rand.New(rand.NewPCG(9, 9))
	for _, d := range []int{1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 64, 67, 131} {
		run, columns := Diagonal[T], 1
		if full {
			run, columns = Dense[T], d
			if !HasDense[T](d) {
				continue
			}
		}
		for _, n := range []int{0, 1, 2, 9} {
			for kind := range 8 {
				back, given, ones := kind&1 > 0, kind&2 > 0, kind&4 > 0
				if full && ones {
					continue
				}
				draw := func(n int) []T { return normal[T](rng, n) }
				a, b, ref, carry, x := draw(n*d*columns), draw(n*d), draw(n*d), draw(d), draw(n*d+1)
				for i := range a {
					a[i] /= T(math.Sqrt(float64(columns))) // states stay of order 1
					if ones {
						a[i] = 1
					}
				}
				want, last := make([]float64, d), x[n*d]
				for i, v := range carry {
					want[i] = float64(v)
				}
				if !given {
					ref = nil
				}
				if ones {
					run(x[:n*d], nil, b, ref, carry, n, back)
				} else {
					run(x[:n*d], a, b, ref, carry, n, back)
				}
				for k := range n {
					row := k
					if back {
						row = n - 1 - k
					}
					before := append([]float64(nil), want...)
					for i := range d {
						j := row*d + i
						v := float64(b[j])
						for k := range columns {
							of := k
							if !full {
								of = i
							}
							v += float64(a[j*columns+k]) * before[of]
						}
						if off := math.Abs(float64(x[j]) - v); !(off <= 1e3*num.Eps[T]()*(1+math.Abs(v))) { // growth over 9 rows of order 1
							t.Fatalf("d %d n %d back %v ref %v ones %v: row %d, %d is %v, want %v", d, n, back, given, ones, row, i, x[j], v)
						}
						if want[i] = v; given {
							want[i] -= float64(ref[j])
						}
					}
				}
				for i, v := range want {
					if off := math.Abs(float64(carry[i]) - v); !(off <= 1e3*num.Eps[T]()*(1+math.Abs(v))) {
						t.Fatalf("d %d n %d back %v ref %v ones %v: carry %d is %v, want %v", d, n, back, given, ones, i, carry[i], v)
					}
				}
				if x[n*d] != last {
					t.Fatalf("d %d n %d: the number behind was written", d, n)
				}
			}
		}
	}
}

// Extents is the loop of its comment, for rows that fill vectors and others, whatever is left over, and refuses what is not finite.
func TestExtents(t *testing.T) {
	at(t, func(t *testing.T) {
		if ExtentRoom[float32](8) == 0 {
			t.Skip("the plain level has none: package method does it")
		}
		t.Run("float32", extentsOf[float32])
		t.Run("float64", extentsOf[float64])
	})
}

func extentsOf[T num.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, d := range []int{1, 2, 3, 5, 8, 16, 33} {
		room := make([]T, ExtentRoom[T](d))
		for _, rows := range []int{0, 1, 7, 8, 9, 64, 331} {
			for _, given := range []bool{false, true} {
				x, f := make([]T, rows*d), make([]T, rows*d)
				top, want, total := make([]float64, d), make([]float64, d), 0.0
				top[0], want[0] = 0.5, 0.5 // what was there counts
				for i := range x {
					x[i] = T(rng.NormFloat64())
					v := float64(x[i])
					if given {
						f[i] = T(rng.NormFloat64())
						v = float64(x[i] - f[i])
					}
					want[i%d], total = max(want[i%d], math.Abs(v)), total+v*v
				}
				if !given {
					f = nil
				}
				squares, finite := Extents(top, x, f, room)
				if !finite || !(math.Abs(squares-total) <= 1e-12*total) || !slices.Equal(top, want) { // sums in another order
					t.Fatalf("d %d, %d rows, f %v: %v %v %v, want %v %v", d, rows, given, squares, finite, top, total, want)
				}
				for i := range x { // wherever it is
					was := x[i]
					x[i] = T([]float64{math.NaN(), math.Inf(1), math.Inf(-1)}[i%3])
					if _, finite := Extents(top, x, f, room); finite || !slices.Equal(top, want) {
						t.Fatalf("d %d, %d rows, f %v: %v at %d passes for finite, or changed %v", d, rows, given, x[i], i, top)
					}
					x[i] = was
				}
			}
		}
	}
}

// FirstNonFinite finds the first of one or two, wherever they are, and passes the largest and the smallest numbers.
func TestFirstNonFinite(t *testing.T) {
	both(t, nonFiniteOf[float32], nonFiniteOf[float64])
}

func nonFiniteOf[T num.Float](t *testing.T) {
	limit := math.MaxFloat64
	if num.Size[T]() == 4 {
		limit = math.MaxFloat32
	}
	top := T(limit)
	for _, n := range []int{0, 1, finiteRun - 1, finiteRun, finiteRun + 1, 5*finiteRun + 7} {
		x := make([]T, n)
		for i := range x {
			x[i] = []T{top, -top, 1e-45, 0}[i%4]
		}
		if i := FirstNonFinite(x); i >= 0 {
			t.Fatalf("n %d: %v at %d is not finite", n, x[i], i)
		}
		for i := range x {
			was := x[i]
			x[i], x[n-1] = T([]float64{math.NaN(), math.Inf(1), math.Inf(-1)}[i%3]), T(math.Inf(1))
			if got := FirstNonFinite(x); got != i {
				t.Fatalf("n %d: %v at %d, found %d", n, x[i], i, got)
			}
			x[i], x[n-1] = was, 0
		}
	}
}

// FirstNoWord finds the first of one or two, wherever they are, and passes all words.
func TestFirstNoWord(t *testing.T) {
	both(t, noWordOf[float32], noWordOf[float64])
}

func noWordOf[T num.Float](t *testing.T) {
	for _, below := range []int{1, 2, 120, num.MaxInteger[T]()} {
		wrong := []T{-1, 0.5, T(below), T(2 * below), T(math.NaN()), T(math.Inf(1)), T(math.Inf(-1)), -1e-40, 1e-40, 1e20}
		for _, n := range []int{0, 1, finiteRun - 1, finiteRun, finiteRun + 1, 5*finiteRun + 7} {
			x := make([]T, n)
			for i := range x {
				x[i] = T([]int{below - 1, 0, below / 2}[i%3])
			}
			if n > 0 {
				x[0] = T(math.Copysign(0, -1))
			}
			if i := FirstNoWord(x, below); i >= 0 {
				t.Fatalf("n %d: %v at %d is below %d", n, x[i], i, below)
			}
			for i := range x {
				was := x[i]
				x[i], x[n-1] = wrong[i%len(wrong)], -1
				if got := FirstNoWord(x, below); got != i {
					t.Fatalf("n %d, below %d: %v at %d, found %d", n, below, wrong[i%len(wrong)], i, got)
				}
				x[i], x[n-1] = was, 0
			}
		}
	}
}

// Half vectors give the bits of whole ones, whatever the numbers.
func TestHalf(t *testing.T) {
	at(t, func(t *testing.T) {
		if Least[float32]() == Lanes[float32]() {
			t.Skip("this level has no vectors of half the length")
		}
		t.Run("float32", halves[float32])
		t.Run("float64", halves[float64])
	})
}

func halves[T num.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	half, whole := Least[T](), Lanes[T]()
	for round := range 2000 {
		const rows, width = 3, 5
		scale := math.Exp2(float64(round%12) - 3) // up to where a sigmoid is subnormal
		draw := func(n int) []T {
			x := make([]T, n)
			for i := range x {
				x[i] = T(scale * rng.NormFloat64())
			}
			return x
		}
		spread := func(x []T, rows int) []T { // rows as long as a whole vector
			out := make([]T, rows*whole)
			for r := range rows {
				copy(out[r*whole:], x[r*half:(r+1)*half])
			}
			return out
		}
		w, x, a, h := draw(rows*width), draw(width*half), draw(rows*half), draw(half)
		c, wide := append([]T(nil), a...), spread(a, rows)
		Mix(c, w, x, nil, rows, width, half, half)
		Mix(wide, w, spread(x, width), nil, rows, width, whole, whole)
		y, yWide, coef, coefWide := make([]T, half), make([]T, whole), make([]T, 4*half), make([]T, 4*whole)
		z, zWide := append([]T(nil), c...), append([]T(nil), wide...) // which z replaces a part of
		GRU(y, z, h, x[:half], coef, half)
		GRU(yWide, zWide, spread(h, 1), spread(x, 1), coefWide, whole)
		logs, logsWide := append([]T(nil), x[:2*half]...), spread(x, 2)
		mean, meanWide, next, nextWide := make([]T, half), make([]T, whole), make([]T, half), make([]T, whole)
		Mixture(next, mean, logs, y, h, a, 0.5, 0.25, 2, 1, half, half)
		Mixture(nextWide, meanWide, logsWide, yWide, spread(h, 1), spread(a, rows), 0.5, 0.25, 2, 1, whole, whole)
		for what, pair := range map[string][2][]T{"weights": {spread(logs, 2), logsWide}, "mean": {spread(mean, 1), meanWide}, "next": {spread(next, 1), nextWide}, "mix": {spread(c, rows), wide}, "y": {spread(y, 1), yWide}, "z": {spread(z, rows), zWide}, "coef": {spread(coef, 4), coefWide}} {
			for i, v := range pair[0] {
				if i%whole < half && v != pair[1][i] {
					t.Fatalf("%s: %v of half a vector, %v of a whole one", what, v, pair[1][i])
				}
			}
		}
	}
}

// SubRows and DotRows are Sub and Dot of the columns, to the bit, for every number of rows about a few vectors, and write nothing behind the last
// vector.
func TestRows(t *testing.T) {
	both(t, rowsOf[float32], rowsOf[float64])
}

func rowsOf[T num.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 10))
	draw := func(n int) []T { return normal[T](rng, n) }
	for _, rows := range []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 47, 64, 67, 131} {
		for _, n := range []int{1, Least[T](), Least[T]() + 1, Lanes[T](), 3*Lanes[T]() + 1} {
			last := Padded[T](n)
			pitch := last + Lanes[T]()
			c, x, y, difference, dots := draw(rows), draw(rows*pitch), draw(rows*pitch), draw(rows*pitch), draw(last+1)
			was, behind := append([]T(nil), difference...), dots[last]
			SubRows(difference, c, x, rows, n, pitch)
			DotRows(dots, x, y, rows, n, pitch)
			for i := range pitch {
				a, b := make([]T, rows), make([]T, rows)
				for r := range rows {
					a[r], b[r] = x[r*pitch+i], y[r*pitch+i]
					if got := difference[r*pitch+i]; i < n && got != c[r]-a[r] || i >= last && got != was[r*pitch+i] {
						t.Fatalf("%d rows of %d: the difference at (%d, %d) is %v, of %v and %v; it was %v", rows, n, r, i, got, c[r], a[r], was[r*pitch+i])
					}
				}
				if want := Dot(a, b); i < n && dots[i] != want {
					t.Fatalf("%d rows of %d: the product of columns %d is %v, Dot gives %v", rows, n, i, dots[i], want)
				}
			}
			if dots[last] != behind {
				t.Fatalf("%d rows of %d: the number behind the products was written", rows, n)
			}
		}
	}
}

// Reach sums what its comment says, and writes nothing behind the last vector.
func TestReach(t *testing.T) {
	both(t, reaches[float32], reaches[float64])
}

func reaches[T num.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 12))
	draw := func(n int) []T { return normal[T](rng, n) }
	for _, rows := range []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 33, 131} {
		for _, n := range []int{1, Least[T](), Least[T]() + 1, Lanes[T](), 3*Lanes[T]() + 1} {
			last := Padded[T](n)
			pitch := last + Lanes[T]()
			w, c, x, along, square := draw(rows), draw(rows), draw(rows*pitch), draw(last+1), draw(last+1)
			behind := [2]T{along[last], square[last]}
			Reach(along, square, w, c, x, rows, n, pitch)
			for i := range n {
				a, s, size := 0.0, 0.0, 0.0
				for r := range rows {
					y := float64(x[r*pitch+i]) - float64(c[r])
					a, s, size = a+float64(w[r])*y, s+y*y, size+math.Abs(float64(w[r])*y)
				}
				// a difference, a product and rows sums are rounded
				bound := float64(rows+2) * num.Eps[T]()
				if !(math.Abs(float64(along[i])-a) <= bound*size && math.Abs(float64(square[i])-s) <= bound*s) {
					t.Fatalf("%d rows of %d: %v and %v in column %d, want %v and %v", rows, n, along[i], square[i], i, a, s)
				}
			}
			if along[last] != behind[0] || square[last] != behind[1] {
				t.Fatalf("%d rows of %d: the number behind the sums was written", rows, n)
			}
		}
	}
}

// Mixture does what its comment says, however far apart the logarithms are, writes only what is wanted, and nothing behind the last vector; a
// logarithm that is NaN makes all of its column NaN, and of no other.
func TestMixture(t *testing.T) {
	both(t, mixtures[float32], mixtures[float64])
}

func mixtures[T num.Float](t *testing.T) {
	for _, wells := range []int{1, 2, 3} {
		for _, rows := range []int{1, 3, 4, 5, 8} {
			for _, n := range []int{2, Least[T](), Lanes[T](), 2*Lanes[T]() + 1} {
				mixtureOf[T](t, wells, rows, n)
			}
		}
	}
}

func mixtureOf[T num.Float](t *testing.T, wells, rows, n int) {
	const eps, noise = 0.25, 0.5
	rng := rand.New(rand.NewPCG(11, 11))
	draw := func(n int) []T { return normal[T](rng, n) }
	last := Padded[T](n)
	pitch := last + Lanes[T]()
	logs, x, u, h, mean, y := draw(wells*pitch), draw(rows*pitch), draw(rows*pitch), draw(wells*rows*pitch), draw(rows*pitch), draw(rows*pitch)
	for i := range logs {
		logs[i] *= []T{1, 100, 3000}[i%3] // up to where one has all the weight
	}
	logs[(wells-1)*pitch] = T(math.NaN())
	w, means, next, meanAlone := slices.Clone(logs), slices.Clone(mean), slices.Clone(y), slices.Clone(mean)
	Mixture(next, means, w, x, u, h, eps, noise, wells, rows, n, pitch)
	nextAlone := slices.Clone(y)
	Mixture(nextAlone, nil, slices.Clone(logs), x, u, h, eps, noise, wells, rows, n, pitch)
	Mixture(nil, meanAlone, slices.Clone(logs), nil, nil, h, eps, noise, wells, rows, n, pitch)
	fail := func(what string, at int) {
		t.Fatalf("%d wells, %d rows of %d: %s at row %d, column %d: mean %v, alone %v, y %v, alone %v", wells, rows, n, what, at/pitch, at%pitch,
			means[at], meanAlone[at], next[at], nextAlone[at])
	}
	for at := range rows * pitch {
		i := at % pitch
		switch exact := shares(logs, i, wells, pitch); {
		case i >= last:
			if next[at] != y[at] || means[at] != mean[at] || nextAlone[at] != y[at] || meanAlone[at] != mean[at] {
				fail("written", at)
			}
		case i == 0:
			if means[at] == means[at] || next[at] == next[at] {
				fail("NaN lost", at)
			}
		case i < n:
			want, size := 0.0, 0.0
			for k, share := range exact {
				term := share * float64(h[k*rows*pitch+at])
				want, size = want+term, size+math.Abs(term)
			}
			// the difference of two logarithms, 1e4 at most, is rounded by half an ulp in the exponent; beside it are some roundings
			off, move := 1e4*num.Eps[T]()*size, math.Abs(float64(x[at]))+math.Abs(float64(u[at]))+size
			if !(math.Abs(float64(means[at])-want) <= off) ||
				!(math.Abs(float64(next[at])-float64(x[at])-eps*float64(means[at])-noise*float64(u[at])) <= 4*num.Eps[T]()*move) {
				fail("wrong", at)
			}
			if nextAlone[at] != next[at] || meanAlone[at] != means[at] {
				fail("other bits", at)
			}
		}
	}
}

// shares are the weights of which a column of logarithms is.
func shares[T num.Float](logs []T, i, wells, pitch int) []float64 {
	w, top, sum := make([]float64, wells), math.Inf(-1), 0.0
	for k := range w {
		w[k] = float64(logs[k*pitch+i])
		top = max(top, w[k])
	}
	for k := range w {
		w[k] = math.Exp(w[k] - top)
		sum += w[k]
	}
	for k := range w {
		w[k] /= sum
	}
	return w
}

// Permute is the loop of its comment for every width, and leaves alone what stands before and behind.
func TestPermute(t *testing.T) {
	both(t, permuted[float32], permuted[float64])
}

func permuted[T num.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for d := 1; d <= PermuteWidth; d++ {
		const words, n = 3, 20
		index, u, y := make([]int32, words*PermuteWidth), make([]T, n), make([]T, n*d+1)
		for w := range words {
			for i, k := range rng.Perm(d) {
				index[w*PermuteWidth+i] = int32(k)
			}
		}
		for i := range u {
			u[i] = T(rng.IntN(words))
		}
		x, before := [PermuteWidth]T{1, 2, 3, 4, 5, 6, 7, 8}, []T{1, 2, 3, 4, 5, 6, 7, 8}
		steps := Permute(y[:n*d:n*d], &x, u, index, d)
		if room := (n*d - PermuteWidth) / d; of[T]().permute != nil && steps != min(max(room+1, 0), n) {
			t.Fatalf("d %d: %d steps", d, steps)
		}
		for s := range steps {
			for i, got := range y[s*d : (s+1)*d] {
				if want := before[index[int(u[s])*PermuteWidth+i]]; got != want {
					t.Fatalf("d %d, step %d, %d: %v, want %v", d, s, i, got, want)
				}
			}
			before = y[s*d:]
		}
		if y[n*d] != 0 {
			t.Fatalf("d %d: %v behind", d, y[n*d])
		}
	}
}

// Sub, AddScaled and Dot are the loops of their comments, for every length about a few vectors, and leave alone what stands behind.
func TestStreams(t *testing.T) {
	both(t, streams[float32], streams[float64])
}

func streams[T num.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for n := range 80 {
		a, b, y := normal[T](rng, n+1), normal[T](rng, n+1), normal[T](rng, n+1)
		was, s, total, size := append([]T(nil), y...), T(rng.NormFloat64()), 0.0, 0.0
		AddScaled(y[:n], s, a)
		for i := range n {
			if want := float64(was[i]) + float64(s)*float64(a[i]); ulps(y[i], want) > 1+math.Abs(float64(s)*float64(a[i])/want) { // a product is rounded or not
				t.Fatalf("length %d, place %d: %v, want %v", n, i, y[i], want)
			}
			product := float64(a[i]) * float64(b[i])
			total, size = total+product, size+math.Abs(product)
		}
		if got := float64(Dot(a[:n], b)); !(math.Abs(got-total) <= float64(n)*num.Eps[T]()*size) { // any order of n roundings
			t.Fatalf("length %d: %v, want %v", n, got, total)
		}
		behind := y[n]
		Sub(y[:n], a, b)
		for i, v := range y[:n] {
			if v != a[i]-b[i] {
				t.Fatalf("length %d, place %d: %v, want %v", n, i, v, a[i]-b[i])
			}
		}
		if y[n] != behind || behind != was[n] {
			t.Fatalf("length %d: %v behind, it was %v", n, y[n], was[n])
		}
	}
}
