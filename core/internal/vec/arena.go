package vec

import "pards/core/num"

// Arena hands out scratch slices and takes them back all at once, so that a loop over blocks allocates only in its first round.
type Arena[T num.Float] struct {
	buf  []T
	used int
	more int // asked for beyond buf since the last Release of everything
}

// Take returns n numbers whose values are anything.
func (a *Arena[T]) Take(n int) []T {
	if a.used+n > len(a.buf) {
		a.more += n
		return make([]T, n)
	}
	s := a.buf[a.used : a.used+n : a.used+n]
	a.used += n
	return s
}

// Mark returns the present level, for Release.
func (a *Arena[T]) Mark() int { return a.used }

// Release gives back what was taken since mark; at level 0 the arena grows to what was asked for.
func (a *Arena[T]) Release(mark int) {
	if mark == 0 && a.more > 0 {
		a.buf = make([]T, len(a.buf)+a.more)
		a.more = 0
	}
	a.used = mark
}
