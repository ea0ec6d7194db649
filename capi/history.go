package main

import (
	"fmt"
	"math"

	"pards/core/check"
	"pards/core/method"
)

// parts of enum pards_history_part.
const (
	partTrace    = 0
	partWindows  = 1
	partAdvances = 2
)

// history is what a solve with trace leaves behind: the iterates' measures and what each window did, for each sequence.
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
	case partWindows, partAdvances:
		n := 0
		for _, r := range h.results {
			n = max(n, len(windowsOf(part, r)))
		}
		return []int{len(h.results), n}, nil
	}
	return nil, check.Valuef("history", "part", fmt.Sprintf("is %d", part), "0 (trace), 1 (windows) or 2 (advances)", "")
}

// windowsOf returns the numbers of a part that has one for each window.
func windowsOf(part int, r method.Result) []int {
	if part == partAdvances {
		return r.Advances
	}
	return r.Windows
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

// copyWindows writes (B, n), 0 after a sequence's end.
func (h *history) copyWindows(part int, out []int64) {
	clear(out)
	for b, r := range h.results {
		for i, v := range windowsOf(part, r) {
			out[b*(len(out)/len(h.results))+i] = int64(v)
		}
	}
}
