package method

import (
	"math"

	"pards/core/num"
)

// What keeps an iteration from diverging, where it is asked for. Windows that fail are given up for shorter ones (AutoWindow), down to a
// single step, which one update of any method solves; updates that make an iterate worse are taken back and A is damped (AutoDamping).
const (
	Patience = 24   // updates after which a window is given up; shorter windows always end, as iterate k is right up to step k
	brisk    = 6    // updates of a window that went well
	shrink   = 4    // how much shorter the next window is
	waitMost = 64   // windows between two attempts at longer ones
	rise     = 1e3  // how many times the merit may grow in an update; that of good runs does
	lengthen = 8    // or else the exact rows grow by that part of the others
	dampMost = 0.99 // the largest damping before an iterate is taken as it is
)

// globalised is the part of a sequence's state that this file looks after.
type globalised struct {
	short   bool    // the window was given up
	left    bool    // the states of the window in hand are its guess
	misled  bool    // the given guess failed: windows start from their first state repeated
	exact   int     // leading rows of the iterate that satisfy the model to rounding
	damping float64 // of the next update
	former  int     // those of the iterate before
}

// exact returns how many rows from the first on satisfy the model to rounding, each in the measure of its own size.
func exact[T num.Float](x, f []T, d int, least float64) int {
	bound := rounding * num.Eps[T]()
	for t := 0; t < len(x); t += d {
		size, off := least, 0.0
		for i, v := range x[t : t+d] {
			size = max(size, math.Abs(float64(v)))
			off = num.Max(off, math.Abs(float64(v-f[t+i])))
		}
		if !(off <= bound*size) {
			return t / d
		}
	}
	return len(x) / d
}

// pace is how long the next window of a group is.
type pace struct {
	length, most int
	well, wait   int // windows since one was given up, and to go by before a longer one is tried
}

func newPace(o Options) pace {
	p := pace{length: o.Window, most: o.Window}
	if o.Start > 0 {
		p.length = min(o.Start, o.Window)
	}
	return p
}

// mayShorten says whether the window in hand may be given up for shorter ones.
func (g *group[T]) mayShorten() bool { return g.AutoWindow && g.steps > max(g.LeastWindow, 1) }

// gaveUp makes the next windows shorter than one of some steps, of which some rows are exact already.
func (p *pace) gaveUp(steps, exact int) {
	p.length = min(max(exact, steps/shrink, 1), (steps+1)/2)
	p.well, p.wait = 0, min(max(2*p.wait, 1), waitMost)
}

// went takes note of the updates of a window that nobody gave up.
func (p *pace) went(updates int) {
	if p.well++; updates <= brisk && p.well > p.wait {
		p.length = min(2*p.length, p.most)
	}
}

// pacing sets the length of the next windows by how the one in hand went.
func (g *group[T]) pacing(steps int, all, behind []*Sequence[T]) {
	if len(behind) > 0 {
		least := steps
		for _, s := range behind {
			least = min(least, s.exact)
		}
		g.pace.gaveUp(steps, least)
		return
	}
	most := 0
	for _, s := range all {
		most = max(most, s.K)
	}
	g.pace.went(most)
}

// leave keeps the good beginning of a window that is given up: the exact rows, the last of them repeated.
func (g *group[T]) leave(s *Sequence[T]) {
	d, home := g.Dim, g.home(s)
	last := s.start[:d]
	if s.exact > 0 {
		last = append([]T(nil), s.x[(s.exact-1)*d:s.exact*d]...)
	}
	copy(home, s.x[:s.exact*d])
	repeat(home[s.exact*d:], last)
	s.left, s.misled = true, true
}

// dampMore damps the next update more, if that is still possible. What updates were before says nothing of those to come.
func (s *Sequence[T]) dampMore() bool {
	if s.damping >= dampMost {
		return false
	}
	s.damping = (1 + s.damping) / 2
	s.sizes = updates{}
	return true
}

// dampWhole makes the next update f itself, where any other overflows: far from the trajectory A may be so large that no part of it will do.
func (s *Sequence[T]) dampWhole() bool {
	if s.damping == 1 {
		return false
	}
	s.damping = 1
	return true
}

// takeBack goes back to the iterate before if this one is worse, and says whether it did: its merit has risen by much, and it does not
// make up for that by exact rows, of which a good update makes many while the merit of the rest may rise.
func (g *group[T]) takeBack(s *Sequence[T]) bool {
	if s.done || s.K == 0 {
		return false
	}
	was := s.merits[2]
	if s.merit <= rise*was || s.exact-s.former > (g.steps-s.former)/lengthen {
		s.damping = max(2*min(s.damping, dampMost)-1, 0)
		return false
	}
	if !s.dampMore() {
		return false
	}
	s.x, s.next = s.next, s.x
	s.scale, s.nextScale = s.nextScale, s.scale
	s.merit, s.exact, s.settled = was, s.former, false
	return true
}
