package core_test

import (
	"fmt"
	"testing"

	"pards/core"
	"pards/core/method"
	"pards/core/num"
	"pards/core/param"
)

// More updates allocate no more: what one needs is there after the first. Helpers may come late and bring their scratch then, at whatever
// update; and a trust region's smoother makes some slices each time.
func TestUpdatesAllocateNothing(t *testing.T) {
	t.Run("float32", updatesAllocate[float32])
	t.Run("float64", updatesAllocate[float64])
}

func updatesAllocate[T num.Float](t *testing.T) {
	problems := map[string]*core.Problem[T]{"gru": gruScaled[T](8, 2, 400, 10), "langevin": langevinProblem[T](8, 1, 400)}
	settings := map[string]param.Values[T]{"block_newton": {"block": {Number: 4}}, "rotated_quasi_newton": {"refresh": {Text: "window", IsText: true}}}
	for _, e := range method.Entries() {
		if e.Name == "sequential" {
			continue
		}
		for name, p := range problems {
			for _, workers := range []int{1, 2} {
				var why string
				for range 3 { // pools lose things now and then, under the race detector on purpose
					if why = allocatesMore(t, e, p, workers, settings[e.Name]); why == "" {
						break
					}
				}
				if why != "" {
					t.Errorf("%s on %s, %d workers: %s", e.Name, name, workers, why)
				}
			}
		}
	}
}

// allocatesMore says how many more allocations many updates make than few, if they are too many.
func allocatesMore[T num.Float](t *testing.T, e method.Entry, p *core.Problem[T], workers int, settings param.Values[T]) string {
	const once, smoothed = 3, 30
	few, first := allocations(t, p, core.Options[T]{Method: e.Name, MaxIterations: 4, NumThreads: workers, Settings: settings})
	many, last := allocations(t, p, core.Options[T]{Method: e.Name, MaxIterations: 60, NumThreads: workers, Settings: settings})
	bound := once // scratch that only a later update asks for
	switch {
	case e.Structure == "kalman" || e.Structure == "kalman_diagonal":
		bound = smoothed * (last - first)
	case workers > 1:
		bound = last - first + 60
	}
	if last > first && int(many-few) <= bound {
		return ""
	}
	return fmt.Sprintf("%v allocations in %d updates and %v in %d, want at most %d more", few, first, many, last, bound)
}

// allocations returns how many a solve to the last bit makes, and its updates.
func allocations[T num.Float](t *testing.T, p *core.Problem[T], with core.Options[T]) (count float64, updates int) {
	o := core.Defaults[T]()
	o.Method, o.MaxIterations, o.NumThreads, o.Settings = with.Method, with.MaxIterations, with.NumThreads, with.Settings
	o.MeritTol, o.Nonfinite = 0, string(method.Continue)
	out := core.Host(make([]T, p.Batch*p.Length*p.Cell.Dim()))
	count = testing.AllocsPerRun(1, func() {
		s, err := core.Solve(core.CPU[T]{}, p, &o, out)
		if err != nil {
			t.Fatal(err)
		}
		updates = 0
		for _, r := range s.Results {
			updates += r.Iterations
		}
	})
	return count, updates
}
