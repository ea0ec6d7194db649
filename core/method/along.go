package method

import (
	"pards/core/internal/par"
	"pards/core/internal/vec"
	"pards/core/lds"
	"pards/core/num"
)

// Linearisation is what a method makes of the Jacobians along one trajectory.
type Linearisation[T num.Float] struct {
	Structure lds.Structure[T]
	A         []T // Len(D) numbers a step
	Basis     []T // nil, or Q: A is diagonal in the coordinates Q'x
	// Trust is the size of the region of the first update, 0 without one; Adapts, where it grows with each that is kept.
	Trust  float64
	Adapts bool
	Filter bool
}

// Along linearises along a trajectory (T, D) of one member of the batch, as in the first update from it.
func Along[T num.Float](w *par.Worker, p *Problem[T], o Options, m Method[T], member int, states []T) (*Linearisation[T], error) {
	j := &Job[T]{Problem: p, Options: o, Method: m, Worker: w}
	j.Window = p.Steps
	g := j.newGroup(w)
	g.steps = p.Steps
	d, n := p.Dim, p.Steps
	s := &Sequence[T]{Index: member, state: state[T]{x: states, start: j.x0(member), result: &Result{Windows: make([]int, 1)}}}
	g.begin(s, 0)
	widen(s.scale, states)
	if opener, ok := m.(Opener[T]); ok {
		opener.Open(s, n)
	}
	g.active = []*Sequence[T]{s}
	l := &Linearisation[T]{Structure: g.structure, A: make([]T, n*g.structure.Len(d))}
	g.buf = &buffers[T]{stretch: stretch[T]{l.A, make([]T, n*d), make([]T, n*d)}, prev: make([]T, n*d)}
	scratch := g.arena()
	defer g.putArena(scratch)
	whole := g.wholeBlock(scratch)
	s.before(whole.X, 0, n)
	if g.whole {
		if err := g.Cell.Step(whole.Block); err != nil {
			return nil, err
		}
		whole.Known = true
	}
	switch m := m.(type) {
	case adaptive[T]:
		l.Trust, l.Adapts, l.Filter = m.trust, true, m.filter
	case elk[T]:
		l.Trust, l.Filter = m.trust, m.filter
	case Preparer[T]:
		if err := m.Prepare(&g.asks); err != nil {
			return nil, err
		}
	}
	if g.whole {
		whole.Kept = g.kept
		err := g.linearise(w, &whole)
		l.take(&s.bases, d)
		return l, err
	}
	for lo := 0; lo < n && !w.Stopped(); lo += g.rows {
		hi := min(lo+g.rows, n)
		b := Block[T]{Cell: g.Cell, Members: g.active, From: lo, Seed: g.Seed, A: l.A[lo*g.structure.Len(d) : hi*g.structure.Len(d)]}
		b.N, b.X, b.U, b.Y, b.Scratch = hi-lo, whole.X[lo*d:hi*d], g.inputs(member, lo, hi), g.buf.f[lo*d:hi*d], scratch
		mark := scratch.Mark()
		if err := g.linearise(w, &b); err != nil {
			return nil, err
		}
		scratch.Release(mark)
	}
	l.take(&s.bases, d)
	return l, nil
}

// take says in which coordinates A is diagonal; where they change along the trajectory A becomes full.
func (l *Linearisation[T]) take(b *bases[T], d int) {
	if len(b.of) == 1 {
		l.Basis = b.of[0].q
	}
	if len(b.of) < 2 {
		return
	}
	full := make([]T, len(l.A)*d)
	scaled := make([]T, d*d)
	for t := range len(l.A) / d {
		q := b.at(t)
		for i := range d {
			for k, v := range q.q[i*d : (i+1)*d] {
				scaled[i*d+k] = v * l.A[t*d+k]
			}
		}
		vec.MatMul(full[t*d*d:(t+1)*d*d], scaled, q.turned, q.q, d, d, d)
	}
	l.A, l.Structure = full, lds.Dense[T]{}
}
