// Package celltest draws an example of every registered cell, and holds cells to finite differences. A new cell needs a row in Examples.
package celltest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pards/core/cell"
	"pards/core/num"
	"pards/core/param"
)

// Example is one set of parameters of a registered cell, and how to draw inputs for it.
type Example struct {
	Cell, Name string
	Params     func(rng *rand.Rand) param.Values[float64]
	Words      int    // inputs are words below this; 0: normal numbers
	Symmetric  string // a parameter (K, D, D) whose matrices must stay symmetric
}

func array(rng *rand.Rand, scale float64, shape ...int) param.Value[float64] {
	n := 1
	for _, k := range shape {
		n *= k
	}
	x := make([]float64, n)
	for i := range x {
		x[i] = scale * (2*rng.Float64() - 1)
	}
	return param.Value[float64]{Shape: shape, Data: x}
}

func number(v float64) param.Value[float64] { return param.Value[float64]{Number: v} }

// Examples lists the rows: every registered cell has at least one.
var Examples = []Example{
	{Cell: "linear", Name: "driven", Params: func(r *rand.Rand) param.Values[float64] {
		return param.Values[float64]{"A": array(r, 0.5, 3, 3), "B": array(r, 1, 3, 2), "bias": array(r, 1, 3)}
	}},
	{Cell: "linear", Name: "autonomous", Params: func(r *rand.Rand) param.Values[float64] {
		return param.Values[float64]{"A": array(r, 0.9, 1, 1)}
	}},
	{Cell: "gru", Name: "hidden", Params: func(r *rand.Rand) param.Values[float64] { return gru(r, 5, 3) }},
	{Cell: "gru", Name: "exchanged", Params: func(r *rand.Rand) param.Values[float64] {
		v := gru(r, 4, 4)
		v["exchanged"] = number(1)
		return v
	}},
	{Cell: "elman", Name: "plain", Params: func(r *rand.Rand) param.Values[float64] {
		return param.Values[float64]{"weight_ih": array(r, 0.7, 4, 2), "weight_hh": array(r, 0.7, 4, 4), "bias": array(r, 0.5, 4)}
	}},
	{Cell: "lstm", Name: "plain", Params: func(r *rand.Rand) param.Values[float64] {
		return param.Values[float64]{"weight_ih": array(r, 0.7, 12, 2), "weight_hh": array(r, 0.7, 12, 3), "bias": array(r, 0.5, 12)}
	}},
	{Cell: "lorenz96", Name: "ring", Params: func(*rand.Rand) param.Values[float64] {
		return param.Values[float64]{"dim": number(6), "forcing": number(0.5), "step": number(0.05)}
	}},
	{Cell: "langevin", Name: "full", Symmetric: "precisions", Params: func(r *rand.Rand) param.Values[float64] { return mixture(r, 3, 4, false) }},
	{Cell: "langevin", Name: "diagonal", Params: func(r *rand.Rand) param.Values[float64] { return mixture(r, 2, 3, true) }},
	{Cell: "group_word", Name: "indices", Words: 3, Params: func(*rand.Rand) param.Values[float64] {
		return param.Values[float64]{"permutations": {Shape: []int{3, 4}, Data: []float64{0, 1, 2, 3, 1, 2, 3, 0, 3, 1, 2, 0}}}
	}},
	{Cell: "group_word", Name: "matrices", Words: 2, Params: func(*rand.Rand) param.Values[float64] {
		return param.Values[float64]{"permutations": {Shape: []int{2, 2, 2}, Data: []float64{1, 0, 0, 1, 0, 1, 1, 0}}}
	}},
}

func gru(r *rand.Rand, d, m int) param.Values[float64] {
	return param.Values[float64]{"weight_ih": array(r, 0.7, 3*d, m), "weight_hh": array(r, 0.7, 3*d, d), "bias": array(r, 0.5, 3*d), "bias_n": array(r, 0.5, d)}
}

func mixture(r *rand.Rand, k, d int, diagonal bool) param.Values[float64] {
	v := param.Values[float64]{"means": array(r, 1, k, d), "log_weights": array(r, 1, k), "step_size": number(0.05)}
	if diagonal {
		p := array(r, 1, k, d)
		for i := range p.Data {
			p.Data[i] += 1.5
		}
		v["precisions"] = p
		return v
	}
	p := param.Value[float64]{Shape: []int{k, d, d}, Data: make([]float64, k*d*d)}
	for c := range k {
		z := array(r, 1, d, d).Data
		for i := range d {
			for j := range d {
				for m := range d {
					p.Data[(c*d+i)*d+j] += z[m*d+i] * z[m*d+j]
				}
			}
		}
	}
	v["precisions"] = p
	return v
}

// Make returns the example's cell in one precision, and inputs for n states.
func Make[T num.Float](t testing.TB, e Example, n int) (c cell.Cell[T], x, u []T) {
	rng := draws()
	c, err := cell.New(e.Cell, drawn[T](e, rng))
	if err != nil {
		t.Fatal(err)
	}
	x, u = make([]T, n*c.Dim()), make([]T, n*c.Inputs())
	for i := range x {
		x[i] = T(float32(rng.NormFloat64()))
	}
	for i := range u {
		u[i] = T(float32(rng.NormFloat64()))
		if e.Words > 0 {
			u[i] = T(rng.IntN(e.Words))
		}
	}
	return c, x, u
}

// draws is where the numbers of examples come from.
func draws() *rand.Rand { return rand.New(rand.NewPCG(11, 12)) }

// Values returns the parameters of the example's cell in one precision.
func Values[T num.Float](e Example) param.Values[T] { return drawn[T](e, draws()) }

// drawn returns the example's parameters in one precision.
func drawn[T num.Float](e Example, rng *rand.Rand) param.Values[T] {
	values := param.Values[T]{}
	for name, v := range e.Params(rng) {
		values[name] = param.Value[T]{Shape: v.Shape, Data: narrow[T](v.Data), Number: v.Number}
	}
	return values
}

func narrow[T num.Float](x []float64) []T {
	y := make([]T, len(x))
	for i, v := range x {
		y[i] = T(float32(v)) // the same numbers in both precisions
	}
	return y
}

// Covers fails for a registered cell without an example.
func Covers(t *testing.T) {
	var have strings.Builder
	for _, e := range Examples {
		fmt.Fprintf(&have, "%s ", e.Cell)
	}
	for _, e := range cell.Entries() {
		if !strings.Contains(have.String(), e.Name+" ") {
			t.Errorf("cell %s has no row in celltest.Examples", e.Name)
		}
	}
}

// Run checks every example in one precision.
func Run[T num.Float](t *testing.T) {
	for _, e := range Examples {
		t.Run(e.Cell+"/"+e.Name, func(t *testing.T) {
			const n = 37
			c, x, u := Make[T](t, e, n)
			b := cell.Block[T]{N: n, X: x, U: u, Scratch: &cell.Arena[T]{}}
			derivatives(t, c, b)
			rotation(t, c, b)
			if num.Size[T]() == 8 {
				differences(t, any(c).(cell.Cell[float64]), any(b).(cell.Block[float64]))
			}
			Same(t, c, b)
			differentiable(t, e, c, b)
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// derivatives holds Diagonal, JVP and VJP to the Jacobian, and f beside each to Step.
func derivatives[T num.Float](t *testing.T, c cell.Cell[T], b cell.Block[T]) {
	n, d := b.N, c.Dim()
	rng := rand.New(rand.NewPCG(2, 2))
	f, v := make([]T, n*d), make([]T, n*d)
	for i := range v {
		v[i] = T(rng.NormFloat64())
	}
	b.Y = f
	must(t, c.Step(b))
	j, diag, jv, vj := make([]T, n*d*d), make([]T, n*d), make([]T, n*d), make([]T, n*d)
	for what, call := range map[string]func(cell.Block[T]) error{
		"Jacobian": func(b cell.Block[T]) error { return c.Jacobian(b, j) },
		"Diagonal": func(b cell.Block[T]) error { return c.Diagonal(b, diag) },
		"JVP":      func(b cell.Block[T]) error { return c.JVP(b, jv, v) },
		"VJP":      func(b cell.Block[T]) error { return c.VJP(b, vj, v) },
	} {
		b.Y = make([]T, n*d)
		must(t, call(b))
		for i, y := range b.Y {
			if y != f[i] {
				t.Fatalf("f beside %s is %v at %d, Step gives %v", what, y, i, f[i])
			}
		}
		b.Y = nil
		must(t, call(b)) // f not asked for
	}
	// Each is a sum of some D products and gates of order 1, grouped differently: 20 D roundings of numbers up to the largest.
	top := 1.0
	for _, x := range j {
		top = max(top, math.Abs(float64(x)))
	}
	bound := 20 * float64(d) * num.Eps[T]() * top * 4
	for s := range n {
		for i := range d {
			p, q := 0.0, 0.0
			for k := range d {
				p += float64(j[(s*d+i)*d+k]) * float64(v[s*d+k])
				q += float64(j[(s*d+k)*d+i]) * float64(v[s*d+k])
			}
			for what, pair := range map[string][2]float64{"Diagonal": {float64(diag[s*d+i]), float64(j[(s*d+i)*d+i])},
				"JVP": {float64(jv[s*d+i]), p}, "VJP": {float64(vj[s*d+i]), q}} {
				if !(math.Abs(pair[0]-pair[1]) <= bound) {
					t.Fatalf("%s at step %d, component %d: %v, the Jacobian says %v within %.2g", what, s, i, pair[0], pair[1], bound)
				}
			}
		}
	}
}

// rotation holds the diagonal of Q'JQ to the Jacobian, for a Householder reflection Q.
func rotation[T num.Float](t *testing.T, c cell.Cell[T], b cell.Block[T]) {
	rotator, ok := c.(cell.Rotator[T])
	if !ok {
		return
	}
	n, d := b.N, c.Dim()
	q, j, got := make([]T, d*d), make([]T, n*d*d), make([]T, n*d)
	norm := 0.0
	for i := range d {
		norm += float64((i + 1) * (i + 1))
	}
	for i := range q {
		q[i] = T(-2 * float64((i/d+1)*(i%d+1)) / norm)
		if i/d == i%d {
			q[i]++
		}
	}
	f := make([]T, n*d)
	b.Y = f
	must(t, c.Jacobian(b, j))
	b.Y = make([]T, n*d)
	must(t, rotator.Rotate(q)(b, got))
	for s := range n {
		for k := range d {
			if b.Y[s*d+k] != f[s*d+k] {
				t.Fatalf("f beside Rotate is %v, beside Jacobian %v", b.Y[s*d+k], f[s*d+k])
			}
			want, size := 0.0, 1.0
			for i := range d {
				for m := range d {
					term := float64(q[i*d+k]) * float64(j[(s*d+i)*d+m]) * float64(q[m*d+k])
					want, size = want+term, size+math.Abs(term)
				}
			}
			// both are sums of D*D such terms, in different order, of numbers that carry some 20 roundings
			if bound := 20 * float64(d) * num.Eps[T]() * size; !(math.Abs(float64(got[s*d+k])-want) <= bound) {
				t.Fatalf("step %d, component %d: %v, the Jacobian says %v within %.2g", s, k, got[s*d+k], want, bound)
			}
		}
	}
}

// differences holds the Jacobian to central differences: step 1e-5, so truncation about 1e-10 and rounding about 1e-11 for f of order 1.
func differences(t *testing.T, c cell.Cell[float64], b cell.Block[float64]) {
	n, d := b.N, c.Dim()
	j := make([]float64, n*d*d)
	must(t, c.Jacobian(b, j))
	x := b.X
	at := func(k int, h float64) []float64 {
		b.X, b.Y = append([]float64(nil), x...), make([]float64, n*d)
		for s := range n {
			b.X[s*d+k] += h
		}
		must(t, c.Step(b))
		return b.Y
	}
	for k := range d {
		up, down := at(k, 1e-5), at(k, -1e-5)
		for s := range n {
			for i := range d {
				want, got := (up[s*d+i]-down[s*d+i])/2e-5, j[(s*d+i)*d+k]
				if math.Abs(got-want) > 1e-8*(1+math.Abs(want)) {
					t.Fatalf("df_%d/dx_%d at step %d: %v, differences give %v", i, k, s, got, want)
				}
			}
		}
	}
}

// Same holds every way to step to Step of one state, to the bit.
func Same[T num.Float](t *testing.T, c cell.Cell[T], b cell.Block[T]) {
	alone(t, c, b)
	runs(t, c, b)
	teams(t, c, b)
}

// alone: a state gives the same bits alone as within a block.
func alone[T num.Float](t *testing.T, c cell.Cell[T], b cell.Block[T]) {
	d, m := c.Dim(), c.Inputs()
	b.Y = make([]T, b.N*d)
	must(t, c.Step(b))
	for s := range b.N {
		one := cell.Block[T]{N: 1, X: b.X[s*d : (s+1)*d], U: b.U[s*m : (s+1)*m], Y: make([]T, d), Scratch: b.Scratch}
		must(t, c.Step(one))
		for i, y := range one.Y {
			if y != b.Y[s*d+i] {
				t.Fatalf("step %d: %v alone, %v within a block", s, y, b.Y[s*d+i])
			}
		}
	}
}

// runs: a Runner's states are those of Step, to the bit, however time is cut.
func runs[T num.Float](t *testing.T, c cell.Cell[T], b cell.Block[T]) {
	r, ok := c.(cell.Runner[T])
	if !ok {
		return
	}
	d, m := c.Dim(), c.Inputs()
	want, got := append([]T(nil), b.X[:d]...), make([]T, (b.N+1)*d)
	copy(got, want)
	for _, cut := range [][2]int{{0, 1}, {1, 9}, {9, b.N}} {
		n := cut[1] - cut[0]
		r.Run(cell.Block[T]{N: n, X: got[cut[0]*d:][:d], U: b.U[cut[0]*m : cut[1]*m], Y: got[(cut[0]+1)*d:][:n*d], Scratch: b.Scratch})
	}
	for s := range b.N {
		one := cell.Block[T]{N: 1, X: want[s*d:], U: b.U[s*m : (s+1)*m], Y: make([]T, d), Scratch: b.Scratch}
		must(t, c.Step(one))
		want = append(want, one.Y...)
	}
	for i, v := range want {
		if got[i] != v {
			t.Fatalf("step %d: %v in a run, %v by itself", i/d, got[i], v)
		}
	}
}

// teams: the states of sequences side by side are those of Step, to the bit; sequence i begins with inputs i, so that they share memory.
func teams[T num.Float](t *testing.T, c cell.Cell[T], b cell.Block[T]) {
	team, ok := c.(cell.Teamed[T])
	if !ok {
		return
	}
	d, m := c.Dim(), c.Inputs()
	for n := 1; n < b.N; n = 2*n + 1 {
		steps := min(12, b.N-n)
		x, y := append([]T(nil), b.X[:n*d]...), make([]T, n*(steps+1)*d)
		team.Together(cell.Team[T]{N: n, Steps: steps, X: x, U: b.U, Y: y, UPitch: m, YPitch: (steps + 1) * d, Scratch: b.Scratch})
		for i := range n {
			state := b.X[i*d : (i+1)*d]
			for s := range steps {
				one := cell.Block[T]{N: 1, X: state, U: b.U[(i+s)*m : (i+s+1)*m], Y: make([]T, d), Scratch: b.Scratch}
				must(t, c.Step(one))
				if state = one.Y; !slices.Equal(state, y[(i*(steps+1)+s)*d:][:d]) {
					t.Fatalf("%d sequences, step %d of number %d: %v side by side, %v by itself", n, s, i, y[(i*(steps+1)+s)*d:][:d], state)
				}
			}
			if behind := y[(i*(steps+1)+steps)*d:][:d]; !slices.Equal(state, x[i*d:(i+1)*d]) || !slices.Equal(behind, make([]T, d)) {
				t.Fatalf("%d sequences, number %d: the last state is %v, want %v; behind it stands %v", n, i, x[i*d:(i+1)*d], state, behind)
			}
		}
	}
}
