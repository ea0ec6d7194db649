package main

/*
#define PARDS_TYPES_ONLY
#include "pards.h"
*/
import "C"

import (
	"fmt"
	"slices"
	"unsafe"

	"pards/core"
	"pards/core/check"
	"pards/core/num"
)

// theoryColumns is PARDS_THEORY_COLUMNS.
const theoryColumns = 8

//export pards_analyse
func pards_analyse(args *C.pards_solve_args, report, decay *C.pards_array, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		const fn = "analyse"
		switch {
		case args == nil || args.size != C.int64_t(unsafe.Sizeof(*args)):
			return check.Valuef(fn, "args", "is null or of another size", fmt.Sprintf("size = %d", unsafe.Sizeof(*args)), "is the header of this version?")
		case args.states == nil:
			return check.Valuef(fn, "states", "is null", "an array", "")
		case args.states.dtype == float32Type:
			return analyse[float32](args, report, decay)
		}
		return analyse[float64](args, report, decay)
	})
}

func analyse[T num.Float](args *C.pards_solve_args, reportArray, decayArray *C.pards_array) error {
	const fn = "analyse"
	for _, a := range []named{{"x0", args.x0}, {"inputs", args.inputs}, {"guess", args.guess}, {"states", args.states}} {
		if a.array != nil && a.array.device != 0 {
			return check.Valuef(fn, a.name, "is on a GPU", "an array on the host", "theory is computed on this machine's cores")
		}
	}
	p, states, err := problem[T](args)
	if err != nil {
		return err
	}
	report, err := needed[float64](fn, "report", reportArray)
	if err != nil {
		return err
	}
	decay, err := needed[float64](fn, "decay", decayArray)
	if err != nil {
		return err
	}
	if want := []int{p.Batch, theoryColumns}; !slices.Equal(want, report.Shape) {
		return check.Valuef(fn, "report", "has shape "+check.ShapeText(report.Shape), check.ShapeText(want), "")
	}
	if s := decay.Shape; len(s) != 3 || s[0] != p.Batch || s[1] < 1 || s[2] != 2 {
		return check.Valuef(fn, "decay", "has shape "+check.ShapeText(s), fmt.Sprintf("(%d, K + 1, 2)", p.Batch), "")
	}
	o, err := options[T](args)
	if err != nil {
		return err
	}
	all, err := core.Analyse(p, o, states, decay.Shape[1]-1)
	for i, a := range all {
		copy(report.Data[i*theoryColumns:], []float64{a.Difference, a.Inverse, a.Lipschitz, a.Lyapunov, a.LyapunovError, a.Start, a.Rate(), a.Radius()})
		for k, row := range a.Decay {
			copy(decay.Data[(i*decay.Shape[1]+k)*2:], []float64{row.Error, row.Merit})
		}
	}
	return err
}
