//go:build cuda

package gpu

import (
	"testing"

	"pards/core"
	"pards/core/method/methodtest"
	"pards/gpu/driver"
)

// BenchmarkCost times what a solve costs that has next to nothing to compute, with arrays on the host and on the device.
func BenchmarkCost(b *testing.B) {
	d, err := driver.Open(0)
	if err != nil {
		b.Skip(err)
	}
	leave, err := d.Enter()
	if err != nil {
		b.Fatal(err)
	}
	defer leave()
	const steps = 100
	p := methodtest.Problem[float32](b, gru8, 1, steps)
	o := core.Defaults[float32]()
	o.Method = "newton"
	out := core.Host(make([]float32, steps*p.Cell.Dim()))
	run := func(b *testing.B) {
		for range b.N {
			if _, err := core.Solve[float32](&backend[float32]{device: d}, p, &o, out); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("host", run)
	for _, a := range []*core.Array[float32]{&p.X0, &p.Inputs, &out} {
		at, err := d.Alloc(4 * max(len(a.Data), 1))
		if err != nil {
			b.Fatal(err)
		}
		var s driver.Stream
		if err := s.CopyIn(at, pointer(a.Data), 4*len(a.Data)); err != nil {
			b.Fatal(err)
		}
		a.Device, a.Data = uintptr(at), nil
	}
	b.Run("device", run)
}
