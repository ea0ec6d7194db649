package method

import (
	"cmp"
	"math"

	"pards/core/cell"
	"pards/core/internal/par"
	"pards/core/internal/simd"
	"pards/core/lds"
	"pards/core/num"
	"pards/core/param"
)

func init() {
	register(Entry{Name: "sequential", Class: "Sequential", Structure: "none", Derivative: "none",
		Doc: "The plain loop over time: exact by definition, and what every other method is measured against.\n\nT evaluations of f one after another, each over the batch, and no memory but the states. On few cores it is hard\n" +
			"to beat by a native cell; a function pays a call of Python a step.\n\n" +
			"Reference: the recursion x[t] = f(x[t-1], u[t]) itself, of which Gonzalez et al., \"A Unifying Framework for\n" +
			"Parallelizing Sequential Models with Linear Dynamical Systems\" (2025), make a system of equations for all x[t]."},
		newSequential[float32], newSequential[float64])
}

type sequential[T num.Float] struct{}

func newSequential[T num.Float](*param.Reader[T]) Method[T] { return sequential[T]{} }

func (sequential[T]) Structure() lds.Structure[T] { return nil }

func (sequential[T]) Linearise(*Block[T]) error { panic("pards: bug: sequential does not linearise") }

// together is how many sequences of a native cell step side by side, where they are more than there are workers.
const together = 16

// lookNumbers is how many numbers of states are made between two looks at them: they are in the nearest cache then.
const lookNumbers = 1 << 13

// Run steps through time from where another method came to, some sequences side by side; all of them for a Caller, whose every call is dear.
func (sequential[T]) Run(j *Job[T], members []int) error {
	size, little := together, float64(1<<14)
	if workers := j.Worker.Size(); float64(j.Steps)*float64(j.Dim*len(members)) > little { // else helpers come too late
		size = min(together, 1+max(len(members)-1, 0)/workers)
	}
	if _, ok := j.Cell.(cell.Teamed[T]); ok && !j.alone(size) {
		size = max(size, simd.Least[T]()) // a vector of sequences costs what a part of one does
	}
	if cell.IsCaller(j.Cell) {
		size = max(len(members), 1)
	}
	for _, m := range members {
		j.begin(m)
		j.Results[m].Status = Interrupted // until its steps are made
	}
	parts := j.level(members, size)
	errs := make([]error, len(parts))
	run := func(w *par.Worker, i int) { errs[i] = j.loop(w, parts[i]) }
	j.Worker.For(len(parts), 1+int(little/(1+float64(j.Steps)*float64(j.Dim*size))), run)
	return cmp.Or(errs...)
}

// progress reports the step that some sequences have come to.
func (j *Job[T]) progress(step, sequences int) {
	if j.Progress != nil {
		j.Progress.set(Report{Iteration: step, Windows: 1, Sequences: sequences})
	}
}

// loop steps a few sequences from where they are to the end.
func (j *Job[T]) loop(w *par.Worker, members []int) error {
	d, m, n := j.Dim, j.Inputs, len(members)
	scratch := j.arena()
	defer j.putArena(scratch)
	x, u, y := make([]T, n*d), make([]T, n*m), make([]T, n*d)
	index := make([]int64, n)
	first, until := j.Results[members[0]].Done, j.Steps
	if j.Until > 0 {
		until = min(j.Until, until)
	}
	for i, s := range members {
		copy(x[i*d:], j.start(s))
		index[i] = int64(s)
		j.Results[s].BadStep = -1
	}
	j.look(members, 0, first)
	every := max(lookNumbers/(n*d), 1) // steps between two looks at whether to stop
	if some := j.several(scratch, members, x); some != nil {
		for every = min(every, 1<<10); first < until; first += every {
			if j.progress(first, n); w.Stopped() {
				return nil
			}
			to := min(first+every, until)
			some(first, to)
			j.look(members, first, to)
		}
	}
	rest := min(first, until)
	every = min(every, 64) // where each step is a call
	for t := first; t < until; t++ {
		if t%every == 0 {
			j.progress(t, n)
		}
		if t%every == 0 && w.Stopped() {
			return nil
		}
		for i, s := range members {
			copy(u[i*m:(i+1)*m], j.inputs(s, t, t+1))
		}
		scratch.Release(0)
		b := cell.Block[T]{N: n, X: x, U: u, Y: y, Scratch: scratch, Sequences: index, First: t}
		if err := j.Cell.Step(b); err != nil {
			return err
		}
		for i, s := range members {
			copy(j.States[(s*j.Steps+t)*d:], y[i*d:(i+1)*d])
		}
		x, y = y, x
	}
	j.look(members, rest, until)
	for _, s := range members {
		r := &j.Results[s]
		r.Status, r.Done, r.Looped = Converged, until, r.Looped+until-r.Done
		if r.BadStep >= 0 {
			r.Status, r.Error, r.Merit, r.Residual = Nonfinite, math.NaN(), math.Inf(1), math.Inf(1)
		}
	}
	return nil
}

// look notes the first of the states [from, to) that is not finite, unless there was one before; just made they are in the cache.
func (j *Job[T]) look(members []int, from, to int) {
	for _, s := range members {
		if r := &j.Results[s]; r.BadStep < 0 {
			if bad := simd.FirstNonFinite(j.States[(s*j.Steps+from)*j.Dim : (s*j.Steps+to)*j.Dim]); bad >= 0 {
				r.BadStep = from + bad/j.Dim
			}
		}
	}
}

// alone tells whether so many sequences are run one by one.
func (j *Job[T]) alone(sequences int) bool {
	r, ok := j.Cell.(cell.Runner[T])
	return ok && r.Alone(sequences)
}

// several returns what takes sequences from their states x through steps [from, to), if the cell has a way of its own.
func (j *Job[T]) several(scratch *cell.Arena[T], members []int, x []T) func(from, to int) {
	d, n, m := j.Dim, len(members), members[0]
	if j.alone(n) {
		r := j.Cell.(cell.Runner[T])
		return func(from, to int) {
			for i, s := range members {
				scratch.Release(0)
				state, y := x[i*d:(i+1)*d], j.States[(s*j.Steps+from)*d:(s*j.Steps+to)*d]
				r.Run(cell.Block[T]{N: to - from, X: state, U: j.inputs(s, from, to), Y: y, Scratch: scratch})
				copy(state, y[(to-from-1)*d:])
			}
		}
	}
	if c, ok := j.Cell.(cell.Teamed[T]); ok && members[n-1]-m == n-1 { // members ascend
		return func(from, to int) {
			scratch.Release(0)
			team := cell.Team[T]{N: n, Steps: to - from, X: x, Y: j.States[(m*j.Steps+from)*d:], UPitch: j.UStride, YPitch: j.Steps * d, Scratch: scratch}
			if j.U != nil {
				team.U = j.U[m*j.UStride+from*j.Inputs:]
			}
			c.Together(team)
		}
	}
	return nil
}
