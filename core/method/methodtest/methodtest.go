// Package methodtest holds every registered method, on every example cell, to the plain loop. It takes the solver as an argument, so
// that another backend passes the same table.
package methodtest

import (
	"fmt"
	"math"
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

// options returns the defaults for a method.
func options[T num.Float](name string) core.Options[T] {
	o := core.Defaults[T]()
	o.Method, o.Settings = name, param.Values[T]{}
	for k, v := range settings[name] {
		o.Settings[k] = param.Value[T]{Number: v}
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
	p := &core.Problem[T]{Cell: c, Batch: batch, Length: length,
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
					exact(t, solve, p, m.Name, want)
					promised(t, solve, p, m.Name, want)
				})
			}
		}
	}
}

// exact: after T updates iterate T is the trajectory, whatever A is (Propositions 1 and 2). Rounding: each
// state is made once from states made before, so errors stay of the order of T eps of the iterates' size; iterates that outgrow
// 1e6 times the trajectory before they come down, as some do on expanding models, are left out, and so is float32, where they overflow.
func exact[T num.Float](t *testing.T, solve Solver[T], p *core.Problem[T], name string, want []T) {
	if num.Size[T]() == 4 || p.Length > 9 {
		return
	}
	o := options[T](name)
	o.MeritTol, o.Nonfinite = 0, "continue"
	got := make([]T, len(want))
	if _, err := solve(p, &o, got); err != nil {
		t.Fatal(err)
	}
	top := largest(want)
	for i, v := range want {
		if d := math.Abs(float64(got[i] - v)); !(d <= 1e6*float64(p.Length)*num.Eps[T]()*top) {
			t.Fatalf("%s: after at most T updates %v at %d, the loop gives %v", name, got[i], i, v)
		}
	}
}

// promised: where the status says converged, the states are within rtol of the loop's, in the measure of the stopping rule; the
// estimate is not a bound, so three times it is allowed, and the rounding floor beside.
func promised[T num.Float](t *testing.T, solve Solver[T], p *core.Problem[T], name string, want []T) {
	for _, window := range []int{0, 16} {
		o := options[T](name)
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
				if name == "newton" || name == "sequential" {
					t.Errorf("%s ended as %s", name, r.Status)
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
			if d := distance(got[b*n:(b+1)*n], want[b*n:(b+1)*n], p.Cell.Dim()); !(d <= 3*rtol) {
				t.Errorf("%s, window %d, sequence %d: %s with error %v, but %v from the loop", name, window, b, r.Status, r.Error, d)
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
