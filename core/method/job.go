package method

import (
	"math"
	"slices"
	"sync"

	"pards/core/cell"
	"pards/core/internal/par"
	"pards/core/internal/vec"
	"pards/core/num"
)

// Problem is a batch of sequences to solve. An array without a batch axis serves all of them: its stride is 0.
type Problem[T num.Float] struct {
	Cell                           cell.Cell[T]
	Batch, Steps, Dim, Inputs      int
	X0, U, Guess                   []T // Guess nil: the first state at every step
	X0Stride, UStride, GuessStride int
}

func (p *Problem[T]) x0(i int) []T { return p.X0[i*p.X0Stride:][:p.Dim] }

// inputs returns u of steps [from, to) of a sequence.
func (p *Problem[T]) inputs(i, from, to int) []T {
	if p.U == nil {
		return nil
	}
	return p.U[i*p.UStride+from*p.Inputs : i*p.UStride+to*p.Inputs]
}

// guess returns the given guess of steps [from, to) of a sequence.
func (p *Problem[T]) guess(i, from, to int) []T {
	return p.Guess[i*p.GuessStride+from*p.Dim : i*p.GuessStride+to*p.Dim]
}

// Policy is what happens when an update is not finite.
type Policy string

// The policies: return the last iterate, go on, or set NaN back to the guess.
const (
	Stop     Policy = "stop"
	Continue Policy = "continue"
	Reset    Policy = "reset"
)

// Policies lists them.
var Policies = []string{string(Stop), string(Continue), string(Reset)}

// Options are the settings of a solve that do not depend on the method.
type Options struct {
	Tolerances
	Window  int // steps; at least 1
	Damping float64
	// AutoWindow: Window is the longest; windows that fail are solved in shorter ones. AutoDamping: A is damped where iterates get worse.
	AutoWindow, AutoDamping bool
	LeastWindow             int // windows of so few steps are not given up for shorter ones, but for what solves the sequence next; 0: 1
	Start                   int // the length of the first window where they adapt; 0: Window
	Until                   int // the step at which the plain loop stops; 0: the end
	Clip                    bool
	Nonfinite               Policy
	Seed                    uint64
	Trace                   bool
	// Progress, if not nil, is kept up to date.
	Progress *Progress
	// GiveUp, if not nil, is asked between updates of a Caller, with the steps that are done: true ends the solve where it is.
	GiveUp func(done int) bool
}

// Progress is how far a solve has come, as the last sequence to report has it.
type Progress struct {
	mu    sync.Mutex
	state Report
}

// Report is one state of progress.
type Report struct {
	Iteration, Window, Windows, Sequences int
	Merit                                 float64
}

// Get returns the last report.
func (p *Progress) Get() Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

func (p *Progress) set(r Report) {
	p.mu.Lock()
	p.state = r
	p.mu.Unlock()
}

// Result is what became of one sequence.
type Result struct {
	Status                         Status
	Iterations                     int
	Windows                        []int // updates of each window
	Advances                       []int // with AutoWindow: the steps that each window took the sequence on, 0 where it was given up
	Done                           int   // the steps that are solved: where the plain loop may take over
	Looped                         int   // how many of them the plain loop made
	Error, Merit, Residual, Update float64
	Resets, BadStep                int
	Trace                          []Row
	solved                         solved
}

// Rewind leaves a result with fewer steps done, all of which the plain loop made.
func (r *Result) Rewind(done int) { r.Done, r.Looped, r.solved = done, done, solved{} }

// After puts what a method that failed did before in front of a result that knows nothing of it: its updates, windows and trace.
func (r Result) After(before Result) Result {
	if before.Windows == nil {
		return r
	}
	if before.Advances != nil || r.Advances != nil {
		none := make([]int, len(before.Windows)-len(before.Advances))
		r.Advances = slices.Concat(before.Advances, none, r.Advances)
	}
	r.Windows = slices.Concat(before.Windows, r.Windows)
	r.Trace = slices.Concat(before.Trace, r.Trace)
	r.Iterations += before.Iterations
	r.Resets += before.Resets
	return r
}

// solved is the accuracy of the steps that are done.
type solved struct{ Error, Merit, Residual, Update float64 }

// Row is one iterate: its merit, largest residual and the largest element of the update that led to it (NaN for a guess).
type Row struct{ Merit, Residual, Update float64 }

// Job is one solve under way: what is to be done, by whom, and where the results go.
type Job[T num.Float] struct {
	*Problem[T]
	Options
	Method  Method[T]
	Worker  *par.Worker
	States  []T // (B, T, D)
	Results []Result

	// What is lent and comes back. Not a sync.Pool, which loses what it holds: then the garbage would be as large as what is in use.
	spare struct {
		sync.Mutex
		buffers []*buffers[T]
		arenas  []*vec.Arena[T]
	}
}

// arena lends scratch memory; the caller gives it back with putArena.
func (j *Job[T]) arena() *vec.Arena[T] {
	j.spare.Lock()
	defer j.spare.Unlock()
	last := len(j.spare.arenas) - 1
	if last < 0 {
		return &vec.Arena[T]{}
	}
	a := j.spare.arenas[last]
	j.spare.arenas = j.spare.arenas[:last]
	a.Release(0)
	return a
}

func (j *Job[T]) putArena(a *vec.Arena[T]) {
	j.spare.Lock()
	defer j.spare.Unlock()
	j.spare.arenas = append(j.spare.arenas, a)
}

// Run solves the sequences of the batch named by members. Those of a native cell know nothing of each other and are spread over
// workers; those of a Caller are iterated together, one call for all of them.
func (j *Job[T]) Run(members []int) error {
	if direct, ok := j.Method.(Direct[T]); ok {
		return direct.Run(j, members)
	}
	if cell.IsCaller(j.Cell) {
		for _, part := range j.level(members, max(len(members), 1)) {
			if err := j.solveGroup(j.Worker, part); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, len(members))
	grain := 1 + int((1<<14)/(1+float64(j.Steps)*float64(j.Dim+j.Method.Structure().Len(j.Dim))))
	j.Worker.For(len(members), grain, func(w *par.Worker, i int) {
		errs[i] = j.solveGroup(w, members[i:i+1])
	})
	for i, m := range members { // those not begun when the work was stopped
		if j.Worker.Stopped() && j.Results[m].Windows == nil {
			j.abandon(m)
		}
		if errs[i] != nil {
			return errs[i]
		}
	}
	return nil
}

// abandon records a sequence that was never begun. Its states are not written: a solve that is stopped stops at once.
func (j *Job[T]) abandon(m int) {
	j.Results[m] = Result{Status: Interrupted, BadStep: -1, Windows: make([]int, j.windows())}
}

// begin makes a result that of the steps that are done, none or those that another method left.
func (j *Job[T]) begin(m int) {
	r := &j.Results[m]
	if r.Windows == nil {
		r.BadStep, r.Windows = -1, make([]int, j.windows())
		if j.AutoWindow {
			r.Windows = []int{}
		}
	}
	r.Status = Converged
	r.Error, r.Merit, r.Residual, r.Update = r.solved.Error, r.solved.Merit, r.solved.Residual, r.solved.Update
	if r.Done == r.Looped {
		r.Update = math.NaN()
	}
}

// start returns the state that a sequence goes on from.
func (j *Job[T]) start(m int) []T {
	if done := j.Results[m].Done; done > 0 && j.States != nil {
		return j.States[(m*j.Steps+done-1)*j.Dim:][:j.Dim]
	}
	return j.x0(m)
}

// level cuts members into parts of at most some that are equally far.
func (j *Job[T]) level(members []int, size int) (parts [][]int) {
	members = slices.Clone(members)
	done := func(m int) int { return j.Results[m].Done }
	slices.SortStableFunc(members, func(a, b int) int { return done(a) - done(b) })
	for from, i := 0, 1; i <= len(members); i++ {
		if i == len(members) || i-from == size || done(members[i]) != done(members[from]) {
			parts, from = append(parts, members[from:i]), i
		}
	}
	return parts
}

// windows returns how many windows a sequence has, where none is given up.
func (j *Job[T]) windows() int { return (j.Steps + j.Window - 1) / j.Window }

// fillGuess writes the guess to the states from a step on: what stays there if no window gets that far.
func (j *Job[T]) fillGuess(m, from int) {
	dst := j.States[m*j.Steps*j.Dim:][from*j.Dim : j.Steps*j.Dim]
	if j.Guess != nil {
		copy(dst, j.guess(m, from, j.Steps))
		return
	}
	repeat(dst, j.x0(m))
}

// repeat fills rows with one row.
func repeat[T num.Float](dst, row []T) {
	for t := 0; t < len(dst); t += len(row) {
		copy(dst[t:], row)
	}
}
