//go:build cuda

package gpu

import (
	"math/rand/v2"
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
		if err := scanOn(device, w.stream, s, at[0], at[1], at[2], at[3], batch, steps, d, reverse); err != nil {
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

// Beyond the table: larger dimensions, many tiles, groups and clans, arrays whose rows are not aligned.
func TestScanShapes(t *testing.T) {
	needDevice(t)
	t.Run("float32", shapes[float32])
	t.Run("float64", shapes[float64])
}

func shapes[T num.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for range 60 {
		name := []string{"diagonal", "scaled_identity", "identity", "dense", "permutation"}[rng.IntN(5)]
		s, _ := lds.ByName[T]("test", name)
		d, batch, steps := []int{4, 5, 6, 7, 16, 20, 32, 41, 64, 70}[rng.IntN(10)], 1+rng.IntN(4), 1+rng.IntN(2000)
		if name != "dense" {
			d, steps = []int{1, 2, 4, 8, 12, 31, 64, 150, 256}[rng.IntN(9)], 1+rng.IntN(40000)
		}
		batch, steps = min(batch, 1+500_000/(steps*d)), min(steps, 1+500_000/d)
		start, reverse := rng.IntN(2) == 0, rng.IntN(2) == 0
		a, b, out := ldstest.Matrices(rng, s, batch*steps, d), make([]T, batch*steps*d), make([]T, batch*steps*d)
		for i := range b {
			b[i] = T(rng.NormFloat64())
		}
		var x0 []T
		if start {
			x0 = b[:batch*d]
		}
		if err := onDevice(s, a, b, x0, out, batch, steps, d, reverse); err != nil {
			t.Fatal(err)
		}
		for i := range batch {
			n, length, from := steps*d, steps*s.Len(d), []T(nil)
			if start {
				from = x0[i*d : (i+1)*d]
			}
			want, top := ldstest.Loop(s, a[i*length:(i+1)*length], b[i*n:(i+1)*n], from, steps, d, reverse), 1.0
			for _, v := range want {
				top = max(top, v, -v)
			}
			for k, v := range want { // as in ldstest
				if off := float64(out[i*n+k]) - v; !(max(off, -off) <= num.Eps[T]()*float64(d+2)*float64(steps)*top) {
					t.Fatalf("%s batch %d T=%d D=%d x0=%v reverse=%v: off by %.2g at step %d of sequence %d", name, batch, steps, d, start, reverse, off, k/d, i)
				}
			}
		}
	}
}
