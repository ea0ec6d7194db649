//go:build cuda

package driver

/*
#cgo LDFLAGS: -L${SRCDIR}/nolib -ldl
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"gorgonia.org/cu"
)

// Device is one GPU, with its primary context, which it shares with whatever else in the process uses the GPU.
type Device struct {
	Ordinal   int
	Name      string
	Arch      int   // 90 for compute capability 9.0
	SMs       int   // multiprocessors
	SharedMax int   // bytes of shared memory a block may ask for
	L2        int   // bytes
	Memory    int64 // bytes

	context cu.CUContext
	pool    pool
	gone    **C.shim_lent // memory of graphs that are gone
	modules modules
}

// leastDriver is the oldest driver that runs what the compilers here produce: CUDA 12.0.
const leastDriver = 12000

var opened struct {
	sync.Mutex
	loaded  bool
	why     error
	devices map[int]*Device
}

// Open returns a device, the same one for the same ordinal. The first call loads the driver; an error says what is missing.
func Open(ordinal int) (*Device, error) {
	opened.Lock()
	defer opened.Unlock()
	if !opened.loaded {
		opened.loaded, opened.why = true, load()
		opened.devices = map[int]*Device{}
	}
	if opened.why != nil {
		return nil, opened.why
	}
	if d := opened.devices[ordinal]; d != nil {
		return d, nil
	}
	d, err := open(ordinal)
	if err == nil {
		opened.devices[ordinal] = d
	}
	return d, err
}

// load makes the driver callable.
func load() error {
	var text [512]C.char
	switch rc := C.shim_load(&text[0], C.size_t(len(text))); {
	case rc < 0:
		return fmt.Errorf("no NVIDIA driver: %s", C.GoString(&text[0]))
	case rc != 0:
		return fmt.Errorf("the NVIDIA driver does not start: %s", failure(C.CUresult(rc)))
	}
	v := cu.Version()
	if v < leastDriver {
		return fmt.Errorf("the NVIDIA driver is for CUDA %d.%d, want 12.0 or newer", v/1000, v%1000/10)
	}
	compileFor(v / 1000)
	return nil
}

func open(ordinal int) (*Device, error) {
	count, err := cu.NumDevices()
	if err != nil {
		return nil, wrap("counting devices", err)
	}
	if ordinal < 0 || ordinal >= count {
		return nil, fmt.Errorf("there is no device %d: the driver shows %d", ordinal, count)
	}
	gpu, err := cu.GetDevice(ordinal)
	if err != nil {
		return nil, wrap("opening a device", err)
	}
	d := &Device{Ordinal: ordinal, gone: (**C.shim_lent)(C.calloc(1, C.size_t(unsafe.Sizeof(uintptr(0)))))}
	major, minor := 0, 0
	for attribute, to := range map[cu.DeviceAttribute]*int{cu.ComputeCapabilityMajor: &major, cu.ComputeCapabilityMinor: &minor,
		cu.MultiprocessorCount: &d.SMs, C.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: &d.SharedMax, cu.L2CacheSize: &d.L2} {
		if *to, err = gpu.Attribute(attribute); err != nil {
			return nil, wrap("asking for a device's properties", err)
		}
	}
	d.Arch = 10*major + minor
	if d.Name, err = gpu.Name(); err != nil {
		return nil, wrap("asking for a device's name", err)
	}
	if d.Memory, err = gpu.TotalMem(); err != nil {
		return nil, wrap("asking for a device's memory", err)
	}
	if d.context, err = gpu.RetainPrimaryCtx(); err != nil {
		return nil, wrap("opening a context", err)
	}
	return d, nil
}

// Enter makes the device current on the calling goroutine until leave is called. All that follows in this package asks for that.
func (d *Device) Enter() (leave func(), err error) {
	runtime.LockOSThread()
	if err := cu.PushCurrentCtx(d.context); err != nil {
		runtime.UnlockOSThread()
		return nil, wrap("entering the context", err)
	}
	return func() {
		_, _ = cu.PopCurrentCtx()
		runtime.UnlockOSThread()
	}, nil
}

// failure is the driver's own word for a result.
func failure(result C.CUresult) string {
	var name, text *C.char
	C.cuGetErrorName(result, &name)
	C.cuGetErrorString(result, &text)
	if name == nil || text == nil {
		return fmt.Sprintf("CUDA error %d", int(result))
	}
	return C.GoString(text) + " (" + C.GoString(name) + ")"
}

// ErrMemory is wrapped by the error of an allocation that the device refused.
var ErrMemory = errors.New("the device is out of memory")

// wrap says what was tried; nil for nil.
func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s on the GPU failed: %w", what, err)
}

// check is wrap for a result of shim.c.
func check(what string, result C.CUresult) error {
	if result == C.CUDA_SUCCESS {
		return nil
	}
	return fmt.Errorf("%s on the GPU failed: %s", what, failure(result))
}
