//go:build cuda

package gpu

import (
	"errors"
	"fmt"
	"unsafe"

	"pards/core"
	"pards/core/cell"
	"pards/core/check"
	"pards/core/lds"
	"pards/core/method"
	"pards/core/num"
	"pards/gpu/driver"
)

// Open returns why a device cannot be used.
func Open(ordinal int) error {
	_, err := driver.Open(ordinal)
	return err
}

// New returns the backend of a device.
func New[T num.Float](ordinal int) (core.Backend[T], error) { return NewOn[T](ordinal, 0) }

// NewOn is New on a stream of another library: solves come after what is in it.
func NewOn[T num.Float](ordinal int, stream uintptr) (core.Backend[T], error) {
	d, err := driver.Open(ordinal)
	if err != nil {
		return nil, err
	}
	return &backend[T]{d, driver.StreamOf(stream)}, nil
}

// backend is a core.Backend on a device, in the order of a stream.
type backend[T num.Float] struct {
	device *driver.Device
	stream driver.Stream
}

// Name returns "cuda:0".
func (b *backend[T]) Name() string { return fmt.Sprintf("cuda:%d", b.device.Ordinal) }

// Fits asks for an engine. Memory is left to the allocations, whose errors say how much was asked for.
func (b *backend[T]) Fits(p *core.Plan[T]) error {
	if p.Options.AutoDamping {
		return check.Valuef("solve", "damping", `is "adaptive"`, `a number, window="auto", or device="cpu"`, "updates cannot be taken back on "+b.Name())
	}
	if cell.IsCaller(p.Problem.Cell) || p.Problem.Steps == 0 || engineOf(p) != nil {
		return nil
	}
	return check.Valuef("solve", "method", fmt.Sprintf("is %q", p.Name), `another one, or device="cpu"`,
		fmt.Sprintf("no kernel of this version runs it on a %s with D = %d in %s", p.Given.Name, p.Problem.Dim, num.Name[T]()))
}

// Choices asks what the methods cost.
func (b *backend[T]) Choices(p *core.Problem[T], _ *core.Options[T]) []core.Choice {
	return choicesOf(p)
}

// engine runs the solves it fits. fits comes before solve, for the same plan.
type engine[T num.Float] interface {
	fits(p *core.Plan[T]) bool
	solve(w *work[T]) error
}

// engines are tried in the order of their ranks.
var engines struct {
	f32 [ranks]engine[float32]
	f64 [ranks]engine[float64]
}

// The ranks: what is special before what is general.
const (
	rankSequential = iota
	rankFused
	rankLangevin
	rankWide
	rankGeneral
	ranks
)

func register(rank int, f32 engine[float32], f64 engine[float64]) {
	engines.f32[rank], engines.f64[rank] = f32, f64
}

// enginesOf returns the registered engines of a dtype.
func enginesOf[T num.Float]() (all []engine[T]) {
	for rank := range ranks {
		var e any = engines.f32[rank]
		if num.Size[T]() == 8 {
			e = engines.f64[rank]
		}
		if e, ok := e.(engine[T]); ok && e != nil {
			all = append(all, e)
		}
	}
	return all
}

// found is what was found of a plan.
type found[T num.Float] struct {
	engine engine[T] // nil for none
	fused  fusedPlan[T]
	form   form[T]
	wide   wideForm[T]
}

// foundOf returns what a plan keeps.
func foundOf[T num.Float](p *core.Plan[T]) *found[T] {
	f, ok := p.Kept.(*found[T])
	if !ok {
		f = &found[T]{}
		p.Kept = f
	}
	return f
}

// engineOf returns the engine that runs a plan, nil for none.
func engineOf[T num.Float](p *core.Plan[T]) engine[T] {
	f := foundOf(p)
	for _, e := range enginesOf[T]() {
		if f.engine == nil && e.fits(p) {
			f.engine = e
		}
	}
	return f.engine
}

// work is a solve on the device. Strides are those of Problem; what it allocates lives as long as the solve.
type work[T num.Float] struct {
	*core.Plan[T]
	device               *driver.Device
	stream               driver.Stream
	x0, u, guess, states driver.Ptr // u and guess 0 where there is none
	members              []int
	results              []method.Result
	lent                 []driver.Ptr
	wordsTaken           func() error // launches the kernel that takes words, see words.go
	seen                 *desk        // where it tells of them
}

// Solve brings the arrays to the device, runs an engine, and brings the states back.
func (b *backend[T]) Solve(p *core.Plan[T], members []int, results []method.Result) error {
	if cell.IsCaller(p.Problem.Cell) {
		return check.Valuef("solve", "device", fmt.Sprintf("is %q", b.Name()), `"cpu" or "auto"`, "f is a callable, which runs on this machine's cores")
	}
	leave, err := b.device.Enter()
	if err != nil {
		return err
	}
	defer leave()
	w := &work[T]{Plan: p, device: b.device, stream: b.stream, members: members, results: results}
	defer w.release()
	if p.Problem.Steps == 0 || len(members) == 0 {
		for _, m := range members {
			results[m] = method.Result{BadStep: -1, Update: nan}
		}
		return nil
	}
	return b.run(engineOf(p), w)
}

func (b *backend[T]) run(e engine[T], w *work[T]) (err error) {
	p := w.Problem
	given := w.Given
	if w.x0, err = w.in(p.X0, given.X0.Device); err != nil {
		return w.explain(err)
	}
	if err = w.takeInputs(); err != nil {
		return w.explain(err)
	}
	if w.guess, err = w.in(p.Guess, given.Guess.Device); err != nil {
		return w.explain(err)
	}
	if w.states = driver.Ptr(w.States.Device); w.states == 0 {
		bytes := p.Batch * p.Steps * p.Dim * num.Size[T]()
		if w.states, err = w.alloc(bytes); err != nil {
			return w.explain(err)
		}
		if len(w.members) < p.Batch { // the others' states are there already
			if err := w.stream.CopyIn(w.states, unsafe.Pointer(unsafe.SliceData(w.States.Data)), bytes); err != nil {
				return err
			}
		}
	}
	if err := e.solve(w); err != nil {
		return w.explain(err)
	}
	if err := w.again(e); err != nil {
		return w.explain(err)
	}
	if w.States.Device == 0 {
		if err := w.stream.CopyOut(unsafe.Pointer(unsafe.SliceData(w.States.Data)), w.states, len(w.States.Data)*num.Size[T]()); err != nil {
			return err
		}
	}
	if _, err = w.stream.Wait(nil); err != nil { // also for states on the device, which other streams may read next
		return err
	}
	return w.checkWords()
}

// again solves by the general engine, whose windows adapt, what another one failed on in windows of one length.
func (w *work[T]) again(e engine[T]) error {
	var left []int
	for _, m := range w.members {
		if s := w.results[m].Status; !s.Success() && s != method.Interrupted {
			left = append(left, m)
		}
	}
	g := general[T]{}
	if !w.Options.AutoWindow || len(left) == 0 || e == engine[T](g) || !g.fits(w.Plan) {
		return nil
	}
	for _, m := range left { // it counts on from here
		r := &w.results[m]
		r.Advances = append(r.Advances, make([]int, len(r.Windows)-len(r.Advances))...)
	}
	w.members = left
	return g.solve(w)
}

// explain turns an allocation that failed, or a wait that was ended, into the error of a solve.
func (w *work[T]) explain(err error) error {
	if errors.Is(err, driver.ErrStopped) {
		return check.Of(check.Stopped, "solve", "interrupted")
	}
	if !errors.Is(err, driver.ErrMemory) {
		return err
	}
	advice := "give the sequences fewer at a time"
	if w.Options.Window > 1 {
		advice = fmt.Sprintf("window=%d would ask for less", max(w.Options.Window/4, 1))
	}
	return check.Of(check.Memory, "solve", fmt.Sprintf("method %s with batch %d, T = %d, D = %d: %v; %s",
		w.Name, w.Problem.Batch, w.Problem.Steps, w.Problem.Dim, err, advice))
}

// alloc lends memory until the solve ends.
func (w *work[T]) alloc(bytes int) (driver.Ptr, error) {
	at, err := w.device.Alloc(bytes)
	if err == nil {
		w.lent = append(w.lent, at)
	}
	return at, err
}

// in returns where an array is on the device, brought there if it is on the host; 0 for none.
func (w *work[T]) in(host []T, there uintptr) (driver.Ptr, error) {
	if there != 0 || host == nil {
		return driver.Ptr(there), nil
	}
	return upload(w, host)
}

// upload brings numbers to the device for as long as the solve lasts.
func upload[T num.Float, E any](w *work[T], host []E) (driver.Ptr, error) {
	var e E
	bytes := len(host) * int(unsafe.Sizeof(e))
	if bytes == 0 {
		return 0, nil
	}
	at, err := w.alloc(bytes)
	if err != nil {
		return 0, err
	}
	return at, w.stream.CopyIn(at, unsafe.Pointer(unsafe.SliceData(host)), bytes)
}

// download brings numbers back; they are there when it returns.
func download[T num.Float, E any](w *work[T], host []E, at driver.Ptr) error {
	var e E
	if err := w.stream.CopyOut(unsafe.Pointer(unsafe.SliceData(host)), at, len(host)*int(unsafe.Sizeof(e))); err != nil {
		return err
	}
	_, err := w.stream.Wait(nil)
	return err
}

// release gives back what was lent, once the device is done with it.
func (w *work[T]) release() {
	if len(w.lent) > 0 {
		_, _ = w.stream.Wait(nil)
	}
	for _, at := range w.lent {
		w.device.Free(at)
	}
	if w.seen != nil {
		w.seen.giveBack()
	}
}

// scanner evaluates a checked scan whose arrays are on the device; a and x0 are 0 where there are none.
type scanner[T num.Float] func(d *driver.Device, s driver.Stream, structure lds.Structure[T], a, b, x0, out driver.Ptr, batch, steps, dim int, reverse bool, poll func() bool) error

// scanners are set by scan.go.
var scanners struct {
	f32 scanner[float32]
	f64 scanner[float64]
}
