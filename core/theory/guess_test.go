package theory

import (
	"math"
	"testing"
)

// The counts are those of iterations that were run for x[t] = a x[t-1] and its like, or not far off.
func TestGuess(t *testing.T) {
	const window, tolerance = 500, 1e-6
	for _, c := range []struct {
		name string
		j    []float64
		want Counts
	}{
		{"diagonal", []float64{0.9, 0, 0, 0.5}, Counts{newtonCount, 2, window, 133}},
		{"nearly the identity", []float64{1, 1e-4, 0, 1}, Counts{newtonCount, 5, 5, window}},
		{"mixed", []float64{0.5, 0.1, 0.1, 0.5}, Counts{newtonCount, 10, window, 29}},
		{"not finite", []float64{math.NaN(), 0, 0, 1}, Counts{window, window, window, window}},
	} {
		got := Guess(c.j, 2, window, tolerance)
		for i, pair := range [][2]float64{{got.Newton, c.want.Newton}, {got.Diagonal, c.want.Diagonal}, {got.Identity, c.want.Identity}, {got.Zero, c.want.Zero}} {
			if math.Abs(pair[0]-pair[1]) > 1 {
				t.Errorf("%s, method %d: %v updates, want %v", c.name, i, pair[0], pair[1])
			}
		}
	}
}
