//go:build cuda

package gpu

import (
	"fmt"
	"math"
	"testing"

	"pards/core"
	"pards/core/method"
	"pards/core/num"
)

// chainsOf is the backend whose only engine is langevin.
type chainsOf[T num.Float] struct{ *backend[T] }

func (g chainsOf[T]) Solve(p *core.Plan[T], members []int, results []method.Result) error {
	leave, err := g.device.Enter()
	if err != nil {
		return err
	}
	defer leave()
	if !(langevin[T]{}).fits(p) {
		return fmt.Errorf("langevin does not fit %s with D = %d", p.Name, p.Problem.Dim)
	}
	w := &work[T]{Plan: p, device: g.device, members: members, results: results}
	defer w.release()
	return g.run(langevin[T]{}, w)
}

// The engine stops where the CPU stops, at the same states.
func TestLangevin(t *testing.T) {
	t.Run("float32", langevinAgainstCPU[float32])
	t.Run("float64", langevinAgainstCPU[float64])
}

// The loop gives the CPU's states, whichever way its precisions are kept.
func TestLangevinLoop(t *testing.T) {
	t.Run("float32", langevinLoops[float32])
	t.Run("float64", langevinLoops[float64])
}

func langevinLoops[T num.Float](t *testing.T) {
	gpu := chainsOf[T]{openBackend[T](t)}
	for _, shape := range [][4]int{{16, 1, 2, 1}, {17, 2, 3, 33}, {32, 2, 16, 257}, {33, 8, 2, 128}, {64, 2, 2, 300}, {100, 2, 2, 129}, {128, 2, 2, 65}, {256, 2, 2, 131}, {24, 2, 2, 40000}} {
		p := mixtureProblem[T](t, shape[0], shape[1], shape[2], shape[3], 1e-5, false)
		o := core.Defaults[T]()
		o.Method = "sequential"
		g, c, got, want := both[T](t, fmt.Sprint(shape), gpu, p, &o)
		compare(t, fmt.Sprint(shape), g, c, got, want)
	}
}

func langevinAgainstCPU[T num.Float](t *testing.T) {
	gpu := chainsOf[T]{openBackend[T](t)}
	for _, shape := range [][5]int{{16, 1, 2, 1, 0}, {16, 2, 3, 2, 1}, {17, 2, 2, 127, 1}, {32, 2, 16, 257, 1}, {33, 8, 2, 128, 0}, {64, 2, 2, 300, 1},
		{100, 2, 2, 129, 1}, {128, 1, 2, 65, 0}, {160, 2, 1, 33, 1}, {256, 2, 2, 131, 1}} {
		d, k, batch, steps := shape[0], shape[1], shape[2], shape[3]
		p := mixtureProblem[T](t, d, k, batch, steps, 1e-5, shape[4] == 1)
		names := []string{"rotated_quasi_newton", "quasi_newton", "picard", "jacobi", "scaled_identity"}
		if d != 32 { // a variant of the kernels each
			names = names[:1+d%2]
		}
		for _, name := range names {
			for i, change := range []func(o *core.Options[T]){
				func(o *core.Options[T]) { o.MeritTol = 5e-4 },
				func(*core.Options[T]) {},
				func(o *core.Options[T]) { o.Window, o.MeritTol = 50, 5e-4 },
				func(o *core.Options[T]) { o.Clip, o.Damping, o.Trace = true, 0.25, true },
				func(o *core.Options[T]) { o.MaxIterations = 1 },
			} {
				o := core.Defaults[T]()
				o.Method = name
				if change(&o); name == "jacobi" {
					o.MaxIterations = 5
				}
				what := fmt.Sprintf("D %d K %d T %d %s case %d", d, k, steps, name, i)
				g, c, got, want := both[T](t, what, gpu, p, &o)
				again := make([]T, len(got))
				if compare[T](t, what, g, c, nil, nil); c.Worst().Success() {
					near(t, what, g, c, got, want, p)
				}
				if _, err := core.Solve[T](gpu, p, &o, core.Host(again)); err != nil {
					t.Fatal(err)
				}
				for j, v := range got {
					if math.Float64bits(float64(v)) != math.Float64bits(float64(again[j])) {
						t.Fatalf("%s: two runs differ at %d: %v and %v", what, j, v, again[j])
					}
				}
				if r, e := g.Results[0], c.Results[0]; name == "rotated_quasi_newton" && i < 3 {
					t.Logf("%s: %s %d updates, merit %.3g, residual %.3g, update %.3g, error %.3g; CPU %s %d, %.3g, %.3g, %.3g, %.3g", what,
						r.Status, r.Iterations, r.Merit, r.Residual, r.Update, r.Error, e.Status, e.Iterations, e.Merit, e.Residual, e.Update, e.Error)
				}
			}
		}
	}
}

// near wants the states of two solutions to be as close as their residuals promise on a model that contracts: errors add up at most.
func near[T num.Float](t *testing.T, what string, g, c *core.Solution, got, want []T, p *core.Problem[T]) {
	n := p.Length * p.Cell.Dim()
	for i, r := range g.Results {
		top, off := 0.0, 0.0
		for j, v := range want[i*n : (i+1)*n] {
			top, off = max(top, math.Abs(float64(v))), num.Max(off, math.Abs(float64(v-got[i*n+j])))
		}
		root := math.Sqrt(2 * float64(p.Length) * max(r.Merit, c.Results[i].Merit)) // T times the mean residual
		if !(off <= 2*root+1e3*num.Eps[T]()*top) {
			t.Errorf("%s, sequence %d: states are %.2g apart, of size %.2g, residuals allow %.2g", what, i, off, top, 2*root)
		}
	}
}

// Products of three passes of tf32 are as near to exact ones as the CPU's in float32: one update of jacobi, whose states are f at the guess,
// with a step so large that the gradient is all there is to see.
func TestLangevinProducts(t *testing.T) {
	gpu := chainsOf[float32]{openBackend[float32](t)}
	for _, d := range []int{32, 64, 128, 256} {
		const batch, steps = 1, 500
		p, exact := mixtureProblem[float32](t, d, 2, batch, steps, 0.5, true), mixtureProblem[float64](t, d, 2, batch, steps, 0.5, true)
		o, e := core.Defaults[float32](), core.Defaults[float64]()
		o.Method, o.MaxIterations, e.Method, e.MaxIterations = "jacobi", 1, "jacobi", 1
		got, cpu, want := make([]float32, steps*d), make([]float32, steps*d), make([]float64, steps*d)
		if _, err := core.Solve[float32](gpu, p, &o, core.Host(got)); err != nil {
			t.Fatal(err)
		}
		if _, err := core.Solve(core.CPU[float32]{}, p, &o, core.Host(cpu)); err != nil {
			t.Fatal(err)
		}
		if _, err := core.Solve(core.CPU[float64]{}, exact, &e, core.Host(want)); err != nil {
			t.Fatal(err)
		}
		var here, there, size float64
		for i, v := range want {
			here, there, size = here+sq(float64(got[i])-v), there+sq(float64(cpu[i])-v), size+sq(v)
		}
		here, there = math.Sqrt(here/size), math.Sqrt(there/size)
		t.Logf("D = %d: error %.2g, the CPU's in float32 %.2g, relative to all states", d, here, there)
		if !(here <= 2*there) { // the order of sums differs; one pass of tf32 is 1e-4 off
			t.Errorf("D = %d: error %.2g, the CPU's in float32 %.2g", d, here, there)
		}
	}
}

func sq(v float64) float64 { return v * v }

// What is NaN takes the value of the guess as on the CPU, and is counted: logits of chains that grow that fast overflow in two updates.
func TestLangevinResets(t *testing.T) {
	t.Run("float32", func(t *testing.T) { langevinResets[float32](t, 1e12) })
	t.Run("float64", func(t *testing.T) { langevinResets[float64](t, 1e120) })
}

func langevinResets[T num.Float](t *testing.T, eps float64) {
	gpu := chainsOf[T]{openBackend[T](t)}
	for _, shape := range [][3]int{{16, 3, 40}, {33, 2, 300}} {
		for _, name := range []string{"picard", "jacobi"} { // squares in a derivative overflow elsewhere on the CPU
			for _, guess := range []bool{false, true} {
				for _, window := range []int{0, 30} {
					p := mixtureProblem[T](t, shape[0], 2, shape[1], shape[2], eps, guess)
					o := core.Defaults[T]()
					o.Method, o.Nonfinite, o.MaxIterations, o.Window = name, "reset", 6, window
					what := fmt.Sprintf("%v %s, guess %v, window %d", shape, name, guess, window)
					g, c, _, _ := both[T](t, what, gpu, p, &o)
					for i, r := range g.Results {
						want := c.Results[i]
						if r.Status != want.Status || r.Iterations != want.Iterations || r.Resets != want.Resets || r.BadStep != want.BadStep || want.Resets == 0 {
							t.Errorf("%s, sequence %d: %s after %d updates, %d resets, bad step %d; the CPU %s after %d, %d, %d",
								what, i, r.Status, r.Iterations, r.Resets, r.BadStep, want.Status, want.Iterations, want.Resets, want.BadStep)
						}
					}
				}
			}
		}
	}
}

// A tile that has settled is passed over, and what comes of it is what comes of all: Jacobi takes as many updates as there are steps.
func TestLangevinSettles(t *testing.T) {
	t.Run("float32", langevinSettles[float32])
	t.Run("float64", langevinSettles[float64])
}

func langevinSettles[T num.Float](t *testing.T) {
	gpu := chainsOf[T]{openBackend[T](t)}
	for _, window := range []int{0, 350} {
		p := mixtureProblem[T](t, 32, 2, 2, 700, 1e-4, true)
		o := core.Defaults[T]()
		o.Method, o.Window, o.MeritTol = "jacobi", window, 0
		what := fmt.Sprintf("window %d", window)
		g, c, got, want := both[T](t, what, gpu, p, &o)
		compare(t, what, g, c, got, want)
		if r := g.Results[0]; r.Iterations != 700 || r.Residual != 0 || r.Merit != 0 {
			t.Errorf("%s: %d updates, residual %v, merit %v: as many updates as steps make all exact", what, r.Iterations, r.Residual, r.Merit)
		}
	}
}
