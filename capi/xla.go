package main

/*
#define PARDS_TYPES_ONLY
#include "xla.h"
*/
import "C"

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"unsafe"

	"pards/core"
	"pards/core/check"
	"pards/core/method"
	"pards/core/num"
	"pards/gpu"
)

// xlaCalls are what XLA may ask for, by the attribute "call". On a GPU a call begins its work on the stream and returns.
var xlaCalls = map[string]func(*xlaCall) error{}

func init() {
	xlaCalls["scan"] = either(xlaScan[float32], xlaScan[float64])
	xlaCalls["update"] = either(xlaUpdate[float32], xlaUpdate[float64])
	xlaCalls["measure"] = either(xlaMeasure[float32], xlaMeasure[float64])
	xlaCalls["proceed"] = xlaProceed
}

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
func xlaScan[T num.Float](x *xlaCall) error {
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

// xlaUpdate makes an iterate of a solve whose f XLA evaluates, on the host: arguments A if numbers is set, f and x (B, T, D).
func xlaUpdate[T num.Float](x *xlaCall) error {
	var arrays [3]core.Array[T] // A, f, x
	next := 1 - x.whole("numbers")
	for i := next; i < len(arrays); i++ {
		var err error
		if arrays[i], err = needed[T]("update", []string{"A", "f", "x"}[i], x.argument(i-next)); err != nil {
			return err
		}
	}
	out, err := needed[T]("update", "out", x.result(0))
	if err != nil {
		return err
	}
	return core.Update(x.text("structure"), arrays[0], arrays[1], arrays[2], out)
}

// xlaMeasure measures distances, see core.Measure, on the host: arguments x and f (B, T, D), as often as there are pairs; results are of each
// the largest distance, its size, the largest |x| and the sum of squares, which may be in double precision, all (B, 1, 1).
func xlaMeasure[T num.Float](x *xlaCall) error {
	for i := 0; i < int(x.c.arguments); i += 2 {
		at, err := needed[T]("measure", "x", x.argument(i))
		if err != nil {
			return err
		}
		f, err := needed[T]("measure", "f", x.argument(i+1))
		if err != nil {
			return err
		}
		found := make([]method.Distance, at.Shape[0])
		if err := core.Measure(at, f, x.number("least"), found); err != nil {
			return err
		}
		for j, d := range found {
			for k, v := range []float64{d.Largest, d.Size, d.Scale, d.Squares} {
				put(x.result(2*i+k), j, v)
			}
		}
	}
	return nil
}

// xlaProceed tests iterates and accepts the next ones, see method.Course, on the host. Arguments are how far iterations have come, as
// packed has it, and, each (B,), of both distances what xlaMeasure says of them, but not the last sum of squares; then, where windows adapt, what
// the merit may be, the most updates, and whether the window may be given up, which else are attributes. The result is how far they are then.
func xlaProceed(x *xlaCall) error {
	const own, moved, bounds = 1, 5, 8
	from, to := packed{x.argument(0)}, packed{x.result(0)}
	adapts := x.c.arguments > bounds
	l := method.Limits{Rtol: x.number("rtol"), Eps: num.Eps[float32](), Holds: x.whole("holds") != 0}
	if from.wide() {
		l.Eps = num.Eps[float64]()
	}
	if !adapts {
		l.MeritTol, l.Cap = x.number("tol"), x.whole("cap")
	}
	for i := range int(*from.array.shape) {
		number := func(at int) float64 { return get(x.argument(at), i) }
		if adapts {
			l.MeritTol, l.Cap, l.Shortens = number(bounds), int(number(bounds+1)), number(bounds+2) != 0
		}
		if x.whole("by_merit") == 0 {
			l.MeritTol = math.NaN()
		}
		p := from.course(i).Next(method.Distance{Largest: number(own), Size: number(own + 1), Scale: number(own + 2), Squares: number(own + 3)},
			method.Distance{Largest: number(moved), Size: number(moved + 1), Scale: number(moved + 2)}, x.whole("stop") != 0, l)
		to.write(i, p)
	}
	return nil
}

// packed is rows of packedNumbers whole numbers, of which some are the bits of floats: a method.Course, in the order of its fields.
type packed struct{ array *C.pards_array }

const packedNumbers = 9

func (p packed) wide() bool { return int32(p.array.dtype) == int64Type }

func (p packed) course(row int) method.Course {
	whole := func(i int) int { return int(get(p.array, row*packedNumbers+i)) }
	number := func(i int) float64 {
		if at := row*packedNumbers + i; p.wide() {
			return elements[float64](p.array.data, at+1)[at]
		} else {
			return float64(elements[float32](p.array.data, at+1)[at])
		}
	}
	return method.Course{Updates: whole(0), Sizes: [3]float64{number(1), number(2), number(3)}, Merit: number(4), Error: number(5),
		Status: method.Status(whole(6)), Residual: number(7), Rough: number(8)}
}

func (p packed) write(row int, v method.Course) {
	for i, f := range []float64{float64(v.Updates), v.Sizes[0], v.Sizes[1], v.Sizes[2], v.Merit, v.Error, float64(v.Status), v.Residual, v.Rough} {
		switch at := row*packedNumbers + i; {
		case i == 0 || i == 6:
			put(p.array, at, f)
		case p.wide():
			elements[float64](p.array.data, at+1)[at] = f
		default:
			elements[float32](p.array.data, at+1)[at] = float32(f)
		}
	}
}

// get returns an element of an array on the host, put writes one.
func get(a *C.pards_array, i int) float64 {
	switch int32(a.dtype) {
	case float32Type:
		return float64(elements[float32](a.data, i+1)[i])
	case float64Type:
		return elements[float64](a.data, i+1)[i]
	case int64Type:
		return float64(elements[int64](a.data, i+1)[i])
	}
	return float64(elements[int32](a.data, i+1)[i])
}

func put(a *C.pards_array, i int, v float64) {
	switch int32(a.dtype) {
	case float32Type:
		elements[float32](a.data, i+1)[i] = float32(v)
	case float64Type:
		elements[float64](a.data, i+1)[i] = v
	case int64Type:
		elements[int64](a.data, i+1)[i] = int64(v)
	default:
		elements[int32](a.data, i+1)[i] = int32(v)
	}
}
