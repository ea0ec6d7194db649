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

func TestDump(t *testing.T) {
	for _, b := range []int{4, 8} {
		for _, st := range []string{"diagonal", "scaled_identity", "identity"} {
			for _, d := range []int{1, 2, 3, 4, 8, 16, 64, 100, 256} {
				p := planOnePass(scanShape{st, b, 2, 100000, d, true})
				t.Log("V", p.source, p.options)
			}
		}
		for d := 2; d <= 64; d++ {
			if d > 9 && d%8 > 0 && d%5 > 0 {
				continue
			}
			p := planLevels("dense", b, d, true)
			t.Log("V", p.source, p.options)
			p = planLevels("dense", b, d, false)
			t.Log("V", p.source, p.options)
		}
		for _, d := range []int{1, 5, 40} {
			p := planLevels("permutation", b, d, false)
			t.Log("V", p.source, p.options)
		}
		p := planLevels("dense", b, 70, false)
		t.Log("V", p.source, p.options)
	}
}
