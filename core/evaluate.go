package core

import (
	"cmp"
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
	InputJVP
	InputVJP
)

const (
	evaluateRows = 128     // states evaluated at a time
	mostSums     = 64      // gradients of the parameters that are summed side by side
	sumNumbers   = 1 << 24 // of all of these together, where that leaves room for one
)

// Evaluate writes f, or a derivative, at n states: x (n, D), u (n, M), v (n, D), out (n, D), or (n, D, D) for Jacobian; for InputJVP
// v is (n, M), for InputVJP out is.
func Evaluate[T num.Float](c cell.Cell[T], kind Kind, x, u, v, out []T, n int) error {
	if kind < Step || kind > InputVJP {
		return check.Valuef("evaluate", "kind", fmt.Sprintf("is %d", kind), fmt.Sprintf("0 to %d", InputVJP), "see enum pards_kind")
	}
	var diff cell.Differentiable[T]
	if kind >= InputJVP {
		var err error
		if diff, err = differentiable("evaluate", c); err != nil {
			return err
		}
	}
	if n == 0 {
		return nil
	}
	width, per := len(out)/n, len(v)/n
	count := (n + evaluateRows - 1) / evaluateRows
	errs := make([]error, count)
	par.New(0, nil).For(count, 1+(1<<13)/(evaluateRows*(width+1)), func(_ *par.Worker, i int) {
		lo, hi := i*evaluateRows, min((i+1)*evaluateRows, n)
		b := rows(c, x, u, lo, hi, &cell.Arena[T]{})
		to, along := out[lo*width:hi*width], v[lo*per:hi*per]
		switch kind {
		case Step:
			b.Y = to
			errs[i] = c.Step(b)
		case Jacobian:
			errs[i] = c.Jacobian(b, to)
		case Diagonal:
			errs[i] = c.Diagonal(b, to)
		case JVP:
			errs[i] = c.JVP(b, to, along)
		case VJP:
			errs[i] = c.VJP(b, to, along)
		case InputJVP:
			errs[i] = diff.InputJVP(b, to, along)
		case InputVJP:
			errs[i] = diff.InputVJP(b, to, along)
		}
	})
	return cmp.Or(errs...)
}

// rows is the block of the states [lo, hi).
func rows[T num.Float](c cell.Cell[T], x, u []T, lo, hi int, scratch *cell.Arena[T]) cell.Block[T] {
	d, m := c.Dim(), c.Inputs()
	return cell.Block[T]{N: hi - lo, X: x[lo*d : hi*d], U: u[lo*m : hi*m], Scratch: scratch}
}

// differentiable refuses a cell without derivatives with respect to inputs and parameters.
func differentiable[T num.Float](fn string, c cell.Cell[T]) (cell.Differentiable[T], error) {
	if diff, ok := c.(cell.Differentiable[T]); ok {
		return diff, nil
	}
	return nil, check.Typef(fn, "cell", "has no derivatives with respect to its inputs and parameters", "a cell of numbers that vary continuously",
		"words and permutations do not")
}

// ParamJVP writes df/dparams w at n states, out (n, D). w is one tangent for each parameter of cell.Continuous, nil for zero.
func ParamJVP[T num.Float](c cell.Cell[T], x, u []T, w [][]T, out []T, n int) error {
	diff, err := differentiable("param_jvp", c)
	if err != nil {
		return err
	}
	d, count := c.Dim(), (n+evaluateRows-1)/evaluateRows
	errs := make([]error, count)
	par.New(0, nil).For(count, 1+(1<<13)/(evaluateRows*d), func(_ *par.Worker, i int) {
		lo, hi := i*evaluateRows, min((i+1)*evaluateRows, n)
		errs[i] = diff.ParamJVP(rows(c, x, u, lo, hi, &cell.Arena[T]{}), out[lo*d:hi*d], w)
	})
	return cmp.Or(errs...)
}

// ParamVJP adds to sums, one for each parameter of cell.Continuous and nil where none is wanted, the sum over n states of
// (df/dparam)'v. Up to 128 states are summed in T, these sums in float64, in an order that depends on n and the parameters' sizes alone.
func ParamVJP[T num.Float](c cell.Cell[T], x, u, v []T, sums [][]float64, n int) error {
	diff, err := differentiable("param_vjp", c)
	if err != nil {
		return err
	}
	size := 1
	for _, s := range sums {
		size += len(s)
	}
	blocks := (n + evaluateRows - 1) / evaluateRows
	count := min(blocks, max(1, min(mostSums, sumNumbers/size)))
	parts, errs := make([][][]float64, count), make([]error, count)
	par.New(0, nil).For(count, 1+(1<<13)/(evaluateRows*c.Dim()), func(_ *par.Worker, i int) {
		parts[i] = like[float64](sums)
		own, scratch := like[T](sums), &cell.Arena[T]{}
		for k := i * blocks / count; k < (i+1)*blocks/count && errs[i] == nil; k++ {
			lo, hi := k*evaluateRows, min((k+1)*evaluateRows, n)
			for _, g := range own {
				clear(g)
			}
			errs[i] = diff.ParamVJP(rows(c, x, u, lo, hi, scratch), own, v[lo*c.Dim():hi*c.Dim()])
			addTo(parts[i], own)
		}
	})
	if err := cmp.Or(errs...); err != nil {
		return err
	}
	for _, p := range parts {
		addTo(sums, p)
	}
	return nil
}

// like makes zeros of the lengths of given slices; nil for nil.
func like[T num.Float](given [][]float64) [][]T {
	made := make([][]T, len(given))
	for i, s := range given {
		if s != nil {
			made[i] = make([]T, len(s))
		}
	}
	return made
}

func addTo[T num.Float](sums [][]float64, parts [][]T) {
	for i, part := range parts {
		for k, v := range part {
			sums[i][k] += float64(v)
		}
	}
}
