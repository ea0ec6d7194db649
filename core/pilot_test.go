package core_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pards/core"
	"pards/core/cell"
	"pards/core/param"
)

// dear is a native cell whose f costs so much a call and a row, by a clock that nothing else moves.
type dear struct {
	cell.Cell[float64]
	call, row time.Duration
	clock     *atomic.Int64
}

func (d dear) Step(b cell.Block[float64]) error {
	d.clock.Add(int64(d.call + time.Duration(b.N)*d.row))
	return d.Cell.Step(b)
}

// On one long sequence of a native cell auto takes what promises to be faster by the workers there are, and says what it expects: by a
// clock of its own, so that what else the machine does is no part of the choice.
func TestAutoMeasuresCells(t *testing.T) {
	const steps, dim = 1 << 14, 64
	weights, u := make([]float64, dim*dim), make([]float64, steps)
	for i := range weights {
		weights[i] = 0.5 / dim * float64(i%3-1)
	}
	for i := range u {
		u[i] = float64(i%7) - 3
	}
	ones := func(shape ...int) param.Value[float64] {
		return param.Value[float64]{Shape: shape, Data: slices.Repeat([]float64{1}, dim)}
	}
	elman, err := cell.New("elman", param.Values[float64]{"weight_ih": ones(dim, 1), "weight_hh": {Shape: []int{dim, dim}, Data: weights}, "bias": ones(dim)})
	must(t, err)
	for _, c := range []struct {
		name      string
		call, row time.Duration
		workers   int
		loop      bool
		reason    string
	}{
		{"calls are dear", 30 * time.Microsecond, 0, 4, false, "promises"},
		{"rows are dear", 0, 30 * time.Microsecond, 4, true, "promises"},
		{"no worker to share with", 30 * time.Microsecond, 0, 1, true, "hard to beat"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var clock atomic.Int64
			core.SetClock(t, func() time.Time { return time.Unix(0, clock.Load()) })
			p := &core.Problem[float64]{Cell: dear{elman, c.call, c.row, &clock}, Batch: 1, Length: steps,
				X0: core.Host(make([]float64, dim)), Inputs: core.Host(u, steps, 1)}
			o, got, want := core.Defaults[float64](), make([]float64, steps*dim), make([]float64, steps*dim)
			o.NumThreads = c.workers
			s, err := core.Solve(core.CPU[float64]{}, p, &o, core.Host(got))
			must(t, err)
			o.Method, p.Cell = "sequential", elman
			_, err = core.Solve(core.CPU[float64]{}, p, &o, core.Host(want))
			must(t, err)
			if loop := s.Method == "sequential"; loop != c.loop || !strings.Contains(s.Reason, c.reason) {
				t.Errorf("%s: %s", s.Method, s.Reason)
			}
			off := 0.0
			for i, x := range want {
				off = max(off, x-got[i], got[i]-x)
			}
			if s.Worst() != 0 || off > 1e-7 || c.loop && !slices.Equal(got, want) {
				t.Errorf("%s: %v from the loop", s.Worst(), off)
			}
		})
	}
}
