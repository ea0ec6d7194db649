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

// now is the clock that pilots read.
var now = time.Now

// effort is how large a pilot is, and what it may cost as parts of the time that the plain loop would take.
type effort struct {
	of         string
	seconds    float64 // that the loop takes at least
	part, most int     // of the steps, and steps at most: those that the loop makes while it is timed
	rows       int     // steps that a call takes at most while that is timed
	probe      float64 // derivatives
	again      float64 // calls that are made twice
	worthwhile float64 // what an iteration must promise to need
}

// The calls of a pilot take a tenth of the time of a callable, a fiftieth of that of a native cell, whose Jacobians cannot tell of chaos then.
// What cores would do is promised more roughly, and what is chosen should not differ from run to run, as bits do with it.
var (
	ofCallables = effort{of: "a callable", seconds: 2e-3, part: 32, most: 256, rows: 256, probe: probePart, again: 0.005, worthwhile: 0.8}
	ofCells     = effort{of: "a native cell", seconds: 1e-2, part: 16, most: 1 << 14, rows: 64, probe: 0.005, again: 0.001, worthwhile: 0.5}
)

const (
	pilotLeast     = 128     // steps; fewer are not worth one
	cellLeast      = 1 << 20 // numbers of a sequence of a native cell, whose loop is through with fewer in some 10 ms at most
	loopedLeast    = 17      // steps that the loop makes while it is timed
	probePart      = 0.03    // derivatives of a callable
	firstPart      = 8       // of the steps: the first window at most, so that a model shows its nature early
	overPart       = 0.12    // an iteration, before the loop overtakes it
	derivativeDear = 4       // evaluations of f
)

// shares tells whether a pilot may find an iteration that is faster on a native cell: over time it can have all workers, where the loop has
// one for each sequence at most. The loop of an affine cell is a scan by itself.
func (r *run[T]) shares() bool {
	p := r.plan.Problem
	long := p.Steps >= pilotLeast && p.Steps*p.Dim >= cellLeast
	return long && p.Batch > 0 && p.Batch < r.workers() && !cell.IsAffine(p.Cell) && r.o.Damping == 0 && !r.o.Clip
}

func (r *run[T]) workers() int { return par.New(r.plan.NumThreads, nil).Size() }

// pilot solves a model by what calls of it cost, as it measures. The loop makes the first steps and is timed; calls for some of these at once
// are timed too, and the Jacobians there tell about how many updates each method needs. What promises to take least goes on in windows that
// adapt. Where that is the loop, the model is chaotic, or an iteration turns out slower, the loop makes the steps that are left.
func (r *run[T]) pilot(e effort) error {
	steps := r.plan.Problem.Steps
	if steps < pilotLeast || len(r.left) == 0 {
		r.say("%d steps of a callable are soon made", steps)
		return r.by("sequential")
	}
	r.plan.Options.AutoWindow = true
	begin := min(max(steps/e.part, loopedLeast), e.most)
	loop, err := r.timeLoop(begin)
	switch worst := r.solution.Worst(); {
	case err != nil || worst == method.Interrupted:
		r.ran = []string{"sequential"}
		return err
	case !worst.Success(): // of some sequences: the others go on
		return r.by("sequential")
	}
	if loop*float64(steps) < e.seconds {
		r.say("%d steps of %s that takes %.2g s each are soon made", steps, e.of, loop)
		err := r.by("sequential")
		r.lookForChaos()
		return err
	}
	m, err := r.measure(e, begin, loop)
	if err != nil {
		return err
	}
	all := m.candidates(r, begin)
	r.say("%s", told(all, loop, steps))
	why := ""
	if m.rows >= chaosLeast {
		why = chaotic(m.jacobians[:m.rows*r.plan.Problem.Dim*r.plan.Problem.Dim], r.plan.Problem.Dim, steps)
	}
	if why == "" && all[0].step <= e.worthwhile*loop {
		if err := r.try(all[0], m.jacobian, begin, loop); err != nil || len(r.left) == 0 || r.solution.Worst() == method.Interrupted {
			return err
		}
		return r.by("sequential")
	}
	if err := r.by("sequential"); err != nil || len(r.left) > 0 {
		return err
	}
	if why == "" && cell.IsCaller(r.plan.Problem.Cell) {
		why, err = r.chaosBehind(m.jacobian, loop)
	}
	if why != "" {
		r.say("%s", why)
	}
	r.lookForChaos()
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
		start := now()
		if err := r.backend.Solve(plan, r.left, r.solution.Results); err != nil {
			return 0, err
		}
		one := now().Sub(start).Seconds() / float64(until-before)
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

// among returns the cost by some workers.
func (c cost) among(workers int) cost { return cost{c.call, c.step / float64(workers)} }

// measured is what calls of a model cost on this machine, for the whole batch, and its Jacobians at some rows of each sequence.
type measured[T num.Float] struct {
	f, jacobian, diagonal cost
	dense, thin           cost // scans
	jacobians             []T
	rows                  int
}

// measure times calls at the steps that the loop has made. What blocks of a native cell cost is shared by all workers; scans are each
// sequence's own.
func (r *run[T]) measure(e effort, done int, loop float64) (m measured[T], err error) {
	c, steps, d, batch := r.plan.Problem.Cell, r.plan.Problem.Steps, r.plan.Problem.Dim, len(r.left)
	rows := min(done-1, e.rows)
	y, little := make([]T, batch*rows*d), e.again*loop*float64(steps)
	if m.f, err = r.timed(done, rows, little, func(b cell.Block[T]) error { b.Y = y[:len(b.X)]; return c.Step(b) }); err != nil {
		return m, err
	}
	m.rows = min(max(int(e.probe*loop*float64(steps)/(float64(2*d)*m.f.step)), 2), rows)
	m.jacobians = make([]T, batch*m.rows*d*d)
	if m.jacobian, err = r.timed(done, m.rows, little, func(b cell.Block[T]) error { return c.Jacobian(b, m.jacobians[:b.N*d*d]) }); err != nil {
		return m, err
	}
	m.dense = r.timedScan(lds.Dense[T]{}, m.jacobians, y, done, m.rows, little)
	m.thin = r.timedScan(lds.Diagonal[T]{}, m.jacobians, y, done, m.rows, little)
	if m.diagonal = m.jacobian; m.jacobian.step > derivativeDear*m.f.step { // else there is nothing to save
		m.diagonal, err = r.timed(done, m.rows, little, func(b cell.Block[T]) error { return c.Diagonal(b, y[:b.N*d]) })
	}
	if w := r.workers(); !cell.IsCaller(c) {
		m.f, m.jacobian, m.diagonal = m.f.among(w), m.jacobian.among(w), m.diagonal.among(w)
		m.dense, m.thin = m.dense.among(batch), m.thin.among(batch)
	}
	return m, err
}

// timedScan times a scan: by one worker for native cells, as an iteration has it, where blocks are scanned one after another.
func (r *run[T]) timedScan(s lds.Structure[T], a, y []T, done, steps int, little float64) cost {
	p, workers := r.plan.Problem, 1
	if cell.IsCaller(p.Cell) {
		workers = r.plan.NumThreads
	}
	w, batch := par.New(workers, r.plan.Poll), len(r.left)
	c, _ := r.timed(done, steps, little, func(b cell.Block[T]) error {
		n := b.N * p.Dim
		lds.Scan(w, s, a[:b.N*s.Len(p.Dim)], y[:n], nil, y[:n], batch, b.N/batch, p.Dim, false)
		return nil
	})
	return c
}

// timed returns what calls cost, from one for a step and one for some, the last ones of those that are done. What takes little is done
// again, as the first call finds nothing in the caches.
func (r *run[T]) timed(done, steps int, little float64, call func(b cell.Block[T]) error) (cost, error) {
	var took [2]float64
	for i, n := range []int{1, steps} {
		for again := 0; again == 0 || again == 1 && took[i] < little; again++ {
			b := r.behind(r.left, done, n)
			start := now()
			if err := call(b); err != nil {
				return cost{}, err
			}
			if s := now().Sub(start).Seconds(); again == 0 || s < took[i] {
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
		{name: "newton", updates: g.Newton, update: m.f.plus(m.jacobian).plus(m.dense)},
		{name: "quasi_newton", updates: max(g.Newton, g.Diagonal), update: m.f.plus(m.diagonal).plus(m.thin)}, // of a diagonal J it is Newton
		{name: "picard", updates: g.Identity, update: m.f.plus(m.thin)},
		{name: "jacobi", updates: g.Zero, update: m.f},
	}
	for i := range all {
		update := all[i].update.of(min(window, p.Steps/4))
		last := update // a native cell's next iterate is made in the pass that tests this one
		if cell.IsCaller(p.Cell) {
			last = m.f.step
		}
		all[i].step = all[i].updates*update + last
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
	why, chaos, failure, start := "", "", error(nil), now()
	look := chaosLeast
	plan.Options.GiveUp = func(done int) bool {
		n := min(done-begin, chaosMost)
		if spent := now().Sub(start).Seconds(); spent > loop*float64(done-begin)+spare {
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
