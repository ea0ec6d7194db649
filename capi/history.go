package main

import (
	"fmt"
	"math"

	"pards/core/check"
	"pards/core/method"
)

// parts of enum pards_history_part.
const (
	partTrace   = 0
	partWindows = 1
)

// history is what a solve with trace leaves behind: the iterates' measures and the updates of each window, for each sequence.
type history struct {
	results []method.Result
	rows    int
}

func newHistory(results []method.Result) *history {
	h := &history{results: results}
	for _, r := range results {
		h.rows = max(h.rows, len(r.Trace))
	}
	return h
}

func (h *history) shape(part int) ([]int, error) {
	switch part {
	case partTrace:
		return []int{h.rows, len(h.results), 3}, nil
	case partWindows:
		n := 0
		if len(h.results) > 0 {
			n = len(h.results[0].Windows)
		}
		return []int{len(h.results), n}, nil
	}
	return nil, check.Valuef("history", "part", fmt.Sprintf("is %d", part), "0 (trace) or 1 (windows)", "")
}

// copyTrace writes (rows, B, 3), NaN after a sequence's end.
func (h *history) copyTrace(out []float64) {
	for i := range out {
		out[i] = math.NaN()
	}
	for b, r := range h.results {
		for k, row := range r.Trace {
			copy(out[(k*len(h.results)+b)*3:], []float64{row.Merit, row.Residual, row.Update})
		}
	}
}

// copyWindows writes (B, n).
func (h *history) copyWindows(out []int64) {
	for b, r := range h.results {
		for i, n := range r.Windows {
			out[b*len(r.Windows)+i] = int64(n)
		}
	}
}
