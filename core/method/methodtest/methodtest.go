// Package methodtest holds every registered method, on every example cell, to the plain loop. It takes the solver as an argument, so
// that another backend passes the same table.
package methodtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pards/core"
	"pards/core/cell"
	"pards/core/cell/celltest"
	"pards/core/method"
	"pards/core/num"
	"pards/core/param"
)

// Solver runs one solve.
type Solver[T num.Float] func(p *core.Problem[T], o *core.Options[T], states []T) (*core.Solution, error)

// Lengths are none, one, two, around the blocks of small cells, and a prime beyond.
var Lengths = []int{0, 1, 2, 7, 8, 9, 67}

// settings of the methods that cannot do without, as numbers.
var settings = map[string]map[string]float64{"block_newton": {"block": 2}}

// approaches are the methods that hold their updates back, so that T of them need not give the trajectory exactly.
var approaches = map[string]bool{"elk": true, "quasi_elk": true}

// surely are those that reach the trajectory of every example.
var surely = map[string]bool{"newton": true, "sequential": true, "elk": true}

// variant is a way to set a method: every method is taken as it is, and restrained; some have settings of their own.
type variant struct {
	of, name string // of: one method; empty: all
	numbers  map[string]float64
	texts    map[string]string
	damping  float64
	clip     bool
}

var variants = []variant{
	{name: "plain"},
	{name: "restrained", damping: 0.3, clip: true},
	{name: "damped", damping: 0.7},
	{name: "adaptive", damping: core.Auto},
	{of: "quasi_newton", name: "hutchinson", numbers: map[string]float64{"probes": 2}, texts: map[string]string{"diagonal": "hutchinson"}},
	{of: "quasi_newton", name: "fresh", numbers: map[string]float64{"fresh": 1}, texts: map[string]string{"diagonal": "hutchinson"}},
	{of: "rotated_quasi_newton", name: "never", texts: map[string]string{"refresh": "never"}},
	{of: "rotated_quasi_newton", name: "pieces", texts: map[string]string{"refresh": "pieces"}},
	{of: "rotated_quasi_newton", name: "window", texts: map[string]string{"refresh": "window"}},
	{of: "rotated_quasi_newton", name: "contraction", texts: map[string]string{"refresh": "contraction"}},
	{of: "chord", name: "period 1", numbers: map[string]float64{"period": 1}},
	{of: "elk", name: "fixed", numbers: map[string]float64{"adaptive": 0, "trust": 100}},
	{of: "elk", name: "filter", numbers: map[string]float64{"smoother": 0}},
	{of: "quasi_elk", name: "fixed", numbers: map[string]float64{"adaptive": 0, "trust": 100}},
	{of: "quasi_elk", name: "filter", numbers: map[string]float64{"smoother": 0}},
}

// options returns the defaults for a method.
func options[T num.Float](name string, v variant) core.Options[T] {
	o := core.Defaults[T]()
	o.Method, o.Settings, o.Damping, o.Clip = name, param.Values[T]{}, v.damping, v.clip
	for _, numbers := range []map[string]float64{settings[name], v.numbers} {
		for k, x := range numbers {
			o.Settings[k] = param.Value[T]{Number: x}
		}
	}
	for k, x := range v.texts {
		o.Settings[k] = param.Value[T]{Text: x, IsText: true}
	}
	return o
}

// Loop is the oracle: the plain loop, one state at a time.
func Loop[T num.Float](t testing.TB, p *core.Problem[T]) []T {
	d, m := p.Cell.Dim(), p.Cell.Inputs()
	out := make([]T, p.Batch*p.Length*d)
	for b := range p.Batch {
		x := p.X0.Data[b*d : (b+1)*d]
		for s := range p.Length {
			y := out[(b*p.Length+s)*d:][:d]
			u := p.Inputs.Data[(b*p.Length+s)*m:][:m]
			if err := p.Cell.Step(step(x, u, y)); err != nil {
				t.Fatal(err)
			}
			x = y
		}
	}
	return out
}

// Problem draws an example's problem: a batch of sequences from different states, with different inputs and the default guess.
func Problem[T num.Float](t testing.TB, e celltest.Example, batch, length int) *core.Problem[T] {
	c, x, u := celltest.Make[T](t, e, batch*(length+1))
	p := &core.Problem[T]{Cell: c, Name: e.Cell, Params: celltest.Values[T](e), Batch: batch, Length: length,
		X0: core.Array[T]{Data: x[:batch*c.Dim()], Shape: []int{batch, c.Dim()}}}
	if c.Inputs() > 0 {
		p.Inputs = core.Array[T]{Data: u[:batch*length*c.Inputs()], Shape: []int{batch, length, c.Inputs()}}
	}
	return p
}

// Run holds a solver to the table.
func Run[T num.Float](t *testing.T, solve Solver[T]) {
	for _, e := range celltest.Examples {
		for _, m := range method.Entries() {
			for _, length := range Lengths {
				t.Run(fmt.Sprintf("%s/%s/%s/T%d", e.Cell, e.Name, m.Name, length), func(t *testing.T) {
					p := Problem[T](t, e, 3, length)
					want := Loop(t, p)
					for _, v := range variants {
						switch {
						case v.of != "" && v.of != m.Name:
						case !approaches[m.Name]:
							exact(t, solve, p, m.Name, v, want)
						case v.name != "plain":
							promised(t, solve, p, m.Name, v, want)
						}
					}
					promised(t, solve, p, m.Name, variant{name: "plain"}, want)
					promised(t, solve, Called(p), m.Name, variant{name: "plain"}, want)
				})
			}
		}
	}
	for _, m := range method.Entries() {
		t.Run("wells/"+m.Name, func(t *testing.T) { Honest(t, solve, m.Name) })
	}
}

// wells are chains in a stiff double well that begin on its ridge, where J = 3.8: first iterates are of 1e25, and come down by many orders an
// update. The estimate of the error alone ends one in thirty of them with a residual of the wells' size.
var wells = celltest.Example{Cell: "langevin", Name: "wells", Params: func(*rand.Rand) param.Values[float64] {
	return param.Values[float64]{"step_size": {Number: 0.05}, "means": {Shape: []int{2, 1}, Data: []float64{-1, 1}},
		"precisions": {Shape: []int{2, 1, 1}, Data: []float64{8, 8}}, "log_weights": {Shape: []int{2}, Data: []float64{0, 0}}}
}}

// Honest: a sequence that is said to be solved has no large residual, however far off the iterates have been, in the whole and in windows.
// -short takes few sequences, which finds races, if there are any, and no such end.
func Honest[T num.Float](t *testing.T, solve Solver[T], name string) {
	sequences := 150
	if testing.Short() {
		sequences = 5
	}
	p := Problem[T](t, wells, sequences, 120)
	clear(p.X0.Data)
	o := options[T](name, variant{})
	if name == "block_newton" {
		o.Settings["block"] = param.Value[T]{Number: 1}
	}
	for _, window := range []int{0, 50} {
		o.Window = window
		got := make([]T, p.Batch*p.Length)
		s, err := solve(p, &o, got)
		if err != nil {
			t.Fatal(err)
		}
		rtol := map[int]float64{4: 1e-4, 8: 1e-8}[num.Size[T]()]
		for b, r := range s.Results {
			if most := 10 * rtol * (1e-3 + largest(got[b*p.Length:(b+1)*p.Length])); r.Status.Success() && !(r.Residual <= most) {
				t.Errorf("window %d, sequence %d: %s after %d updates with a residual of %v, want at most %v", window, b, r.Status, r.Iterations, r.Residual, most)
			}
		}
	}
}

// Workers: no number of workers changes a bit, on sequences of several blocks and pieces.
func Workers[T num.Float](t *testing.T, solve Solver[T]) {
	for _, e := range celltest.Examples {
		t.Run(fmt.Sprintf("%s/%s/teams", e.Cell, e.Name), func(t *testing.T) { // as many side by side as there are few workers
			sameBits(t, solve, Problem[T](t, e, 20, 503), options[T]("sequential", variants[0]))
		})
		for _, m := range method.Entries() {
			for _, v := range variants {
				if v.name != "plain" && (v.of != m.Name || v.name != "pieces") {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s/%s", e.Cell, e.Name, m.Name, v.name), func(t *testing.T) {
					for _, batch := range []int{1, 3} {
						sameBits(t, solve, Problem[T](t, e, batch, 5003), options[T](m.Name, v))
					}
				})
			}
		}
	}
}

func sameBits[T num.Float](t *testing.T, solve Solver[T], p *core.Problem[T], o core.Options[T]) {
	o.MaxIterations, o.Nonfinite = 2, "continue"
	var want []T
	var results string // with what was measured
	for _, workers := range []int{1, 2, 5} {
		o.NumThreads = workers
		got := make([]T, p.Batch*p.Length*p.Cell.Dim())
		sol, err := solve(p, &o, got)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want, results = got, fmt.Sprint(sol.Results)
		}
		for i, v := range want {
			if got[i] != v && (got[i] == got[i] || v == v) { // NaN is its own equal here
				t.Fatalf("batch %d: %d workers make %v at %d, one %v", p.Batch, workers, got[i], i, v)
			}
		}
		if found := fmt.Sprint(sol.Results); found != results {
			t.Fatalf("batch %d: %d workers find %s, one %s", p.Batch, workers, found, results)
		}
	}
}

// exact: after T updates iterate T is the trajectory, whatever A is (Propositions 1 and 2). Rounding: each
// state is made once from states made before, so errors stay of the order of T eps of the iterates' size; iterates that outgrow
// 1e6 times the trajectory before they come down, as some do on expanding models, are left out, and so is float32, where they overflow.
func exact[T num.Float](t *testing.T, solve Solver[T], p *core.Problem[T], name string, v variant, want []T) {
	if num.Size[T]() == 4 || p.Length > 9 {
		return
	}
	o := options[T](name, v)
	o.MeritTol, o.Nonfinite = 0, "continue"
	got := make([]T, len(want))
	if _, err := solve(p, &o, got); err != nil {
		t.Fatal(err)
	}
	top := largest(want)
	for i, x := range want {
		if d := math.Abs(float64(got[i] - x)); !(d <= 1e6*float64(p.Length)*num.Eps[T]()*top) {
			t.Fatalf("%s, %s: after at most T updates %v at %d, the loop gives %v", name, v.name, got[i], i, x)
		}
	}
}

// promised: where the status says converged, the states are within rtol of the loop's, in the measure of the stopping rule; the
// estimate is not a bound, so three times it is allowed, and the rounding floor beside; ten times for methods that hold updates back, which
// shrink unevenly while the trust region changes.
func promised[T num.Float](t *testing.T, solve Solver[T], p *core.Problem[T], name string, v variant, want []T) {
	slack := 3.0
	if approaches[name] {
		slack = 10
	}
	for _, window := range []int{0, 16, core.Auto} {
		o := options[T](name, v)
		o.Window, o.Trace = window, true
		got := make([]T, len(want))
		s, err := solve(p, &o, got)
		if err != nil {
			t.Fatal(err)
		}
		rtol := map[int]float64{4: 1e-4, 8: 1e-8}[num.Size[T]()]
		n := p.Length * p.Cell.Dim()
		for b, r := range s.Results {
			if !r.Status.Success() {
				if (surely[name] || window == core.Auto) && v.name == "plain" {
					t.Errorf("%s, window %d, ended as %s after %d updates: %+v", name, window, r.Status, r.Iterations, r.Trace[max(len(r.Trace)-6, 0):])
				}
				continue
			}
			windows := 0
			for _, k := range r.Windows {
				windows += k
			}
			if windows != r.Iterations {
				t.Errorf("windows %v do not add up to %d", r.Windows, r.Iterations)
			}
			if d := distance(got[b*n:(b+1)*n], want[b*n:(b+1)*n], p.Cell.Dim()); !(d <= slack*rtol) {
				t.Errorf("%s, %s, window %d, sequence %d: %s with error %v, but %v from the loop", name, v.name, window, b, r.Status, r.Error, d)
			}
		}
	}
}

func largest[T num.Float](x []T) float64 {
	top := 1e-300
	for _, v := range x {
		top = max(top, math.Abs(float64(v)))
	}
	return top
}

// distance is the largest over components of |got - want| / (1e-3 + |want|), each its largest over time.
func distance[T num.Float](got, want []T, d int) (most float64) {
	for i := range d {
		off, size := 0.0, 0.0
		for t := i; t < len(want); t += d {
			off = num.Max(off, math.Abs(float64(got[t]-want[t])))
			size = max(size, math.Abs(float64(want[t])))
		}
		most = num.Max(most, off/(1e-3+size))
	}
	return most
}

func step[T num.Float](x, u, y []T) cell.Block[T] {
	return cell.Block[T]{N: 1, X: x, U: u, Y: y, Scratch: &cell.Arena[T]{}}
}

// caller is a cell that is asked as a model in another language is: one call over all sequences, which has the inputs itself.
type caller[T num.Float] struct {
	cell.Cell[T]
	u      []T
	length int
}

// Called is the problem with such a cell.
func Called[T num.Float](p *core.Problem[T]) *core.Problem[T] {
	other := *p
	other.Cell, other.Inputs = caller[T]{p.Cell, p.Inputs.Data, p.Length}, core.Array[T]{}
	return &other
}

// Calls marks the cell as a cell.Caller.
func (caller[T]) Calls() {}

// Inputs returns 0.
func (caller[T]) Inputs() int { return 0 }

// with adds the inputs that belong to a block.
func (c caller[T]) with(b cell.Block[T]) cell.Block[T] {
	m, steps := c.Cell.Inputs(), b.N/len(b.Sequences)
	for _, s := range b.Sequences {
		from := int(s)*c.length + b.First
		b.U = append(b.U, c.u[from*m:(from+steps)*m]...)
	}
	if b.Known {
		b.Y = nil // which it need not write again
	}
	return b
}

// Step asks with inputs; so do the others.
func (c caller[T]) Step(b cell.Block[T]) error { return c.Cell.Step(c.with(b)) }

// Jacobian asks with inputs.
func (c caller[T]) Jacobian(b cell.Block[T], j []T) error { return c.Cell.Jacobian(c.with(b), j) }

// Diagonal asks with inputs.
func (c caller[T]) Diagonal(b cell.Block[T], d []T) error { return c.Cell.Diagonal(c.with(b), d) }

// JVP asks with inputs.
func (c caller[T]) JVP(b cell.Block[T], p, v []T) error { return c.Cell.JVP(c.with(b), p, v) }
