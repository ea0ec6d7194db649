package method

import (
	"pards/core/num"
)

// Declaration is what a registered method is made of, for who does its arithmetic elsewhere. Fields that a method lacks are zero.
type Declaration[T num.Float] struct {
	Entry
	Hutchinson bool
	Probes     int
	Signs      []T // (probes, T, D); nil: drawn, see quasi.go
	Fresh      bool
	Block      int
	Period     int
	Basis      []T // (D, D); nil: found
	Refresh    string
}

// Declare returns the declaration of a method that was made by New under a name.
func Declare[T num.Float](name string, m Method[T]) Declaration[T] {
	var d Declaration[T]
	d.Entry, _ = family.About(name)
	switch m := m.(type) {
	case *hutchinson[T]:
		d.Hutchinson, d.Probes, d.Signs, d.Fresh = true, m.probes, m.signs, m.fresh
	case block[T]:
		d.Block = m.structure.Size
	case chord[T]:
		d.Period = m.period
	case *rotated[T]:
		d.Basis, d.Refresh = m.given, m.refresh
		if d.Refresh == "pieces" { // elsewhere a window has one basis
			d.Refresh = "iteration"
		}
	}
	return d
}
