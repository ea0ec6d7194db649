//go:build cuda

package gpu

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pards/core"
	"pards/core/cell/celltest"
	"pards/core/check"
	"pards/core/method"
	"pards/core/method/methodtest"
	"pards/core/num"
	"pards/gpu/driver"
)

// The loop for wide states gives the CPU's states in all sizes: weights held by a block, by a cluster, by none.
func TestWide(t *testing.T) {
	t.Run("float32", wideAgainstCPU[float32])
	t.Run("float64", wideAgainstCPU[float64])
}

func wideAgainstCPU[T num.Float](t *testing.T) {
	device := core.Backend[T](through[T]{openBackend[T](t), wide[T]{}})
	o := core.Defaults[T]()
	o.Method = "sequential"
	for _, e := range celltest.Examples {
		for _, steps := range []int{1, 2, 16, 17, 67} {
			t.Run(fmt.Sprintf("%s/%s/T%d", e.Cell, e.Name, steps), func(t *testing.T) {
				g, c, got, want := both(t, e.Cell, device, methodtest.Problem[T](t, e, 3, steps), &o)
				steady(t, g, c, got, want)
			})
		}
	}
	for _, d := range []int{9, 16, 33, 64, 128, 200, 400} {
		for _, e := range wideExamples(d, 7) {
			for _, batch := range []int{1, 5} {
				t.Run(fmt.Sprintf("%s/%s/D%d/B%d", e.Cell, e.Name, d, batch), func(t *testing.T) {
					g, c, got, want := both(t, e.Cell, device, methodtest.Problem[T](t, e, batch, 150), &o)
					steady(t, g, c, got, want)
				})
			}
		}
	}
	t.Run("parts", func(t *testing.T) {
		for _, d := range []int{9, 64, 200} {
			g, c, got, want := both[T](t, "linear", inParts[T]{device}, growing[T](t, d, 50), &o)
			steady(t, g, c, got, want)
		}
	})
	t.Run("ahead", func(t *testing.T) { // inputs are decided in three pieces or more
		g, c, got, want := both(t, "gru", device, methodtest.Problem[T](t, wideExamples(64, 7)[0], 16, 12000), &o)
		steady(t, g, c, got, want)
	})
}

// A loop that would take seconds is stopped.
func TestWideStops(t *testing.T) {
	const steps = 5_000_000
	e := wideExamples(8, 1)[6] // lorenz96
	p := methodtest.Problem[float32](t, e, 1, steps)
	o := core.Defaults[float32]()
	o.Method = "sequential"
	device := through[float32]{openBackend[float32](t), wide[float32]{}}
	if _, err := core.Solve[float32](device, methodtest.Problem[float32](t, e, 1, 10), &o, core.Host(make([]float32, 10*8))); err != nil { // compiled
		t.Fatal(err)
	}
	begun := time.Now()
	o.Poll = func() bool { return time.Since(begun) > 100*time.Millisecond }
	s, err := core.Solve[float32](device, p, &o, core.Host(make([]float32, steps*8)))
	var why *check.Error
	if took := time.Since(begun); !errors.As(err, &why) || why.Kind != check.Stopped || took > time.Second {
		t.Errorf("after %v: %v", took, err)
	}
	if s == nil || s.Results[0].Status != method.Interrupted {
		t.Errorf("the solution is %+v", s)
	}
}

// taker is a backend that only says what fits.
type taker[T num.Float] struct {
	*backend[T]
	taken *bool
}

func (b taker[T]) Solve(p *core.Plan[T], _ []int, _ []method.Result) error {
	*b.taken = b.backend.Fits(p) == nil
	return nil
}

// Every cell has a loop in every size, so that what "auto" falls back on runs. No device is needed to say so.
func TestLoopsFit(t *testing.T) {
	t.Run("float32", loopsFit[float32])
	t.Run("float64", loopsFit[float64])
}

func loopsFit[T num.Float](t *testing.T) {
	taken := false
	b := taker[T]{&backend[T]{device: &driver.Device{}}, &taken}
	o := core.Defaults[T]()
	o.Method = "sequential"
	for _, d := range []int{1, 9, 16, 33, 64, 200, 300} {
		for _, e := range wideExamples(d, 40) {
			p := methodtest.Problem[T](t, e, 1, 2)
			if _, err := core.Solve[T](b, p, &o, core.Host(make([]T, 2*p.Cell.Dim()))); err != nil || !taken {
				t.Errorf("%s/%s with D = %d has no loop: %v", e.Cell, e.Name, d, err)
			}
		}
	}
}
