package main

/*
#define PARDS_TYPES_ONLY
#include "xla.h"
*/
import "C"

import (
	"fmt"
	"maps"
	"slices"
	"unsafe"

	"pards/core"
	"pards/core/check"
	"pards/core/num"
	"pards/gpu"
)

// xlaCalls are what XLA may ask for, by the attribute "call". On a GPU a call begins its work on the stream and returns.
var xlaCalls = map[string]func(*xlaCall) error{}

func init() { xlaCalls["scan"] = xlaScan }

//export xla_run
func xla_run(c *C.xla_call, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		call := &xlaCall{c}
		name := call.text("call")
		run := xlaCalls[name]
		if run == nil {
			return check.Choice("xla", "call", name, slices.Sorted(maps.Keys(xlaCalls)))
		}
		return run(call)
	})
}

// xlaCall is a call by XLA.
type xlaCall struct{ c *C.xla_call }

func (x *xlaCall) attribute(name string) *C.xla_attribute {
	for i := range x.c.attribute[:x.c.attributes] {
		if a := &x.c.attribute[i]; xlaText(a.name) == name {
			return a
		}
	}
	panic(fmt.Sprintf("a call by XLA has no attribute %q", name))
}

// xlaText is a text of XLA's, good for as long as the call.
func xlaText(t C.xla_text) string { return unsafe.String((*byte)(unsafe.Pointer(t.at)), t.length) }

// text, whole and number return attributes, which must be there: it is our own code that gives them.
func (x *xlaCall) text(name string) string    { return xlaText(x.attribute(name).text) }
func (x *xlaCall) whole(name string) int      { return int(x.attribute(name).whole) }
func (x *xlaCall) number(name string) float64 { return float64(x.attribute(name).number) }

// argument and result return the arrays.
func (x *xlaCall) argument(i int) *C.pards_array { return x.at(i, int(x.c.arguments)) }
func (x *xlaCall) result(i int) *C.pards_array {
	return x.at(int(x.c.arguments)+i, int(x.c.arrays))
}

func (x *xlaCall) at(i, end int) *C.pards_array {
	if i >= end {
		panic(fmt.Sprintf("a call by XLA has %d arguments and %d arrays, and wants number %d", x.c.arguments, x.c.arrays, i))
	}
	return &x.c.array[i]
}

// onGPU returns the number of the GPU and the stream that the work belongs to; ok is false on the host.
func (x *xlaCall) onGPU() (ordinal int, stream uintptr, ok bool) {
	return int(x.c.device) - 1, uintptr(x.c.stream), x.c.device > 0
}

// xlaScan is pards_scan: arguments A if numbers is set, b, and x0 if start is.
func xlaScan(x *xlaCall) error {
	if x.result(0).dtype == float32Type {
		return xlaScanOf[float32](x)
	}
	return xlaScanOf[float64](x)
}

func xlaScanOf[T num.Float](x *xlaCall) error {
	const fn = "scan"
	var arrays [3]core.Array[T] // A, b, x0
	next := 0
	for i, there := range []bool{x.whole("numbers") != 0, true, x.whole("start") != 0} {
		if !there {
			continue
		}
		var err error
		if arrays[i], err = neededAnywhere[T](fn, []string{"A", "b", "x0"}[i], x.argument(next)); err != nil {
			return err
		}
		next++
	}
	out, err := neededAnywhere[T](fn, "out", x.result(0))
	if err != nil {
		return err
	}
	structure, reverse := x.text("structure"), x.whole("reverse") != 0
	if ordinal, stream, ok := x.onGPU(); ok {
		err := gpu.Begin(ordinal, stream, structure, arrays[0], arrays[1], arrays[2], out, reverse)
		if err != nil {
			err = onDevice(fn, fmt.Sprintf("cuda:%d", ordinal), err)
		}
		return err
	}
	return core.Scan(structure, arrays[0], arrays[1], arrays[2], out, reverse, 0, nil)
}
