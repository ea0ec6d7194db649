//go:build cuda

package gpu

import (
	"sync"
	"unsafe"

	"pards/core"
	"pards/core/num"
	"pards/gpu/driver"
)

func init() { register(rankFused, fused[float32]{}, fused[float64]{}) }

// fused solves small states in one launch: kernels/solve.cu.
type fused[T num.Float] struct{}

func (fused[T]) fits(p *core.Plan[T]) bool {
	plan, ok := planFused(p, fusedThreads)
	foundOf(p).fused = plan
	return ok
}

func (fused[T]) solve(w *work[T]) error {
	r, err := readyFused(w)
	if err != nil {
		return err
	}
	defer r.desk.giveBack()
	if err := w.takeWords(); err != nil {
		return err
	}
	if err := r.launch(); err != nil {
		return err
	}
	if _, err := r.desk.wait(w.stream, w.Poll); err != nil {
		return err
	}
	return r.plan.collect(w, r.desk, &r.task, r.windows)
}

// readySolve is a solve that needs only be launched.
type readySolve[T num.Float] struct {
	plan    *fusedPlan[T]
	task    solveTask
	desk    *desk
	windows int // of a sequence
	launch  func() error
}

func readyFused[T num.Float](w *work[T]) (r readySolve[T], err error) {
	r.plan = &foundOf(w.Plan).fused
	plan, p, members := r.plan, w.Problem, len(w.members)
	chosen, err := plan.choose(w)
	if err != nil {
		return r, err
	}
	l := chosen.layout
	r.task = plan.task(w.Plan, members, l)
	t := &r.task
	t.x0, t.u, t.guess, t.states, t.work = uint64(w.x0), uint64(w.u), uint64(w.guess), uint64(w.states), uint64(chosen.iterates)
	if err := plan.bring(w, t); err != nil {
		return r, err
	}
	if l.blocks > 1 {
		records, err := w.alloc(2 * l.groups * l.blocks * plan.recordBytes(p.Dim))
		if err != nil {
			return r, err
		}
		t.records = uint64(records)
	}
	r.windows = (p.Steps + w.Options.Window - 1) / w.Options.Window
	if r.desk, err = takeDesk(w.device, w.stream, l.groups+1, members*(int(unsafe.Sizeof(solveReport{}))+4*r.windows)); err != nil {
		return r, err
	}
	reports := int(unsafe.Sizeof(solveReport{})) * members
	t.counters, t.stop = uint64(r.desk.counters), uint64(r.desk.stop)
	t.reports, t.windows = uint64(r.desk.at)+deskHead, uint64(r.desk.at)+deskHead+uint64(reports)
	args := driver.Bytes(plan.appendWeights(driver.Struct(t)))
	r.launch = func() error {
		if chosen.cluster > 1 {
			return chosen.kernel.Launch(w.stream, [3]int{l.blocks * l.groups, 1, 1}, [3]int{fusedThreads, 1, 1}, chosen.shared, args)
		}
		return chosen.kernel.LaunchCooperative(w.stream, [3]int{l.blocks * l.groups, 1, 1}, [3]int{fusedThreads, 1, 1}, chosen.shared, args)
	}
	return r, nil
}

// chosen is a kernel and how it is launched.
type chosen struct {
	layout
	kernel   *driver.Function
	cluster  int // blocks; such a group needs no launch of all at once
	shared   int
	iterates driver.Ptr // room for the second iterate where it is not in shared memory
}

// choose takes the kernel that keeps its steps in shared memory where they fit.
func (f *fusedPlan[T]) choose(w *work[T]) (c chosen, err error) {
	p, n, window := w.Problem, len(w.members), w.Options.Window
	layOutFor := func(each int) (layout, int) {
		l := layOut(n, window, each*w.device.SMs, fusedThreads)
		return l, f.residentBytes(p.Dim, p.Inputs, l.chunk, fusedThreads)
	}
	c.layout, c.shared = layOutFor(1)
	c.cluster = clusterOf(c.layout, w.device.Arch, w.device.SMs)
	resident, most := c.shared+f.staticBytes(p.Dim, fusedThreads) <= w.device.SharedMax, f.resident
	if !resident {
		c.shared = 0
		if c.iterates, err = w.alloc(n * p.Steps * p.Dim * num.Size[T]()); err != nil {
			return c, err
		}
	}
	v := f.kernel(resident, c.cluster, uintptr(w.u), uintptr(w.guess), uintptr(w.states), uintptr(c.iterates))
	if c.kernel, err = function(w.device, v, "solve", w.Poll); err != nil {
		return c, err
	}
	if err = c.kernel.Shared(w.device.SharedMax - f.staticBytes(p.Dim, fusedThreads)); err != nil || c.cluster > 1 {
		return c, err
	}
	for ; most > 1; most-- { // more blocks have fewer steps each
		l, bytes := layOutFor(most)
		if !resident {
			bytes = c.shared
		}
		if each, err := c.kernel.Blocks(fusedThreads, bytes); err != nil {
			return c, err
		} else if each >= most {
			c.layout, c.shared = l, bytes
			break
		}
	}
	return c, nil
}

// bring uploads what the kernel needs beside the arrays of the problem.
func (f *fusedPlan[T]) bring(w *work[T], t *solveTask) (err error) {
	put := func(to *uint64, at driver.Ptr, failed error) {
		*to = uint64(at)
		if err == nil {
			err = failed
		}
	}
	at, failed := w.index()
	put(&t.members, at, failed)
	if f.declared.Signs != nil {
		at, failed := upload(w, f.declared.Signs)
		put(&t.signs, at, failed)
	}
	switch {
	case f.byValue:
	case f.words != nil:
		at, failed := upload(w, f.words)
		put(&t.weights, at, failed)
	default:
		at, failed := upload(w, f.numbers)
		put(&t.weights, at, failed)
	}
	if f.traceRows > 0 {
		bytes := 24 * f.traceRows * len(w.members)
		at, failed := w.alloc(bytes)
		if failed == nil { // all of it is read, and a sequence writes as many rows as it has iterations
			failed = w.stream.Zero(at, bytes)
		}
		put(&t.trace, at, failed)
	}
	return err
}

// collect reads what became of the sequences.
func (f *fusedPlan[T]) collect(w *work[T], d *desk, t *solveTask, windows int) error {
	n := len(w.members)
	reports := unsafe.Slice((*solveReport)(unsafe.Add(d.host, deskHead)), n)
	counts := unsafe.Slice((*int32)(unsafe.Add(d.host, deskHead+n*int(unsafe.Sizeof(solveReport{})))), n*windows)
	var trace []float64
	if f.traceRows > 0 {
		trace = make([]float64, 3*f.traceRows*n)
		if err := download(w, trace, driver.Ptr(t.trace)); err != nil {
			return err
		}
	}
	for i, m := range w.members {
		var rows []float64
		if trace != nil {
			rows = trace[3*f.traceRows*i : 3*f.traceRows*(i+1)]
		}
		w.results[m] = reports[i].result(counts[i*windows:(i+1)*windows], rows).After(w.results[m])
	}
	return nil
}

// desk is where the host and a kernel meet: memory of the host for its reports, from deskHead on; and on the device counters of barriers,
// which kernels leave at zero, and a flag that stops a kernel (it reads the flag in every iteration, and the host's memory is far). Desks
// are kept for further solves.
type desk struct {
	device          *driver.Device
	host            unsafe.Pointer
	at, counters    driver.Ptr
	stop            driver.Ptr
	bytes, barriers int
	broken          bool // the kernel may not have left the counters at zero
}

const (
	deskHead     = 64
	deskBytes    = 1 << 16
	deskBarriers = 1 << 10
)

var desks struct {
	sync.Mutex
	free []*desk
}

// takeDesk returns a desk of a device with room for some barriers and bytes of reports.
func takeDesk(d *driver.Device, s driver.Stream, barriers, bytes int) (*desk, error) {
	desks.Lock()
	for i, k := range desks.free {
		if k.device == d && k.barriers >= barriers && k.bytes >= deskHead+bytes {
			desks.free = append(desks.free[:i], desks.free[i+1:]...)
			desks.Unlock()
			return k, nil
		}
	}
	desks.Unlock()
	k := &desk{device: d, bytes: max(deskBytes, deskHead+bytes), barriers: max(deskBarriers, barriers)}
	var err error
	if k.host, k.at, err = d.Mapped(k.bytes); err != nil {
		return nil, err
	}
	if k.counters, err = d.Alloc(4*k.barriers + 4); err == nil {
		err = s.Zero(k.counters, 4*k.barriers+4)
	}
	k.stop = k.counters + driver.Ptr(4*k.barriers)
	if err != nil {
		d.FreeMapped(k.host)
		return nil, err
	}
	return k, nil
}

// wait waits for the kernel, and stops it when poll says so.
func (k *desk) wait(s driver.Stream, poll func() bool) (stopped bool, err error) {
	k.broken = true
	stopped, err = s.Wait(poll)
	if stopped {
		if err = k.halt(s); err != nil {
			return stopped, err
		}
	}
	k.broken = err != nil
	return stopped, err
}

// halt stops the kernel that runs on a stream and waits for its end.
func (k *desk) halt(running driver.Stream) error {
	aside, err := k.device.NewStream()
	if err != nil {
		return err
	}
	defer aside.Destroy()
	one := int32(1)
	if err := aside.CopyIn(k.stop, unsafe.Pointer(&one), 4); err != nil {
		return err
	}
	if _, err := running.Wait(nil); err != nil {
		return err
	}
	return running.Zero(k.stop, 4)
}

// giveBack keeps the desk for the next solve.
func (k *desk) giveBack() {
	if k.broken {
		return // after a fault nothing works on the device, nor can anything be freed
	}
	if k.bytes > deskBytes || k.barriers > deskBarriers {
		k.device.FreeMapped(k.host)
		k.device.Free(k.counters)
		return
	}
	desks.Lock()
	desks.free = append(desks.free, k)
	desks.Unlock()
}
