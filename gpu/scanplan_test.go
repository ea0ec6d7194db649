package gpu

import "testing"

// Whatever the shape, the cut ends in a level of one chunk, and no level is longer than its kernel's limit of levels allows.
func TestCutTime(t *testing.T) {
	for _, steps := range []int{1, 2, 3, 17, 100, 1000, 30000, 1 << 20, 100_000_000} {
		for _, sequences := range []int{1, 16, 1000, 1 << 20} {
			for _, teams := range []int{64, 4000} {
				for _, table := range densePolicy {
					for _, row := range table {
						c := cutTime(steps, sequences, teams, row)
						n := c.chunks(steps)
						if len(c) > levelsMost || n[len(n)-1] != 1 {
							t.Fatalf("T=%d batch %d: cut %v, chunks %v", steps, sequences, c, n)
						}
						if sequences >= 16*teams && len(c) > 1 {
							t.Fatalf("T=%d batch %d: %v sums up where the batch fills the machine", steps, sequences, c)
						}
					}
				}
			}
		}
	}
}
