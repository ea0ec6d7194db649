package core_test

import (
	"testing"

	"pards/core"
	"pards/core/lds"
)

// TestScanOfNothing: no sequences of as many steps as an int64 counts are no work.
func TestScanOfNothing(t *testing.T) {
	for _, e := range lds.Entries() {
		for _, steps := range []int{0, 1 << 40, 1 << 62} {
			b := core.Array[float64]{Data: []float64{}, Shape: []int{0, steps, 4}}
			var a core.Array[float64]
			switch e.Name {
			case "dense":
				a.Shape = []int{0, steps, 4, 4}
			case "diagonal", "permutation":
				a.Shape = []int{0, steps, 4}
			case "scaled_identity":
				a.Shape = []int{0, steps}
			case "block_diagonal":
				a.Shape = []int{0, steps, 2, 2, 2}
			}
			if err := core.Scan(e.Name, a, b, core.Array[float64]{}, b, false, 0, nil); err != nil {
				t.Errorf("%s, %d steps: %v", e.Name, steps, err)
			}
		}
	}
}
