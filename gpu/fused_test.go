//go:build cuda

package gpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pards/core"
	"pards/core/cell/celltest"
	"pards/core/method/methodtest"
	"pards/core/num"
)

// The engines for small states pass the table of methods.
func TestFused(t *testing.T) {
	t.Run("float32", func(t *testing.T) { t.Parallel(); methodtest.Run(t, solverThrough[float32](t, fused[float32]{})) })
	t.Run("float64", func(t *testing.T) { t.Parallel(); methodtest.Run(t, solverThrough[float64](t, fused[float64]{})) })
}

func TestSequential(t *testing.T) {
	t.Run("float32", func(t *testing.T) { methodtest.Run(t, solverThrough[float32](t, sequential[float32]{})) })
	t.Run("float64", func(t *testing.T) { methodtest.Run(t, solverThrough[float64](t, sequential[float64]{})) })
}

// The fused engine stops where the CPU stops, whatever the method and its modifiers.
func TestFusedCounts(t *testing.T) {
	t.Run("float32", func(t *testing.T) { counts[float32](t, fused[float32]{}) })
	t.Run("float64", func(t *testing.T) { counts[float64](t, fused[float64]{}) })
}

// Whatever the shape, a fused solve gives what the CPU gives: sequences of one block and of many, more sequences than groups, windows.
func TestFusedShapes(t *testing.T) {
	t.Run("float32", fusedShapes[float32])
	t.Run("float64", fusedShapes[float64])
}

// shapesTested is how many shapes are drawn; a flag would be one more thing to know.
const shapesTested = 60

func fusedShapes[T num.Float](t *testing.T) {
	solver := core.Backend[T](through[T]{openBackend[T](t), fused[T]{}})
	rng := rand.New(rand.NewPCG(1, 2))
	for range shapesTested {
		e := celltest.Examples[rng.IntN(len(celltest.Examples))]
		if e.Cell == "langevin" { // expands over such lengths: rounding decides when its updates come down
			continue
		}
		steps := 1 + int(20000*rng.Float64()*rng.Float64()*rng.Float64())
		batch := 1 + rng.IntN(1+40000/(steps+100))
		p := methodtest.Problem[T](t, e, batch, steps)
		o := core.Defaults[T]()
		o.Method = []string{"newton", "quasi_newton", "jacobi"}[rng.IntN(3)]
		if rng.IntN(3) == 0 {
			o.Window = 1 + rng.IntN(steps)
		}
		o.Trace = rng.IntN(2) == 0
		what := fmt.Sprintf("%s/%s %s batch %d, T = %d, window %d", e.Cell, e.Name, o.Method, batch, steps, o.Window)
		g, c, got, want := both(t, what, solver, p, &o)
		again := make([]T, len(got))
		if _, err := core.Solve(solver, p, &o, core.Host(again)); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if got[i] != again[i] && got[i] == got[i] {
				t.Fatalf("%s: two runs differ at %d: %v and %v", what, i, got[i], again[i])
			}
		}
		compare(t, what, g, c, got, want)
	}
}
