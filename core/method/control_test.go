package method

import (
	"slices"
	"testing"
)

// What is left of a window that is given up: its exact rows, and the last of them, or the state before the window, at all others.
func TestLeave(t *testing.T) {
	for _, c := range []struct {
		exact int
		want  []float64
	}{{0, []float64{7, 7, 7, 7}}, {2, []float64{1, 2, 2, 2}}, {4, []float64{1, 2, 3, 4}}} {
		states := []float64{7, 0, 0, 0, 0, 9}
		g := &group[float64]{Job: &Job[float64]{Problem: &Problem[float64]{Dim: 1, Steps: 6}, States: states}, steps: 4}
		s := &Sequence[float64]{First: 1, state: state[float64]{start: states[:1], x: []float64{1, 2, 3, 4}}}
		s.exact = c.exact
		if g.leave(s); !slices.Equal(states[1:5], c.want) || states[5] != 9 || !s.left || !s.misled {
			t.Errorf("%d exact rows: left %v", c.exact, states)
		}
	}
}

// exact counts rows whose residual is rounding.
func TestExact(t *testing.T) {
	x := []float64{1, 1e6, 2, 0, 3, 3}
	for bad, want := range map[int]int{0: 0, 3: 1, 4: 2, 6: 3} {
		f := slices.Clone(x)
		f[1] += 1e-10 // 1 eps of its row
		if bad < 6 {
			f[bad] += 1e-7
		}
		if got := exact(x, f, 2, 1e-3); got != want {
			t.Errorf("component %d off: %d exact rows", bad, got)
		}
	}
}

// Windows halve at least when they are given up, keep what is exact, and double again after some that went well.
func TestPace(t *testing.T) {
	p := newPace(Options{Window: 1000})
	for _, c := range []struct{ steps, exact, want int }{{1000, 0, 250}, {1000, 400, 400}, {1000, 1000, 500}, {2, 0, 1}, {3, 3, 2}} {
		if p.gaveUp(c.steps, c.exact); p.length != c.want {
			t.Errorf("of %d steps %d were exact: next %d, want %d", c.steps, c.exact, p.length, c.want)
		}
	}
	p = newPace(Options{Window: 1000})
	p.gaveUp(1000, 0)
	for _, want := range []int{250, 500, 1000, 1000} {
		if p.went(brisk); p.length != want {
			t.Errorf("length %d, want %d", p.length, want)
		}
	}
}
