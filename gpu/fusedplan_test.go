package gpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"

	"pards/core"
	"pards/core/cell/celltest"
	"pards/core/method"
	"pards/core/method/methodtest"
	"pards/core/num"
	"pards/core/param"
)

// hostThreads are those of a block on the host, where each takes its turn.
const hostThreads = 64

// emulated is a backend that runs the plan of a fused solve on the host: kernels/host/solve.cc, built by the system's compiler.
type emulated[T num.Float] struct {
	core.CPU[T]
	t        *testing.T
	resident int  // blocks that the device in mind holds
	memory   bool // iterates lie in memory
}

func (e emulated[T]) Solve(p *core.Plan[T], members []int, results []method.Result) error {
	plan, ok := planFused(p, hostThreads)
	if !ok {
		e.t.Fatalf("%s of %s is not taken", p.Name, p.Given.Name)
	}
	library := hostLibrary(e.t, plan.kernel(!e.memory, 1))
	var run func(task unsafe.Pointer, dynamic int)
	var sizes func(what int32) int32
	purego.RegisterLibFunc(&run, library, "pards_emulate")
	purego.RegisterLibFunc(&sizes, library, "pards_sizes")
	q, windows := p.Problem, (p.Problem.Steps+p.Options.Window-1)/p.Options.Window
	l := layOut(len(members), p.Options.Window, e.resident, hostThreads)
	task := plan.task(p, len(members), l)
	var kept runtime.Pinner
	defer kept.Unpin()
	numbers := func(v []T) uint64 { return pinned(&kept, v) }
	task.x0, task.u, task.guess, task.states, task.signs = numbers(q.X0), numbers(q.U), numbers(q.Guess), numbers(p.States.Data), numbers(plan.declared.Signs)
	task.work, task.weights = numbers(make([]T, len(p.States.Data)+1)), numbers(plan.numbers)
	if plan.words != nil {
		task.weights = pinned(&kept, plan.words)
	}
	index, counters, counts := make([]int32, len(members)), make([]uint32, l.groups+1), make([]int32, windows*len(members))
	reports, trace, stop := make([]solveReport, len(members)), make([]float64, 3*plan.traceRows*len(members)+1), make([]int32, 1)
	for i, m := range members {
		index[i] = int32(m)
	}
	task.members, task.counters, task.windows = pinned(&kept, index), pinned(&kept, counters), pinned(&kept, counts)
	task.reports, task.stop = pinned(&kept, reports), pinned(&kept, stop)
	task.records = pinned(&kept, make([]uint64, 2*l.groups*l.blocks*plan.recordBytes(q.Dim)/8))
	if plan.traceRows > 0 {
		task.trace = pinned(&kept, trace)
	}
	args := plan.appendWeights(slices.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&task)), unsafe.Sizeof(task))))
	for i, want := range []int{len(args), plan.recordBytes(q.Dim), int(unsafe.Sizeof(solveReport{}))} {
		if got := int(sizes(int32(i))); got != want {
			e.t.Fatalf("struct %d of the kernel has %d bytes, here %d", i, got, want)
		}
	}
	if got, most := int(sizes(3)), plan.staticBytes(q.Dim, hostThreads); got > most {
		e.t.Fatalf("the kernel has %d bytes of shared memory of its own, the plan expects %d at most", got, most)
	}
	run(unsafe.Pointer(&args[0]), plan.residentBytes(q.Dim, q.Inputs, l.chunk, hostThreads))
	for i, m := range members {
		results[m] = reports[i].result(counts[i*windows:(i+1)*windows], trace[3*plan.traceRows*i:3*plan.traceRows*(i+1)])
	}
	if slices.Max(counters) != 0 {
		e.t.Errorf("counters are left at %v", counters)
	}
	return nil
}

var hostLibraries = map[string]uintptr{}

// hostLibrary builds a variant for the host.
func hostLibrary(t *testing.T, v variant) uintptr {
	if l, ok := hostLibraries[v.String()]; ok {
		return l
	}
	compiler := ""
	for _, c := range []string{os.Getenv("CXX"), "c++", "g++", "clang++"} {
		if path, err := exec.LookPath(c); err == nil {
			compiler = path
			break
		}
	}
	if compiler == "" || runtime.GOOS != "linux" {
		t.Skip("no C++ compiler on PATH (c++, g++, clang++, or $CXX): the kernels' sources are not checked on the host")
	}
	path := filepath.Join(t.TempDir(), "solve.so")
	args := append([]string{"-std=c++17", "-O1", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-Wno-maybe-uninitialized", "-shared", "-fPIC", "-o", path}, v.options...)
	if out, err := exec.Command(compiler, append(args, filepath.Join("kernels", "host", strings.TrimSuffix(v.source, ".cu")+".cc"))...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", v, err, out)
	}
	library, err := purego.Dlopen(path, purego.RTLD_NOW)
	if err != nil {
		t.Fatal(err)
	}
	hostLibraries[v.String()] = library
	return library
}

// emulatedCases are a cell, a method, and what the host can afford of the rest: every structure, every form of cell.
var emulatedCases = []struct {
	cell, example, method string
	damping               float64
	settings              map[string]string
}{
	{cell: "gru", example: "hidden", method: "newton"},
	{cell: "gru", example: "exchanged", method: "quasi_newton", settings: map[string]string{"diagonal": "hutchinson"}},
	{cell: "elman", example: "plain", method: "scaled_identity"},
	{cell: "lstm", example: "plain", method: "newton"},
	{cell: "lorenz96", example: "ring", method: "newton"},
	{cell: "lstm", example: "plain", method: "quasi_newton"},
	{cell: "lorenz96", example: "ring", method: "quasi_newton"},
	{cell: "langevin", example: "full", method: "newton", damping: 0.1},
	{cell: "langevin", example: "diagonal", method: "picard", damping: 0.2},
	{cell: "linear", example: "driven", method: "newton"},
	{cell: "group_word", example: "indices", method: "newton"},
	{cell: "group_word", example: "matrices", method: "jacobi"},
}

// The kernel of fused solves, on the host, does what the CPU does: updates, statuses, windows, traces; sequences of one block and of
// several, more sequences than groups.
func TestFusedOnTheHost(t *testing.T) {
	for i, c := range emulatedCases {
		for _, e := range celltest.Examples {
			if e.Cell != c.cell || e.Name != c.example {
				continue
			}
			if i%2 == 0 {
				emulate[float32](t, e, c.method, c.damping, c.settings, i%4 == 0)
			} else {
				emulate[float64](t, e, c.method, c.damping, c.settings, i%4 == 1)
			}
		}
	}
}

// Nor does it take a large residual for done.
func TestFusedIsHonestOnTheHost(t *testing.T) {
	methodtest.Honest(t, func(p *core.Problem[float64], o *core.Options[float64], states []float64) (*core.Solution, error) {
		return core.Solve(emulated[float64]{t: t, resident: 4}, p, o, core.Host(states))
	}, "newton")
}

func emulate[T num.Float](t *testing.T, e celltest.Example, name string, damping float64, settings map[string]string, memory bool) {
	for _, s := range []struct{ batch, steps, window, resident int }{{2, 1, 0, 4}, {3, 60, 0, 2}, {1, 90, 0, 4}, {3, 200, 0, 4}, {2, 190, 70, 4}} {
		p := methodtest.Problem[T](t, e, s.batch, s.steps)
		o := core.Defaults[T]()
		o.Method, o.Damping, o.Window, o.Trace, o.Settings = name, damping, s.window, true, param.Values[T]{}
		for k, v := range settings {
			o.Settings[k] = param.Value[T]{Text: v, IsText: true}
		}
		what := fmt.Sprintf("%s/%s %s batch %d, T = %d, window %d", e.Cell, e.Name, name, s.batch, s.steps, s.window)
		g, c, got, want := both(t, what, emulated[T]{t: t, resident: s.resident, memory: memory}, p, &o)
		sameSolution(t, what, g, c, got, want)
	}
}

// both solves a problem by a backend and on the CPU: the solutions and the states.
func both[T num.Float](t *testing.T, what string, backend core.Backend[T], p *core.Problem[T], o *core.Options[T]) (g, c *core.Solution, got, want []T) {
	n := p.Batch * p.Length * p.Cell.Dim()
	got, want = make([]T, n), make([]T, n)
	g, err := core.Solve(backend, p, o, core.Host(got))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if c, err = core.Solve(core.CPU[T]{}, p, o, core.Host(want)); err != nil {
		t.Fatalf("%s: on the CPU: %v", what, err)
	}
	return g, c, got, want
}

// The kernel of the plain loop, on the host, steps as the CPU does.
func TestLoopOnTheHost(t *testing.T) {
	for i, e := range celltest.Examples {
		t.Run(e.Cell+"/"+e.Name, func(t *testing.T) {
			if i%2 == 0 {
				emulateLoop[float32](t, e)
			} else {
				emulateLoop[float64](t, e)
			}
		})
	}
}

func emulateLoop[T num.Float](t *testing.T, e celltest.Example) {
	const batch, steps = 2, 37 // two pieces of inputs and a part
	p := methodtest.Problem[T](t, e, batch, steps)
	d, m := p.Cell.Dim(), p.Cell.Inputs()
	f, ok := formOf(e.Cell, p.Params, d, m)
	if !ok {
		t.Fatal("no form")
	}
	states, bad, stop, want := make([]T, batch*steps*d), make([]int32, batch), make([]int32, 1), methodtest.Loop(t, p)
	first := func(v []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(v)) }
	args := struct { // loop of kernels/sequential.cu
		x0, u, weights, table, states, members, bad, stop unsafe.Pointer
		x0Stride, uStride                                 int64
		sequences, steps                                  int32
	}{first(p.X0.Data), first(p.Inputs.Data), first(f.flat), unsafe.Pointer(unsafe.SliceData(f.words)), first(states), nil, unsafe.Pointer(&bad[0]), unsafe.Pointer(&stop[0]),
		int64(d), int64(steps * m), batch, steps}
	var run func(loop unsafe.Pointer)
	purego.RegisterLibFunc(&run, hostLibrary(t, loopVariant(f, d, m)), "pards_emulate")
	run(unsafe.Pointer(&args))
	for i, v := range want {
		// roundings of exponentials, of which the contracting examples keep few
		if got := states[i]; math.Abs(float64(got-v)) > 1e3*num.Eps[T]()*max(1, math.Abs(float64(v))) {
			t.Fatalf("component %d of step %d of sequence %d is %v, want %v", i%d, i/d%steps, i/d/steps, got, v)
		}
	}
	if bad[0] != -1 || bad[1] != -1 {
		t.Errorf("the first bad rows are %v", bad)
	}
}

// alike returns whether two took as many updates, but for what rounding decides: one in each window, and of many updates a few.
func alike(a, b method.Result) bool {
	k := a.Iterations - b.Iterations
	return max(k, -k) <= max(1, len(b.Windows), b.Iterations/32)
}

// sameSolution allows a few updates of difference, which rounding may decide. States then agree to the tolerance of the solve, as both do
// with the trajectory; rounding alone separates them where the updates are equal.
func sameSolution[T num.Float](t *testing.T, what string, g, c *core.Solution, got, want []T) {
	t.Helper()
	top, off, tol := 1e-300, 0.0, map[int]float64{4: 1e-3, 8: 1e-7}[num.Size[T]()]
	for i, v := range want {
		top = max(top, math.Abs(float64(v)))
		off = num.Max(off, math.Abs(float64(v-got[i])))
	}
	for i, r := range g.Results {
		w := c.Results[i]
		if k := r.Iterations - w.Iterations; r.Status != w.Status || !alike(r, w) {
			t.Errorf("%s, sequence %d: %s after %d updates, the CPU %s after %d", what, i, r.Status, r.Iterations, w.Status, w.Iterations)
		} else if k == 0 && (len(r.Trace) != len(w.Trace) || !slices.Equal(r.Windows, w.Windows)) {
			t.Errorf("%s, sequence %d: %d rows of trace, windows %v; the CPU %d, %v", what, i, len(r.Trace), r.Windows, len(w.Trace), w.Windows)
		}
	}
	if c.Worst().Success() && !(off <= tol*top) {
		t.Errorf("%s: states are %.2g apart, of size %.2g", what, off, top)
	}
}

// What the engine takes, and what it leaves to others.
func TestFusedTakes(t *testing.T) {
	var taken []string
	for _, e := range celltest.Examples {
		for _, m := range method.Entries() {
			p := methodtest.Problem[float32](t, e, 1, 5)
			o := core.Defaults[float32]()
			o.Method = m.Name
			if m.Name == "block_newton" {
				o.Settings = param.Values[float32]{"block": {Number: 1}}
			}
			if _, err := core.Solve(recorder{taken: &taken}, p, &o, core.Host(make([]float32, 5*p.Cell.Dim()))); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, cell := range []string{"gru", "elman", "lstm", "lorenz96", "langevin", "linear", "group_word"} {
		for _, m := range []string{"newton", "quasi_newton", "scaled_identity", "picard", "jacobi"} {
			if !slices.Contains(taken, cell+" "+m) {
				t.Errorf("%s by %s is not taken", cell, m)
			}
		}
	}
	for _, s := range taken {
		if strings.HasSuffix(s, " rotated_quasi_newton") || strings.HasSuffix(s, " chord") || strings.HasSuffix(s, " sequential") {
			t.Errorf("%s is taken", s)
		}
	}
}

// recorder notes which plans the engine takes.
type recorder struct {
	core.CPU[float32]
	taken *[]string
}

func (r recorder) Solve(p *core.Plan[float32], members []int, results []method.Result) error {
	if _, ok := planFused(p, hostThreads); ok {
		*r.taken = append(*r.taken, p.Given.Name+" "+p.Name)
	}
	return r.CPU.Solve(p, members, results)
}

// collector notes the kernels of the plans it is asked to solve, and solves none.
type collector[T num.Float] struct {
	core.CPU[T]
	variants *[]variant
}

func (c collector[T]) Solve(p *core.Plan[T], _ []int, _ []method.Result) error {
	if plan, ok := planFused(p, fusedThreads); ok {
		*c.variants = append(*c.variants, plan.kernel(true, 8), plan.kernel(false, 1), loopVariant(plan.form, p.Problem.Dim, p.Problem.Inputs))
	}
	return nil
}

// collect appends the kernels of some methods on a problem.
func collect[T num.Float](vs *[]variant, p *core.Problem[T], methods ...string) {
	for _, m := range methods {
		o := core.Defaults[T]()
		o.Method = m
		if _, err := core.Solve(collector[T]{variants: vs}, p, &o, core.Host(make([]T, p.Batch*p.Length*p.Cell.Dim()))); err != nil {
			panic(err)
		}
	}
}

// gru8 is the largest state of Newton's method.
var gru8 = celltest.Example{Cell: "gru", Name: "eight", Params: func(r *rand.Rand) param.Values[float64] {
	v := param.Values[float64]{}
	for name, shape := range map[string][]int{"weight_ih": {24, 8}, "weight_hh": {24, 8}, "bias": {24}, "bias_n": {8}} {
		n := 1
		for _, k := range shape {
			n *= k
		}
		v[name] = param.Value[float64]{Shape: shape, Data: make([]float64, n)}
	}
	return v
}}

// fusedVariants lists kernels of fused solves and of loops.
func fusedVariants(all bool) (vs []variant) {
	t := &testing.T{}
	collect(&vs, methodtest.Problem[float32](t, gru8, 1, 2), "newton")
	for _, e := range celltest.Examples {
		switch {
		case all:
			for _, m := range []string{"newton", "quasi_newton", "scaled_identity", "picard", "jacobi"} {
				collect(&vs, methodtest.Problem[float32](t, e, 1, 2), m)
				collect(&vs, methodtest.Problem[float64](t, e, 1, 2), m)
			}
		case e.Cell == "group_word" || e.Cell == "lstm":
			collect(&vs, methodtest.Problem[float32](t, e, 1, 2), "newton")
		case e.Cell == "langevin":
			collect(&vs, methodtest.Problem[float64](t, e, 1, 2), "quasi_newton")
		}
	}
	return vs
}
