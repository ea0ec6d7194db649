package gpu

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pards/core/cell/celltest"
	"pards/core/lds"
	"pards/core/num"
	"pards/gpu/driver"
)

// sampled are the variants that each run of the tests compiles: at least one of every entry point. With PARDS_COMPILE=all in the
// environment they are many more.
var sampled = []func(all bool) []variant{scanVariants, wordsVariants, generalVariants, fusedVariants, langevinVariants, wideVariants}

// scanVariants lists kernels of scans.
func scanVariants(all bool) (vs []variant) {
	sizes, dims, wide := []int{4}, []int{4, 33, 64}, []int{1, 2, 64}
	if all {
		sizes, wide = []int{4, 8}, []int{1, 2, 3, 4, 8, 16, 31, 64, 256}
		dims = nil
		for d := 2; d <= denseMost; d++ {
			dims = append(dims, d)
		}
	}
	for _, bytes := range sizes {
		for _, d := range wide {
			for _, op := range []string{"diagonal", "scaled_identity", "identity"} {
				if all || op == "diagonal" || d == 1 {
					vs = append(vs, planOnePass(scanShape{op, bytes, 1, 100000, d, true}).variant)
				}
			}
		}
		for d := range matrixPolicy[bytes/8] {
			if all || d == 2 {
				vs = append(vs, planOnePass(scanShape{"dense", bytes, 1, 100000, d, true}).variant)
			}
		}
		for _, d := range dims {
			vs = append(vs, planLevels("dense", bytes, d, true).variant, planLevels("dense", bytes, d, false).variant)
		}
		vs = append(vs, planLevels("dense", bytes, denseMost+1, false).variant, planLevels("permutation", bytes, 5, false).variant)
	}
	return vs
}

// wordsVariants lists the kernels that look at words.
func wordsVariants(bool) (vs []variant) {
	for _, whole := range []int{0, 4, 8} {
		vs = append(vs, wordsVariant(whole, 4), wordsVariant(whole, 8))
	}
	return vs
}

// generalVariants lists the kernels of the general engine.
func generalVariants(all bool) (vs []variant) {
	for i, name := range rowNames() {
		for _, bytes := range []int{4, 8} {
			for _, team := range []int{32, block} {
				if all || bytes == 4 && (team == 32) == (i%2 == 0) {
					vs = append(vs, generalVariant(name, bytes, team))
				}
			}
		}
	}
	return vs
}

// langevinVariants lists the kernels of Langevin chains.
func langevinVariants(all bool) (vs []variant) {
	dims := []int{32, 256}
	if all {
		dims = []int{16, 17, 32, 33, 64, 96, 100, 128, 160, 192, 224, 256}
	}
	for _, d := range dims {
		for _, bytes := range []int{4, 8} {
			for _, k := range []int{1, 2, 8} {
				if !all && (k != 2 || bytes == 8 && d == 256) {
					continue
				}
				vs = append(vs, planLangevin(bytes, d, k, k-1, 3, 30000, 227<<10).variant)
				if all {
					vs = append(vs, planLangevin(bytes, d, k, k, 2, 30000, 227<<10).variant)
				}
				if loop, ok := planLoop(bytes, d, k, 80); ok {
					vs = append(vs, loop.variant)
				}
				if loop, ok := planLoop(bytes, d, k, 90); ok { // clusters
					vs = append(vs, loop.variant)
				}
			}
		}
	}
	return vs
}

// wideVariants lists the kernels of loops with wide states: of every cell, with weights held by a block, by a cluster and by none.
func wideVariants(all bool) (vs []variant) {
	vs = append(vs, inputsVariant(4), inputsVariant(8))
	dims := []int{33}
	if all {
		dims = []int{4, 9, 16, 33, 64, 96, 128, 200, 512}
	}
	for _, d := range dims {
		vs = append(vs, wideVariantsOf[float32](d)...)
		if all {
			vs = append(vs, wideVariantsOf[float64](d)...)
		}
	}
	for _, d := range []int{128, 200} {
		vs = append(vs, wideVariantsOf[float32](d)[:2]...)
	}
	ring := wideForm[float64]{wideShape: wideShape{dim: 3000, units: 3000, columns: 3000, joined: true}, cell: "lorenz96_wide<real,3000,0,false>"}
	plan, _ := planWide(ring, 80) // as much shared memory as there is
	return append(vs, wideVariantsOf[float64](64)[0], plan.variant)
}

func wideVariantsOf[T num.Float](d int) (vs []variant) {
	for _, e := range wideExamples(d, d) {
		c, _, _ := celltest.Make[T](&testing.T{}, e, 1)
		form, _ := wideOf(e.Cell, celltest.Values[T](e), c.Dim(), c.Inputs())
		for _, arch := range []int{80, 90} {
			if plan, ok := planWide(form, arch); ok {
				vs = append(vs, plan.variant)
			}
		}
	}
	return vs
}

// spilling are variants that may spill, with the bytes they may; one that spills and is not here fails.
var spilling = []struct {
	options string // all of which the variant has
	bytes   int
}{
	{"general.cu", 200},                            // right, not fast
	{"solve.cu -DPARDS_REAL=double", 6000},         // right, not fast: two registers for each of the 128 numbers of two 8 by 8 matrices
	{"solve.cu -DPARDS_DIM=8", 320},                // two matrices, and what surrounds them
	{"solve.cu -DPARDS_DIM=16", 2000},              // 3 D sums at once
	{"solve.cu -DPARDS_CELL=lorenz96<real,6>", 16}, // the states of four stages beside the matrices
	{"levels.cu -DPARDS_OP=tensor_dense", 24},      // what a chunk begins and ends with, outside of the loop over its steps
	{"levels.cu -DPARDS_REAL=double", 64},          // doubles take two registers each
	{"levels.cu -DPARDS_ALIGNED=0", 64},            // an address for every number
	{"scan.cu -DPARDS_REAL=double", 64},            //
	{"scan.cu -DPARDS_RESIDENT=2", 16},             // a word or two beside 64 numbers held
	{"langevin.cu", 128},                           // three sums of a product beside its factors
	{"langevin_loop.cu -DPARDS_HELD=0", 16},        // bound by its loads
	{"wide.cu -DPARDS_REAL=double", 16},            // beside calls of the library's exponential
	{"wide.cu -DPARDS_HELD=0", 16},                 // bound by its loads
}

func allowed(v variant) (bytes int) {
	has := v.source + " " + strings.Join(v.options, " ") + " "
next:
	for _, s := range spilling {
		for _, word := range strings.Fields(s.options) {
			if !strings.Contains(has, word+" ") {
				continue next
			}
		}
		bytes = max(bytes, s.bytes)
	}
	return bytes
}

var spills = regexp.MustCompile(`(\d+) bytes spill stores`)

// Every entry point compiles for every architecture that pards names, without a GPU, and its registers suffice.
func TestCompile(t *testing.T) {
	all := os.Getenv("PARDS_COMPILE") == "all"
	if _, err := driver.Report(driver.Source{Name: "none.cu", Files: map[string]string{"none.cu": ""}}, 90); err != nil && strings.Contains(err.Error(), "NVRTC") {
		t.Skip(err)
	}
	seen := map[string]bool{}
	for _, list := range sampled {
		for _, v := range list(all) {
			if seen[v.String()] {
				continue
			}
			seen[v.String()] = true
			t.Run(fmt.Sprint(v), func(t *testing.T) {
				t.Parallel()
				for _, arch := range []int{80, 90, 100} {
					log, err := driver.Report(driver.Source{Name: v.source, Files: sources(), Options: v.options}, arch)
					if err != nil {
						t.Fatal(err)
					}
					for _, m := range spills.FindAllStringSubmatch(log, -1) {
						if n, _ := strconv.Atoi(m[1]); n > allowed(v) {
							t.Errorf("sm_%d: %d bytes of registers are spilled, %d are allowed", arch, n, allowed(v))
						}
					}
				}
			})
		}
	}
}

// Each structure has its kernel in a file of its name; those listed need none.
func TestStructuresHaveKernels(t *testing.T) {
	none := map[string]bool{"zero": true} // a copy
	for _, name := range lds.Names() {
		if _, ok := sources()["op_"+name+".cuh"]; !ok && !none[name] {
			t.Errorf("structure %s has no kernels/op_%s.cuh", name, name)
		}
	}
}
