//go:build cuda

package gpu

import (
	"errors"
	"math"

	"pards/core"
	"pards/core/num"
	"pards/gpu/driver"
)

func init() { register(rankWide, wide[float32]{}, wide[float64]{}) }

// wide steps through time with states of any size, a block or a cluster of blocks for each sequence: kernels/wide.cu.
type wide[T num.Float] struct{}

func (wide[T]) fits(p *core.Plan[T]) bool {
	if p.Name != "sequential" || p.Problem.Steps > math.MaxInt32/2 {
		return false
	}
	form, ok := wideOf(p.Given.Name, p.Given.Params, p.Problem.Dim, p.Problem.Inputs)
	if ok {
		_, ok = planWide(form, 0)
	}
	foundOf(p).wide = form
	return ok
}

func (wide[T]) solve(w *work[T]) error {
	if err := w.takeWords(); err != nil {
		return err
	}
	form, n := &foundOf(w.Plan).wide, len(w.members)
	plan, _ := planWide(*form, w.device.Arch)
	f, err := function(w.device, plan.variant, "wide", w.Poll)
	if err != nil {
		return err
	}
	t, decide, ahead, err := readyWide(w, form)
	if err != nil {
		return err
	}
	bad := neverBad(n)
	atBad, err := upload(w, bad)
	if err != nil {
		return err
	}
	d, err := takeDesk(w.device, w.stream, 0, 0)
	if err != nil {
		return err
	}
	defer d.giveBack()
	t.bad, t.stop = uint64(atBad), uint64(d.stop)
	stopped := false
	for from := 0; from < w.Problem.Steps && !stopped; from += ahead {
		t.first, t.steps = int32(from), int32(min(ahead, w.Problem.Steps-from))
		if err := decide(t.first, t.steps); err != nil {
			return err
		}
		if err := f.Launch(w.stream, [3]int{n * plan.blocks, 1, 1}, [3]int{plan.threads, 1, 1}, 0, driver.Struct(&t)); err != nil {
			return err
		}
		if stopped, err = d.wait(w.stream, w.Poll); err != nil {
			return err
		}
	}
	if err := download(w, bad, atBad); err != nil {
		return err
	}
	w.looped(bad, stopped)
	return nil
}

// readyWide brings what the loop needs; decide launches what comes before some steps of it, ahead of them at a time.
func readyWide[T num.Float](w *work[T], form *wideForm[T]) (t wideTask, decide func(first, steps int32) error, ahead int, err error) {
	t, d, sequences, ahead := form.tasks(w.Problem, len(w.members), inputsBytes)
	bring := func(to *uint64, data []T) {
		at, failed := upload(w, data)
		if *to = uint64(at); err == nil {
			err = failed
		}
	}
	bring(&t.weights, form.own)
	bring(&t.rest, form.rest)
	bring(&d.bias, form.bias)
	bring(&d.weights, form.in)
	members, failed := w.index()
	if err != nil || failed != nil {
		return t, nil, 0, errors.Join(err, failed)
	}
	t.x0, t.states, t.members, t.v = uint64(w.x0), uint64(w.states), uint64(members), uint64(w.u)
	if form.in == nil {
		if form.bias != nil {
			t.v = d.bias
		}
		return t, func(_, _ int32) error { return nil }, ahead, nil
	}
	v, err := w.alloc(sequences * ahead * form.drive * num.Size[T]())
	if err != nil {
		return t, nil, 0, err
	}
	d.u, d.members, d.v, t.v = uint64(w.u), t.members, uint64(v), uint64(v)
	f, err := function(w.device, inputsVariant(num.Size[T]()), "inputs", w.Poll)
	return t, func(first, steps int32) error {
		d.first, d.steps = first, steps
		return f.Launch(w.stream, [3]int{inputsBlocks(sequences, int(steps), form.drive), 1, 1}, [3]int{inputsThreads, 1, 1}, 0, driver.Struct(&d))
	}, ahead, err
}
