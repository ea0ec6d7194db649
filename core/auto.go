package core

import (
	"fmt"
	"slices"

	"pards/core/cell"
	"pards/core/check"
	"pards/core/method"
	"pards/core/num"
)

// choice is a method to run, and why.
type choice struct{ name, reason string }

// newtonMost is the largest dimension at which D*D numbers a step still cost less than a model's step called from another language.
const newtonMost = 32

// choose returns the methods to run, each on the sequences that the one before it failed on.
func choose[T num.Float](p *method.Problem[T], o *Options[T]) ([]choice, error) {
	if o.Method != "auto" {
		return []choice{{name: o.Method}}, check.Choice("solve", "method", o.Method, slices.Concat(method.Names(), []string{"auto"}))
	}
	if len(o.Settings) > 0 {
		return nil, check.Valuef("solve", "method", `is "auto"`, "a method's name", "settings belong to one method")
	}
	switch {
	case cell.IsAffine(p.Cell):
		return []choice{{"newton", "the model is affine in its state, so one Newton update is exact"}}, nil
	case !cell.IsCaller(p.Cell):
		return []choice{{"sequential", "a native cell's plain loop is hard to beat on this CPU"}}, nil
	}
	fallback := choice{"sequential", "the plain loop for the sequences on which it failed"}
	if p.Dim <= newtonMost {
		return []choice{{"newton", "a callable costs a call per step in a plain loop and one call an iteration here"}, fallback}, nil
	}
	why := fmt.Sprintf("a callable costs a call per step in a plain loop; with D = %d above %d a full Jacobian costs too much", p.Dim, newtonMost)
	return []choice{{"quasi_newton", why}, fallback}, nil
}
