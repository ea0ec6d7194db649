//go:build cuda

package driver

/*
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"fmt"
	"math"
	"sync"
	"unsafe"

	"gorgonia.org/cu"
)

// modules are the programs loaded on a device, by the key of their source.
type modules struct {
	sync.Mutex
	loaded map[string]*Module
}

func (l *modules) get(key string) *Module {
	l.Lock()
	defer l.Unlock()
	return l.loaded[key]
}

// Module is a loaded program.
type Module struct {
	module    cu.Module
	mu        sync.Mutex
	functions map[string]*Function
}

// Function is a kernel.
type Function struct {
	Name     string
	function cu.Function
	handle   C.CUfunction
	mu       sync.Mutex
	shared   int // bytes of dynamic shared memory that are allowed
}

// Load compiles a source, unless memory or the disk has it, and loads it. For poll see Compile.
func (d *Device) Load(s Source, poll func() bool) (*Module, error) {
	key := s.key(d.Arch)
	if m := d.modules.get(key); m != nil {
		return m, nil
	}
	cubin, err := Compile(s, d.Arch, poll) // others load what they have meanwhile
	if err != nil {
		return nil, err
	}
	d.modules.Lock()
	defer d.modules.Unlock()
	if m := d.modules.loaded[key]; m != nil {
		return m, nil
	}
	image := C.CBytes(cubin)
	defer C.free(image)
	m := &Module{functions: map[string]*Function{}}
	var module C.CUmodule
	if err := check("loading "+s.Name, C.cuModuleLoadData(&module, image)); err != nil {
		return nil, err
	}
	m.module = *(*cu.Module)(unsafe.Pointer(&module))
	if d.modules.loaded == nil {
		d.modules.loaded = map[string]*Module{}
	}
	d.modules.loaded[key] = m
	return m, nil
}

// Function finds a kernel by its name, which must be extern "C".
func (m *Module) Function(name string) (*Function, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.functions[name]; f != nil {
		return f, nil
	}
	found, err := m.module.Function(name)
	if err != nil {
		return nil, wrap("finding the kernel "+name, err)
	}
	f := &Function{Name: name, function: found, handle: *(*C.CUfunction)(unsafe.Pointer(&found))}
	m.functions[name] = f
	return f, nil
}

// Shared allows a kernel that many bytes of dynamic shared memory, or more if another solve needs them: it is the same kernel for all.
func (f *Function) Shared(bytes int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if bytes <= f.shared {
		return nil
	}
	err := check("giving shared memory to "+f.Name, C.cuFuncSetAttribute(f.handle, C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, C.int(bytes)))
	if err == nil {
		f.shared = bytes
	}
	return err
}

// Blocks returns how many blocks of some threads and shared memory a multiprocessor holds at once.
func (f *Function) Blocks(threads, shared int) (int, error) {
	n, err := f.function.MaxActiveBlocksPerMultiProcessor(threads, int64(shared))
	return n, wrap("asking for the occupancy of "+f.Name, err)
}

// Launch starts a kernel. Arguments are Ptr, int32, uint32, int64, uint64, float32 or float64, or Bytes of a struct.
func (f *Function) Launch(s Stream, grid, block [3]int, shared int, args ...any) error {
	return f.launch(s, grid, block, shared, false, args)
}

// LaunchCooperative is Launch for a kernel whose blocks wait for each other: it fails where they cannot all run at once.
func (f *Function) LaunchCooperative(s Stream, grid, block [3]int, shared int, args ...any) error {
	return f.launch(s, grid, block, shared, true, args)
}

// Bytes are the bytes of a struct that a kernel takes by value.
type Bytes []byte

// Struct makes Bytes of a struct without pointers, laid out as the kernel's.
func Struct[S any](s *S) Bytes {
	return append(Bytes{}, unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))...)
}

func (f *Function) launch(s Stream, grid, block [3]int, shared int, cooperative bool, args []any) error {
	packed, offsets := make([]byte, 0, 256), make([]C.int, 0, 16)
	for i, arg := range args {
		for len(packed)%16 != 0 {
			packed = append(packed, 0)
		}
		offsets = append(offsets, C.int(len(packed)))
		var err error
		if packed, err = appendArgument(packed, arg); err != nil {
			return fmt.Errorf("pards: bug: argument %d of %s: %w", i, f.Name, err)
		}
	}
	g, b := unsigned(grid), unsigned(block)
	together := C.int(0)
	if cooperative {
		together = 1
	}
	return check("starting "+f.Name, C.shim_launch(f.handle, &g[0], &b[0], C.uint(shared), C.uintptr_t(s.Handle()),
		unsafe.Pointer(unsafe.SliceData(packed)), (*C.int)(unsafe.Pointer(unsafe.SliceData(offsets))), C.int(len(offsets)), together))
}

func unsigned(v [3]int) (u [3]C.uint) {
	for i, n := range v {
		u[i] = C.uint(n)
	}
	return u
}

// appendArgument appends an argument as a kernel reads it.
func appendArgument(to []byte, arg any) ([]byte, error) {
	switch v := arg.(type) {
	case Ptr:
		return appendWord(to, uint64(v), 8), nil
	case int32:
		return appendWord(to, uint64(uint32(v)), 4), nil
	case uint32:
		return appendWord(to, uint64(v), 4), nil
	case int64:
		return appendWord(to, uint64(v), 8), nil
	case uint64:
		return appendWord(to, v, 8), nil
	case float32:
		return appendWord(to, uint64(math.Float32bits(v)), 4), nil
	case float64:
		return appendWord(to, math.Float64bits(v), 8), nil
	case Bytes:
		return append(to, v...), nil
	}
	return to, fmt.Errorf("has type %T", arg)
}

// appendWord appends the lowest bytes of a word.
func appendWord(to []byte, word uint64, bytes int) []byte {
	for range bytes {
		to = append(to, byte(word))
		word >>= 8
	}
	return to
}
