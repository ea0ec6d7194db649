package core_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pards/core"
	"pards/core/cell"
	"pards/core/check"
	"pards/core/num"
	"pards/core/param"
)

func linear[T num.Float](t *testing.T) cell.Cell[T] {
	t.Helper()
	one := param.Value[T]{Shape: []int{1, 1}, Data: []T{0.5}}
	c, err := cell.New("linear", param.Values[T]{"A": one, "B": one})
	must(t, err)
	return c
}

func problem(t *testing.T) *core.Problem[float64] {
	return &core.Problem[float64]{Cell: linear[float64](t), Batch: 1, Length: 3,
		X0: core.Array[float64]{Data: []float64{0}, Shape: []int{1}}, Inputs: core.Array[float64]{Data: []float64{1, 1, 1}, Shape: []int{3, 1}}}
}

func TestBadOptions(t *testing.T) {
	for _, c := range []struct {
		change func(*core.Options[float64])
		want   string
	}{
		{func(o *core.Options[float64]) { o.Method = "nothing" }, `solve: method is "nothing", want one of`},
		{func(o *core.Options[float64]) { o.Rtol = 0 }, "solve: rtol is 0, want a finite number above 0"},
		{func(o *core.Options[float64]) { o.Rtol = math.Inf(1) }, "solve: rtol is +Inf"},
		{func(o *core.Options[float64]) { o.Atol = -1 }, "solve: atol is -1"},
		{func(o *core.Options[float64]) { o.MeritTol = -1 }, "solve: merit_tol is -1"},
		{func(o *core.Options[float64]) { o.MeritTol, o.Atol = 1, 1 }, "solve: merit_tol came with rtol or atol"},
		{func(o *core.Options[float64]) { o.MaxIterations = -2 }, "solve: max_iterations is -2"},
		{func(o *core.Options[float64]) { o.Window = -2 }, "solve: window is -2"},
		{func(o *core.Options[float64]) { o.Damping = math.NaN() }, "solve: damping is NaN"},
		{func(o *core.Options[float64]) { o.Nonfinite = "no" }, `solve: nonfinite is "no"`},
		{func(o *core.Options[float64]) { o.NumThreads = -1 }, "solve: num_threads is -1"},
		{func(o *core.Options[float64]) { o.Settings = param.Values[float64]{"x": {}} }, `solve: method is "auto"`},
	} {
		o := core.Defaults[float64]()
		c.change(&o)
		_, err := core.Solve(core.CPU[float64]{}, problem(t), &o, core.Host(make([]float64, 3)))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// auto says what it chose and why.
func TestAuto(t *testing.T) {
	o := core.Defaults[float64]()
	states := make([]float64, 3)
	s, err := core.Solve(core.CPU[float64]{}, problem(t), &o, core.Host(states))
	if err != nil || s.Method != "sequential" || !strings.Contains(s.Reason, "native") {
		t.Fatalf("%+v, %v", s, err)
	}
	for i, want := range []float64{0.5, 0.75, 0.875} { // exact in binary
		if states[i] != want {
			t.Errorf("states %v", states)
		}
	}
}

// One long sequence of one affine component is scanned, unless it is to be damped; where that overflows the loop goes on and ends alike.
func TestAutoScansOneComponent(t *testing.T) {
	const steps = 10_000
	for _, c := range []struct {
		steps   int
		a, damp float64
		want    string
	}{{steps, 0.5, 0, "newton"}, {steps - 1, 0.5, 0, "sequential"}, {steps, 0.5, 0.25, "sequential"}, {steps, 1.5, 0, "newton+sequential"}} {
		one := param.Value[float64]{Shape: []int{1, 1}, Data: []float64{c.a}}
		linear, err := cell.New("linear", param.Values[float64]{"A": one, "B": one})
		must(t, err)
		p := &core.Problem[float64]{Cell: linear, Batch: 1, Length: c.steps, X0: core.Host([]float64{1}), Inputs: core.Host(make([]float64, c.steps), c.steps, 1)}
		o, states, loop := core.Defaults[float64](), make([]float64, c.steps), make([]float64, c.steps)
		o.Damping = c.damp
		got, err := core.Solve(core.CPU[float64]{}, p, &o, core.Host(states))
		must(t, err)
		o.Method = "sequential"
		want, err := core.Solve(core.CPU[float64]{}, p, &o, core.Host(loop))
		must(t, err)
		if got.Method != c.want || got.Worst() != want.Worst() || !slices.Equal(states, loop) {
			t.Errorf("%+v: %s, %s, as the loop: %v", c, got.Method, got.Worst(), slices.Equal(states, loop))
		}
		if overflows := c.a > 1; overflows != strings.Contains(got.Reason, "newton ended as nonfinite") || overflows != strings.Contains(got.Reason, "the first overflow at step") {
			t.Errorf("%+v: %s", c, got.Reason)
		}
	}
}

// A poll that says stop ends a solve, which reports it as an error of its own kind.
func TestStopped(t *testing.T) {
	p := problem(t)
	p.Length = 1 << 20
	p.Inputs = core.Array[float64]{Data: make([]float64, p.Length), Shape: []int{p.Length, 1}}
	o := core.Defaults[float64]()
	o.Method, o.MeritTol, o.Poll = "jacobi", 0, func() bool { return true }
	p.X0.Data[0] = 1
	_, err := core.Solve(core.CPU[float64]{}, p, &o, core.Host(make([]float64, p.Length)))
	if e, ok := err.(*check.Error); !ok || e.Kind != check.Stopped {
		t.Fatalf("got %v", err)
	}
}

func TestSettings(t *testing.T) {
	array := func(shape []int, data ...float64) param.Value[float64] {
		return param.Value[float64]{Shape: shape, Data: data}
	}
	for _, c := range []struct {
		method   string
		settings param.Values[float64]
		want     string
	}{
		{"newton", param.Values[float64]{"probes": {Number: 1}}, `Newton: parameter is "probes"`},
		{"quasi_newton", param.Values[float64]{"diagonal": {IsText: true, Text: "some"}}, `QuasiNewton: diagonal is "some", want one of exact, hutchinson`},
		{"quasi_newton", param.Values[float64]{"diagonal": {Number: 1}}, "QuasiNewton: diagonal is not a text"},
		{"quasi_newton", param.Values[float64]{"fresh": {Number: 1}}, `QuasiNewton: diagonal is "exact"`},
		{"quasi_newton", param.Values[float64]{"diagonal": {IsText: true, Text: "hutchinson"}, "probes": {Number: 0.5}}, "QuasiNewton: probes is 0.5, want a whole number"},
		{"quasi_newton", param.Values[float64]{"diagonal": {IsText: true, Text: "hutchinson"}, "signs": array([]int{1, 2, 1}, 1, 1)}, "QuasiNewton: signs has shape (1, 2, 1), want (probes, T, D) = (1, 3, 1); T is fixed by the problem's length"},
		{"quasi_newton", param.Values[float64]{"diagonal": {IsText: true, Text: "hutchinson"}, "signs": array([]int{1, 3, 1}, 1, 0, 1)}, "QuasiNewton: signs holds 0, want 1 and -1 only"},
		{"elk", param.Values[float64]{"adaptive": {Number: -1}}, "ELK: adaptive is -1, want True or False"},
		{"quasi_elk", param.Values[float64]{"smoother": {Number: 0.5}}, "QuasiELK: smoother is 0.5, want True or False"},
		{"rotated_quasi_newton", param.Values[float64]{"basis": array([]int{1, 1}, 2)}, "RotatedQuasiNewton: basis is not orthogonal"},
	} {
		o := core.Defaults[float64]()
		o.Method, o.Settings = c.method, c.settings
		_, err := core.Solve(core.CPU[float64]{}, problem(t), &o, core.Host(make([]float64, 3)))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}

// The first of several bad numbers of a long array is named, whoever finds it, and nothing is written.
func TestFirstBadInput(t *testing.T) {
	const batch, steps = 4, 100_003
	for _, workers := range []int{1, 2, 5} {
		for _, c := range []struct {
			bad  []int // in the inputs
			with float64
			want string
		}{
			{[]int{3*steps + 17, 2*steps + 5}, 8, "solve: inputs holds 8 at (2, 5), want words: whole numbers from 0 to 7"},
			{[]int{steps - 1, steps, 3 * steps}, 0.5, "solve: inputs holds 0.5 at (0, 100002), want words"},
			{[]int{batch*steps - 1}, -1, "solve: inputs holds -1 at (3, 100002), want words"},
			{[]int{0}, math.NaN(), "solve: inputs holds NaN at (0, 0, 0), want finite numbers"},
			{[]int{1 << 16, 1<<16 + 1}, math.Inf(1), "solve: inputs holds +Inf at (0, 65536, 0), want finite numbers"},
		} {
			p := wordProblem[float32](5, batch, steps)
			for _, i := range c.bad {
				p.Inputs.Data[i] = float32(c.with)
			}
			o, out := core.Defaults[float32](), make([]float32, batch*steps*5)
			o.NumThreads = workers
			_, err := core.Solve(core.CPU[float32]{}, p, &o, core.Host(out))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%d workers: got %v, want %s", workers, err, c.want)
			}
			if slices.ContainsFunc(out, func(v float32) bool { return v != 0 }) {
				t.Errorf("%d workers, %s: states were written", workers, c.want)
			}
		}
	}
}

// The loop tells the first state that is not finite, in whichever block of steps it is, and steps on.
func TestFirstBadStep(t *testing.T) {
	for _, batch := range []int{1, 3} {
		for _, bad := range []int{0, 1, 1023, 1024, 5000, 9999} {
			const steps = 10_000
			u, start, one := make([]float64, batch*steps), make([]float64, batch), param.Value[float64]{Shape: []int{1, 1}, Data: []float64{1}}
			u[(batch-1)*steps+bad], u[(batch-1)*steps+steps-1] = math.MaxFloat64, math.MaxFloat64
			start[batch-1] = math.MaxFloat64
			c, err := cell.New("linear", param.Values[float64]{"A": one, "B": one})
			must(t, err)
			p := &core.Problem[float64]{Cell: c, Batch: batch, Length: steps, X0: core.Host(start, batch, 1), Inputs: core.Host(u, batch, steps, 1)}
			o := core.Defaults[float64]()
			o.Method = "sequential"
			solution, err := core.Solve(core.CPU[float64]{}, p, &o, core.Host(make([]float64, batch*steps)))
			must(t, err)
			for i, r := range solution.Results {
				want, status := -1, "converged"
				if i == batch-1 {
					want, status = bad, "nonfinite"
				}
				if r.BadStep != want || r.Status.String() != status || r.Looped != steps {
					t.Errorf("batch %d, bad %d: sequence %d is %s, step %d, %d looped", batch, bad, i, r.Status, r.BadStep, r.Looped)
				}
			}
		}
	}
}
