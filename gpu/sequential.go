//go:build cuda

package gpu

import (
	"math"
	"unsafe"

	"pards/core"
	"pards/core/method"
	"pards/core/num"
	"pards/gpu/driver"
)

func init() { register(rankSequential, sequential[float32]{}, sequential[float64]{}) }

// sequential steps through time, a warp for each sequence: kernels/sequential.cu.
type sequential[T num.Float] struct{}

// loopArgs is loop of kernels/sequential.cu.
type loopArgs struct {
	x0, u, weights, table, states, members, bad, stop driver.Ptr
	x0Stride, uStride                                 int64
	sequences, steps                                  int32
}

func (sequential[T]) fits(p *core.Plan[T]) bool {
	if p.Name != "sequential" || p.Problem.Dim > mostDiagonal || p.Problem.Steps > math.MaxInt32/2 {
		return false
	}
	form, ok := formOf(p.Given.Name, p.Given.Params, p.Problem.Dim, p.Problem.Inputs)
	foundOf(p).form = form
	return ok
}

func (sequential[T]) solve(w *work[T]) error {
	p := w.Problem
	cell := foundOf(w.Plan).form
	f, err := function(w.device, loopVariant[T](cell, p.Dim, p.Inputs), "sequential", w.Poll)
	if err != nil {
		return err
	}
	a := loopArgs{x0: w.x0, u: w.u, states: w.states, x0Stride: int64(p.X0Stride), uStride: int64(p.UStride), sequences: int32(len(w.members)), steps: int32(p.Steps)}
	if a.weights, err = upload(w, cell.flat); err != nil {
		return err
	}
	if a.table, err = upload(w, cell.words); err != nil {
		return err
	}
	if err := w.takeWords(); err != nil {
		return err
	}
	if a.members, err = w.index(); err != nil {
		return err
	}
	d, err := takeDesk(w.device, w.stream, 0, 4*len(w.members))
	if err != nil {
		return err
	}
	defer d.giveBack()
	a.stop, a.bad = d.stop, d.at+deskHead
	if err := f.Launch(w.stream, [3]int{len(w.members), 1, 1}, [3]int{32, 1, 1}, 0, driver.Struct(&a)); err != nil {
		return err
	}
	stopped, err := d.wait(w.stream, w.Poll)
	if err != nil {
		return err
	}
	w.looped(unsafe.Slice((*int32)(unsafe.Add(d.host, deskHead)), len(w.members)), stopped)
	return nil
}

// neverBad are what the first bad rows are until there is one; -1 means the same.
func neverBad(n int) []int32 {
	bad := make([]int32, n)
	for i := range bad {
		bad[i] = math.MaxInt32
	}
	return bad
}

// looped tells of a loop, which one that failed may have come before: the first bad row of each member, if there is one.
func (w *work[T]) looped(bad []int32, stopped bool) {
	p := w.Problem
	for i, m := range w.members {
		r := method.Result{BadStep: -1, Update: nan, Done: p.Steps, Looped: p.Steps}.After(w.results[m])
		if r.Windows == nil {
			r.Windows = make([]int, (p.Steps+w.Options.Window-1)/w.Options.Window)
		}
		if stopped {
			r.Status = method.Interrupted
		} else if bad[i] >= 0 && bad[i] < math.MaxInt32 {
			r.Status, r.BadStep, r.Error, r.Merit, r.Residual = method.Nonfinite, int(bad[i]), nan, math.Inf(1), math.Inf(1)
		}
		w.results[m] = r
	}
}

// index brings the numbers of the members to the device, 0 where they are the whole batch.
func (w *work[T]) index() (driver.Ptr, error) {
	if len(w.members) == w.Problem.Batch {
		return 0, nil
	}
	index := make([]int32, len(w.members))
	for i, m := range w.members {
		index[i] = int32(m)
	}
	return upload(w, index)
}
