package core

import (
	"fmt"
	"slices"

	"pards/core/cell"
	"pards/core/check"
	"pards/core/method"
	"pards/core/num"
)

// Choice is a method to run, and why.
type Choice struct{ Method, Reason string }

// newtonMost is the largest dimension at which D*D numbers a step still cost less than a model's step called from another language.
const newtonMost = 32

// choose returns the methods to run, each on the sequences that the one before it failed on.
func choose[T num.Float](backend Backend[T], p *Problem[T], o *Options[T]) ([]Choice, error) {
	if o.Method != "auto" {
		return []Choice{{Method: o.Method}}, check.Choice("solve", "method", o.Method, slices.Concat(method.Names(), []string{"auto"}))
	}
	if len(o.Settings) > 0 {
		return nil, check.Valuef("solve", "method", `is "auto"`, "a method's name", "settings belong to one method")
	}
	return backend.Choices(p), nil
}

// Choices returns Newton for what is affine, the plain loop for native cells, and an iteration for what is called from another language.
func (CPU[T]) Choices(p *Problem[T]) []Choice {
	d := p.Cell.Dim()
	switch {
	case cell.IsAffine(p.Cell):
		return []Choice{{"newton", "the model is affine in its state, so one Newton update is exact"}}
	case !cell.IsCaller(p.Cell):
		return []Choice{{"sequential", "a native cell's plain loop is hard to beat on this CPU"}}
	}
	fallback := Choice{"sequential", "the plain loop for the sequences on which it failed"}
	if d <= newtonMost {
		return []Choice{{"newton", "a callable costs a call per step in a plain loop and one call an iteration here"}, fallback}
	}
	why := fmt.Sprintf("a callable costs a call per step in a plain loop; with D = %d above %d a full Jacobian costs too much", d, newtonMost)
	return []Choice{{"quasi_newton", why}, fallback}
}
