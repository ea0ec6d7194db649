package core

import (
	"fmt"

	"pards/core/cell"
	"pards/core/check"
	"pards/core/internal/par"
	"pards/core/num"
)

// Kind is what Evaluate computes.
type Kind int

// The kinds, in the order of enum pards_kind.
const (
	Step Kind = iota
	Jacobian
	Diagonal
	JVP
	VJP
)

// evaluateRows is how many states are evaluated at a time.
const evaluateRows = 128

// Evaluate writes f, or a derivative, at n states: x (n, D), u (n, M), v (n, D), out (n, D) or (n, D, D).
func Evaluate[T num.Float](c cell.Cell[T], kind Kind, x, u, v, out []T, n int) error {
	if kind < Step || kind > VJP {
		return check.Valuef("evaluate", "kind", fmt.Sprintf("is %d", kind), "0 to 4", "see enum pards_kind")
	}
	if n == 0 {
		return nil
	}
	d, width := c.Dim(), len(out)/n
	count := (n + evaluateRows - 1) / evaluateRows
	errs := make([]error, count)
	par.New(0, nil).For(count, 1+(1<<13)/(evaluateRows*width), func(_ *par.Worker, i int) {
		lo, hi := i*evaluateRows, min((i+1)*evaluateRows, n)
		b := cell.Block[T]{N: hi - lo, X: x[lo*d : hi*d], U: u[lo*c.Inputs() : hi*c.Inputs()], Scratch: &cell.Arena[T]{}}
		to := out[lo*width : hi*width]
		switch kind {
		case Step:
			b.Y = to
			errs[i] = c.Step(b)
		case Jacobian:
			errs[i] = c.Jacobian(b, to)
		case Diagonal:
			errs[i] = c.Diagonal(b, to)
		case JVP:
			errs[i] = c.JVP(b, to, v[lo*d:hi*d])
		case VJP:
			errs[i] = c.VJP(b, to, v[lo*d:hi*d])
		}
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
