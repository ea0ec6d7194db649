//go:build cuda

package driver

/*
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"fmt"
	"math/bits"
	"sync"
	"unsafe"

	"gorgonia.org/cu"
)

// Ptr is an address in a device's memory.
type Ptr uintptr

// pool keeps freed memory for the next allocation of its size. Sizes are rounded up so that solves of about the same shape share.
type pool struct {
	sync.Mutex
	free map[int][]Ptr // by rounded size
	size map[Ptr]int   // of what is lent
	kept int           // bytes in free
}

// keepAtMost is how many bytes a device keeps for later; what is freed beyond goes back to the driver.
const keepAtMost = 1 << 30

// rounded returns the size of the piece that serves bytes: an eighth of a power of two, at least 512.
func rounded(bytes int) int {
	bytes = max(bytes, 512)
	step := max(1<<(bits.Len(uint(bytes-1))-3), 512)
	return (bytes + step - 1) / step * step
}

// Alloc returns memory, which holds anything. The error wraps ErrMemory where the device has not that much.
func (d *Device) Alloc(bytes int) (Ptr, error) {
	if bytes < 0 {
		return 0, fmt.Errorf("cannot allocate %d bytes on the GPU", bytes)
	}
	d.takeBack()
	size, p := rounded(bytes), &d.pool
	p.Lock()
	defer p.Unlock()
	if p.size == nil {
		p.free, p.size = map[int][]Ptr{}, map[Ptr]int{}
	}
	if kept := p.free[size]; len(kept) > 0 {
		at := kept[len(kept)-1]
		p.free[size], p.size[at] = kept[:len(kept)-1], size
		p.kept -= size
		return at, nil
	}
	at, err := cu.MemAlloc(int64(size))
	if err != nil && p.kept > 0 {
		p.giveBack(0)
		at, err = cu.MemAlloc(int64(size))
	}
	if err != nil {
		free, total, _ := cu.MemInfo()
		return 0, fmt.Errorf("%w: %d MiB were asked for, %d of %d MiB are free (%v)", ErrMemory, size>>20, free>>20, total>>20, err)
	}
	p.size[Ptr(at)] = size
	return Ptr(at), nil
}

// Free takes memory back, once nothing on the device uses it any more.
func (d *Device) Free(at Ptr) {
	p := &d.pool
	p.Lock()
	defer p.Unlock()
	size, lent := p.size[at]
	if !lent {
		return
	}
	delete(p.size, at)
	p.free[size] = append(p.free[size], at)
	p.kept += size
	p.giveBack(keepAtMost)
}

// AllocRecorded is Alloc for the graph that the stream records. The memory is free again when the graph, its copies and what runs of them are
// gone: whoever recorded it may keep it for ever, or record anew in each call.
func (d *Device) AllocRecorded(s Stream, bytes int) (Ptr, error) {
	at, err := d.Alloc(bytes)
	if err != nil {
		return 0, err
	}
	return at, check("giving memory to a graph", C.shim_lend(C.uintptr_t(s.Handle()), d.gone, C.uintptr_t(at)))
}

// takeBack takes what graphs had that are gone.
func (d *Device) takeBack() {
	for lent := C.shim_take(d.gone); lent != nil; {
		next := lent.next
		d.Free(Ptr(lent.at))
		C.free(unsafe.Pointer(lent))
		lent = next
	}
}

// Trim gives all memory that is kept back to the driver.
func (d *Device) Trim() {
	d.takeBack()
	d.pool.Lock()
	defer d.pool.Unlock()
	d.pool.giveBack(0)
}

// giveBack returns kept memory to the driver until no more than some bytes are kept.
func (p *pool) giveBack(most int) {
	for size, kept := range p.free {
		for len(kept) > 0 && p.kept > most {
			_ = cu.MemFree(cu.DevicePtr(kept[len(kept)-1]))
			kept, p.kept = kept[:len(kept)-1], p.kept-size
		}
		p.free[size] = kept
	}
}

// Available returns the bytes that an allocation could get.
func (d *Device) Available() int {
	d.takeBack()
	free, _, err := cu.MemInfo()
	if err != nil {
		return 0
	}
	d.pool.Lock()
	defer d.pool.Unlock()
	return int(free) + d.pool.kept
}

// Where returns the number of the device in whose memory an address is.
func Where(at Ptr) (int, error) {
	var ordinal C.int
	err := check("looking for an address", C.cuPointerGetAttribute(unsafe.Pointer(&ordinal), C.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, C.CUdeviceptr(at)))
	return int(ordinal), err
}

// Mapped returns memory of the host that the device sees under an address of its own: for flags and small reports. FreeMapped takes it back.
func (d *Device) Mapped(bytes int) (unsafe.Pointer, Ptr, error) {
	var host unsafe.Pointer
	var at C.CUdeviceptr
	if err := check("allocating shared memory of the host", C.cuMemHostAlloc(&host, C.size_t(bytes), C.CU_MEMHOSTALLOC_DEVICEMAP|C.CU_MEMHOSTALLOC_PORTABLE)); err != nil {
		return nil, 0, err
	}
	if err := check("mapping memory of the host", C.cuMemHostGetDevicePointer(&at, host, 0)); err != nil {
		_ = cu.MemFreeHost(host)
		return nil, 0, err
	}
	clear(unsafe.Slice((*byte)(host), bytes))
	return host, Ptr(at), nil
}

// FreeMapped takes back memory of Mapped.
func (d *Device) FreeMapped(host unsafe.Pointer) { _ = cu.MemFreeHost(host) }
