package method

import (
	"pards/core/internal/par"
	"pards/core/num"
)

// Remote iterates where the CPU does not reach: it holds the iterates and makes them, while the loop of this package decides. Sequences
// are those of the group, each known by its Index; what is measured is handed over by the Set methods of Sequence.
type Remote[T num.Float] interface {
	// Open sets the iterates of a window to their guess and measures them (SetScale).
	Open(group []*Sequence[T], first, steps int) error
	// Evaluate evaluates the model along the iterates and measures the residual (SetResidual).
	Evaluate(active []*Sequence[T]) error
	// Update makes the successors of the iterates that were evaluated, and measures them (SetUpdate).
	Update(active []*Sequence[T]) error
	// Accept makes a successor the iterate.
	Accept(s *Sequence[T]) error
	// Reset gives the NaN components of a successor the value of the guess, measures it anew, and returns how many they were.
	Reset(s *Sequence[T]) (int, error)
	// Close keeps the iterate as the states of the window; the next window starts at its end. Where fill is true there is none: the
	// states after the window become the guess.
	Close(s *Sequence[T], fill bool) error
}

// SetScale takes the extent over time of each component of the iterate.
func (s *Sequence[T]) SetScale(scale []float64) { copy(s.scale, scale) }

// SetResidual takes the sum of squares of the residual and the extent of its components.
func (s *Sequence[T]) SetResidual(squares float64, residual []float64) {
	s.sumSquares = squares
	copy(s.res, residual)
}

// SetUpdate takes the extents of the successor and of its distance from the iterate, and its first row that is not finite, -1 for none.
func (s *Sequence[T]) SetUpdate(scale, move []float64, badRow int) {
	copy(s.nextScale, scale)
	copy(s.nextMove, move)
	s.badRow = badRow
}

// RunRemote solves the sequences of the batch named by members by the arithmetic of a Remote, all of them together.
func RunRemote[T num.Float](p *Problem[T], o Options, m Method[T], remote Remote[T], poll func() bool, results []Result, members []int) error {
	j := &Job[T]{Problem: p, Options: o, Method: m, Worker: par.New(1, poll), Results: results}
	g := &group[T]{Job: j, w: j.Worker, remote: remote, pace: newPace(o)}
	seqs := make([]*Sequence[T], len(members))
	for i, k := range members {
		if r := &j.Results[k]; o.AutoWindow { // what another engine counted stays, its states do not
			r.Done, r.Looped, r.solved = 0, 0, solved{}
		} else {
			*r = Result{}
		}
		j.begin(k)
		seqs[i] = &Sequence[T]{Index: k, state: state[T]{result: &j.Results[k]}}
	}
	_, err := g.through(seqs, 0, j.Steps)
	return err
}

// sweepRemote is sweep where a Remote does the work.
func (g *group[T]) sweepRemote(evaluate, update bool) error {
	if evaluate {
		if err := g.remote.Evaluate(g.active); err != nil || g.interrupted() {
			return err
		}
	}
	if !update {
		return nil
	}
	return g.remote.Update(g.active)
}
