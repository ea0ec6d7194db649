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
