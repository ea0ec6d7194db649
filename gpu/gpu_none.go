//go:build !cuda

package gpu

import (
	"pards/core"
	"pards/core/num"
	"pards/gpu/driver"
)

// Open returns why the GPU cannot be used.
func Open(ordinal int) error {
	_, err := driver.Open(ordinal)
	return err
}

// New returns why there is no backend.
func New[T num.Float](ordinal int) (core.Backend[T], error) { return nil, Open(ordinal) }

// NewOn returns why there is no backend.
func NewOn[T num.Float](ordinal int, stream uintptr) (core.Backend[T], error) { return New[T](ordinal) }

// Scan returns why there is none.
func Scan[T num.Float](ordinal int, structure string, a, b, x0, out core.Array[T], reverse bool, poll func() bool) error {
	return Open(ordinal)
}

// Begin returns why there is none.
func Begin[T num.Float](ordinal int, stream uintptr, structure string, a, b, x0, out core.Array[T], reverse bool) error {
	return Open(ordinal)
}

// Copy returns why there is no device to copy from or to.
func Copy(ordinal int, dst, src uintptr, bytes int, in bool) error { return Open(ordinal) }

// CopyOn returns why there is no device to copy from or to.
func CopyOn(ordinal int, stream, dst, src uintptr, bytes int, in bool) error { return Open(ordinal) }

// Alloc returns why there is no memory.
func Alloc(ordinal, bytes int) (uintptr, error) { return 0, Open(ordinal) }

// Where returns why no address is on a device.
func Where(at uintptr) (int, error) { return 0, Open(0) }

// Wait returns why there is no stream.
func Wait(ordinal int, stream uintptr) error { return Open(ordinal) }

// Free does nothing.
func Free(ordinal int, at uintptr) {}
