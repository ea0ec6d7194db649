package method

import (
	"math"
	"math/rand/v2"
	"testing"

	"pards/core/internal/par"
	"pards/core/num"
)

// What is measured is what a plain loop in double precision finds, in one piece or more, and is not a number where the numbers are none.
func TestMeasure(t *testing.T) {
	t.Run("float32", testMeasure[float32])
	t.Run("float64", testMeasure[float64])
}

func testMeasure[T num.Float](t *testing.T) {
	const least = 1e-3
	rng := rand.New(rand.NewPCG(4, 4))
	for _, size := range [][2]int{{1, 1}, {2, 3}, {100, 5}, {openRows - 1, 2}, {openRows, 2}, {2*openRows + 7, 3}} {
		steps, d := size[0], size[1]
		x, f := make([]T, steps*d), make([]T, steps*d)
		away, scale, want := make([]float64, d), make([]float64, d), Distance{}
		for i := range x {
			x[i], f[i] = T(rng.NormFloat64()*float64(i%d)), T(rng.NormFloat64()*float64(i%d)) // the first component is 0, and stays
			r := math.Abs(float64(x[i] - f[i]))
			away[i%d], scale[i%d] = max(away[i%d], r), max(scale[i%d], math.Abs(float64(x[i])))
			want.Squares += r * r
		}
		for i, r := range away {
			want.Largest, want.Scale = max(want.Largest, r), max(want.Scale, scale[i])
			if r > 0 {
				want.Size = max(want.Size, r/(least+scale[i]))
			}
		}
		got := Measure(par.New(3, nil), x, f, d, least)
		if off := math.Abs(got.Squares - want.Squares); !(off <= 1e-15*float64(steps*d)*want.Squares) {
			t.Errorf("%v: squares sum to %v, want %v", size, got.Squares, want.Squares)
		}
		if got.Squares = want.Squares; got != want {
			t.Errorf("%v: %v, want %v", size, got, want)
		}
		for _, bad := range []T{T(math.NaN()), T(math.Inf(1)), T(math.Inf(-1))} {
			kept := x[len(x)-1]
			x[len(x)-1] = bad
			got := Measure(par.New(3, nil), x, f, d, least)
			x[len(x)-1] = kept
			if got.Squares-got.Squares == 0 || got.Largest-got.Largest == 0 || got.Scale-got.Scale == 0 || got.Size == got.Size {
				t.Errorf("%v: %v with %v", size, got, bad)
			}
		}
	}
}
