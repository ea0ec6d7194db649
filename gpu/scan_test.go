//go:build cuda

package gpu

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"pards/core"
	"pards/core/lds"
	"pards/core/lds/ldstest"
	"pards/core/num"
	"pards/gpu/driver"
)

// needDevice skips where there is none, and says why.
func needDevice(t *testing.T) {
	t.Helper()
	if err := Open(0); err != nil {
		t.Skip(err)
	}
}

// onDevice is the GPU as a scanner of ldstest: arrays of the host go there and back.
func onDevice[T num.Float](s lds.Structure[T], a, b, x0, out []T, batch, steps, d int, reverse bool) error {
	of := func(data []T, shape ...int) core.Array[T] { return core.Array[T]{Data: data, Shape: shape} }
	var start core.Array[T]
	if x0 != nil {
		start = of(x0, batch, d)
	}
	if blocks, ok := s.(lds.BlockDiagonal[T]); ok && d%blocks.Size > 0 { // which no array of the caller's can hold
		return scanBlocks(s, a, b, x0, out, batch, steps, d, reverse)
	}
	return Scan(0, s.Name(), of(a, append([]int{batch, steps}, s.Shape(d)...)...), of(b, batch, steps, d), start, of(out, batch, steps, d), reverse, nil)
}

// scanBlocks scans below the checks of Scan.
func scanBlocks[T num.Float](s lds.Structure[T], a, b, x0, out []T, batch, steps, d int, reverse bool) error {
	if batch*steps == 0 {
		return nil
	}
	return on(0, func(device *driver.Device) error {
		w := &work[T]{device: device}
		defer w.release()
		var at [4]driver.Ptr
		for i, v := range [][]T{a, b, x0, out} {
			var err error
			if at[i], err = w.in(v, 0); err != nil {
				return err
			}
		}
		if err := scanOn(device, w.stream, s, at[0], at[1], at[2], at[3], batch, steps, d, reverse, nil); err != nil {
			return err
		}
		return download(w, out, at[3])
	})
}

// The GPU's scans pass the table that the CPU's pass.
func TestScan(t *testing.T) {
	needDevice(t)
	t.Run("float32", func(t *testing.T) { ldstest.Run(t, onDevice[float32]) })
	t.Run("float64", func(t *testing.T) { ldstest.Run(t, onDevice[float64]) })
}

// Beyond the table: random shapes in larger dimensions, many tiles, groups and clans, arrays whose rows are not aligned. PARDS_SHAPES in the
// environment is how many, 60 if it is not set; each is scanned twice, with the same bits.
func TestScanShapes(t *testing.T) {
	needDevice(t)
	count := 60
	if text := os.Getenv("PARDS_SHAPES"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("float32", func(t *testing.T) { shapes[float32](t, count) })
	t.Run("float64", func(t *testing.T) { shapes[float64](t, count) })
}

// drawn is a scan of a random shape.
type drawn struct {
	name            string
	block           int // of a block diagonal
	batch, steps, d int
	start, reverse  bool
}

func draw(rng *rand.Rand) drawn {
	name := []string{"diagonal", "scaled_identity", "identity", "dense", "permutation", "block_diagonal", "dense"}[rng.IntN(7)]
	c := drawn{name: name, batch: 1 + rng.IntN(4), start: rng.IntN(2) == 0, reverse: rng.IntN(2) == 0}
	most := 40000
	switch name {
	case "dense":
		c.d, most = []int{2, 3, 4, 5, 7, 8, 16, 20, 32, 41, 64, 70}[rng.IntN(12)], 2000
	case "block_diagonal":
		c.block = []int{1, 2, 4, 8}[rng.IntN(4)]
		c.d, most = c.block*(1+rng.IntN(3)), 2000
	default:
		c.d = []int{1, 2, 4, 8, 12, 31, 64, 150, 256}[rng.IntN(9)]
	}
	c.steps = 1 + rng.IntN(min(most, 300_000/c.d))
	return c
}

func shapes[T num.Float](t *testing.T, count int) {
	rng := rand.New(rand.NewPCG(4, 4))
	for range count {
		c := draw(rng)
		s, _ := lds.ByName[T]("test", c.name)
		if c.block > 0 {
			s = lds.BlockDiagonal[T]{Size: c.block}
		}
		a, out := ldstest.Matrices(rng, s, c.batch*c.steps, c.d), make([]T, c.batch*c.steps*c.d)
		b, again := make([]T, len(out)), make([]T, len(out))
		for i := range b {
			b[i] = T(rng.NormFloat64())
		}
		var x0 []T
		if c.start {
			x0 = b[:c.batch*c.d]
		}
		for _, to := range [][]T{out, again} {
			if err := onDevice(s, a, b, x0, to, c.batch, c.steps, c.d, c.reverse); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(out, again) {
			t.Fatalf("%+v: two runs differ", c)
		}
		want, top := onCPU(t, c, s, a, b, x0), 1.0
		for _, v := range want {
			top = max(top, v, -v)
		}
		for k, v := range want { // as in ldstest
			if off := float64(out[k]) - v; !(max(off, -off) <= num.Eps[T]()*float64(c.d+2)*float64(c.steps)*top) {
				t.Fatalf("%+v: off by %.2g at step %d", c, off, k/c.d)
			}
		}
	}
}

// onCPU scans in double precision, without the GPU: by the plain loop where that is quick, else by the CPU's scan, which is held to it.
func onCPU[T num.Float](t *testing.T, c drawn, s lds.Structure[T], a, b, x0 []T) (states []float64) {
	if c.d > 12 {
		start := core.Array[float64]{}
		if x0 != nil {
			start = core.Array[float64]{Data: doubles(x0), Shape: []int{c.batch, c.d}}
		}
		shape := []int{c.batch, c.steps, c.d}
		states = make([]float64, len(b))
		matrices := core.Array[float64]{Data: doubles(a), Shape: append([]int{c.batch, c.steps}, s.Shape(c.d)...)}
		err := core.Scan(c.name, matrices, core.Array[float64]{Data: doubles(b), Shape: shape}, start, core.Array[float64]{Data: states, Shape: shape}, c.reverse, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		return states
	}
	for i := range c.batch {
		n, length, from := c.steps*c.d, c.steps*s.Len(c.d), []T(nil)
		if c.start {
			from = x0[i*c.d : (i+1)*c.d]
		}
		states = append(states, ldstest.Loop(s, a[i*length:(i+1)*length], b[i*n:(i+1)*n], from, c.steps, c.d, c.reverse)...)
	}
	return states
}

func doubles[T num.Float](x []T) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}
