package main

/*
#define PARDS_TYPES_ONLY
#include "pards.h"
*/
import "C"

import (
	"errors"
	"fmt"

	"pards/core/check"
	"pards/gpu"
)

// gpuReason says why there is no GPU, "" if there is one.
func gpuReason() string {
	if err := gpu.Open(0); err != nil {
		return err.Error()
	}
	return ""
}

// named is an array and what messages call it.
type named struct {
	name  string
	array *C.pards_array
}

// deviceOf returns the number of the GPU that a call asks for by name or by where its arrays are, -1 for this machine's cores. Arrays
// on a GPU must all be on one, with none on the host that is written to.
func deviceOf(fn, name string, arrays ...named) (int, error) {
	ordinal, asked, err := gpu.Ordinal(name)
	if err == nil && !asked {
		if ordinal = -1; name != "" {
			err = check.Choice(fn, "device", name, []string{"auto", "cpu", "cuda", "cuda:N"})
		}
	} else if err != nil {
		err = check.Valuef(fn, "device", fmt.Sprintf("is %q", name), `"cuda" or "cuda:N"`, err.Error())
	}
	if err != nil {
		return -1, err
	}
	for _, a := range arrays {
		if a.array == nil || a.array.device == 0 {
			continue
		}
		switch at := int(a.array.device) - 1; {
		case at < 0:
			return -1, check.Valuef(fn, a.name, fmt.Sprintf("is on device %d", a.array.device), "0, the host, or 1 + N, the GPU cuda:N", "")
		case name == "cpu":
			return -1, check.Valuef(fn, a.name, fmt.Sprintf("is on cuda:%d", at), "an array on the host", `device is "cpu"`)
		case ordinal >= 0 && at != ordinal:
			return -1, check.Valuef(fn, a.name, fmt.Sprintf("is on cuda:%d", at), fmt.Sprintf("cuda:%d, where the others are", ordinal), "")
		default:
			ordinal = at
		}
	}
	return ordinal, nil
}

// onDevice gives an error of the driver or of its compiler the form of the others.
func onDevice(fn, name string, err error) error {
	var known *check.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &check.Error{Kind: check.Device, Func: fn, Arg: "device", Came: fmt.Sprintf("is %q", name), Want: `"auto" or "cpu"`, Why: err.Error()}
}
