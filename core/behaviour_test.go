package core_test

import (
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pards/core"
	"pards/core/cell"
	"pards/core/cell/celltest"
	"pards/core/check"
	"pards/core/method"
	"pards/core/method/methodtest"
	"pards/core/num"
	"pards/core/param"
)

// growing is x[t] = 1e150 x[t-1], which overflows at the third step, from x0 = 1.
func growing(t *testing.T, steps int) *core.Problem[float64] {
	c, err := cell.New("linear", param.Values[float64]{"A": {Shape: []int{1, 1}, Data: []float64{1e150}}})
	must(t, err)
	return &core.Problem[float64]{Cell: c, Batch: 1, Length: steps, X0: core.Array[float64]{Data: []float64{1}, Shape: []int{1}}}
}

// An update that overflows ends a solve, is taken, or has its NaNs replaced; what comes before it stays right.
func TestNonfinite(t *testing.T) {
	for _, c := range []struct {
		policy string
		resets bool
	}{{"stop", false}, {"continue", false}, {"reset", true}} {
		p, o, states := growing(t, 6), core.Defaults[float64](), make([]float64, 6)
		o.Method, o.MeritTol, o.Nonfinite = "picard", 0, c.policy
		s, err := core.Solve(core.CPU[float64]{}, p, &o, core.Host(states))
		must(t, err)
		r := s.Results[0]
		if r.Status != method.Nonfinite || r.BadStep < 1 || (r.Resets > 0) != c.resets {
			t.Errorf("%s: %s, bad step %d, %d resets", c.policy, r.Status, r.BadStep, r.Resets)
		}
		if c.policy == "continue" && (states[0] != 1e150 || !math.IsInf(states[2], 1) && !math.IsNaN(states[2])) {
			t.Errorf("continue: states %v", states)
		}
	}
	o, states := core.Defaults[float64](), make([]float64, 6)
	o.Method = "sequential"
	s, err := core.Solve(core.CPU[float64]{}, growing(t, 6), &o, core.Host(states))
	must(t, err)
	if r := s.Results[0]; r.Status != method.Nonfinite || r.BadStep != 2 || states[1] < 1e299 {
		t.Errorf("sequential: %s, bad step %d, states %v", r.Status, r.BadStep, states)
	}
}

// A window that fails ends its sequence: later states are the guess.
func TestFailedWindow(t *testing.T) {
	for _, guess := range [][]float64{nil, {7, 7, 7, 7, 7, 7}} {
		p, o, states := growing(t, 6), core.Defaults[float64](), make([]float64, 6)
		if guess != nil {
			p.Guess = core.Array[float64]{Data: guess, Shape: []int{6, 1}}
		}
		o.Method, o.Window = "newton", 2
		s, err := core.Solve(core.CPU[float64]{}, p, &o, core.Host(states))
		must(t, err)
		want := 1.0 // x0
		if guess != nil {
			want = 7
		}
		if s.Worst() != method.Nonfinite || states[0] != 1e150 || states[4] != want || states[5] != want {
			t.Errorf("%s, states %v", s.Worst(), states)
		}
	}
}

// Progress is there for a poll to read, and a solve that a poll stops is an error.
func TestProgress(t *testing.T) {
	for _, name := range []string{"jacobi", "sequential"} {
		p := growing(t, 1<<22)
		p.Cell, p.X0.Data[0] = linear[float64](t), 1
		p.Inputs = core.Array[float64]{Data: make([]float64, p.Length), Shape: []int{p.Length, 1}}
		o := core.Defaults[float64]()
		var last method.Report
		o.Method, o.MeritTol, o.Progress = name, 0, &method.Progress{}
		o.Poll = func() bool {
			last = o.Progress.Get()
			return last.Iteration > 0
		}
		s, err := core.Solve(core.CPU[float64]{}, p, &o, core.Host(make([]float64, p.Length)))
		if e, ok := err.(*check.Error); !ok || e.Kind != check.Stopped || s.Worst() != method.Interrupted {
			t.Fatalf("%s: got %v", name, err)
		}
		if last.Windows != 1 || last.Sequences != 1 || last.Iteration == 0 {
			t.Errorf("%s: %+v", name, last)
		}
	}
}

// broad is a callable of many components that is never called.
type broad struct {
	cell.Cell[float32]
	dim int
}

func (broad) Calls()      {}
func (b broad) Dim() int  { return b.dim }
func (broad) Inputs() int { return 0 }

// What cannot fit in memory is refused before it is allocated, with advice.
func TestMemory(t *testing.T) {
	const dim, steps = 2048, 1 << 15 // Jacobians of half a TiB, twice
	p := &core.Problem[float32]{Cell: broad{dim: dim}, Batch: 1, Length: steps, X0: core.Array[float32]{Data: make([]float32, dim), Shape: []int{dim}}}
	states := make([]float32, steps*dim)
	for name, want := range map[string]string{"newton": `are free; window=`, "block_newton": "are free; "} {
		o := core.Defaults[float32]()
		o.Method = name
		if name == "block_newton" {
			o.Settings = param.Values[float32]{"block": {Number: 1024}}
		}
		_, err := core.Solve(core.CPU[float32]{}, p, &o, core.Host(states))
		e, ok := err.(*check.Error)
		if !ok || e.Kind != check.Memory || !strings.Contains(err.Error(), "solve: method "+name+" with batch 1, T = 32768, D = 2048") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("got %v", err)
		}
	}
}

// Problems that do not fit their model or themselves.
func TestBadProblems(t *testing.T) {
	array := func(shape []int, data ...float64) core.Array[float64] {
		return core.Array[float64]{Data: data, Shape: shape}
	}
	for _, c := range []struct {
		change func(*core.Problem[float64])
		want   string
	}{
		{func(p *core.Problem[float64]) { p.Length = -1 }, "solve: length is -1, want at least 0"},
		{func(p *core.Problem[float64]) { p.X0 = array([]int{2}, 0, 0) }, "solve: x0 has shape (2,), want (D,) = (1,)"},
		{func(p *core.Problem[float64]) { p.X0 = array([]int{1}, math.Inf(1)) }, "solve: x0 holds +Inf at (0,), want finite numbers"},
		{func(p *core.Problem[float64]) { p.Guess = array([]int{1, 1}, 0) }, "solve: guess has shape (1, 1), want (T, D) = (3, 1)"},
		{func(p *core.Problem[float64]) { p.Inputs = core.Array[float64]{} }, "solve: inputs is None, want (T, M) or (B, T, M) with M = 1"},
		{func(p *core.Problem[float64]) { p.Cell = growing(t, 1).Cell }, "solve: inputs has shape (3, 1), want None and length=T"},
		{func(p *core.Problem[float64]) { p.Batch = 2 }, "solve: states holds 3 numbers, want B T D = 6"},
	} {
		p, o := problem(t), core.Defaults[float64]()
		c.change(p)
		_, err := core.Solve(core.CPU[float64]{}, p, &o, core.Host(make([]float64, 3)))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}

// Scan checks its arguments, looks up the structure by its name, and stops when told.
func TestScan(t *testing.T) {
	ones := func(shape ...int) core.Array[float64] {
		n := 1
		for _, k := range shape {
			n *= k
		}
		a := core.Array[float64]{Data: make([]float64, n), Shape: shape}
		for i := range a.Data {
			a.Data[i] = 1
		}
		return a
	}
	for _, c := range []struct {
		name string
		a    core.Array[float64]
		last float64 // of x[t] = A x[t-1] + 1 from 1, three steps
	}{
		{"dense", ones(1, 3, 2, 2), 15}, {"diagonal", ones(1, 3, 2), 4}, {"scaled_identity", ones(1, 3), 4}, {"identity", core.Array[float64]{}, 4},
		{"zero", core.Array[float64]{}, 1}, {"permutation", core.Array[float64]{Data: []float64{1, 0, 1, 0, 1, 0}, Shape: []int{1, 3, 2}}, 4},
		{"block_diagonal", ones(1, 3, 1, 2, 2), 15},
	} {
		out := ones(1, 3, 2)
		must(t, core.Scan(c.name, c.a, ones(1, 3, 2), ones(1, 2), out, false, 1, nil))
		if out.Data[5] != c.last {
			t.Errorf("%s: %v, want %v at the end", c.name, out.Data, c.last)
		}
		must(t, core.Scan(c.name, c.a, ones(1, 3, 2), core.Array[float64]{}, out, true, 1, nil))
	}
	for want, err := range map[string]error{
		`scan: structure is "round", want one of`:                             core.Scan("round", ones(1, 3), ones(1, 3, 2), ones(1, 2), ones(1, 3, 2), false, 1, nil),
		"scan: A (block_diagonal) has shape (1, 3, 1, 3, 3), want blocks":     core.Scan("block_diagonal", ones(1, 3, 1, 3, 3), ones(1, 3, 2), ones(1, 2), ones(1, 3, 2), false, 1, nil),
		"scan: A (permutation) has a row that holds 1 twice":                  core.Scan("permutation", ones(1, 3, 2), ones(1, 3, 2), ones(1, 2), ones(1, 3, 2), false, 1, nil),
		"scan: A (diagonal) has shape (1, 2, 2), want (1, 3, 2); b has shape": core.Scan("diagonal", ones(1, 2, 2), ones(1, 3, 2), ones(1, 2), ones(1, 3, 2), false, 1, nil),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// crossing is a chain of a double well, driven hard, from a guess that lies uphill: whole, its iterates overflow.
func crossing[T num.Float](t *testing.T, steps int) (p *core.Problem[T], want []T) {
	c, err := cell.New("langevin", param.Values[T]{"means": {Shape: []int{2, 1}, Data: []T{-1, 1}},
		"precisions": {Shape: []int{2, 1, 1}, Data: []T{6, 6}}, "log_weights": {Shape: []int{2}, Data: make([]T, 2)}, "step_size": {Number: 0.02}})
	must(t, err)
	u, guess := make([]T, steps), make([]T, steps)
	for i := range u {
		u[i] = T(math.Sin(float64(i*i%97)) * 1.5)
	}
	p = &core.Problem[T]{Cell: c, Batch: 1, Length: steps, X0: core.Host([]T{0}), Inputs: core.Host(u, steps, 1), Guess: core.Host(guess, steps, 1)}
	return p, methodtest.Loop(t, p)
}

// A solve that overflows whole converges in windows that adapt, and by damping that adapts; what was given up is told.
func TestGlobalised(t *testing.T) { globalised[float32](t); globalised[float64](t) }

func globalised[T num.Float](t *testing.T) {
	p, want := crossing[T](t, 4000)
	for _, c := range []struct {
		window  int
		damping float64
		ok      bool
	}{{0, 0, false}, {core.Auto, 0, true}, {0, core.Auto, true}, {core.Auto, core.Auto, true}} {
		o, states := core.Defaults[T](), make([]T, len(want))
		o.Method, o.Window, o.Damping, o.Trace = "quasi_newton", c.window, c.damping, true
		s, err := core.Solve(core.CPU[T]{}, p, &o, core.Host(states))
		must(t, err)
		r := s.Results[0]
		if r.Status.Success() != c.ok {
			t.Errorf("window %d, damping %v: %s after %d updates", c.window, c.damping, r.Status, r.Iterations)
		}
		if d := apart(states, want); c.ok && !(d < 1e-3) {
			t.Errorf("window %d, damping %v: %v from the loop", c.window, c.damping, d)
		}
		updates, on := 0, 0
		for i, k := range r.Windows {
			updates += k
			if c.window == core.Auto {
				on += r.Advances[i]
			}
		}
		if updates != r.Iterations || len(r.Trace) != updates+len(r.Windows) || c.window == core.Auto && on != p.Length {
			t.Errorf("%d updates in windows of %v, which advance by %v, %d rows of trace", r.Iterations, r.Windows, r.Advances, len(r.Trace))
		}
	}
}

// evenly is a backend whose windows have one length, as those of a GPU.
type evenly struct{ core.CPU[float64] }

func (evenly) Solve(_ *core.Plan[float64], members []int, results []method.Result) error {
	for _, m := range members {
		results[m].Windows = []int{2, 3, 2}
	}
	return nil
}

// The window of a solution is the longest that was solved, also where windows might have been longer.
func TestLongestWindow(t *testing.T) {
	p, want := crossing[float64](t, 3000)
	o, states := core.Defaults[float64](), make([]float64, len(want))
	o.Method, o.Window = "quasi_newton", core.Auto
	even, err := core.Solve(evenly{}, p, &o, core.Host(states))
	must(t, err)
	adapted, err := core.Solve(core.CPU[float64]{}, p, &o, core.Host(states))
	must(t, err)
	o.Method = "auto"
	looped, err := core.Solve(core.CPU[float64]{}, p, &o, core.Host(states))
	must(t, err)
	if longest := slices.Max(adapted.Results[0].Advances); even.Window != 1024 || adapted.Window != longest || looped.Window != 0 {
		t.Errorf("windows of %d, %d and %d, want 1024, %d and none of the plain loop", even.Window, adapted.Window, looped.Window, longest)
	}
}

// apart is the largest difference.
func apart[T num.Float](a, b []T) (most float64) {
	for i, v := range a {
		most = num.Max(most, math.Abs(float64(v-b[i])))
	}
	return most
}

// counted is a chain that counts the Jacobians it is asked for, which only a new basis needs.
type counted struct {
	cell.Cell[float64]
	rows *atomic.Int64
}

func (c counted) Jacobian(b cell.Block[float64], j []float64) error {
	c.rows.Add(int64(b.N))
	return c.Cell.Jacobian(b, j)
}

func (c counted) Rotate(q []float64) func(cell.Block[float64], []float64) error {
	return c.Cell.(cell.Rotator[float64]).Rotate(q)
}

// A basis that contracts is kept, from window to window.
func TestContraction(t *testing.T) {
	p, _ := crossing[float64](t, 600)
	c, rows := counted{p.Cell, new(atomic.Int64)}, map[string]int64{}
	for _, refresh := range []string{"iteration", "window", "contraction", "never"} {
		c.rows = new(atomic.Int64)
		p.Cell, p.Guess = c, core.Array[float64]{}
		o, states := core.Defaults[float64](), make([]float64, 600)
		o.Method, o.Window, o.Settings = "rotated_quasi_newton", 50, param.Values[float64]{"refresh": {Text: refresh, IsText: true}}
		s, err := core.Solve(core.CPU[float64]{}, p, &o, core.Host(states))
		must(t, err)
		if rows[refresh] = c.rows.Load(); !s.Worst().Success() {
			t.Errorf("%s: %s", refresh, s.Worst())
		}
	}
	if !(rows["never"] < rows["contraction"] && rows["contraction"] < rows["window"] && rows["window"] < rows["iteration"]) {
		t.Errorf("Jacobians: %v", rows)
	}
}

// affineCounted is counted, and solved by one update.
type affineCounted struct{ counted }

func (affineCounted) Affine() {}

// The Jacobians of the last iterate, whose successor nobody wants, are not asked for: where one update is exact, where the updates promise what
// passes, where no more are allowed, and by merits that fall.
func TestLastIterateIsOnlyTested(t *testing.T) {
	const batch, steps = 2, 400
	for _, e := range celltest.Examples[:4] {
		for _, how := range []string{"rtol", "merit", "cap"} {
			p, o, rows := methodtest.Problem[float64](t, e, batch, steps), core.Defaults[float64](), new(atomic.Int64)
			c := counted{p.Cell, rows}
			if p.Cell = c; e.Cell == "linear" {
				p.Cell = affineCounted{c}
			}
			o.Method = "newton"
			switch how {
			case "merit":
				o.MeritTol = 5e-4
			case "cap":
				o.MaxIterations = 1
			}
			s, err := core.Solve(core.CPU[float64]{}, p, &o, core.Host(make([]float64, batch*steps*p.Cell.Dim())))
			must(t, err)
			updates := 0
			for _, r := range s.Results {
				updates += r.Iterations
			}
			most := int64(updates * steps)
			if how == "merit" && e.Cell == "gru" { // a guess, which is right for one of the two at least
				most += steps
			}
			if rows.Load() > most {
				t.Errorf("%s/%s by %s: %d Jacobians for %d updates of %d steps", e.Cell, e.Name, how, rows.Load(), updates, steps)
			}
		}
	}
}

// short is a backend whose windows the loop takes over where they get shorter than some steps.
type short struct {
	core.CPU[float64]
	least int
}

func (s short) Choices(*core.Problem[float64], *core.Options[float64]) []core.Choice {
	return []core.Choice{{Method: "newton", LeastWindow: s.least}, {Method: "sequential"}}
}

// One update does not suffice but for windows of one step: with a least length the loop solves all the others, without one nothing.
func TestLeastWindow(t *testing.T) {
	for least, want := range map[int]string{0: "newton", 50: "newton+sequential"} {
		p := methodtest.Problem[float64](t, celltest.Examples[2], 2, 400)
		o := core.Defaults[float64]()
		o.MaxIterations = 1
		out := make([]float64, 2*400*p.Cell.Dim())
		s, err := core.Solve[float64](short{least: least}, p, &o, core.Host(out))
		if err != nil || s.Method != want || !s.Worst().Success() {
			t.Fatalf("least %d: %v by %q, %v, want %q", least, s.Worst(), s.Method, err, want)
		}
		for _, r := range s.Results {
			if many := len(r.Windows) > 100; many == (least > 0) {
				t.Errorf("least %d: %d windows, %d steps looped", least, len(r.Windows), r.Looped)
			}
		}
	}
}
