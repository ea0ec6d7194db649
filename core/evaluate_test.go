package core_test

import (
	"math"
	"strings"
	"testing"

	"pards/core"
	"pards/core/cell"
	"pards/core/cell/celltest"
	"pards/core/num"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Evaluate cuts states into blocks: every kind gives what the cell gives for all of them at once.
func TestEvaluate(t *testing.T) {
	const n = 300 // three blocks
	for _, e := range celltest.Examples {
		c, x, u := celltest.Make[float32](t, e, n)
		d, m := c.Dim(), c.Inputs()
		block := func() cell.Block[float32] {
			return cell.Block[float32]{N: n, X: x, U: u, Scratch: &cell.Arena[float32]{}}
		}
		step := func(_, out []float32) error {
			b := block()
			b.Y = out
			return c.Step(b)
		}
		kinds := []struct {
			kind           core.Kind
			along, outputs int
			direct         func(v, out []float32) error
		}{
			{core.Step, 0, d, step},
			{core.Jacobian, 0, d * d, func(_, out []float32) error { return c.Jacobian(block(), out) }},
			{core.Diagonal, 0, d, func(_, out []float32) error { return c.Diagonal(block(), out) }},
			{core.JVP, d, d, func(v, out []float32) error { return c.JVP(block(), out, v) }},
			{core.VJP, d, d, func(v, out []float32) error { return c.VJP(block(), out, v) }},
		}
		if diff, ok := c.(cell.Differentiable[float32]); ok {
			kinds = append(kinds, kinds[0], kinds[0])
			kinds[5].kind, kinds[5].along, kinds[5].outputs = core.InputJVP, m, d
			kinds[5].direct = func(v, out []float32) error { return diff.InputJVP(block(), out, v) }
			kinds[6].kind, kinds[6].along, kinds[6].outputs = core.InputVJP, d, m
			kinds[6].direct = func(v, out []float32) error { return diff.InputVJP(block(), out, v) }
		}
		for _, k := range kinds {
			v, want, got := waves[float32](n*k.along), make([]float32, n*k.outputs), make([]float32, n*k.outputs)
			must(t, k.direct(v, want))
			must(t, core.Evaluate(c, k.kind, x, u, v, got, n))
			for i, w := range want {
				if got[i] != w {
					t.Fatalf("%s/%s, kind %d: %v at %d, the cell gives %v", e.Cell, e.Name, k.kind, got[i], i, w)
				}
			}
		}
	}
}

// waves are numbers of order 1.
func waves[T num.Float](n int) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(math.Sin(float64(i)))
	}
	return x
}

// The gradient over many states is the sum of those over each, and the product with a tangent is the same in blocks.
func TestParameterDerivatives(t *testing.T) {
	const n = 100*128 + 1 // more blocks than sums that run side by side
	for _, e := range celltest.Examples {
		c, x, u := celltest.Make[float64](t, e, n)
		diff, ok := c.(cell.Differentiable[float64])
		if !ok {
			continue
		}
		d, m, v := c.Dim(), c.Inputs(), waves[float64](n*c.Dim())
		sums, own, w := gradients(e), gradients(e), gradients(e)
		for i := range sums {
			for k := range sums[i] {
				sums[i][k], w[i][k] = 1, 1 // is added to
			}
		}
		must(t, core.ParamVJP(c, x, u, v, sums, n))
		for s := range n {
			b := cell.Block[float64]{N: 1, X: x[s*d : (s+1)*d], U: u[s*m : (s+1)*m], Scratch: &cell.Arena[float64]{}}
			must(t, diff.ParamVJP(b, own, v[s*d:(s+1)*d]))
		}
		for i, g := range own {
			for k, want := range g {
				// n terms of order 1 to 100, added in two orders
				if got := sums[i][k] - 1; !(math.Abs(got-want) <= n*1e-13*(1+math.Abs(want))) {
					t.Errorf("%s/%s: gradient %d at %d is %v, the steps add up to %v", e.Cell, e.Name, i, k, got, want)
				}
			}
		}
		got, want := make([]float64, n*d), make([]float64, n*d)
		must(t, core.ParamJVP(c, x, u, w, got, n))
		must(t, diff.ParamJVP(cell.Block[float64]{N: n, X: x, U: u, Scratch: &cell.Arena[float64]{}}, want, w))
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%s/%s: ParamJVP gives %v at %d, the cell %v", e.Cell, e.Name, got[i], i, want[i])
			}
		}
	}
}

// gradients makes room for the gradients of an example.
func gradients(e celltest.Example) [][]float64 {
	sizes := celltest.Sizes(e)
	all := make([][]float64, len(sizes))
	for i, n := range sizes {
		if n > 0 {
			all[i] = make([]float64, n)
		}
	}
	return all
}

func TestEvaluateRefuses(t *testing.T) {
	var word celltest.Example
	for _, e := range celltest.Examples {
		if e.Words > 0 {
			word = e
		}
	}
	c, x, u := celltest.Make[float64](t, word, 2)
	out := make([]float64, len(x))
	const none = "cell has no derivatives with respect to its inputs and parameters, want "
	for want, err := range map[string]error{
		"evaluate: kind is 9, want 0 to 6": core.Evaluate(c, 9, x, u, nil, out, 2),
		"evaluate: " + none:                core.Evaluate(c, core.InputJVP, x, u, u, out, 2),
		"param_jvp: " + none:               core.ParamJVP(c, x, u, nil, out, 2),
		"param_vjp: " + none:               core.ParamVJP(c, x, u, out, nil, 2),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, e := range celltest.Examples { // an error of the cell's own
		if e.Cell == "langevin" {
			still := celltest.With(t, e, "step_size", 0)
			n := still.Dim()
			err := core.ParamVJP(still, make([]float64, n), make([]float64, n), make([]float64, n), [][]float64{nil, nil, nil, {0}}, 1)
			if err == nil || !strings.HasPrefix(err.Error(), "Langevin: step_size is 0, want a number above 0") {
				t.Errorf("got %v", err)
			}
		}
	}
}
