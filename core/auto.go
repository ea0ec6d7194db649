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
type Choice struct {
	Method, Reason string
	LeastWindow    int // see method.Options
}

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

// affineLeast is from how many steps on one sequence of one component is scanned in less time than its loop takes, also by one worker: 0.4
// to 0.9 of it. With two components and more it took 0.7 to 4 times as long, and a batch, whose loops share a vector, 1.1 to 8 times.
const affineLeast = 10_000

// Choices returns the plain loop for native cells, of which it took a fifth to a fiftieth of the time of any iteration on two cores, and
// about as long on sixteen; but a scan where one component is affine. These are shapes alone. What a callable takes is found by pilot, and
// whether there are cores enough for an iteration on few long sequences of a native cell.
func (CPU[T]) Choices(p *Problem[T], o *Options[T]) []Choice {
	switch exact := o.Damping == 0 && !o.Clip; {
	case cell.IsCaller(p.Cell):
		return []Choice{{Method: "newton"}}
	case cell.IsAffine(p.Cell) && exact && p.Cell.Dim() == 1 && p.Batch == 1 && p.Length >= affineLeast:
		return []Choice{{Method: "newton", Reason: "the model is affine in its one component, so one Newton update is exact, and its scan runs in vectors"},
			{Method: "sequential", Reason: "the plain loop from where that overflowed"}}
	}
	return []Choice{{Method: "sequential", Reason: "a native cell's plain loop is hard to beat on this CPU"}}
}

// auto solves by what the backend chooses, each method on the sequences that the one before it failed on; a callable by pilot.
func (r *run[T]) auto() error {
	_, here := any(r.backend).(CPU[T])
	if here && cell.IsCaller(r.plan.Problem.Cell) {
		return r.pilot(ofCallables)
	}
	choices := r.backend.Choices(r.plan.Given, r.o)
	if here && choices[0].Method == "sequential" && r.shares() {
		return r.pilot(ofCells)
	}
	r.plan.Options.AutoWindow = true
	for i, c := range choices {
		r.plan.Options.LeastWindow = c.LeastWindow
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
	chaosReason = "nearby trajectories part by a factor of e every %.0f steps: the model is chaotic or expanding, and no other method can promise to agree with the loop"
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

// chaosBehind looks for chaos in what the loop has made of a callable, by Jacobians or by products with one vector, each a call as dear as
// a step of the loop, whichever may be had of more steps in a part of its time.
func (r *run[T]) chaosBehind(jacobian cost, loop float64) (string, error) {
	steps := r.plan.Problem.Steps
	part := probePart * loop * float64(steps)
	full, product := (part-jacobian.call)/jacobian.step, part/loop
	n := min(int(max(full, product)), chaosMost, steps/2)
	switch {
	case n < chaosLeast:
		return "", nil
	case full >= product:
		return r.chaos(0, steps, n)
	}
	return r.chaosByProducts(0, n)
}

// chaos follows the growth of small differences along the last n of the states of a sequence that are done; "" where they shrink.
func (r *run[T]) chaos(member, done, n int) (string, error) {
	p, d := r.plan.Problem, r.plan.Problem.Dim
	b := r.behind([]int{member}, done, n-1)
	j := make([]T, b.N*d*d)
	if err := p.Cell.Jacobian(b, j); err != nil {
		return "", err
	}
	return chaotic(j, d, p.Steps), nil
}

// chaosByProducts is chaos along the last n of all steps, by a call for each.
func (r *run[T]) chaosByProducts(member, n int) (string, error) {
	p, d := r.plan.Problem, r.plan.Problem.Dim
	v, jv := make([]T, d), make([]T, d)
	var follow theory.Growth
	for done := p.Steps - n + 1; done <= p.Steps; done++ {
		var err error
		follow.Advance(d, func(next, vector []float64) {
			for i, c := range vector {
				v[i] = T(c)
			}
			err = p.Cell.JVP(r.behind([]int{member}, done, 1), jv, v)
			copy(next, num.Wide(jv))
		})
		if err != nil {
			return "", err
		}
	}
	growth, off := follow.Exponent()
	return growing(growth, off, p.Steps), nil
}

// chaotic follows the growth of small differences through Jacobians; "" where they shrink.
func chaotic[T num.Float](j []T, d, steps int) string {
	var follow theory.Lyapunov
	for t := 0; t < len(j); t += d * d {
		follow.Step(num.Wide(j[t:t+d*d]), d)
	}
	growth, off := follow.Exponent()
	return growing(growth, off, steps)
}

// growing says so where growth a step is more than its error, and too much over all steps.
func growing(growth, off float64, steps int) string {
	if !(growth > off && growth*float64(steps) > growthMost) {
		return ""
	}
	return fmt.Sprintf(chaosReason, 1/growth)
}
