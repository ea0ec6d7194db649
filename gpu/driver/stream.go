//go:build cuda

package driver

/*
#include "shim.h"
*/
import "C"

import (
	"syscall"
	"time"
	"unsafe"

	"gorgonia.org/cu"
)

// Stream is an order of work on a device. The zero Stream is the default one.
type Stream struct {
	stream cu.Stream
	// Recorded says that what is put there is recorded into a graph, which runs later, and repeatedly.
	Recorded bool
}

// NewStream makes a stream that does not wait for the default one.
func (d *Device) NewStream() (Stream, error) {
	s, err := cu.MakeStream(cu.NonBlocking)
	return Stream{stream: s}, wrap("making a stream", err)
}

// StreamOf is a stream that another library made.
func StreamOf(handle uintptr) Stream { return Stream{stream: *(*cu.Stream)(unsafe.Pointer(&handle))} }

// Handle is what other libraries take for the stream.
func (s Stream) Handle() uintptr { return *(*uintptr)(unsafe.Pointer(&s.stream)) }

// Recording calls f with the stream as another library left it. Where that records it, f may allocate and load kernels nonetheless.
func (s Stream) Recording(f func(s Stream) error) error {
	var status C.CUstreamCaptureStatus
	if err := check("asking whether a graph is recorded", C.cuStreamIsCapturing(*(*C.CUstream)(unsafe.Pointer(&s.stream)), &status)); err != nil {
		return err
	}
	if status != C.CU_STREAM_CAPTURE_STATUS_ACTIVE {
		return f(s)
	}
	mode := C.CUstreamCaptureMode(C.CU_STREAM_CAPTURE_MODE_RELAXED) // of this thread, and as it was afterwards
	if err := check("recording a graph", C.cuThreadExchangeStreamCaptureMode(&mode)); err != nil {
		return err
	}
	defer C.cuThreadExchangeStreamCaptureMode(&mode)
	s.Recorded = true
	return f(s)
}

// Destroy gives the stream back.
func (s Stream) Destroy() { _ = s.stream.Destroy() }

// CopyIn copies from the host.
func (s Stream) CopyIn(dst Ptr, src unsafe.Pointer, bytes int) error {
	if bytes == 0 {
		return nil
	}
	return wrap("copying to the device", cu.MemcpyHtoDAsync(cu.DevicePtr(dst), src, int64(bytes), s.stream))
}

// CopyOut copies to the host. Memory of Go's and of most callers is pageable, which makes the driver wait for it.
func (s Stream) CopyOut(dst unsafe.Pointer, src Ptr, bytes int) error {
	if bytes == 0 {
		return nil
	}
	return wrap("copying from the device", cu.MemcpyDtoHAsync(dst, cu.DevicePtr(src), int64(bytes), s.stream))
}

// Copy copies within the device.
func (s Stream) Copy(dst, src Ptr, bytes int) error {
	if bytes == 0 {
		return nil
	}
	return wrap("copying on the device", cu.MemcpyDtoDAsync(cu.DevicePtr(dst), cu.DevicePtr(src), int64(bytes), s.stream))
}

// Zero clears memory.
func (s Stream) Zero(dst Ptr, bytes int) error {
	if bytes == 0 {
		return nil
	}
	return wrap("clearing memory", cu.MemsetD8Async(cu.DevicePtr(dst), 0, int64(bytes), s.stream))
}

// How long Wait looks without a pause, not even one of the Go scheduler's: a goroutine that holds its thread is put back on it by two others.
const (
	spinning = 2 * time.Millisecond
	between  = 50 * time.Microsecond // two looks after that
)

// Wait returns when the stream's work is done, with the error that ended it, or as soon as poll (which may be nil) returns true: stopped
// is true then, and the work goes on.
func (s Stream) Wait(poll func() bool) (stopped bool, err error) {
	start := time.Now()
	asked := start
	for {
		switch err := s.stream.Query(); err {
		case nil:
			return false, nil
		case cu.NotReady:
		default:
			return false, wrap("a kernel", err)
		}
		now := time.Now()
		if poll != nil && now.Sub(asked) >= askingFor {
			asked = now
			if poll() {
				return true, nil
			}
		}
		if now.Sub(start) > spinning {
			nap := syscall.NsecToTimespec(int64(between)) // a timer of Go's takes up to a millisecond
			_ = syscall.Nanosleep(&nap, nil)
		}
	}
}

// Event is a point in a stream.
type Event struct{ event cu.Event }

// NewEvent makes an event that takes the time.
func (d *Device) NewEvent() (Event, error) {
	e, err := cu.MakeEvent(cu.DefaultEvent)
	return Event{e}, wrap("making an event", err)
}

// Record puts the event into a stream.
func (e Event) Record(s Stream) error { return wrap("recording an event", e.event.Record(s.stream)) }

// Since returns the seconds between two events that have passed.
func (e Event) Since(from Event) (float64, error) {
	ms, err := from.event.Elapsed(e.event)
	return ms / 1e3, wrap("reading an event", err)
}
