package gpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"

	"pards/core"
	"pards/core/cell"
	"pards/core/cell/celltest"
	"pards/core/method"
	"pards/core/method/methodtest"
	"pards/core/num"
	"pards/core/param"
)

// wideExamples draws every cell with d components, and gates driven by m inputs; weights contract. Of lstm and of lorenz96 d is even, and
// no less than four.
func wideExamples(d, m int) (es []celltest.Example) {
	drawn := func(r *rand.Rand, scale float64, shape ...int) param.Value[float64] {
		n := 1
		for _, k := range shape {
			n *= k
		}
		v := param.Value[float64]{Shape: shape, Data: make([]float64, n)}
		for i := range v.Data {
			v.Data[i] = scale * (2*r.Float64() - 1)
		}
		return v
	}
	type draws = func(scale float64, shape ...int) param.Value[float64]
	add := func(cell, name string, words int, params func(draw draws, r *rand.Rand) param.Values[float64]) {
		es = append(es, celltest.Example{Cell: cell, Name: name, Words: words, Params: func(r *rand.Rand) param.Values[float64] {
			return params(func(scale float64, shape ...int) param.Value[float64] { return drawn(r, scale, shape...) }, r)
		}})
	}
	root, even := 1/math.Sqrt(float64(d)), max(d/2*2, 4)
	gates := func(draw draws, g, d, m int) param.Values[float64] {
		return param.Values[float64]{"weight_ih": draw(root, g*d, m), "weight_hh": draw(root, g*d, d), "bias": draw(0.5, g*d)}
	}
	add("gru", "hidden", 0, func(draw draws, _ *rand.Rand) param.Values[float64] {
		v := gates(draw, 3, d, m)
		v["bias_n"] = draw(0.5, d)
		return v
	})
	add("gru", "exchanged", 0, func(draw draws, _ *rand.Rand) param.Values[float64] {
		v := gates(draw, 3, d, d)
		v["bias_n"], v["exchanged"] = draw(0.5, d), param.Value[float64]{Number: 1}
		return v
	})
	add("lstm", "plain", 0, func(draw draws, _ *rand.Rand) param.Values[float64] { return gates(draw, 4, even/2, m) })
	add("elman", "plain", 0, func(draw draws, _ *rand.Rand) param.Values[float64] { return gates(draw, 1, d, m) })
	add("linear", "driven", 0, func(draw draws, _ *rand.Rand) param.Values[float64] {
		return param.Values[float64]{"A": draw(root, d, d), "B": draw(1, d, m), "bias": draw(1, d)}
	})
	add("linear", "autonomous", 0, func(draw draws, _ *rand.Rand) param.Values[float64] {
		return param.Values[float64]{"A": draw(root, d, d)}
	})
	add("lorenz96", "ring", 0, func(draws, *rand.Rand) param.Values[float64] {
		return param.Values[float64]{"dim": {Number: float64(even)}, "forcing": {Number: 0.5}, "step": {Number: 0.05}}
	})
	add("group_word", "indices", 3, func(_ draws, r *rand.Rand) param.Values[float64] {
		v := param.Value[float64]{Shape: []int{3, d}}
		for range 3 {
			for _, k := range r.Perm(d) {
				v.Data = append(v.Data, float64(k))
			}
		}
		return param.Values[float64]{"permutations": v}
	})
	add("langevin", "diagonal", 0, func(draw draws, _ *rand.Rand) param.Values[float64] {
		v := param.Values[float64]{"means": draw(1, 2, d), "precisions": draw(0.5, 2, d), "log_weights": draw(1, 2), "step_size": {Number: 0.05}}
		for i := range v["precisions"].Data {
			v["precisions"].Data[i] += 1.5
		}
		return v
	})
	return es
}

// looper is a backend that runs the plain loop by the plan for wide states, on the host: kernels/host/wide.cc and inputs.cc.
type looper[T num.Float] struct {
	core.CPU[T]
	t    *testing.T
	arch int
	stop int32 // what the flag says
}

func (l looper[T]) Solve(p *core.Plan[T], members []int, results []method.Result) error {
	q := p.Problem
	form, known := wideOf(p.Given.Name, p.Given.Params, q.Dim, q.Inputs)
	plan, fits := planWide(form, l.arch)
	if !known || !fits {
		l.t.Fatalf("%s with D = %d is not taken", p.Given.Name, q.Dim)
	}
	var kept runtime.Pinner
	defer kept.Unpin()
	numbers := func(v []T) uint64 { return pinned(&kept, v) }
	index, bad := make([]int32, len(members)), make([]int32, len(members))
	for i, m := range members {
		index[i], bad[i] = int32(m), math.MaxInt32
	}
	t, d, sequences, ahead := form.tasks(q, len(members), 40*len(members)*form.drive*num.Size[T]()) // 40 steps of each
	t.x0, t.weights, t.rest, t.states = numbers(q.X0), numbers(form.own), numbers(form.rest), numbers(p.States.Data)
	t.members, t.bad, t.stop, t.v = pinned(&kept, index), pinned(&kept, bad), pinned(&kept, []int32{l.stop}), numbers(q.U)
	d.u, d.weights, d.bias, d.members = t.v, numbers(form.in), numbers(form.bias), t.members
	if form.bias != nil {
		t.v = d.bias
	}
	if form.in != nil {
		d.v = numbers(make([]T, sequences*ahead*form.drive))
		t.v = d.v
	}
	var loop, decide func(task unsafe.Pointer, count int32)
	purego.RegisterLibFunc(&loop, hostLibrary(l.t, plan.variant), "pards_emulate")
	purego.RegisterLibFunc(&decide, hostLibrary(l.t, inputsVariant(num.Size[T]())), "pards_emulate")
	for from := 0; from < q.Steps; from += ahead {
		t.first, t.steps = int32(from), int32(min(ahead, q.Steps-from))
		if d.first, d.steps = t.first, t.steps; form.in != nil {
			decide(unsafe.Pointer(&d), int32(inputsBlocks(sequences, int(d.steps), form.drive)))
		}
		loop(unsafe.Pointer(&t), int32(len(members)))
	}
	for i, m := range members {
		results[m] = method.Result{BadStep: -1, Windows: []int{0}}
		if bad[i] < math.MaxInt32 {
			results[m].Status, results[m].BadStep = method.Nonfinite, int(bad[i])
		}
	}
	return nil
}

// pinned is the address of numbers that stay where they are; 0 for none.
func pinned[E any](kept *runtime.Pinner, v []E) uint64 {
	if len(v) == 0 {
		return 0
	}
	kept.Pin(&v[0])
	return uint64(uintptr(unsafe.Pointer(&v[0])))
}

// inParts is a backend that solves the sequences in two calls, of which neither has those of the whole batch.
type inParts[T num.Float] struct{ core.Backend[T] }

func (b inParts[T]) Solve(p *core.Plan[T], members []int, results []method.Result) error {
	var odd, even []int
	for _, m := range members {
		if m%2 == 0 {
			even = append(even, m)
		} else {
			odd = append(odd, m)
		}
	}
	if err := b.Backend.Solve(p, odd, results); err != nil {
		return err
	}
	return b.Backend.Solve(p, even, results)
}

// The kernels of the loop for wide states, on the host, step as the CPU does: every cell, weights held by a block, by a cluster and by none,
// what inputs decide ahead in pieces.
func TestWideOnTheHost(t *testing.T) {
	for _, d := range []int{1, 9, 33} {
		for i, e := range wideExamples(d, 5+d%3) {
			t.Run(fmt.Sprintf("%s/%s/D%d", e.Cell, e.Name, d), func(t *testing.T) {
				if (i+d)%2 == 0 {
					wideOnTheHost[float32](t, e, 80, 70)
				} else {
					wideOnTheHost[float64](t, e, 90, 70)
				}
			})
		}
	}
	for _, e := range wideExamples(160, 3) { // more than a block holds of float64
		t.Run(fmt.Sprintf("%s/%s/D160", e.Cell, e.Name), func(t *testing.T) {
			wideOnTheHost[float64](t, e, 90, 5)
			wideOnTheHost[float64](t, e, 80, 3)
		})
	}
	for _, e := range celltest.Examples {
		t.Run(e.Cell+"/"+e.Name, func(t *testing.T) { wideOnTheHost[float64](t, e, 90, 20) })
	}
}

func wideOnTheHost[T num.Float](t *testing.T, e celltest.Example, arch, steps int) {
	p := methodtest.Problem[T](t, e, 3, steps)
	o := core.Defaults[T]()
	o.Method = "sequential"
	g, c, got, want := both[T](t, e.Cell, inParts[T]{looper[T]{t: t, arch: arch}}, p, &o)
	steady(t, g, c, got, want)
}

// steady wants two loops to differ by roundings alone, in states that forget them: 1000 of those of the largest state is what sums of some
// hundred products and exponentials leave. A loop that ends, ends at the same step.
func steady[T num.Float](t *testing.T, g, c *core.Solution, got, want []T) {
	t.Helper()
	n := len(want) / len(g.Results)
	for i, r := range g.Results {
		w := c.Results[i]
		if r.Status != w.Status || r.BadStep != w.BadStep {
			t.Errorf("sequence %d: %s, bad step %d; on the CPU %s, %d", i, r.Status, r.BadStep, w.Status, w.BadStep)
			continue
		}
		top, off := 1.0, 0.0
		for k, v := range want[i*n : (i+1)*n] {
			top, off = max(top, math.Abs(float64(v))), num.Max(off, math.Abs(float64(got[i*n+k]-v)))
		}
		if w.Status.Success() && !(off <= 1e3*num.Eps[T]()*top) {
			t.Errorf("sequence %d: states are %.2g apart, of size %.2g", i, off, top)
		}
	}
}

// growing is a linear recurrence from zero, from ones and from what overflows after some steps, with inputs that all share.
func growing[T num.Float](t *testing.T, d, steps int) *core.Problem[T] {
	const batch, m = 5, 4
	var e celltest.Example
	for _, e = range wideExamples(d, m) {
		if e.Cell == "linear" && e.Name == "driven" {
			break
		}
	}
	p := methodtest.Problem[T](t, e, batch, steps)
	p.Inputs = core.Host(p.Inputs.Data[:steps*m], steps, m)
	for i := range d { // A doubles the first component and, in the first, shrinks the others
		for j := range d {
			p.Params["A"].Data[i*d+j] /= 4
		}
		p.Params["A"].Data[i*d] = 0
	}
	p.Params["A"].Data[0] = 2
	p.Params["B"].Data[0], p.Params["B"].Data[1], p.Params["B"].Data[2], p.Params["B"].Data[3], p.Params["bias"].Data[0] = 0, 0, 0, 0, 0
	for b := range batch {
		p.X0.Data[b*d] = T(b%2) * T(math.Ldexp(1, map[int]int{4: 128, 8: 1024}[num.Size[T]()]-3-7*b))
	}
	var err error
	if p.Cell, err = cell.New("linear", p.Params); err != nil {
		t.Fatal(err)
	}
	return p
}

// Parts of a batch, inputs that it shares, and rows that are not finite are as on the CPU.
func TestWidePartsOnTheHost(t *testing.T) {
	o := core.Defaults[float64]()
	o.Method = "sequential"
	g, c, got, want := both[float64](t, "linear", inParts[float64]{looper[float64]{t: t, arch: 90}}, growing[float64](t, 9, 50), &o)
	if c.Results[1].BadStep != 9 || c.Results[3].BadStep != 23 {
		t.Fatalf("on the CPU the first bad steps are %d and %d", c.Results[1].BadStep, c.Results[3].BadStep)
	}
	steady(t, g, c, got, want)
}

// Where the flag says so the loop ends, in all blocks of a cluster.
func TestWideStopsOnTheHost(t *testing.T) {
	const d, steps, left = 130, 40, 16
	p := methodtest.Problem[float64](t, wideExamples(d, 2)[0], 1, steps)
	o := core.Defaults[float64]()
	o.Method = "sequential"
	states := make([]float64, steps*d)
	if _, err := core.Solve[float64](looper[float64]{t: t, arch: 90, stop: 1}, p, &o, core.Host(states)); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(states[left*d:], func(v float64) bool { return v != 0 }) {
		t.Errorf("the loop did not end after the first steps, at which it looked")
	}
}

// A block holds the weights as long as its registers do, then the smallest cluster, where there are any; lanes are as many as are fastest.
func TestPlanWide(t *testing.T) {
	for _, c := range []struct{ bytes, d, arch, threads, blocks, held int }{
		{4, 16, 80, 32, 1, 1},
		{4, 64, 80, 128, 1, 1},
		{4, 128, 80, 256, 1, 1},
		{4, 200, 80, 512, 1, 0},
		{4, 200, 90, 224, 4, 1},
		{4, 1000, 90, 512, 1, 0},
		{8, 64, 80, 256, 1, 1},
		{8, 128, 90, 256, 4, 1},
	} {
		var p widePlan
		var ok bool
		shape := wideShape{dim: c.d, units: c.d, columns: c.d, gates: 3, drive: 3 * c.d}
		if c.bytes == 4 {
			p, ok = planWide(wideForm[float32]{wideShape: shape}, c.arch)
		} else {
			p, ok = planWide(wideForm[float64]{wideShape: shape}, c.arch)
		}
		held := strings.Contains(p.String(), define("HELD", 1))
		if !ok || p.threads != c.threads || p.blocks != c.blocks || held != (c.held == 1) {
			t.Errorf("%+v: %d blocks of %d threads, held %v, taken %v", c, p.blocks, p.threads, held, ok)
		}
	}
}

// What is taken for any device is taken for those with clusters too, whose shared memory holds what the inputs decide besides.
func TestWideTakes(t *testing.T) {
	for d := 1; d <= 3000; d += 1 + d/9 { // what README promises of float64
		for _, s := range []wideShape{{d, d, d, 3, 3 * d, false}, {d, d, d, 3, 4 * d, false}, {2 * d, d, d, 4, 4 * d, false}, {d, d, d, 1, d, false},
			{d, d, d, 0, 1, false}, {d, d, d, 0, 0, true}, {d, d, d, 2, d, true}} {
			for _, arch := range []int{80, 90} {
				if _, ok := planWide(wideForm[float64]{wideShape: s}, arch); !ok && s.dim <= 3000 {
					t.Errorf("%+v is not taken on architecture %d", s, arch)
				}
			}
		}
	}
}
