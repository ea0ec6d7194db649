package method

import (
	"pards/core/lds"
	"pards/core/num"
	"pards/core/param"
)

func init() {
	register(Entry{Name: "chord", Class: "Chord", Structure: "dense", Derivative: "held",
		Doc: "Newton with a held Jacobian: A[t] = J[t] of every period-th iterate.\n\nConverges linearly in between; suits Jacobians that cost more than the scan. An update takes one evaluation of f,\n" +
			"every period-th one of J too, and the scan of Newton's method; B*T*D*D numbers are kept, or those of a window.\n\n" +
			"Reference: Kelley, \"Iterative Methods for Linear and Nonlinear Equations\" (1995), sections 5.4.1 (the chord method, a\n" +
			"period that never ends) and 5.4.3 (Shamanskii's method, one of some updates).",
		Fields: []param.Field{
			{Name: "period", Kind: param.Int, Default: "4", Doc: "how many updates a Jacobian serves"},
		}}, newChord[float32], newChord[float64])
}

type chord[T num.Float] struct{ period int }

func newChord[T num.Float](r *param.Reader[T]) Method[T] { return chord[T]{r.Int("period", 4, 1)} }

func (chord[T]) Structure() lds.Structure[T] { return lds.Dense[T]{} }

// Keeps returns the numbers of a Jacobian.
func (chord[T]) Keeps(d int) int { return d * d }

// Open makes room for the window's Jacobians.
func (chord[T]) Open(s *Sequence[T], steps int) {
	if n := steps * len(s.carry) * len(s.carry); s.Memory == nil || len(s.Memory.([]T)) < n {
		s.Memory = make([]T, n)
	}
}

func (m chord[T]) Linearise(b *Block[T]) error {
	n := b.Cell.Dim() * b.Cell.Dim()
	fresh := b.Members[0].K%m.period == 0 // all members of a block have made equally many updates
	if !fresh {
		b.Each(func(s *Sequence[T], from, to int) { copy(b.A[from*n:to*n], s.Memory.([]T)[b.From*n:]) })
		return onlyStep(b)
	}
	err := b.Cell.Jacobian(b.Block, b.A)
	b.Each(func(s *Sequence[T], from, to int) { copy(s.Memory.([]T)[b.From*n:], b.A[from*n:to*n]) })
	return err
}
