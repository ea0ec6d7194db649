// Package gpu runs solves and scans on NVIDIA GPUs: a core.Backend on package driver.
//
// # Engines
//
// A solve is run by the first engine, in the order of the table engines, that fits its plan: a file each, which registers itself. An
// engine gets all arrays on the device and leaves the states there; what came from the host goes back to it here. Kernels are compiled at
// run time from the sources embedded in package kernels, one variant for each cell, dtype and dimension.
package gpu

import (
	"fmt"
	"strconv"
	"strings"
)

// Ordinal returns the number of the device that a name asks for: "cuda" is "cuda:0". ok is false for other names.
func Ordinal(name string) (ordinal int, ok bool, err error) {
	if name == "cuda" {
		return 0, true, nil
	}
	digits, ok := strings.CutPrefix(name, "cuda:")
	if !ok {
		return 0, false, nil
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 {
		return 0, true, fmt.Errorf("%q is not the number of a device", digits)
	}
	return n, true, nil
}

// worth is the work from which device="auto" takes a GPU, in products of a dense step: about a fifth of a second of the plain loop on one
// core, as long as opening the driver, loading kernels and moving the arrays may take the first time. gate is what a step costs beside
// them, so that a long chain of few components counts as well.
const (
	worth = 1 << 27
	gate  = 64
)

// Worthwhile returns whether a solve of a native cell is large enough to be moved to a GPU unasked. It does not look for one.
func Worthwhile(batch, steps, dim int) bool {
	return float64(batch)*float64(steps)*(float64(dim)*float64(dim)+gate) >= worth
}
