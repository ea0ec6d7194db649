package core_test

import (
	"math"
	"testing"

	"pards/core"
	"pards/core/cell"
	"pards/core/cell/celltest"
	"pards/core/num"
)

// The recurrence is that of JVP, step by step, and its transpose that of VJP.
func TestTangent(t *testing.T) {
	t.Run("float32", tangents[float32])
	t.Run("float64", tangents[float64])
}

func tangents[T num.Float](t *testing.T) {
	for _, e := range celltest.Examples {
		for _, steps := range []int{1, 2, 129, 300} { // one block, and a step beyond it
			const batch = 2
			c, x, u := celltest.Make[T](t, e, batch*steps)
			d, m := c.Dim(), c.Inputs()
			b, got, want := waves[T](batch*steps*d), make([]T, batch*steps*d), make([]T, batch*steps*d)
			for _, transposed := range []bool{false, true} {
				states, inputs := core.Host(x, batch, steps, d), core.Host(u, batch, steps, m)
				must(t, core.Tangent(c, states, inputs, core.Host(b, batch, steps, d), core.Host(got, batch, steps, d), transposed))
				size := 0.0
				for s := range batch {
					part := func(a []T, width int) []T { return a[s*steps*width : (s+1)*steps*width] }
					size = max(size, stepwise(t, c, part(x, d), part(u, m), part(b, d), part(want, d), steps, transposed))
				}
				for i, w := range want { // sums of d products a step, whose errors the recurrence carries on as it does its terms
					if math.Abs(float64(got[i]-w)) > float64(8+d)*num.Eps[T]()*float64(steps)*size {
						t.Fatalf("%s/%s, %d steps, transposed %v: %v at %d, want %v", e.Cell, e.Name, steps, transposed, got[i], i, w)
					}
				}
			}
		}
	}
}

// stepwise writes the recurrence of one sequence by products alone, and returns its largest number.
func stepwise[T num.Float](t *testing.T, c cell.Cell[T], x, u, b, out []T, steps int, transposed bool) (largest float64) {
	d, m := c.Dim(), c.Inputs()
	p := make([]T, d)
	for k := range steps {
		at, step := k, k // of the result, and of the Jacobian that leads there
		if transposed {
			at, step = steps-1-k, steps-k
		}
		clear(p)
		if k > 0 {
			block := cell.Block[T]{N: 1, X: x[(step-1)*d : step*d], U: u[step*m : (step+1)*m], Scratch: &cell.Arena[T]{}}
			if transposed {
				must(t, c.VJP(block, p, out[(at+1)*d:(at+2)*d]))
			} else {
				must(t, c.JVP(block, p, out[(at-1)*d:at*d]))
			}
		}
		for i, v := range p {
			out[at*d+i] = v + b[at*d+i]
			largest = max(largest, math.Abs(float64(out[at*d+i])))
		}
	}
	return largest
}
