package core

import (
	"cmp"
	"fmt"

	"pards/core/cell"
	"pards/core/check"
	"pards/core/internal/par"
	"pards/core/internal/simd"
	"pards/core/lds"
	"pards/core/num"
	"pards/core/param"
)

// The Jacobians that are there at a time: so many numbers, which stay in a core's cache, and so many steps, which fill vectors.
const (
	tangentNumbers = 1 << 16
	tangentSteps   = 128
)

// Tangent solves the recurrence that the derivatives of trajectories x (B, T, D) follow, dx[t] = J[t] dx[t-1] + b[t], J[t] = df/dx at
// (x[t-1], u[t]); or transposed, z[t] = J[t+1]' z[t+1] + b[t], as gradients do. The first J is not read. u (B, T, M), or (T, M) for all, as
// states may be (T, D) for all; b and out (B, T, D). Jacobians are formed for a block of steps at a time.
func Tangent[T num.Float](c cell.Cell[T], states, u, b, out Array[T], transposed bool) error {
	const fn = "tangent"
	dims := check.NewDims(fn)
	dims.Fix("D", c.Dim(), "the model's dimension")
	dims.Fix("M", c.Inputs(), "the model's inputs")
	fits := func(name, pattern string, a Array[T], mayShare bool) (err error) {
		if mayShare && len(a.Shape) == 2 {
			pattern = pattern[len("B "):]
		}
		return dims.Shape(name, a.Shape, pattern)
	}
	errs := []error{fits("b", "B T D", b, false), fits("out", "B T D", out, false), fits("states", "B T D", states, true)}
	if c.Inputs() > 0 {
		errs = append(errs, fits("inputs", "B T M", u, true))
	}
	if err := cmp.Or(errs...); err != nil {
		return err
	}
	if checker, ok := c.(cell.Checker[T]); ok {
		if bad, want := checker.CheckInputs(u.Data); bad >= 0 {
			return check.Valuef(fn, "inputs", fmt.Sprintf("holds %v at %s", u.Data[bad], check.ShapeText(param.Unravel(bad, u.Shape))), want, "")
		}
	}
	batch, steps, d, m := dims.Len("B"), dims.Len("T"), c.Dim(), c.Inputs()
	if steps == 0 {
		return nil
	}
	of := func(a Array[T], i, width int) []T {
		if len(a.Shape) == 2 {
			i = 0
		}
		return a.Data[i*steps*width : (i+1)*steps*width]
	}
	errs = make([]error, batch)
	par.New(0, nil).For(batch, 1+(1<<13)/(steps*d*d), func(w *par.Worker, i int) {
		t := tangent[T]{c, d, m, of(states, i, d), of(u, i, m), of(b, i, d), of(out, i, d), &cell.Arena[T]{}}
		errs[i] = t.run(w, steps, transposed)
	})
	return cmp.Or(errs...)
}

// tangent is the recurrence of one sequence.
type tangent[T num.Float] struct {
	cell         cell.Cell[T]
	d, m         int
	x, u, b, out []T
	scratch      *cell.Arena[T]
}

// run goes from block to block, in the direction that the recurrence has.
func (t *tangent[T]) run(w *par.Worker, steps int, transposed bool) error {
	d := t.d
	most := min(max(tangentNumbers/(d*d), 1), tangentSteps)
	start := 0
	if transposed {
		start = steps - 1
	}
	copy(t.out[start*d:(start+1)*d], t.b[start*d:])
	for done := 1; done < steps; done += most {
		n := min(most, steps-done)
		first := done // the step that the first Jacobian of the block belongs to
		if transposed {
			first = steps - done - n + 1
		}
		if err := t.block(w, first, n, transposed); err != nil {
			return err
		}
	}
	return nil
}

// block does n steps, by the Jacobians of those from first on.
func (t *tangent[T]) block(w *par.Worker, first, n int, transposed bool) error {
	d, square := t.d, t.d*t.d
	defer t.scratch.Release(t.scratch.Mark())
	j := t.scratch.Take(n * square)
	at := cell.Block[T]{N: n, X: t.x[(first-1)*d : (first-1+n)*d], U: t.u[first*t.m : (first+n)*t.m], Scratch: t.scratch}
	if err := t.cell.Jacobian(at, j); err != nil {
		return err
	}
	lo, carry := first, t.out[(first-1)*d:first*d]
	if transposed {
		lo, carry = first-1, t.out[(first-1+n)*d:(first+n)*d]
		turned := t.scratch.Take(n * square)
		for i := 0; i < n*square; i += square {
			simd.Transpose(turned[i:i+square], j[i:i+square], d, d, d, d)
		}
		j = turned
	}
	lds.Scan(w, lds.Structure[T](lds.Dense[T]{}), j, t.b[lo*d:(lo+n)*d], carry, t.out[lo*d:(lo+n)*d], 1, n, d, transposed)
	return nil
}
