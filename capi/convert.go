package main

/*
#define PARDS_TYPES_ONLY
#include "pards.h"
*/
import "C"

import (
	"fmt"
	"math"
	"unsafe"

	"pards/core"
	"pards/core/cell"
	"pards/core/check"
	"pards/core/num"
	"pards/core/param"
)

// mostAxes is more than any array of the ABI has.
const mostAxes = 8

var dtypeNames = map[int32]string{float32Type: "float32", float64Type: "float64", int64Type: "int64", textType: "text", int32Type: "int32"}

// shapeOf is header for an array that must be on the host.
func shapeOf(fn, name string, a *C.pards_array, dtype int32, size int) ([]int, int, error) {
	if a.device != 0 {
		return nil, 0, check.Valuef(fn, name, fmt.Sprintf("is on device %d", a.device), "device 0, the host", "")
	}
	return header(fn, name, a, dtype, size)
}

// header reads and checks an array's header: the number of elements fits, and data is there and aligned to size bytes.
func header(fn, name string, a *C.pards_array, dtype int32, size int) ([]int, int, error) {
	fail := func(came, want string) ([]int, int, error) {
		return nil, 0, check.Valuef(fn, name, came, want, "")
	}
	if got := int32(a.dtype); got != dtype {
		came := dtypeNames[got]
		if came == "" {
			came = fmt.Sprintf("code %d", got)
		}
		return nil, 0, check.Typef(fn, name, "has dtype "+came, dtypeNames[dtype], "")
	}
	if a.ndim < 0 || a.ndim > mostAxes || a.ndim > 0 && a.shape == nil {
		return fail(fmt.Sprintf("has ndim %d or no shape", a.ndim), fmt.Sprintf("0 to %d axes and their lengths", mostAxes))
	}
	if uintptr(unsafe.Pointer(a.shape))%8 != 0 {
		return fail("has a misaligned shape", "8-byte alignment")
	}
	shape, total := make([]int, a.ndim), 1
	for i, n := range unsafe.Slice(a.shape, a.ndim) {
		shape[i] = int(n)
		if n < 0 {
			return fail(fmt.Sprintf("has length %d on axis %d", n, i), "lengths of at least 0")
		}
	}
	for _, n := range shape {
		if n > 0 && total > math.MaxInt64/size/n {
			return fail("has shape "+check.ShapeText(shape), "a shape whose bytes fit an int64")
		}
		total *= n
	}
	switch address := uintptr(a.data); {
	case total > 0 && address == 0:
		return fail("has null data", "a pointer to the numbers")
	case address%uintptr(size) != 0:
		return fail(fmt.Sprintf("is misaligned at %#x", address), fmt.Sprintf("an address that is a multiple of %d", size))
	case total > 0 && uint64(address)+uint64(total)*uint64(size) > 1<<63:
		return fail("has shape "+check.ShapeText(shape), "memory that an address space can hold")
	}
	return shape, total, nil
}

// elements makes a slice of a caller's memory; no bytes at all have no address.
func elements[E any](data unsafe.Pointer, total int) []E {
	if total == 0 {
		return []E{}
	}
	return unsafe.Slice((*E)(data), total)
}

// view is an array of the caller's without a copy; a nil pointer is an array that was not given.
func view[T num.Float](fn, name string, a *C.pards_array) (core.Array[T], error) {
	if a == nil {
		return core.Array[T]{}, nil
	}
	shape, total, err := shapeOf(fn, name, a, dtypeOf[T](), num.Size[T]())
	if err != nil {
		return core.Array[T]{}, err
	}
	return core.Array[T]{Data: elements[T](a.data, total), Shape: shape}, nil
}

// anywhere is view for an array that may be on a device.
func anywhere[T num.Float](fn, name string, a *C.pards_array) (core.Array[T], error) {
	if a == nil || a.device == 0 {
		return view[T](fn, name, a)
	}
	shape, _, err := header(fn, name, a, dtypeOf[T](), num.Size[T]())
	return core.Array[T]{Shape: shape, Device: uintptr(a.data)}, err
}

// driving is anywhere for the inputs of a cell: words on a device may be whole numbers.
func driving[T num.Float](fn, name string, a *C.pards_array, c cell.Cell[T]) (core.Array[T], error) {
	_, words := c.(cell.Checker[T])
	if !words || a == nil || a.device == 0 || a.dtype != int32Type && a.dtype != int64Type {
		return anywhere[T](fn, name, a)
	}
	size := 4
	if a.dtype == int64Type {
		size = 8
	}
	shape, _, err := header(fn, name, a, int32(a.dtype), size)
	return core.Array[T]{Shape: shape, Device: uintptr(a.data), Whole: size}, err
}

// needed is view for an array that must be there.
func needed[T num.Float](fn, name string, a *C.pards_array) (core.Array[T], error) {
	if a == nil {
		return core.Array[T]{}, check.Valuef(fn, name, "is null", "an array", "")
	}
	return view[T](fn, name, a)
}

// neededAnywhere is anywhere for an array that must be there.
func neededAnywhere[T num.Float](fn, name string, a *C.pards_array) (core.Array[T], error) {
	if a == nil {
		return needed[T](fn, name, a)
	}
	return anywhere[T](fn, name, a)
}

// text reads a C string; a null pointer is "".
func text(s *C.char) string {
	if s == nil {
		return ""
	}
	return C.GoString(s)
}

// values copies named parameters.
func values[T num.Float](fn string, params *C.pards_param, count C.int64_t) (param.Values[T], error) {
	if err := checkCount(fn, params, count); err != nil {
		return nil, err
	}
	out := param.Values[T]{}
	for i := range unsafe.Slice(params, count) {
		p := &unsafe.Slice(params, count)[i]
		name := text(p.name)
		v, err := value[T](fn, name, &p.value)
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	return out, nil
}

func checkCount(fn string, params *C.pards_param, count C.int64_t) error {
	if count < 0 || count > 64 || count > 0 && params == nil {
		return check.Valuef(fn, "params", fmt.Sprintf("has count %d", count), "0 to 64 parameters", "")
	}
	return nil
}

// value copies one parameter: a text, a number in double precision, or an array of T.
func value[T num.Float](fn, name string, a *C.pards_array) (param.Value[T], error) {
	switch {
	case a.dtype == textType:
		_, n, err := shapeOf(fn, name, a, textType, 1)
		return param.Value[T]{Text: string(elements[byte](a.data, n)), IsText: true}, err
	case a.ndim == 0:
		if _, _, err := shapeOf(fn, name, a, float64Type, 8); err != nil {
			return param.Value[T]{}, err
		}
		v := *(*float64)(a.data)
		return param.Value[T]{Number: v, Data: []T{T(v)}}, nil
	}
	seen, err := view[T](fn, name, a)
	return param.Value[T]{Shape: seen.Shape, Data: append([]T{}, seen.Data...)}, err
}
