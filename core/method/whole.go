package method

import (
	"pards/core/cell"
	"pards/core/internal/par"
)

// sweepWhole sweeps the windows of all active sequences of a Caller: one call for f, and one for the derivative once the test has been.
func (g *group[T]) sweepWhole(evaluate, update bool) error {
	scratch := g.arena()
	defer g.putArena(scratch)
	b := g.wholeBlock(scratch)
	d, n := g.Dim, g.steps
	if evaluate {
		for i, s := range g.active {
			s.before(b.X[i*n*d:(i+1)*n*d], 0, n)
		}
		if err := g.Cell.Step(b.Block); err != nil || g.interrupted() {
			return err
		}
		g.w.For(len(g.active), 1+(1<<16)/(n*d), func(_ *par.Worker, i int) {
			s := g.active[i]
			f := b.Y[i*n*d : (i+1)*n*d]
			if s.sumSquares = residual(s.res, s.x, f, s.room); g.AutoWindow || g.AutoDamping {
				s.exact = exact(s.x, f, d, g.Atol/g.Rtol)
			}
		})
	}
	if g.interrupted() || !update { // a loop that was stopped has measured nothing
		return nil
	}
	b.Known, b.Kept = true, g.kept
	g.kept = nil
	if err := g.linearise(g.w, &b); err != nil || g.interrupted() {
		return err
	}
	length := g.structure.Len(d)
	g.w.For(len(g.active), 1+(1<<16)/(n*(d+length)), func(_ *par.Worker, i int) {
		scratch := g.arena()
		defer g.putArena(scratch)
		s, rows := g.active[i], b
		rows.Scratch = scratch
		for lo, hi := 0, 0; lo < n; lo = hi {
			hi = s.bases.piece(lo, n)
			from, to := i*n+lo, i*n+hi
			rows.From, rows.A = lo, b.A[from*length:to*length]
			f, rhs := b.Y[from*d:to*d], g.buf.b[from*d:to*d]
			g.rightHandSide(s, &rows, f, b.X[from*d:to*d], rhs)
			g.advance(s, stretch[T]{rows.A, f, rhs}, lo, hi)
		}
	})
	g.interrupted()
	return nil
}

// wholeBlock is the window of all active sequences.
func (g *group[T]) wholeBlock(scratch *cell.Arena[T]) Block[T] {
	rows := len(g.active) * g.steps
	index := make([]int64, len(g.active))
	for i, s := range g.active {
		index[i] = int64(s.Index)
	}
	return Block[T]{Block: cell.Block[T]{N: rows, X: g.buf.prev[:rows*g.Dim], Y: g.buf.f[:rows*g.Dim], Scratch: scratch,
		Sequences: index, First: g.active[0].First}, Cell: g.Cell, A: g.buf.a[:rows*g.structure.Len(g.Dim)],
		Members: g.active, Seed: g.Seed}
}
