// Package cell holds the models f(x, u) and their derivatives, one file a model.
//
// A cell is evaluated over a whole block of steps at once: x is n rows of D numbers, u n rows of M, and products with the weights are
// matrix products over the block. It is a value without state that several goroutines may use; scratch comes from the arena.
package cell

import (
	"pards/core/check"
	"pards/core/internal/vec"
	"pards/core/num"
	"pards/core/param"
)

// Arena is where a cell takes its scratch from.
type Arena[T num.Float] = vec.Arena[T]

// Block is n steps at which a cell is evaluated, in the layout of the package comment.
type Block[T num.Float] struct {
	N    int
	X, U []T
	// Y receives f(x, u) where it is not nil.
	Y       []T
	Scratch *Arena[T]
	// For a Caller: the sequences the rows belong to, equally many rows each, and the index of the first step.
	Sequences []int64
	First     int
	// Known: Y holds f already, as it does for a Caller in all but Step.
	Known bool
}

// Cell is a model. Every derivative is with respect to x, and writes Y too where it is not nil: the two share most of their work.
type Cell[T num.Float] interface {
	// Dim returns D.
	Dim() int
	// Inputs returns M, 0 for a model without inputs.
	Inputs() int
	// Step writes f(x, u) to b.Y.
	Step(b Block[T]) error
	// Jacobian writes j[t, i, k] = df_i/dx_k.
	Jacobian(b Block[T], j []T) error
	// Diagonal writes df_i/dx_i.
	Diagonal(b Block[T], d []T) error
	// JVP writes J v, row by row.
	JVP(b Block[T], p, v []T) error
	// VJP writes J'v, row by row.
	VJP(b Block[T], p, v []T) error
}

// Differentiable is a cell with derivatives with respect to its inputs and its parameters too: every one whose inputs and parameters are
// not discrete. They do not write Y.
//
// Tangents and gradients of the parameters are one slice for each of the entry's Continuous fields, in that order; a nil one is a
// tangent of zero, or a gradient that is not wanted, as it must be for a parameter that the cell was made without.
type Differentiable[T num.Float] interface {
	Cell[T]
	// InputJVP writes df/du w, row by row: w (n, M), p (n, D).
	InputJVP(b Block[T], p, w []T) error
	// InputVJP writes (df/du)'v, row by row: v (n, D), p (n, M).
	InputVJP(b Block[T], p, v []T) error
	// ParamJVP writes df/dparams w for one tangent w of the parameters: p (n, D).
	ParamJVP(b Block[T], p []T, w [][]T) error
	// ParamVJP adds to the gradients g the sum over the block of (df/dparams)'v.
	ParamVJP(b Block[T], g [][]T, v []T) error
}

// Affine is a cell whose f is affine in x: J depends on u alone, and one Newton update is exact.
type Affine interface{ Affine() }

// Checker is a cell whose inputs are more than finite numbers.
type Checker[T num.Float] interface {
	// CheckInputs returns the index of the first number of u it cannot take and what was wanted; -1 for none.
	CheckInputs(u []T) (bad int, want string)
}

// Caller is a cell whose evaluation calls back into the caller's language: one call over all sequences at a time, on the goroutine
// that the solve was called on, and derivatives only once they are needed.
type Caller interface{ Calls() }

// Rotator is a cell that finds the diagonal of Q'JQ without forming J: D*D products a step instead of D*D*D.
type Rotator[T num.Float] interface {
	// Rotate prepares for one orthogonal Q, row-major; the result writes Y and the diagonal over a block.
	Rotate(q []T) func(b Block[T], d []T) error
}

// Runner is a cell that steps one sequence through time at less cost than one call of Step a step, with the same bits.
type Runner[T num.Float] interface {
	// Run writes to b.Y the b.N states that follow b.X, which is one row and does not overlap b.Y.
	Run(b Block[T])
	// Alone tells whether so many sequences are better run one by one than stepped side by side.
	Alone(sequences int) bool
}

// Team is sequences that step through time side by side.
type Team[T num.Float] struct {
	N, Steps int
	// X (N, D) is the states before, and in the end the last ones.
	X []T
	// U and Y are inputs and states of the first sequence; those of the next lie UPitch and YPitch further.
	U, Y           []T
	UPitch, YPitch int
	Scratch        *Arena[T]
}

// Teamed is a cell that steps a team at less cost than a call of Step a step, with the same bits.
type Teamed[T num.Float] interface{ Together(t Team[T]) }

// IsAffine tells whether f is affine in x.
func IsAffine[T num.Float](c Cell[T]) bool { _, ok := c.(Affine); return ok }

// IsCaller tells whether the cell is a callback.
func IsCaller[T num.Float](c Cell[T]) bool { _, ok := c.(Caller); return ok }

// Entry describes a registered cell.
type Entry struct {
	Name, Class string // "gru", "GRU"
	Doc         string
	Fields      []param.Field
	// Words: the inputs are whole numbers, one a step. Autonomous: there are none.
	Words, Autonomous bool
}

var family param.Family[Entry, Cell[float32], Cell[float64]]

func register(e Entry, f32 func(*param.Reader[float32]) Cell[float32], f64 func(*param.Reader[float64]) Cell[float64]) {
	family.Add(e.Name, e.Class, e.Fields, e, f32, f64)
}

// Entries returns the registered cells by name.
func Entries() []Entry { return family.Entries() }

// Continuous returns the fields of a cell that one which is Differentiable has derivatives with respect to: arrays and numbers.
func Continuous(name string) []param.Field {
	var all []param.Field
	e, _ := family.About(name)
	for _, f := range e.Fields {
		if f.Kind == param.Array || f.Kind == param.Number {
			all = append(all, f)
		}
	}
	return all
}

// New makes a registered cell from its parameters, which it keeps.
func New[T num.Float](name string, values param.Values[T]) (Cell[T], error) {
	made, err := param.Make(&family, "cell", "name", name, values, nil)
	if err != nil {
		return nil, err
	}
	c := made.(Cell[T])
	if c.Dim() == 0 {
		return nil, check.Valuef(name, "D", "is 0", "a state of at least one component", "")
	}
	return c, nil
}

// one returns the tangent of a number, 0 for none.
func one[T num.Float](w []T) T {
	if w == nil {
		return 0
	}
	return w[0]
}

// add adds to the gradient of a number, if it is wanted.
func add[T num.Float](g []T, v T) {
	if g != nil {
		g[0] += v
	}
}
