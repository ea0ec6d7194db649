//go:build cuda

package gpu

import (
	"errors"
	"math"
	"unsafe"

	"gorgonia.org/cu"

	"pards/core"
	"pards/core/check"
	"pards/core/lds"
	"pards/core/num"
	"pards/gpu/driver"
)

var nan = math.NaN()

// on opens a device and makes it current while f runs.
func on(ordinal int, f func(d *driver.Device) error) error {
	d, err := driver.Open(ordinal)
	if err != nil {
		return err
	}
	leave, err := d.Enter()
	if err != nil {
		return err
	}
	defer leave()
	return f(d)
}

// Copy moves bytes between the host and a device, to the device if in is set.
func Copy(ordinal int, dst, src uintptr, bytes int, in bool) error {
	return CopyOn(ordinal, 0, dst, src, bytes, in)
}

// CopyOn is Copy on a stream of another library, after what is in it.
func CopyOn(ordinal int, stream, dst, src uintptr, bytes int, in bool) error {
	return on(ordinal, func(*driver.Device) error {
		s := driver.StreamOf(stream)
		var err error
		if in {
			err = s.CopyIn(driver.Ptr(dst), *(*unsafe.Pointer)(unsafe.Pointer(&src)), bytes)
		} else {
			err = s.CopyOut(*(*unsafe.Pointer)(unsafe.Pointer(&dst)), driver.Ptr(src), bytes)
		}
		if err == nil {
			_, err = s.Wait(nil)
		}
		return err
	})
}

// Alloc returns memory of a device.
func Alloc(ordinal, bytes int) (at uintptr, err error) {
	err = on(ordinal, func(d *driver.Device) error {
		p, err := d.Alloc(bytes)
		at = uintptr(p)
		if errors.Is(err, driver.ErrMemory) {
			err = check.Of(check.Memory, "device_alloc", err.Error())
		}
		return err
	})
	return at, err
}

// Free takes memory of Alloc back, once all that was begun on the device is done: other libraries may have used it on streams of theirs.
func Free(ordinal int, at uintptr) {
	_ = on(ordinal, func(d *driver.Device) error {
		_ = cu.Synchronize()
		d.Free(driver.Ptr(at))
		return nil
	})
}

// Where returns the number of the device in whose memory an address is.
func Where(at uintptr) (ordinal int, err error) {
	err = on(0, func(*driver.Device) error {
		ordinal, err = driver.Where(driver.Ptr(at))
		return err
	})
	return ordinal, err
}

// Wait returns when a stream of another library is done.
func Wait(ordinal int, stream uintptr) error {
	return on(ordinal, func(*driver.Device) error {
		_, err := driver.StreamOf(stream).Wait(nil)
		return err
	})
}

func scannerOf[T num.Float]() scanner[T] {
	if num.Size[T]() == 4 {
		return any(scanners.f32).(scanner[T])
	}
	return any(scanners.f64).(scanner[T])
}

// Begin is Scan on a stream of another library, for arrays that are all on its device: it returns when the work has been put there.
func Begin[T num.Float](ordinal int, stream uintptr, structure string, a, b, x0, out core.Array[T], reverse bool) error {
	s, err := lds.ForArray[T]("scan", structure, a.Shape)
	if err != nil {
		return err
	}
	if err := lds.Check(s, nil, a.Shape, b.Shape, out.Shape, x0.Shape, reverse); err != nil {
		return err
	}
	if b.Shape[0] == 0 || b.Shape[1] == 0 || b.Shape[2] == 0 {
		return nil
	}
	return on(ordinal, func(d *driver.Device) error {
		at := func(array core.Array[T]) driver.Ptr { return driver.Ptr(array.Device) }
		return driver.StreamOf(stream).Recording(func(on driver.Stream) error {
			return scannerOf[T]()(d, on, s, at(a), at(b), at(x0), at(out), b.Shape[0], b.Shape[1], b.Shape[2], reverse, nil)
		})
	})
}

// Scan is core.Scan on a device.
func Scan[T num.Float](ordinal int, structure string, a, b, x0, out core.Array[T], reverse bool, poll func() bool) error {
	s, err := lds.ForArray[T]("scan", structure, a.Shape)
	if err != nil {
		return err
	}
	if err := lds.Check(s, a.Data, a.Shape, b.Shape, out.Shape, x0.Shape, reverse); err != nil {
		return err
	}
	scan := scannerOf[T]()
	return on(ordinal, func(d *driver.Device) error {
		var stream driver.Stream
		at := make([]driver.Ptr, 4)
		for i, array := range []core.Array[T]{a, b, x0, out} {
			if at[i] = driver.Ptr(array.Device); at[i] != 0 || len(array.Data) == 0 {
				continue
			}
			bytes := len(array.Data) * num.Size[T]()
			if at[i], err = d.Alloc(bytes); err != nil {
				return check.Of(check.Memory, "scan", err.Error())
			}
			defer d.Free(at[i])
			if i < 3 {
				if err := stream.CopyIn(at[i], unsafe.Pointer(unsafe.SliceData(array.Data)), bytes); err != nil {
					return err
				}
			}
		}
		if b.Shape[0] > 0 && b.Shape[1] > 0 && b.Shape[2] > 0 {
			if err := scan(d, stream, s, at[0], at[1], at[2], at[3], b.Shape[0], b.Shape[1], b.Shape[2], reverse, poll); errors.Is(err, driver.ErrStopped) {
				return check.Of(check.Stopped, "scan", "interrupted")
			} else if err != nil {
				return err
			}
		}
		if out.Device == 0 {
			if err := stream.CopyOut(unsafe.Pointer(unsafe.SliceData(out.Data)), at[3], len(out.Data)*num.Size[T]()); err != nil {
				return err
			}
		}
		stopped, err := stream.Wait(poll)
		if stopped {
			_, _ = stream.Wait(nil) // a scan is short, and its memory must not be given back under it
			err = check.Of(check.Stopped, "scan", "interrupted")
		}
		return err
	})
}
