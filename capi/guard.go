package main

/*
#include <stdint.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime/debug"
	"unsafe"

	"pards/core/check"
	"pards/core/num"
)

// bug is enum pards_code's PARDS_BUG.
const bug = 8

// guard runs the body of an export and turns its error, or its panic, into a code and a text.
func guard(msg *C.char, room C.int64_t, body func() error) (code C.int32_t) {
	defer func() {
		if v := recover(); v != nil {
			text := fmt.Sprintf("pards: bug: %v\n%s", v, debug.Stack())
			if s, ok := v.(fmt.Stringer); ok { // a helper's panic brings its own stack
				text = "pards: bug: " + s.String()
			}
			write(msg, room, text)
			code = bug
		}
	}()
	err := body()
	if err == nil {
		return 0
	}
	write(msg, room, err.Error())
	var e *check.Error
	if errors.As(err, &e) {
		return C.int32_t(e.Kind)
	}
	return C.int32_t(check.Value)
}

// write puts a text and a final 0 into a caller's buffer, cut to fit.
func write(dst *C.char, room C.int64_t, text string) {
	if dst == nil || room <= 0 {
		return
	}
	out := unsafe.Slice((*byte)(unsafe.Pointer(dst)), min(int64(room), int64(len(text)+1)))
	n := copy(out[:len(out)-1], text)
	out[n] = 0
}

// dtypes: enum pards_dtype.
const (
	float32Type = 1
	float64Type = 2
	int64Type   = 3
	textType    = 4
	int32Type   = 5
)

// dtypeOf returns the code of T.
func dtypeOf[T num.Float]() int32 {
	if num.Size[T]() == 4 {
		return float32Type
	}
	return float64Type
}
