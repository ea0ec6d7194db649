package core

import (
	"fmt"
	"slices"

	"pards/core/cell"
	"pards/core/check"
	"pards/core/method"
	"pards/core/num"
	"pards/core/theory"
)

// Choice is a method to run, and why.
type Choice struct{ Method, Reason string }

// checkMethod checks the name of a method.
func checkMethod[T num.Float](o *Options[T]) error {
	if o.Method == "auto" && len(o.Settings) > 0 {
		return check.Valuef("solve", "method", `is "auto"`, "a method's name", "settings belong to one method")
	}
	if o.Method == "auto" || slices.Contains(method.Names(), o.Method) {
		return nil
	}
	return check.Choice("solve", "method", o.Method, slices.Concat(method.Names(), []string{"auto"}))
}

// Choices returns the plain loop for native cells: on two cores it took a fifth to a fiftieth of the time of any iteration, and an affine
// cell's one Newton update two to ten times as long as its loop. What a callable takes is found by pilot.
func (CPU[T]) Choices(p *Problem[T]) []Choice {
	if cell.IsCaller(p.Cell) {
		return []Choice{{"newton", ""}}
	}
	return []Choice{{"sequential", "a native cell's plain loop is hard to beat on this CPU"}}
}

// auto solves by what the backend chooses, each method on the sequences that the one before it failed on; a callable by pilot.
func (r *run[T]) auto() error {
	if _, here := any(r.backend).(CPU[T]); here && cell.IsCaller(r.plan.Problem.Cell) {
		return r.pilot()
	}
	choices := r.backend.Choices(r.plan.Given)
	r.plan.Options.AutoWindow = true
	for i, c := range choices {
		plan, err := r.planOf(c.Method)
		if err != nil {
			return err
		}
		if err := r.backend.Fits(plan); err != nil && (i+1 < len(choices) || len(r.ran) > 0) {
			r.say("%s does not fit: %v", c.Method, err)
			continue // to what may take less; what the one before failed on stays as it left it
		}
		r.say("%s", c.Reason)
		if err := r.by(c.Method); err != nil || len(r.left) == 0 || r.solution.Worst() == method.Interrupted {
			r.lookForChaos()
			return err
		}
	}
	return nil
}

// A model counts as chaotic or expanding where rounding would grow by that factor's logarithm over the trajectory, as far as some of its
// last steps tell, whose Jacobians must not take long.
const (
	growthMost  = 12
	chaosLeast  = 128
	chaosMost   = 512
	chaosPart   = 16 // steps of the trajectory and dimension, for each that is looked at
	chaosReason = "nearby trajectories part by a factor of e every %.0f steps: the model is chaotic or expanding, and no other method could agree with the loop"
)

// lookForChaos says so where a native cell that was solved is chaotic.
func (r *run[T]) lookForChaos() {
	p, states := r.plan.Problem, r.plan.States.Data
	n := min(p.Steps/(chaosPart*p.Dim), chaosMost)
	if cell.IsCaller(p.Cell) || cell.IsAffine(p.Cell) || p.Batch == 0 || n < chaosLeast || states == nil || p.Inputs > 0 && p.U == nil || !r.solution.Results[0].Status.Success() {
		return
	}
	if why, err := r.chaos(0, p.Steps, n); err == nil && why != "" {
		r.say("%s", why)
	}
}

// chaos follows the growth of small differences along the last n of the states of a sequence that are done; "" where they shrink.
func (r *run[T]) chaos(member, done, n int) (string, error) {
	p, d := r.plan.Problem, r.plan.Problem.Dim
	states := r.plan.States.Data[member*p.Steps*d:][:done*d]
	b := cell.Block[T]{N: n - 1, X: states[(done-n)*d : (done-1)*d], Scratch: &cell.Arena[T]{}, Sequences: []int64{int64(member)}, First: done - n + 1}
	if cell.IsCaller(p.Cell) {
		b.Y, b.Known = states[(done-n+1)*d:], true
	}
	if p.U != nil {
		b.U = p.U[member*p.UStride+b.First*p.Inputs:][:b.N*p.Inputs]
	}
	j := make([]T, b.N*d*d)
	if err := p.Cell.Jacobian(b, j); err != nil {
		return "", err
	}
	var follow theory.Lyapunov
	for t := 0; t < len(j); t += d * d {
		follow.Step(num.Wide(j[t:t+d*d]), d)
	}
	growth, off := follow.Exponent()
	if !(growth-2*off > 0 && growth*float64(p.Steps) > growthMost) {
		return "", nil
	}
	return fmt.Sprintf(chaosReason, 1/growth), nil
}
