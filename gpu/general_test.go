//go:build cuda

package gpu

import (
	"fmt"
	"math"
	"testing"

	"pards/core"
	"pards/core/cell"
	"pards/core/cell/celltest"
	"pards/core/method"
	"pards/core/method/methodtest"
	"pards/core/num"
	"pards/core/param"
	"pards/gpu/driver"
)

// through is the backend with one engine; what that does not fit runs on the CPU.
type through[T num.Float] struct {
	*backend[T]
	engine engine[T]
}

// Fits takes all: what the device refuses runs on the CPU too.
func (g through[T]) Fits(*core.Plan[T]) error { return nil }

func (g through[T]) Solve(p *core.Plan[T], members []int, results []method.Result) error {
	if cell.IsCaller(p.Problem.Cell) || p.Problem.Steps == 0 || g.backend.Fits(p) != nil || !g.engine.fits(p) {
		return core.CPU[T]{}.Solve(p, members, results)
	}
	leave, err := g.device.Enter()
	if err != nil {
		return err
	}
	defer leave()
	w := &work[T]{Plan: p, device: g.device, members: members, results: results}
	defer w.release()
	return g.run(g.engine, w)
}

// openBackend returns the backend of the first device.
func openBackend[T num.Float](t *testing.T) *backend[T] {
	d, err := driver.Open(0)
	if err != nil {
		t.Skip(err)
	}
	return &backend[T]{device: d}
}

// solverThrough returns a solver that runs what it can through an engine.
func solverThrough[T num.Float](t *testing.T, e engine[T]) methodtest.Solver[T] {
	b := openBackend[T](t)
	return func(p *core.Problem[T], o *core.Options[T], states []T) (*core.Solution, error) {
		return core.Solve[T](through[T]{b, e}, p, o, core.Host(states))
	}
}

// The general engine passes the table of methods.
func TestGeneral(t *testing.T) {
	t.Run("float32", func(t *testing.T) { methodtest.Run(t, solverThrough[float32](t, general[float32]{})) })
	t.Run("float64", func(t *testing.T) { methodtest.Run(t, solverThrough[float64](t, general[float64]{})) })
}

// The general engine stops where the CPU stops, whatever the method and its modifiers.
func TestGeneralCounts(t *testing.T) {
	t.Run("float32", func(t *testing.T) { counts[float32](t, general[float32]{}) })
	t.Run("float64", func(t *testing.T) { counts[float64](t, general[float64]{}) })
}

func counts[T num.Float](t *testing.T, e engine[T]) {
	solver := core.Backend[T](through[T]{openBackend[T](t), e})
	for _, e := range celltest.Examples {
		p := methodtest.Problem[T](t, e, 3, 40)
		for _, m := range method.Entries() {
			for _, change := range []func(o *core.Options[T]){
				func(*core.Options[T]) {},
				func(o *core.Options[T]) { o.Window = 16 },
				func(o *core.Options[T]) { o.MeritTol = 1e-4 },
				func(o *core.Options[T]) { o.Clip, o.Damping = true, 0.25 },
				func(o *core.Options[T]) { o.Nonfinite = "reset" },
			} {
				o := core.Defaults[T]()
				o.Method, o.Trace = m.Name, true
				if m.Name == "block_newton" {
					o.Settings = param.Values[T]{"block": {Number: 2}}
				}
				change(&o)
				what := fmt.Sprintf("%s/%s %s window %d merit_tol %v clip %v", e.Cell, e.Name, m.Name, o.Window, o.MeritTol, o.Clip)
				g, c, got, want := both(t, what, solver, p, &o)
				compare(t, what, g, c, got, want)
			}
		}
	}
}

// compare allows what alike does of difference: near a tolerance, rounding decides, as it does whether a residual is zero; states that
// converged agree to the tolerance.
func compare[T num.Float](t *testing.T, what string, g, c *core.Solution, got, want []T) {
	top, off := 1e-300, 0.0
	for i, v := range want {
		top = max(top, math.Abs(float64(v)))
		off = num.Max(off, math.Abs(float64(v-got[i])))
	}
	for i, r := range g.Results {
		if r.Status != c.Results[i].Status || !alike(r, c.Results[i]) {
			t.Errorf("%s, sequence %d: %s after %d updates, the CPU %s after %d", what, i, r.Status, r.Iterations, c.Results[i].Status, c.Results[i].Iterations)
		}
	}
	if tol := map[int]float64{4: 1e-3, 8: 1e-7}[num.Size[T]()]; c.Worst().Success() && !(off <= tol*top) {
		t.Errorf("%s: states are %.2g apart, of size %.2g", what, off, top)
	}
}
