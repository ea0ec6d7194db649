//go:build fuzz

package main

/*
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pards.h"
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#endif

// What the callbacks below do; one caller at a time.
static int64_t fuzz_mode, fuzz_left, fuzz_polls;

static int32_t fuzz_eval(void *context, const pards_request *r) {
    if (fuzz_left-- == 0) return 7;
    int64_t n = r->sequences * r->steps * r->dim * (r->kind == PARDS_JACOBIAN ? r->dim : 1);
    for (int64_t i = 0; i < n; i++) {
        double y = fuzz_mode == 1 ? NAN : fuzz_mode == 2 ? 1e300 : r->kind == PARDS_STEP ? 0.3 * i : 0.25;
        if (r->dtype == PARDS_FLOAT32) ((float *)r->out)[i] = (float)y;
        else ((double *)r->out)[i] = y;
    }
    return 0;
}
static int32_t fuzz_poll(void *context, const pards_progress *p) { return fuzz_polls-- <= 0; }

// An interpreter that does nothing, and fails when it is told to.
static void *fuzz_save(void) { return &fuzz_mode; }
static void fuzz_restore(void *state) {}
static int fuzz_signals(void) { return fuzz_polls-- <= 0 ? -1 : 0; }
static void *fuzz_call(void *f, void *arguments) { return fuzz_left-- == 0 ? NULL : f; }
static void *fuzz_build(const char *format, ...) { return fuzz_mode == 3 ? NULL : &fuzz_mode; }
static void *fuzz_view(void *data, intptr_t bytes, int flag) { return &fuzz_mode; }
static void fuzz_free(void *object) {}

// Its tuples are C's arrays, its buffers pards_arrays, of which those of other types than numbers are none.
static void *fuzz_item(void *tuple, intptr_t i) { return fuzz_mode == 3 && i == 2 ? NULL : ((void **)tuple)[i]; }
static int fuzz_check(void *object) { return object && ((pards_array *)object)->dtype <= PARDS_FLOAT64; }
static int fuzz_buffer(void *object, void *view, int flags) {
    static intptr_t odd = 8;
    const pards_array *a = object;
    struct { void *data, *owner; intptr_t bytes, itemsize; int readonly, ndim; const char *format; const void *shape, *strides, *more, *own; } b =
        {a->data, object, 0, 0, 0, (int)a->ndim, a->dtype == PARDS_FLOAT32 ? "f" : a->dtype == PARDS_FLOAT64 ? "d" : "e", a->shape, &odd};
    memcpy(view, &b, sizeof b);
    return fuzz_left-- == 0 ? -1 : 0;
}

static pards_eval fuzz_eval_of(int python) { return python ? pards_python_eval : fuzz_eval; }
static void fuzz_set(int64_t mode, int64_t left, int64_t polls) { fuzz_mode = mode, fuzz_left = left, fuzz_polls = polls; }
static void fuzz_python(pards_python *api, pards_poll *poll) {
    pards_python p = {fuzz_save, fuzz_restore, fuzz_signals, fuzz_call, fuzz_build, fuzz_view, fuzz_free, fuzz_buffer, fuzz_free, fuzz_check, fuzz_item};
    if (api) *api = p;
    if (poll) *poll = fuzz_poll;
}
static int32_t fuzz_python_eval_null(const pards_request *r) { return pards_python_eval(NULL, r); }

// Any address, which Go's own arithmetic on pointers may not make.
static void *fuzz_shift(void *p, int64_t n) { return (void *)((uintptr_t)p + n); }

// Under the address sanitizer a guard may not be read either.
static void fuzz_close(void *at, size_t bytes) {
    memset(at, 0xA5, bytes);
    ASAN_POISON_MEMORY_REGION(at, bytes);
}
static void fuzz_open(void *at, size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(at, bytes); }

// The first of n bytes that is not a guard's, -1 if all are.
static int64_t fuzz_broken(const unsigned char *at, int64_t n) {
    for (int64_t i = 0; i < n; i++) if (at[i] != 0xA5) return i;
    return -1;
}
*/
import "C"

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
	"unsafe"

	"pards/core/cell"
	"pards/core/lds"
	"pards/core/method"
	"pards/core/param"
)

const (
	slabSize  = 4 << 20
	guardSize = 64
	slowest   = 20 * time.Second // a call that takes longer hangs
)

// hostile makes calls of the C ABI out of bytes: right ones with a fault here and there. All memory that a call is given lies in one
// slab of C's with guards between.
type hostile struct {
	data    []byte
	slab    unsafe.Pointer
	top     int
	spans   [][2]int // what a call may write to; all else is guard
	refs    map[int64]int
	handles []int64
	python  map[int64]bool // cells that call the interpreter
	dims    map[string]int
	name    string // of the call in hand
	calm    bool
	msgAt   unsafe.Pointer
	msgCap  int
	Calls   map[string]int
	Right   map[string]int // those that returned PARDS_OK
}

func newHostile() *hostile {
	h := &hostile{slab: C.malloc(slabSize), Calls: map[string]int{}, Right: map[string]int{}}
	C.fuzz_close(h.slab, slabSize)
	return h
}

// exports has a row for each function of pards.h.
var exports = map[string]func(*hostile) C.int32_t{
	"pards_abi":            func(*hostile) C.int32_t { return C.pards_abi() - abi },
	"pards_handles":        (*hostile).countHandles,
	"pards_describe":       (*hostile).describe,
	"pards_cell":           (*hostile).cell,
	"pards_cell_shape":     (*hostile).cellShape,
	"pards_callable":       (*hostile).callable,
	"pards_retain":         func(h *hostile) C.int32_t { return h.count(1) },
	"pards_release":        func(h *hostile) C.int32_t { return h.count(-1) },
	"pards_evaluate":       (*hostile).evaluate,
	"pards_param_jvp":      (*hostile).paramJVP,
	"pards_param_vjp":      (*hostile).paramVJP,
	"pards_scan":           func(h *hostile) C.int32_t { return h.scan(false) },
	"pards_solve":          func(h *hostile) C.int32_t { return h.solve(false) },
	"pards_memory":         (*hostile).memory,
	"pards_analyse":        func(h *hostile) C.int32_t { return h.analyse(false) },
	"pards_python_analyse": func(h *hostile) C.int32_t { return h.analyse(true) },
	"pards_history_shape":  (*hostile).historyShape,
	"pards_history_copy":   (*hostile).historyCopy,
	"pards_python_solve":   func(h *hostile) C.int32_t { return h.solve(true) },
	"pards_python_scan":    func(h *hostile) C.int32_t { return h.scan(true) },
	"pards_python_eval":    (*hostile).pythonEval,
	"pards_search":         (*hostile).search,
	"pards_environment":    (*hostile).environment,
	"pards_device_alloc":   (*hostile).deviceAlloc,
	"pards_device_copy":    (*hostile).deviceCopy,
	"pards_device_of":      (*hostile).deviceOf,
	"pards_device_wait":    (*hostile).deviceWait,
	"pards_device_dlpack":  (*hostile).deviceDLPack,
}

// order repeats those that make what others need, and those with the most to go wrong.
var order = strings.Fields(`pards_cell pards_solve pards_evaluate pards_scan pards_cell pards_callable pards_solve pards_history_shape
	pards_history_copy pards_python_solve pards_param_jvp pards_param_vjp pards_solve pards_scan pards_python_scan pards_release pards_retain
	pards_cell_shape pards_describe pards_abi pards_handles pards_python_eval pards_search pards_environment
	pards_device_alloc pards_device_copy pards_device_of pards_device_wait pards_device_dlpack pards_memory
	pards_analyse pards_python_analyse`)

// Run makes the calls that data says, and returns what went wrong.
func (h *hostile) Run(data []byte) (err error) {
	h.data, h.refs, h.handles, h.python = data, map[int64]int{}, nil, map[int64]bool{}
	handles, goroutines := alive(), runtime.NumGoroutine()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	watch := time.AfterFunc(slowest, func() { panic(fmt.Sprintf("%s hangs on %x", h.name, data)) })
	defer watch.Stop()
	for n := 0; len(h.data) > 0 && n < 64; n++ {
		h.name = order[h.pick(len(order))]
		h.dims = map[string]int{"D": 1 + h.pick(5), "M": 1 + h.pick(3), "H": 1 + h.pick(3), "K": 1 + h.pick(3), "G": 1 + h.pick(3), "B": h.pick(4),
			"T": [...]int{5, 1, 0, 2, 33, 130, 7, 64}[h.pick(8)], "N": h.pick(6), "probes": 1 + h.pick(2), "n": 1 + h.pick(2), "d": 1 + h.pick(3)}
		h.calm = h.pick(4) > 0
		if h.dims["B"] == 0 && h.pick(4) == 0 { // no memory at all, and as many steps as one likes
			h.dims["T"] = [...]int{1 << 20, 1 << 40, 1 << 62, math.MaxInt64}[h.pick(4)]
		}
		C.fuzz_set(C.int64_t(h.pick(8)), C.int64_t(h.pick(256)-1), C.int64_t(h.pick(2)))
		code := exports[h.name](h)
		h.Calls[h.name]++
		if code == 0 {
			h.Right[h.name]++
		}
		if err := h.check(code); err != nil {
			return fmt.Errorf("%s (call %d): %w", h.name, n, err)
		}
	}
	for handle, n := range h.refs {
		for ; n > 0; n-- {
			if C.pards_release(C.int64_t(handle), nil, 0) != 0 {
				return fmt.Errorf("handle %d cannot be released", handle)
			}
		}
	}
	if n := alive(); n != handles {
		return fmt.Errorf("%d handles are alive, %d were", n, handles)
	}
	for wait := time.Millisecond; runtime.NumGoroutine() > goroutines; wait *= 2 {
		if wait > 4*time.Second {
			return fmt.Errorf("%d goroutines run, %d did", runtime.NumGoroutine(), goroutines)
		}
		time.Sleep(wait)
	}
	return nil
}

// check is what holds of every call: a code of the header's but that of a bug, and guards as they were.
func (h *hostile) check(code C.int32_t) error {
	if code < 0 || code >= bug {
		return fmt.Errorf("code %d: %s", code, h.message())
	}
	C.fuzz_open(h.slab, C.size_t(h.top+guardSize))
	at := 0
	for _, s := range append(h.spans, [2]int{h.top + guardSize, 0}) {
		if i := C.fuzz_broken((*C.uchar)(unsafe.Add(h.slab, at)), C.int64_t(s[0]-at)); i >= 0 {
			return fmt.Errorf("wrote to byte %d past the end of a buffer", i)
		}
		at = s[1]
	}
	if code != 0 && h.msgCap > 0 && C.memchr(h.msgAt, 0, C.size_t(h.msgCap)) == nil {
		return fmt.Errorf("code %d with a message that does not end", code)
	}
	C.fuzz_close(h.slab, C.size_t(h.top+guardSize))
	h.top, h.spans, h.msgCap = 0, h.spans[:0], 0
	return nil
}

// message is the text that the call in hand wrote.
func (h *hostile) message() string {
	if h.msgCap <= 0 {
		return ""
	}
	return C.GoStringN((*C.char)(h.msgAt), C.int(h.msgCap))
}

// pick takes a byte for one of n choices; the first when there are none left.
func (h *hostile) pick(n int) int {
	if len(h.data) == 0 {
		return 0
	}
	b := int(h.data[0])
	h.data = h.data[1:]
	return b * n >> 8
}

// fault tells, one time in n, to do something wrong; in a calm call, which has few arguments wrong at once, one in 16 n.
func (h *hostile) fault(n int) bool { return h.pick(n) == n-1 && (!h.calm || h.pick(16) == 15) }

// alloc gives bytes of the slab between guards.
func (h *hostile) alloc(bytes, fill int) unsafe.Pointer {
	at := h.top + guardSize
	h.top = (at + bytes + 15) &^ 15
	if h.top+guardSize > slabSize {
		panic("fuzz: the slab is too small")
	}
	h.spans = append(h.spans, [2]int{at, at + bytes})
	p := unsafe.Add(h.slab, at)
	C.fuzz_open(p, C.size_t(bytes))
	C.memset(p, C.int(fill), C.size_t(bytes))
	return p
}

var oddInts = []int64{-1, 0, 1, 3, 9, 1 << 31, 1 << 40, 1 << 62, math.MaxInt64, math.MinInt64, -2, 65, math.MaxInt32, 7, math.MinInt32, 1<<61 + 1}

func (h *hostile) odd() int64 { return oddInts[h.pick(len(oddInts))] }

// number is right, or one time in 16 odd.
func (h *hostile) number(right int64) C.int64_t {
	if h.fault(16) {
		return C.int64_t(h.odd())
	}
	return C.int64_t(right)
}

func (h *hostile) real() float64 {
	return [...]float64{0.5, 0.1, -0.3, 1, 2, 0, 1e-3, 1e-9, -1, 7, math.NaN(), math.Inf(1), math.Inf(-1), 1e300, 5e-324, -1e18}[h.pick(16)]
}

// text is a C string: one of those, or one time in 16 an odd one or none.
func (h *hostile) text(right ...string) *C.char {
	s := right[h.pick(len(right))]
	if h.fault(16) {
		switch h.pick(5) {
		case 0:
			return nil
		case 1:
			s = ""
		case 2:
			s = strings.Repeat(s+"%s%n\n", 200)
		case 3:
			s = "\xff\xfe\xc0" + s
		case 4:
			s = strings.ToUpper(s)
		}
	}
	return (*C.char)(h.bytes(s + "\x00"))
}

func (h *hostile) bytes(s string) unsafe.Pointer {
	p := h.alloc(len(s), 0)
	copy(unsafe.Slice((*byte)(p), len(s)), s)
	return p
}

// msg is where a message goes, and how much room it says that there is, never more than there is.
func (h *hostile) msg() (*C.char, C.int64_t) {
	switch room := [...]int{512, 512, 512, 64, 1, 0, 2, 4096}[h.pick(8)]; h.pick(8) {
	case 0:
		return nil, C.int64_t(room)
	case 1:
		return (*C.char)(h.alloc(1, 0xA5)), -C.int64_t(room)
	case 2:
		return (*C.char)(h.alloc(1, 0xA5)), math.MinInt64
	default:
		h.msgAt, h.msgCap = h.alloc(room, 0xA5), room
		return (*C.char)(h.msgAt), C.int64_t(room)
	}
}

// dtype is float32 or float64, as the first bytes of a call say.
func (h *hostile) dtype() C.int32_t {
	if h.fault(32) {
		return C.int32_t(h.odd())
	}
	return C.int32_t(1 + h.pick(2))
}

// array is an array of a shape, none one time in 32, wrong one time in 8. One that passes for right has the memory it says.
func (h *hostile) array(dtype C.int32_t, shape ...int) *C.pards_array {
	a := (*C.pards_array)(h.alloc(int(unsafe.Sizeof(C.pards_array{})), 0))
	if h.fault(32) {
		return nil
	}
	h.fill(a, dtype, shape...)
	return a
}

func (h *hostile) fill(a *C.pards_array, dtype C.int32_t, shape ...int) {
	lengths := (*[9]int64)(h.alloc(9*8, 0))
	for i := range lengths {
		lengths[i] = 1
		if i < len(shape) {
			lengths[i] = int64(shape[i])
		}
	}
	*a = C.pards_array{dtype: dtype, ndim: C.int64_t(len(shape)), shape: (*C.int64_t)(unsafe.Pointer(lengths))}
	kind := -1
	if h.fault(8) {
		kind = h.pick(10)
	}
	switch kind {
	case 0:
		a.dtype = C.int32_t([...]int{-1, 0, 1, 2, 3, 4, 5, math.MinInt32}[h.pick(8)])
	case 1:
		a.device = C.int32_t([...]int{-1, 1, 2, 9, math.MaxInt32, math.MinInt32}[h.pick(6)])
	case 2:
		a.ndim = C.int64_t([...]int{-1, 0, 1, 8, 9, 1 << 32, math.MaxInt64, math.MinInt64}[h.pick(8)])
	case 3:
		a.shape = nil
	case 4:
		a.shape = (*C.int64_t)(unsafe.Add(unsafe.Pointer(lengths), 1+h.pick(7)))
		a.data = h.alloc(8, 0)
		return // refused before it is read
	case 5, 6:
		lengths[h.pick(max(len(shape), 1))] = h.odd()
	case 7:
		lengths[h.pick(max(len(shape), 1))] += int64(h.pick(3) - 1)
	}
	total := 1.0
	for _, n := range lengths[:min(max(int(a.ndim), 0), 8)] {
		total *= math.Abs(float64(n))
	}
	switch {
	case total > 1<<16 && total*8 < 1<<66, kind == 8:
		// an honest caller cannot have so much
	case total > 1<<16:
		a.data = h.alloc(8, 0)
	default:
		a.data = h.numbers(a.dtype, int(total))
	}
	if kind == 9 {
		a.data = C.fuzz_shift(a.data, C.int64_t(1+h.pick(3)))
	}
}

// numbers is memory for n numbers of a type and not one more, filled with small ones and, one time in 8, an odd one.
func (h *hostile) numbers(dtype C.int32_t, n int) unsafe.Pointer {
	size := 8
	switch dtype {
	case float32Type:
		size = 4
	case textType:
		return h.alloc(n+3, 'a') // it has no alignment that could be wrong
	}
	p := h.alloc(size*n, 0)
	v, w, odd := h.real(), h.pick(2) == 1, -1
	if h.fault(8) {
		odd = h.pick(n + 1)
	}
	for i := range n {
		x := v / float64(1+i%3)
		if w {
			x = float64(i % 3)
		}
		if i == odd {
			x = h.real()
		}
		switch dtype {
		case float32Type:
			unsafe.Slice((*float32)(p), n)[i] = float32(x)
		case int64Type:
			unsafe.Slice((*int64)(p), n)[i] = int64(i)
		default:
			unsafe.Slice((*float64)(p), n)[i] = x
		}
	}
	return p
}

// shape reads "3D M", with the lengths of the call in hand.
func (h *hostile) shape(pattern string) []int {
	choices := strings.Split(pattern, "|")
	var out []int
	for _, axis := range strings.Fields(choices[h.pick(len(choices))]) {
		times := 1
		if axis[0] >= '1' && axis[0] <= '9' {
			times, axis = int(axis[0]-'0'), axis[1:]
		}
		out = append(out, times*h.dims[axis])
	}
	return out
}

// params are the fields of a cell or a method; some left out, some twice, some of others.
func (h *hostile) params(fields []param.Field, dtype C.int32_t) (*C.pards_param, C.int64_t) {
	if h.fault(16) {
		return nil, h.number(0)
	}
	size := int(unsafe.Sizeof(C.pards_param{}))
	all := h.alloc(size*(len(fields)+1), 0)
	n := 0
	for _, f := range fields {
		if f.Default != "" && h.pick(2) == 0 || h.fault(32) {
			continue
		}
		p := (*C.pards_param)(unsafe.Add(all, size*n))
		n++
		p.name = h.text(f.Name)
		switch {
		case len(f.Choices) > 0:
			s := h.text(f.Choices...)
			h.fill(&p.value, textType, 1)
			if lengths := (*int64)(unsafe.Pointer(p.value.shape)); s != nil && lengths != nil && uintptr(unsafe.Pointer(lengths))%8 == 0 && h.pick(8) > 0 {
				*lengths = int64(C.strlen(s))
				p.value = C.pards_array{data: unsafe.Pointer(s), dtype: textType, ndim: 1, shape: p.value.shape}
			}
		case f.Shape == "":
			h.fill(&p.value, float64Type)
			if d := (*float64)(p.value.data); d != nil && p.value.dtype == float64Type && uintptr(p.value.data)%8 == 0 && h.pick(4) > 0 {
				*d = float64([...]int{4, 1, 2, 0}[h.pick(4)])
			}
		default:
			h.fill(&p.value, dtype, h.shape(f.Shape)...)
		}
	}
	if n > 0 && n <= len(fields) && h.fault(16) {
		*(*C.pards_param)(unsafe.Add(all, size*n)) = *(*C.pards_param)(all)
		n++
	}
	if h.fault(32) {
		return (*C.pards_param)(all), C.int64_t([...]int{-1, 65, math.MaxInt64, math.MinInt64}[h.pick(4)])
	}
	return (*C.pards_param)(all), C.int64_t(n)
}

// handle is one given out before, mostly of the kind that the call wants, and one time in 16 a foreign one.
func (h *hostile) handle() C.int64_t {
	if h.calm {
		for i := len(h.handles) - 1; i >= 0; i-- {
			v, err := lookup[any]("fuzz", "object", h.handles[i])
			_, past := v.(*history)
			if err == nil && past == strings.Contains(h.name, "history") && h.pick(2) == 0 {
				return C.int64_t(h.handles[i])
			}
		}
	}
	if len(h.handles) == 0 || h.fault(16) {
		return C.int64_t(h.odd())
	}
	return C.int64_t(h.handles[len(h.handles)-1-h.pick(len(h.handles))])
}

// made notes a handle that a call has given out.
func (h *hostile) made(handle C.int64_t) {
	h.refs[int64(handle)]++
	h.handles = append(h.handles, int64(handle))
}

func (h *hostile) int64() *C.int64_t {
	if h.fault(32) {
		return nil
	}
	return (*C.int64_t)(h.alloc(8, 0))
}

func (h *hostile) countHandles() C.int32_t {
	n := C.pards_handles()
	live := 0
	for _, refs := range h.refs {
		live += min(refs, 1)
	}
	if int(n) < live {
		return bug
	}
	return 0
}

func (h *hostile) describe() C.int32_t {
	room := [...]int{0, 1, 100, 1 << 16}[h.pick(4)]
	json := (*C.char)(h.alloc(room, 0xA5))
	if h.fault(8) {
		json, room = nil, int(h.odd())
	} else if h.fault(8) {
		room = -room
	}
	needed := h.int64()
	msg, cap := h.msg()
	return C.pards_describe(json, C.int64_t(room), needed, msg, cap)
}

func (h *hostile) cell() C.int32_t {
	entries := cell.Entries()
	e := entries[h.pick(len(entries))]
	dtype, out := h.dtype(), h.int64()
	name := h.text(e.Name)
	params, n := h.params(e.Fields, dtype)
	msg, cap := h.msg()
	code := C.pards_cell(name, dtype, params, n, out, msg, cap)
	if code == 0 {
		h.made(*out)
	}
	return code
}

func (h *hostile) callable() C.int32_t {
	dim, dtype, python, out := h.number(int64(h.dims["D"])), h.dtype(), h.pick(2), h.int64()
	eval := C.fuzz_eval_of(C.int(python))
	if h.fault(16) {
		eval = nil
	}
	msg, cap := h.msg()
	code := C.pards_callable(dim, dtype, eval, out, msg, cap)
	if code == 0 {
		h.made(*out)
		h.python[int64(*out)] = python == 1
	}
	return code
}

func (h *hostile) cellShape() C.int32_t {
	handle, dim, inputs := h.handle(), h.int64(), h.int64()
	msg, cap := h.msg()
	return C.pards_cell_shape(handle, dim, inputs, msg, cap)
}

// count retains or releases, and knows which of these must work.
func (h *hostile) count(by int) C.int32_t {
	handle := h.handle()
	msg, cap := h.msg()
	f := func() C.int32_t { return C.pards_retain(handle, msg, cap) }
	if by < 0 {
		f = func() C.int32_t { return C.pards_release(handle, msg, cap) }
	}
	code := f()
	if (code == 0) != (h.refs[int64(handle)] > 0) {
		return bug
	}
	if code == 0 {
		h.refs[int64(handle)] += by
	}
	return code
}

// fit gives the call in hand the lengths of a cell, most of the time.
func (h *hostile) fit(handle C.int64_t) C.int32_t {
	dtype := h.dtype()
	v, err := lookup[shaped]("fuzz", "cell", int64(handle))
	if err != nil || h.fault(16) {
		return dtype
	}
	h.dims["D"], h.dims["M"] = v.shape()
	if h.dims["D"] > 64 {
		h.dims["B"], h.dims["N"] = 0, 0
	}
	switch v := v.(type) {
	case *nativeCell[float32]:
		return float32Type
	case *nativeCell[float64]:
		return float64Type
	case *callerCell:
		return C.int32_t(v.dtype)
	}
	return dtype
}

// inputs is an array of inputs, none where the cell has none.
func (h *hostile) inputs(dtype C.int32_t, pattern string) *C.pards_array {
	if h.dims["M"] == 0 && !h.fault(16) {
		return nil
	}
	return h.array(dtype, h.shape(pattern)...)
}

func (h *hostile) evaluate() C.int32_t {
	handle := h.handle()
	dtype := h.fit(handle)
	kind := C.int32_t(h.pick(7))
	if h.fault(32) {
		kind = C.int32_t(h.odd())
	}
	along, pattern := "N D", "N D"
	switch kind {
	case C.PARDS_JACOBIAN:
		pattern = "N D D"
	case C.PARDS_INPUT_JVP:
		along = "N M"
	case C.PARDS_INPUT_VJP:
		pattern = "N M"
	}
	x, u, v, out := h.array(dtype, h.shape("N D")...), h.inputs(dtype, "N M"), h.array(dtype, h.shape(along)...), h.array(dtype, h.shape(pattern)...)
	msg, cap := h.msg()
	return C.pards_evaluate(handle, kind, x, u, v, out, msg, cap)
}

// fieldsOf are those of the parameters that a cell has.
func fieldsOf(handle C.int64_t) []param.Field {
	var name string
	switch v, _ := lookup[any]("fuzz", "cell", int64(handle)); v := v.(type) {
	case *nativeCell[float32]:
		name = v.name
	case *nativeCell[float64]:
		name = v.name
	default:
		name = "linear"
	}
	return cell.Continuous(name)
}

func (h *hostile) paramJVP() C.int32_t {
	handle := h.handle()
	dtype := h.fit(handle)
	x, u, out := h.array(dtype, h.shape("N D")...), h.inputs(dtype, "N M"), h.array(dtype, h.shape("N D")...)
	params, n := h.params(fieldsOf(handle), dtype)
	msg, cap := h.msg()
	return C.pards_param_jvp(handle, x, u, params, n, out, msg, cap)
}

func (h *hostile) paramVJP() C.int32_t {
	handle := h.handle()
	dtype := h.fit(handle)
	x, u, v := h.array(dtype, h.shape("N D")...), h.inputs(dtype, "N M"), h.array(dtype, h.shape("N D")...)
	params, n := h.params(fieldsOf(handle), float64Type)
	msg, cap := h.msg()
	return C.pards_param_vjp(handle, x, u, v, params, n, msg, cap)
}

var devices = []string{"cpu", "auto", "", "cpu", "auto", "cpu", "cuda", "cuda:0", "cuda:99999999999999999999", "cuda:-1", "cuda:x", "cpu:0"}

func (h *hostile) scan(python bool) C.int32_t {
	entries := lds.Entries()
	e := entries[h.pick(len(entries))]
	if e.Name == "block_diagonal" && h.pick(8) > 0 {
		h.dims["D"] = h.dims["n"] * h.dims["d"]
	}
	dtype := h.dtype()
	args := (*C.pards_scan_args)(h.alloc(int(unsafe.Sizeof(C.pards_scan_args{})), 0))
	args.size = h.number(int64(unsafe.Sizeof(*args)))
	args.structure = h.text(e.Name)
	args.b, args.out = h.array(dtype, h.shape("B T D")...), h.array(dtype, h.shape("B T D")...)
	if pattern := map[string]string{"dense": "B T D D", "diagonal": "B T D", "permutation": "B T D", "scaled_identity": "B T", "block_diagonal": "B T n d d"}[e.Name]; pattern != "" {
		args.a = h.array(dtype, h.shape(pattern)...)
	}
	if h.pick(2) == 0 {
		args.x0 = h.array(dtype, h.shape("B D")...)
	}
	args.reverse, args.num_threads, args.device = h.number(int64(h.pick(2))), h.number(int64(h.pick(3))), h.text(devices...)
	if h.pick(2) == 0 {
		C.fuzz_python(nil, &args.poll)
	}
	if h.fault(32) {
		args = nil
	}
	msg, cap := h.msg()
	if python {
		var arrays unsafe.Pointer
		if args != nil {
			arrays = h.lend(&args.a, &args.b, &args.x0, &args.out)
		}
		return C.pards_python_scan(h.interpreter(), arrays, args, msg, cap)
	}
	return C.pards_scan(args, msg, cap)
}

// interpreter is the functions of one, one time in 32 with a hole, or none.
func (h *hostile) interpreter() *C.pards_python {
	api := (*C.pards_python)(h.alloc(int(unsafe.Sizeof(C.pards_python{})), 0))
	C.fuzz_python(api, nil)
	if h.fault(32) {
		return nil
	}
	if h.fault(32) {
		(*[11]unsafe.Pointer)(unsafe.Pointer(api))[h.pick(11)] = nil
	}
	return api
}

// lend moves arrays that are given by fields into a tuple, some of them or all; nil for none.
func (h *hostile) lend(fields ...**C.pards_array) unsafe.Pointer {
	some := h.pick(4)
	if some == 0 {
		return nil
	}
	tuple := unsafe.Slice((**C.pards_array)(h.alloc(8*len(fields), 0)), len(fields))
	for i, field := range fields {
		if some > 1 || i%2 == 0 {
			tuple[i], *field = *field, nil
		}
	}
	return unsafe.Pointer(unsafe.SliceData(tuple))
}

// memory asks what solves of many shapes would need.
func (h *hostile) memory() C.int32_t {
	handle := h.handle()
	args := (*C.pards_solve_args)(h.alloc(int(unsafe.Sizeof(C.pards_solve_args{})), 0))
	args.size, args.cell = h.number(int64(unsafe.Sizeof(*args))), handle
	entries := method.Entries()
	args.method = h.text(entries[h.pick(len(entries))].Name, "auto", "newton")
	args.batch, args.length = h.number(3), h.number(1000)
	nan := C.double(math.NaN())
	args.rtol, args.atol, args.merit_tol = nan, nan, nan
	args.max_iterations, args.window, args.num_threads = h.number(-1), h.number(int64(h.pick(6)-1)), h.number(int64(h.pick(3)))
	args.nonfinite = h.text("stop", "continue", "reset")
	var bytes *C.double
	if h.pick(8) > 0 {
		bytes = (*C.double)(h.alloc(8, 0))
	}
	if h.pick(16) == 0 {
		args = nil
	}
	msg, cap := h.msg()
	return C.pards_memory(args, bytes, msg, cap)
}

// solveArgs are those of a solve.
func (h *hostile) solveArgs() *C.pards_solve_args {
	handle := h.handle()
	dtype := h.fit(handle)
	args := (*C.pards_solve_args)(h.alloc(int(unsafe.Sizeof(C.pards_solve_args{})), 0))
	args.size, args.cell = h.number(int64(unsafe.Sizeof(*args))), handle
	entries := method.Entries()
	e := entries[h.pick(len(entries))]
	args.method = h.text(e.Name, e.Name, "auto", e.Name)
	if h.pick(2) == 0 {
		args.settings, args.settings_count = h.params(e.Fields, dtype)
	} else if e.Name == "block_newton" {
		args.settings, args.settings_count = h.params(e.Fields, dtype)
	}
	args.x0, args.states = h.array(dtype, h.shape("B D|D")...), h.array(dtype, h.shape("B T D")...)
	args.report = h.array(float64Type, h.dims["B"], columns)
	args.inputs = h.inputs(dtype, "B T M|T M")
	if h.python[int64(handle)] || h.isCallable(handle) {
		args.inputs = nil
	}
	if h.pick(4) == 0 {
		args.guess = h.array(dtype, h.shape("B T D|T D")...)
	}
	args.batch, args.length = h.number(int64(h.dims["B"])), h.number(int64(h.dims["T"]))
	nan := C.double(math.NaN())
	args.rtol, args.atol, args.merit_tol = nan, nan, nan
	switch h.pick(6) {
	case 0:
		args.rtol = C.double(h.real())
	case 1:
		args.merit_tol = C.double(h.real())
	case 2:
		args.rtol, args.atol = C.double(h.real()), C.double(h.real())
	}
	args.max_iterations, args.window = h.number(int64(h.pick(9)-1)), h.number(int64(h.pick(6)-1))
	if h.pick(4) == 0 {
		args.damping = C.double(h.real())
	}
	args.clip, args.num_threads, args.seed, args.trace = h.number(int64(h.pick(2))), h.number(int64(h.pick(3))), h.number(0), h.number(int64(h.pick(3)))
	args.nonfinite, args.device = h.text("stop", "continue", "reset"), h.text(devices...)
	if h.pick(2) == 0 || args.max_iterations > 1000 { // who asks for no end must be able to stop it
		C.fuzz_python(nil, &args.poll)
	}
	if h.fault(32) {
		args = nil
	}
	return args
}

func (h *hostile) solve(python bool) C.int32_t {
	args := h.solveArgs()
	msg, cap := h.msg()
	var code C.int32_t
	if python {
		function := h.bytes("f")
		eval, progress := function, function
		if h.fault(16) {
			eval = nil
		}
		if h.fault(4) {
			progress = nil
		}
		var arrays unsafe.Pointer
		if args != nil {
			arrays = h.lend(&args.x0, &args.inputs, &args.guess, &args.states, &args.report)
		}
		code = C.pards_python_solve(h.interpreter(), eval, progress, arrays, args, msg, cap)
	} else {
		code = C.pards_solve(args, msg, cap)
	}
	if args != nil && args.history != 0 {
		h.made(args.history)
	}
	return code
}

// analyse looks at states that are whatever they are.
func (h *hostile) analyse(python bool) C.int32_t {
	args := h.solveArgs()
	report, decay := h.array(float64Type, h.dims["B"], theoryColumns), h.array(float64Type, h.dims["B"], 1+h.pick(4), 2)
	msg, cap := h.msg()
	if python {
		var eval unsafe.Pointer
		if !h.fault(16) {
			eval = h.bytes("f")
		}
		return C.pards_python_analyse(h.interpreter(), eval, args, report, decay, msg, cap)
	}
	return C.pards_analyse(args, report, decay, msg, cap)
}

func (h *hostile) isCallable(handle C.int64_t) bool {
	_, err := lookup[*callerCell]("fuzz", "cell", int64(handle))
	return err == nil
}

func (h *hostile) part() C.int32_t {
	if h.fault(16) {
		return C.int32_t(h.odd())
	}
	return C.int32_t(h.pick(2))
}

func (h *hostile) historyShape() C.int32_t {
	handle, part, shape := h.handle(), h.part(), (*C.int64_t)(h.alloc(24, 0))
	if h.fault(16) {
		shape = nil
	}
	msg, cap := h.msg()
	return C.pards_history_shape(handle, part, shape, msg, cap)
}

func (h *hostile) historyCopy() C.int32_t {
	handle, part := h.handle(), h.part()
	shape := []int{h.pick(4), h.pick(4), 3}
	if v, err := lookup[*history]("fuzz", "history", int64(handle)); err == nil && h.pick(8) > 0 {
		if right, err := v.shape(int(part)); err == nil {
			shape = right
		}
	}
	out := h.array(C.int32_t([...]int{float64Type, int64Type}[part&1]), shape...)
	msg, cap := h.msg()
	return C.pards_history_copy(handle, part, out, msg, cap)
}

// pythonEval has no caller but a solve; without one it fails, with a number of its own.
func (h *hostile) pythonEval() C.int32_t {
	r := (*C.pards_request)(h.alloc(int(unsafe.Sizeof(C.pards_request{})), 0))
	if h.pick(2) == 0 {
		r = nil
	}
	if C.fuzz_python_eval_null(r) == 0 {
		return bug
	}
	return 0
}

func (h *hostile) search() C.int32_t {
	directories := h.text("/nowhere", "/nowhere\n/\n\n", "")
	msg, cap := h.msg()
	return C.pards_search(directories, msg, cap)
}

func (h *hostile) environment() C.int32_t {
	msg, cap := h.msg()
	return C.pards_environment(msg, cap)
}

func (h *hostile) deviceAlloc() C.int32_t {
	ordinal, bytes, memory, address := h.number(0), h.number(64), h.int64(), h.int64()
	msg, cap := h.msg()
	code := C.pards_device_alloc(ordinal, bytes, memory, address, msg, cap)
	if code == 0 {
		h.made(*memory)
	}
	return code
}

func (h *hostile) deviceCopy() C.int32_t {
	ordinal, bytes, in := h.number(0), h.number(64), C.int32_t(h.pick(2))
	to, from := h.alloc(64, 0), h.alloc(64, 0)
	if h.fault(8) {
		to, bytes = nil, C.int64_t(h.odd())
	}
	msg, cap := h.msg()
	return C.pards_device_copy(ordinal, to, from, bytes, in, msg, cap)
}

func (h *hostile) deviceOf() C.int32_t {
	address, ordinal := C.int64_t(h.odd()), h.int64()
	msg, cap := h.msg()
	return C.pards_device_of(address, ordinal, msg, cap)
}

func (h *hostile) deviceWait() C.int32_t {
	ordinal, stream := h.number(0), h.number(1)
	msg, cap := h.msg()
	return C.pards_device_wait(ordinal, stream, msg, cap)
}

func (h *hostile) deviceDLPack() C.int32_t {
	handle, array, managed := h.handle(), h.array(h.dtype(), h.shape("B D")...), h.int64()
	msg, cap := h.msg()
	return C.pards_device_dlpack(handle, array, managed, msg, cap)
}
