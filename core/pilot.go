package core

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"pards/core/cell"
	"pards/core/method"
	"pards/core/num"
	"pards/core/theory"
)

// The sizes of a pilot, and what it may cost as parts of the time that the plain loop would take.
const (
	pilotLeast     = 128  // steps; fewer are not worth one
	pilotPart      = 32   // of the steps: those that the loop makes while it is timed, and that a call takes at once while that is
	pilotMost      = 256  // steps of them at most
	probePart      = 0.03 // derivatives
	firstPart      = 8    // of the steps: the first window at most, so that a model shows its nature early
	overPart       = 0.12 // an iteration, before the loop overtakes it
	worthwhile     = 0.8  // what an iteration must promise to need
	derivativeDear = 4    // evaluations of f
	scanning       = 1e-9 // seconds that making use of a number of a dense A takes
)

// pilot solves a callable. The loop makes the first steps and is timed; calls for some steps at once are timed too, and the Jacobians
// there tell about how many updates each method needs. What promises to take least goes on in windows that adapt. Where that is the loop,
// or an iteration turns out slower, the loop makes the steps that are left.
func (r *run[T]) pilot() error {
	steps := r.plan.Problem.Steps
	if steps < pilotLeast || len(r.left) == 0 {
		r.say("%d steps of a callable are soon made", steps)
		return r.by("sequential")
	}
	r.plan.Options.AutoWindow = true
	begin := min(steps/pilotPart, pilotMost)
	loop, err := r.timeLoop(begin)
	if err != nil || !r.solution.Worst().Success() {
		r.ran = []string{"sequential"}
		return err
	}
	best, err := r.cheapest(begin, loop)
	if err != nil {
		return err
	}
	if best.step > worthwhile*loop {
		r.say("a step of the plain loop takes %s, and of the iterations %s promises least, %s", brief(loop), best.name, brief(best.step))
		return r.by("sequential")
	}
	r.say("a step of the plain loop takes %s, %s promises %s, with %.0f updates a window", brief(loop), best.name, brief(best.step), best.updates)
	if err := r.try(best, begin, loop); err != nil || len(r.left) == 0 || r.solution.Worst() == method.Interrupted {
		return err
	}
	return r.by("sequential")
}

// timeLoop has the loop make some steps, and returns the seconds that one took, the least of three parts, as others may be at work.
func (r *run[T]) timeLoop(steps int) (seconds float64, err error) {
	plan, err := r.planOf("sequential")
	if err != nil {
		return 0, err
	}
	seconds = math.Inf(1)
	for before, part := 0, 1; part <= 3; part++ {
		until := max(part*steps/3, before+1)
		plan.Options.Until = until
		start := time.Now()
		if err := r.backend.Solve(plan, r.left, r.solution.Results); err != nil {
			return 0, err
		}
		seconds, before = min(seconds, time.Since(start).Seconds()/float64(until-before)), until
	}
	return seconds, nil
}

// cost is the seconds of a call for some steps: a constant, and so much a step.
type cost struct{ call, step float64 }

func (c cost) plus(o cost) cost { return cost{c.call + o.call, c.step + o.step} }

// of returns the seconds a step of calls for some steps.
func (c cost) of(steps int) float64 { return c.step + c.call/float64(steps) }

// candidate is a method and what it promises for the whole batch.
type candidate struct {
	name             string
	updates          float64 // a window
	update, jacobian cost
	step             float64 // seconds a step in all
}

// cheapest returns the iteration that promises to take least, from calls at the state that the loop came to.
func (r *run[T]) cheapest(done int, loop float64) (candidate, error) {
	p := r.plan.Problem
	d, batch, window := p.Dim, len(r.left), r.o.window(p)
	n := min(max(done, pilotLeast/8), p.Steps-done)
	f, err := r.timed(done, n, func(b cell.Block[T]) error { return p.Cell.Step(b) })
	if err != nil {
		return candidate{}, err
	}
	few := min(max(int(probePart*loop*float64(p.Steps)/(float64(2*d)*f.step)), 2), n)
	j, diagonal := make([]T, batch*few*d*d), make([]T, batch*few*d)
	jac, err := r.timed(done, few, func(b cell.Block[T]) error { return p.Cell.Jacobian(b, j[:b.N*d*d]) })
	if err != nil {
		return candidate{}, err
	}
	diag := jac
	if jac.step > derivativeDear*f.step { // else there is nothing to save
		if diag, err = r.timed(done, few, func(b cell.Block[T]) error { return p.Cell.Diagonal(b, diagonal[:b.N*d]) }); err != nil {
			return candidate{}, err
		}
	}
	g := theory.Guess(num.Wide(j), d, float64(min(p.Steps-done, window)), r.plan.Options.Rtol)
	best := candidate{step: math.Inf(1)}
	for _, c := range []candidate{
		{name: "newton", updates: g.Newton, update: f.plus(jac).plus(cost{step: scanning * float64(batch*d*d)})},
		{name: "quasi_newton", updates: g.Diagonal, update: f.plus(diag)},
		{name: "picard", updates: g.Identity, update: f},
		{name: "jacobi", updates: g.Zero, update: f},
	} {
		if c.jacobian, c.step = jac, c.updates*c.update.of(min(window, p.Steps/4))+f.step; c.step < best.step {
			best = c
		}
	}
	return best, nil
}

// timed returns what calls cost, from one for a step and one for some, at the state that is done.
func (r *run[T]) timed(done, steps int, call func(b cell.Block[T]) error) (cost, error) {
	var took [2]float64
	for i, n := range []int{1, steps} {
		b := r.probe(done, n)
		start := time.Now()
		if err := call(b); err != nil {
			return cost{}, err
		}
		took[i] = time.Since(start).Seconds()
	}
	step := max(took[1]-took[0], took[1]/8) / float64(steps)
	return cost{took[0], step}, nil
}

// probe is a block of some steps from the one that is done on, all of them from the state there.
func (r *run[T]) probe(done, steps int) cell.Block[T] {
	p := r.plan.Problem
	d := p.Dim
	b := cell.Block[T]{N: len(r.left) * steps, First: done, Scratch: &cell.Arena[T]{}}
	for _, m := range r.left {
		last := r.plan.States.Data[(m*p.Steps+done-1)*d:][:d]
		for range steps {
			b.X = append(b.X, last...)
		}
		b.Sequences = append(b.Sequences, int64(m))
	}
	b.Y, b.Known = append([]T(nil), b.X...), true // what f is does not matter, only that it is finite
	return b
}

// try goes on by a candidate until it is done, or has cost more than the loop would have, and some; or the model is chaotic.
func (r *run[T]) try(c candidate, begin int, loop float64) error {
	plan, err := r.planOf(c.name)
	if err != nil {
		return err
	}
	steps := r.plan.Problem.Steps
	spare := overPart * loop * float64(steps)
	first := min(int(spare/(method.Patience*c.update.step)), steps/firstPart) // of which all updates are worth the risk
	if !r.windows(plan, max(first, pilotLeast)) {
		r.say("no window of it fits in memory")
		return nil
	}
	why, chaotic, failure, start := "", "", error(nil), time.Now()
	look := chaosLeast
	plan.Options.GiveUp = func(done int) bool {
		n := min(done-begin, chaosMost)
		if spent := time.Since(start).Seconds(); spent > loop*float64(done-begin)+spare {
			why = "it takes longer than the loop"
		} else if n >= look && float64(n)*c.jacobian.step < spare/4 {
			look = 2 * n
			chaotic, failure = r.chaos(r.left[0], done, n)
		}
		return why+chaotic != "" || failure != nil
	}
	if err := r.backend.Solve(plan, r.left, r.solution.Results); err != nil || failure != nil {
		return cmp.Or(failure, err)
	}
	r.ran = append(r.ran, c.name)
	if r.left = failed(r.solution.Results, r.left); len(r.left) > 0 {
		first := r.solution.Results[r.left[0]]
		if why += chaotic; why == "" {
			why = fmt.Sprintf("it ended as %s after %d updates", first.Status, first.Iterations)
		}
		r.say("at step %d of %d it was given up, as %s", first.Done, steps, why)
	}
	for _, m := range r.left {
		if chaotic != "" { // then what the loop gives is all that can be promised
			r.solution.Results[m].Rewind(begin)
		}
	}
	return nil
}

// windows has a plan take windows that adapt, the first of some steps and none too large for the memory there is.
func (r *run[T]) windows(plan *Plan[T], start int) bool {
	o := &plan.Options
	o.Window = r.o.window(r.plan.Problem)
	for r.backend.Fits(plan) != nil && o.Window > 1 {
		o.Window /= 2
	}
	o.Start, r.plan.Options.Window = start, o.Window
	return r.backend.Fits(plan) == nil
}

// brief writes seconds.
func brief(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(10 * time.Nanosecond).String()
}
