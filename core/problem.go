package core

import (
	"fmt"
	"math"

	"pards/core/cell"
	"pards/core/check"
	"pards/core/internal/par"
	"pards/core/internal/simd"
	"pards/core/method"
	"pards/core/num"
	"pards/core/param"
)

// Array is a row-major array; a nil Shape means that none was given.
type Array[T num.Float] struct {
	Data   []T // nil for an array on a device
	Shape  []int
	Device uintptr // its address in a device's memory; 0 on the host
	Whole  int     // bytes of a number where those on a device are whole ones in place of T's, as words may be; else 0
}

// Host is an array of this machine's memory; without a shape it has one axis.
func Host[T num.Float](data []T, shape ...int) Array[T] {
	if len(shape) == 0 {
		shape = []int{len(data)}
	}
	return Array[T]{Data: data, Shape: shape}
}

// Count is the number of elements, for an array whose shape is known to fit.
func (a Array[T]) Count() int {
	n := 1
	for _, k := range a.Shape {
		n *= k
	}
	return n
}

// size returns the number of elements that the shape asks for.
func (a Array[T]) size() float64 {
	n := 1.0
	for _, k := range a.Shape {
		n *= float64(k)
	}
	return n
}

// Problem is a model, where it starts, what drives it, and a first guess.
type Problem[T num.Float] struct {
	Cell          cell.Cell[T]
	Name          string          // of the cell in its registry, "" for a callable
	Params        param.Values[T] // of the cell
	X0            Array[T]        // (D) or (B, D)
	Inputs        Array[T]        // (T, M) or (B, T, M); none for an autonomous model, and for a Caller, which has its own
	Guess         Array[T]        // (T, D) or (B, T, D); none: x0 at every step
	Batch, Length int
}

// Auto is a window or a damping that adapts to how the iteration goes.
const Auto = -1

// Options are the settings of Solve. NaN and -1 mean that a number was not given.
type Options[T num.Float] struct {
	Method        string // a registered name, or "auto"
	Settings      param.Values[T]
	Rtol, Atol    float64
	MeritTol      float64
	MaxIterations int
	Window        int     // 0: none; Auto: windows that adapt
	Damping       float64 // Auto: as much as it takes
	Clip          bool
	Nonfinite     string
	NumThreads    int // 0: as many as the process may use
	Seed          uint64
	Trace         bool
	Poll          func() bool // on the calling goroutine; true stops the solve
	Progress      *method.Progress
}

// Defaults returns the options of a solve of which nothing was said.
func Defaults[T num.Float]() Options[T] {
	return Options[T]{Method: "auto", Rtol: math.NaN(), Atol: math.NaN(), MeritTol: math.NaN(), MaxIterations: -1,
		Nonfinite: string(method.Stop)}
}

// Solution is what Solve did; the states are in the caller's array.
type Solution struct {
	Results []method.Result
	Method  string // the one that ran
	Reason  string // why "auto" chose it
	Device  string
	Window  int // 0: none
	Seconds float64
}

// Worst returns the worst status of the batch.
func (s *Solution) Worst() method.Status {
	worst := method.Converged
	for _, r := range s.Results {
		worst = max(worst, r.Status)
	}
	return worst
}

// check turns a problem into the form that methods work on; so many workers look at its numbers.
func (p *Problem[T]) check(states Array[T], workers int) (*method.Problem[T], error) {
	const fn = "solve"
	c := p.Cell
	d := c.Dim()
	dims := check.NewDims(fn)
	dims.Fix("D", d, "the model's dimension")
	dims.Fix("B", p.Batch, "the batch axes of x0, inputs and guess")
	dims.Fix("T", p.Length, "the length of the inputs")
	m := &method.Problem[T]{Cell: c, Batch: p.Batch, Steps: p.Length, Dim: d, Inputs: c.Inputs()}
	if p.Batch < 0 || p.Length < 0 {
		return nil, check.Valuef(fn, "length", fmt.Sprintf("is %d", p.Length), "at least 0", "")
	}
	var err error
	if m.X0, m.X0Stride, err = p.X0.strided(dims, "x0", "D", d, workers); err != nil {
		return nil, err
	}
	if m.Guess, m.GuessStride, err = p.Guess.strided(dims, "guess", "T D", p.Length*d, workers); err != nil {
		return nil, err
	}
	if m.U, m.UStride, err = p.inputs(dims, workers); err != nil {
		return nil, err
	}
	if want := float64(p.Batch) * float64(p.Length) * float64(d); states.size() != want {
		return nil, check.Valuef(fn, "states", fmt.Sprintf("holds %.0f numbers", states.size()),
			fmt.Sprintf("B T D = %.0f", want), "")
	}
	return m, nil
}

// strided checks an array that may lack the batch axis; size is what one sequence holds.
func (a Array[T]) strided(dims *check.Dims, name, pattern string, size, workers int) ([]T, int, error) {
	if a.Shape == nil {
		return nil, 0, nil
	}
	stride := 0
	if axes := map[string]int{"D": 2, "T D": 3, "T M": 3}[pattern]; len(a.Shape) == axes {
		pattern, stride = "B "+pattern, size
	}
	if err := dims.Shape(name, a.Shape, pattern); err != nil {
		return nil, 0, err
	}
	if i := firstBad(a.Data, workers, simd.FirstNonFinite[T]); i >= 0 { // numbers on a device are looked at there
		return nil, 0, check.Valuef("solve", name, fmt.Sprintf("holds %v at %s", a.Data[i], check.ShapeText(param.Unravel(i, a.Shape))),
			"finite numbers", "a solve starts from numbers; what overflows later is reported in status")
	}
	return a.Data, stride, nil
}

// inputs checks u against what the cell takes.
func (p *Problem[T]) inputs(dims *check.Dims, workers int) ([]T, int, error) {
	m := p.Cell.Inputs()
	if cell.IsCaller(p.Cell) {
		return nil, 0, nil
	}
	switch given := p.Inputs.Shape != nil; {
	case m == 0 && given && p.Inputs.Shape[len(p.Inputs.Shape)-1] > 0:
		return nil, 0, check.Valuef("solve", "inputs", "has shape "+check.ShapeText(p.Inputs.Shape), "None and length=T", "this model takes no inputs")
	case m > 0 && !given:
		return nil, 0, check.Valuef("solve", "inputs", "is None", fmt.Sprintf("(T, M) or (B, T, M) with M = %d", m), "this model is driven by inputs")
	}
	dims.Fix("M", m, "the model's inputs")
	u, stride, err := p.Inputs.strided(dims, "inputs", "T M", p.Length*m, workers)
	if err == nil {
		err = p.CheckInputs(u, workers)
	}
	return u, stride, err
}

// CheckInputs checks what is in the inputs, which a device looks at later than this machine does: nil for what is on one.
func (p *Problem[T]) CheckInputs(u []T, workers int) error {
	c, ok := p.Cell.(cell.Checker[T])
	if !ok {
		return nil
	}
	bad := firstBad(u, workers, func(u []T) int {
		at, _ := c.CheckInputs(u)
		return at
	})
	if bad < 0 {
		return nil
	}
	_, want := c.CheckInputs(u[bad:])
	at := param.Unravel(bad, p.Inputs.Shape)
	return check.Valuef("solve", "inputs", fmt.Sprintf("holds %v at %s", u[bad], check.ShapeText(at[:len(at)-1])), want, "")
}

// piece is how many numbers are worth a worker that looks at them: some microseconds, as long as it takes to start one.
const piece = 1 << 16

// firstBad returns the index of the first number that find finds, which is asked for pieces of many; -1 for none.
func firstBad[T num.Float](x []T, workers int, find func(x []T) int) int {
	pieces := len(x) / piece
	if pieces < 2 {
		return find(x)
	}
	found := make([]int, pieces)
	par.New(workers, nil).For(pieces, 1, func(_ *par.Worker, i int) {
		to := (i + 1) * piece
		if i == pieces-1 {
			to = len(x)
		}
		found[i] = find(x[i*piece : to])
	})
	for i, bad := range found {
		if bad >= 0 {
			return i*piece + bad
		}
	}
	return -1
}

// check turns options into those that methods work with.
func (o *Options[T]) check(p *method.Problem[T]) (method.Options, error) {
	const fn = "solve"
	m := method.Options{Damping: o.Damping, Clip: o.Clip, Nonfinite: method.Policy(o.Nonfinite), Seed: o.Seed, Trace: o.Trace, Progress: o.Progress,
		AutoWindow: o.Window == Auto, AutoDamping: o.Damping == Auto}
	if m.AutoDamping {
		m.Damping = 0
	}
	merit := !math.IsNaN(o.MeritTol)
	switch {
	case merit && !(math.IsNaN(o.Rtol) && math.IsNaN(o.Atol)):
		return m, check.Valuef(fn, "merit_tol", "came with rtol or atol", "one stopping rule", "give merit_tol, or rtol and atol")
	case merit && !(o.MeritTol >= 0 && o.MeritTol < math.Inf(1)):
		return m, check.Valuef(fn, "merit_tol", fmt.Sprintf("is %v", o.MeritTol), "a finite number of at least 0", "")
	case !math.IsNaN(o.Rtol) && !(o.Rtol > 0 && o.Rtol < math.Inf(1)):
		return m, check.Valuef(fn, "rtol", fmt.Sprintf("is %v", o.Rtol), "a finite number above 0", "it bounds the estimated distance to the trajectory")
	case !math.IsNaN(o.Atol) && !(o.Atol >= 0 && o.Atol < math.Inf(1)):
		return m, check.Valuef(fn, "atol", fmt.Sprintf("is %v", o.Atol), "a finite number of at least 0", "")
	case o.MaxIterations < -1:
		return m, check.Valuef(fn, "max_iterations", fmt.Sprintf("is %d", o.MaxIterations), "at least 0", "")
	case o.Window < Auto:
		return m, check.Valuef(fn, "window", fmt.Sprintf("is %d", o.Window), `at least 1, "auto", or None`, "")
	case !(o.Damping >= 0 && o.Damping <= 1 || o.Damping == Auto):
		return m, check.Valuef(fn, "damping", fmt.Sprintf("is %v", o.Damping), `a number from 0 to 1, or "adaptive"`, "A is scaled by 1 - damping")
	case o.NumThreads < 0:
		return m, check.Valuef(fn, "num_threads", fmt.Sprintf("is %d", o.NumThreads), "at least 1, or None", "")
	}
	if err := check.Choice(fn, "nonfinite", o.Nonfinite, method.Policies); err != nil {
		return m, err
	}
	m.Tolerances = method.Tolerances{MeritTol: o.MeritTol, Rtol: o.Rtol, Atol: o.Atol, Cap: o.MaxIterations}
	if math.IsNaN(m.Rtol) {
		m.Rtol = 1e-8
		if num.Size[T]() == 4 {
			m.Rtol = 1e-4
		}
	}
	if math.IsNaN(m.Atol) {
		m.Atol = 1e-3 * m.Rtol
	}
	m.Window = o.window(p)
	return m, nil
}

// The longest windows that window="auto" takes: long enough to fill the blocks of a native cell or to pay for a call into the caller's
// language, short enough that a window's iterates, and a caller's Jacobians, stay in cache.
const (
	nativeWindow  = 1024
	callerNumbers = 1 << 17 // of the Jacobians of a window
	callerLeast   = 256
	callerMost    = 8192
)

// window returns the length of the windows, of the longest where they adapt; at least 1. Method "auto" has windows adapt for callables.
func (o *Options[T]) window(p *method.Problem[T]) int {
	w := o.Window
	switch {
	case cell.IsCaller(p.Cell) && (w == Auto || w == 0 && o.Method == "auto"):
		w = min(max(callerNumbers/max(p.Batch*p.Dim*p.Dim, 1), callerLeast), callerMost)
	case w == Auto && !cell.IsAffine(p.Cell):
		w = nativeWindow
	case w <= 0:
		w = p.Steps
	}
	return max(min(w, p.Steps), 1)
}
