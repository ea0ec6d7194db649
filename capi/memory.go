package main

/*
#define PARDS_TYPES_ONLY
#include "pards.h"
#include "dlpack.h"
*/
import "C"

import (
	"fmt"
	"math"
	"strings"
	"unsafe"

	"pards/core/check"
	"pards/gpu"
	"pards/gpu/driver"
)

//export pards_search
func pards_search(directories *C.char, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		driver.Search(strings.FieldsFunc(text(directories), func(r rune) bool { return r == '\n' }))
		return nil
	})
}

// deviceMemory is memory of a GPU.
type deviceMemory struct {
	ordinal, bytes int
	at             uintptr
}

func (m *deviceMemory) close() { gpu.Free(m.ordinal, m.at) }

// mostDevices is more than any machine has.
const mostDevices = 1 << 16

// checkMove checks what the calls on a GPU's memory have in common.
func checkMove(fn string, ordinal, bytes C.int64_t) error {
	switch {
	case ordinal < 0 || ordinal >= mostDevices:
		return check.Valuef(fn, "ordinal", fmt.Sprintf("is %d", ordinal), "the number of a GPU, from 0", "")
	case bytes < 0 || bytes > math.MaxInt64/2:
		return check.Valuef(fn, "bytes", fmt.Sprintf("is %d", bytes), "a number that memory can hold", "")
	}
	return onDevice(fn, fmt.Sprintf("cuda:%d", ordinal), gpu.Open(int(ordinal)))
}

//export pards_device_alloc
func pards_device_alloc(ordinal, bytes C.int64_t, memory, address *C.int64_t, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		const fn = "device_alloc"
		if memory == nil || address == nil {
			return check.Valuef(fn, "memory or address", "is null", "a pointer", "")
		}
		if err := checkMove(fn, ordinal, bytes); err != nil {
			return err
		}
		at, err := gpu.Alloc(int(ordinal), int(bytes))
		if err != nil {
			return onDevice(fn, fmt.Sprintf("cuda:%d", ordinal), err)
		}
		*memory, *address = C.int64_t(keep(&deviceMemory{int(ordinal), int(bytes), at})), C.int64_t(at)
		return nil
	})
}

//export pards_device_copy
func pards_device_copy(ordinal C.int64_t, to, from unsafe.Pointer, bytes C.int64_t, in C.int32_t, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		const fn = "device_copy"
		if err := checkMove(fn, ordinal, bytes); err != nil || bytes == 0 {
			return err
		}
		if to == nil || from == nil {
			return check.Valuef(fn, "to or from", "is null", "a pointer", "")
		}
		return onDevice(fn, fmt.Sprintf("cuda:%d", ordinal), gpu.Copy(int(ordinal), uintptr(to), uintptr(from), int(bytes), in != 0))
	})
}

//export pards_device_of
func pards_device_of(address C.int64_t, ordinal *C.int64_t, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		const fn = "device_of"
		if ordinal == nil {
			return check.Valuef(fn, "ordinal", "is null", "a pointer", "")
		}
		at, err := gpu.Where(uintptr(address))
		*ordinal = C.int64_t(at)
		return onDevice(fn, "cuda", err)
	})
}

//export pards_device_wait
func pards_device_wait(ordinal, stream C.int64_t, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		const fn = "device_wait"
		if err := checkMove(fn, ordinal, 0); err != nil {
			return err
		}
		if stream == 0 {
			return check.Valuef(fn, "stream", "is 0", "1 for the default one, or a stream", "0 says not which default is meant")
		}
		return onDevice(fn, fmt.Sprintf("cuda:%d", ordinal), gpu.Wait(int(ordinal), uintptr(stream)))
	})
}

//export pards_device_dlpack
func pards_device_dlpack(memory C.int64_t, array *C.pards_array, managed *C.int64_t, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		const fn = "device_dlpack"
		m, err := lookup[*deviceMemory](fn, "memory of a GPU", int64(memory))
		if err != nil {
			return err
		}
		if array == nil || managed == nil {
			return check.Valuef(fn, "array or managed", "is null", "a pointer", "")
		}
		size, ok := map[int32]int{float32Type: 4, float64Type: 8}[int32(array.dtype)]
		if !ok {
			return badDtype(fn, "array", int32(array.dtype))
		}
		_, total, err := header(fn, "array", array, int32(array.dtype), size)
		if err != nil {
			return err
		}
		at := uintptr(array.data)
		if int(array.device) != m.ordinal+1 || total > 0 && (at < m.at || at-m.at > uintptr(m.bytes) || total*size > m.bytes-int(at-m.at)) {
			return check.Valuef(fn, "array", "is not in the memory of the handle", "one that is", "")
		}
		if err := count(fn, int64(memory), +1); err != nil {
			return err
		}
		made := C.dlpack_new(C.int64_t(memory), array, C.int(size))
		if made == nil {
			_ = count(fn, int64(memory), -1)
			return check.Of(check.Memory, fn, "no memory for a description of an array")
		}
		*managed = C.int64_t(uintptr(unsafe.Pointer(made)))
		return nil
	})
}
