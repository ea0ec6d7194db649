package core

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"pards/core/cell"
	"pards/core/internal/par"
	"pards/core/lds"
	"pards/core/method"
	"pards/core/num"
	"pards/core/theory"
)

// The sizes of a pilot, and what it may cost as parts of the time that the plain loop would take.
const (
	pilotLeast     = 128  // steps; fewer are not worth one
	pilotSeconds   = 2e-3 // that the loop takes at least: the calls of a pilot take a tenth of it
	pilotPart      = 32   // of the steps: those that the loop makes while it is timed, and that a call takes at once while that is
	loopedLeast    = 17   // steps of them
	loopedMost     = 256
	probePart      = 0.03 // derivatives
	againPart      = 0.005
	firstPart      = 8    // of the steps: the first window at most, so that a model shows its nature early
	overPart       = 0.12 // an iteration, before the loop overtakes it
	worthwhile     = 0.8  // what an iteration must promise to need
	derivativeDear = 4    // evaluations of f
)

// pilot solves a callable. The loop makes the first steps and is timed; calls for all of these at once are timed too, and the Jacobians
// there tell about how many updates each method needs. What promises to take least goes on in windows that adapt. Where that is the loop,
// the model is chaotic, or an iteration turns out slower, the loop makes the steps that are left.
func (r *run[T]) pilot() error {
	steps := r.plan.Problem.Steps
	if steps < pilotLeast || len(r.left) == 0 {
		r.say("%d steps of a callable are soon made", steps)
		return r.by("sequential")
	}
	r.plan.Options.AutoWindow = true
	begin := min(max(steps/pilotPart, loopedLeast), loopedMost)
	loop, err := r.timeLoop(begin)
	if err != nil || !r.solution.Worst().Success() {
		r.ran = []string{"sequential"}
		return err
	}
	if loop*float64(steps) < pilotSeconds {
		r.say("%d steps of a callable that takes %.2g s each are soon made", steps, loop)
		return r.by("sequential")
	}
	m, err := r.measure(begin, loop)
	if err != nil {
		return err
	}
	all := m.candidates(r, begin)
	r.say("%s", told(all, loop, steps))
	why := ""
	if m.rows >= chaosLeast {
		why = chaotic(m.jacobians[:m.rows*r.plan.Problem.Dim*r.plan.Problem.Dim], r.plan.Problem.Dim, steps)
	}
	if why == "" && all[0].step <= worthwhile*loop {
		if err := r.try(all[0], m.jacobian, begin, loop); err != nil || len(r.left) == 0 || r.solution.Worst() == method.Interrupted {
			return err
		}
		return r.by("sequential")
	}
	if err := r.by("sequential"); err != nil || len(r.left) > 0 {
		return err
	}
	if why == "" {
		why, err = r.chaosBehind(m.jacobian, loop)
	}
	if why != "" {
		r.say("%s", why)
	}
	return err
}

// timeLoop has the loop make some steps, and returns the seconds that one took, the least of three parts, as others may be at work.
func (r *run[T]) timeLoop(steps int) (seconds float64, err error) {
	plan, err := r.planOf("sequential")
	if err != nil {
		return 0, err
	}
	for before, part := 0, 1; part <= 3; part++ {
		until := max(part*steps/3, before+1)
		plan.Options.Until = until
		start := time.Now()
		if err := r.backend.Solve(plan, r.left, r.solution.Results); err != nil {
			return 0, err
		}
		one := time.Since(start).Seconds() / float64(until-before)
		if before == 0 || one < seconds {
			seconds = one
		}
		before = until
	}
	return seconds, nil
}

// cost is the seconds of a call for some steps: a constant, and so much a step.
type cost struct{ call, step float64 }

func (c cost) plus(o cost) cost { return cost{c.call + o.call, c.step + o.step} }

// of returns the seconds a step of calls for some steps.
func (c cost) of(steps int) float64 { return c.step + c.call/float64(steps) }

// measured is what calls of a model cost on this machine, for the whole batch, and its Jacobians at some rows of each sequence.
type measured[T num.Float] struct {
	f, jacobian, diagonal, scan cost
	jacobians                   []T
	rows                        int
}

// measure times calls at the steps that the loop has made.
func (r *run[T]) measure(done int, loop float64) (m measured[T], err error) {
	c, steps, d, batch := r.plan.Problem.Cell, r.plan.Problem.Steps, r.plan.Problem.Dim, len(r.left)
	y, little := make([]T, batch*done*d), againPart*loop*float64(steps)
	if m.f, err = r.timed(done, done-1, little, func(b cell.Block[T]) error { b.Y = y[:len(b.X)]; return c.Step(b) }); err != nil {
		return m, err
	}
	m.rows = min(max(int(probePart*loop*float64(steps)/(float64(2*d)*m.f.step)), 2), done-1)
	m.jacobians = make([]T, batch*m.rows*d*d)
	if m.jacobian, err = r.timed(done, m.rows, little, func(b cell.Block[T]) error { return c.Jacobian(b, m.jacobians[:b.N*d*d]) }); err != nil {
		return m, err
	}
	w := par.New(r.plan.NumThreads, r.plan.Poll)
	m.scan, _ = r.timed(done, m.rows, little, func(b cell.Block[T]) error {
		lds.Scan(w, lds.Dense[T]{}, m.jacobians, b.Y, nil, y, batch, b.N/batch, d, false)
		return nil
	})
	if m.diagonal = m.jacobian; m.jacobian.step > derivativeDear*m.f.step { // else there is nothing to save
		m.diagonal, err = r.timed(done, m.rows, little, func(b cell.Block[T]) error { return c.Diagonal(b, y[:b.N*d]) })
	}
	return m, err
}

// timed returns what calls cost, from one for a step and one for some, the last ones of those that are done. What takes little is done
// again, as the first call finds nothing in the caches.
func (r *run[T]) timed(done, steps int, little float64, call func(b cell.Block[T]) error) (cost, error) {
	var took [2]float64
	for i, n := range []int{1, steps} {
		for again := 0; again == 0 || again == 1 && took[i] < little; again++ {
			b := r.behind(r.left, done, n)
			start := time.Now()
			if err := call(b); err != nil {
				return cost{}, err
			}
			if s := time.Since(start).Seconds(); again == 0 || s < took[i] {
				took[i] = s
			}
		}
	}
	return cost{took[0], max(took[1]-took[0], took[1]/8) / float64(steps)}, nil
}

// behind is a block of the last of the steps that are done, at least one less than all.
func (r *run[T]) behind(members []int, done, steps int) cell.Block[T] {
	p := r.plan.Problem
	d := p.Dim
	b := cell.Block[T]{N: len(members) * steps, First: done - steps, Scratch: &cell.Arena[T]{}}
	for _, m := range members {
		states := r.plan.States.Data[m*p.Steps*d:]
		b.X = append(b.X, states[(b.First-1)*d:(done-1)*d]...)
		b.Sequences = append(b.Sequences, int64(m))
		if cell.IsCaller(p.Cell) {
			b.Y, b.Known = append(b.Y, states[b.First*d:done*d]...), true
		}
		if p.U != nil {
			b.U = append(b.U, p.U[m*p.UStride+b.First*p.Inputs:m*p.UStride+done*p.Inputs]...)
		}
	}
	return b
}

// candidate is a method and what it promises for the whole batch.
type candidate struct {
	name    string
	updates float64 // a window
	update  cost
	step    float64 // seconds a step in all
}

// candidates returns the iterations, the one that promises to take least first.
func (m *measured[T]) candidates(r *run[T], done int) []candidate {
	p := r.plan.Problem
	window := r.o.window(p)
	g := theory.Guess(num.Wide(m.jacobians), p.Dim, float64(min(p.Steps-done, window)), r.plan.Options.Rtol)
	all := []candidate{
		{name: "newton", updates: g.Newton, update: m.f.plus(m.jacobian).plus(m.scan)},
		{name: "quasi_newton", updates: max(g.Newton, g.Diagonal), update: m.f.plus(m.diagonal)}, // of a diagonal J it is Newton
		{name: "picard", updates: g.Identity, update: m.f},
		{name: "jacobi", updates: g.Zero, update: m.f},
	}
	for i := range all {
		all[i].step = all[i].updates*all[i].update.of(min(window, p.Steps/4)) + m.f.step
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.step, b.step) })
	return all
}

// told says what the loop and the candidates would take.
func told(all []candidate, loop float64, steps int) string {
	text := make([]string, len(all))
	for i, c := range all {
		text[i] = fmt.Sprintf("%s %.2g s with %.0f", c.name, c.step*float64(steps), c.updates)
	}
	text[0] = strings.Replace(text[0], " ", " promises ", 1) + " updates a window"
	return fmt.Sprintf("as timed on the first steps, the plain loop takes %.2g s, %s", loop*float64(steps), strings.Join(text, ", "))
}

// try goes on by a candidate until it is done, or has cost more than the loop would have, and some; or the model is chaotic.
func (r *run[T]) try(c candidate, jacobian cost, begin int, loop float64) error {
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
	why, chaos, failure, start := "", "", error(nil), time.Now()
	look := chaosLeast
	plan.Options.GiveUp = func(done int) bool {
		n := min(done-begin, chaosMost)
		if spent := time.Since(start).Seconds(); spent > loop*float64(done-begin)+spare {
			why = "it takes longer than the loop"
		} else if n >= look && float64(n)*jacobian.step < spare/4 {
			look = 2 * n
			chaos, failure = r.chaos(r.left[0], done, n)
		}
		return why+chaos != "" || failure != nil
	}
	if err := r.backend.Solve(plan, r.left, r.solution.Results); err != nil || failure != nil {
		return cmp.Or(failure, err)
	}
	r.ran = append(r.ran, c.name)
	if r.left = failed(r.solution.Results, r.left); len(r.left) > 0 {
		first := r.solution.Results[r.left[0]]
		if why += chaos; why == "" {
			why = fmt.Sprintf("it ended as %s", first.Status)
		}
		r.say("%s was given up %s, as %s", c.name, ending(first, steps), why)
	}
	for _, m := range r.left {
		if chaos != "" { // then what the loop gives is all that can be promised
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
