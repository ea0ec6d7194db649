//go:build cuda

package gpu

import (
	"errors"
	"math"
	"slices"
	"sync"

	"pards/core"
	"pards/core/check"
	"pards/core/method"
	"pards/core/num"
	"pards/core/param"
	"pards/gpu/driver"
)

func init() { register(rankLangevin, langevin[float32]{}, langevin[float64]{}) }

// langevin is the engine for Langevin dynamics and methods with a diagonal A: one kernel an iteration, kernels/langevin.cu.
//
// A rotated method works in the eigenbasis of the precision of one component, shared by the batch: that which weighs most along the guess.
// Where the Jacobian's mean has another basis, since a sequence is not in one well, the general engine begins anew.
type langevin[T num.Float] struct{}

func (langevin[T]) fits(p *core.Plan[T]) bool {
	d := p.Problem.Dim
	if p.Name == "sequential" && p.Given.Name == "langevin" && d >= langevinLeast && d <= langevinMost {
		_, ok := planLoop(num.Size[T](), d, p.Given.Params["means"].Shape[0], 0)
		return ok
	}
	if _, ok := langevinA[p.Name]; !ok || p.Given.Name != "langevin" || d < langevinLeast || d > langevinMost {
		return false
	}
	how := method.Declare(p.Name, p.Method)
	resets := p.Options.Nonfinite == method.Reset && how.Derivative == "rotated_diagonal" // what is NaN in coordinates is not that of the states
	return p.Given.Params["means"].Shape[0] <= mixtureMost && !how.Hutchinson && !resets
}

// errElsewhere ends a solve that the general engine is to do.
var errElsewhere = errors.New("the mean Jacobian is not that of one component")

func (langevin[T]) solve(w *work[T]) error {
	if w.Name == "sequential" {
		return loopChains(w)
	}
	c, err := newChains(w)
	if err != nil {
		return err
	}
	defer c.release()
	if c.plan.shared > w.device.SharedMax {
		return general[T]{}.solve(w)
	}
	poll := func() bool {
		c.stopped = c.stopped || w.Poll != nil && w.Poll()
		return c.stopped
	}
	fit := len(w.members)
	if need := c.needs(); need*float64(fit) > unasked {
		fit = max(int(memoryShare*float64(w.device.Available())/need), 1)
	}
	for from := 0; from < len(w.members); {
		to := from + 1 // sequences that follow one another
		for to < len(w.members) && to-from < fit && w.members[to] == w.members[to-1]+1 {
			to++
		}
		if err := c.begin(w.members[from], to-from); err == nil {
			err = method.RunRemote(w.Problem, w.Options, w.Method, c, poll, w.results, w.members[from:to])
			if errors.Is(err, errElsewhere) {
				return general[T]{}.solve(w)
			} else if err != nil {
				return err
			}
		} else {
			return err
		}
		from = to
	}
	_, err = w.stream.Wait(nil)
	return err
}

// rowsArgs and solveArgs are rows and solve of langevin.cu.
type rowsArgs struct {
	data           driver.Ptr
	sequence, step int64
}

type solveArgs[T num.Float] struct {
	tables, logWeights, basis  driver.Ptr
	noise, guess, start        rowsArgs
	z, residual, told, carry   driver.Ptr
	squares, weights           driver.Ptr
	active, last, bad          driver.Ptr
	ticket, ended, halt        driver.Ptr
	report, states             driver.Ptr
	statesSequence             int64
	batch, steps, tiles        int32
	stepSize, noiseScale, keep T
	merit, floor               float64
	clip, limit, turn          int32
}

type pieceArgs struct {
	from  rowsArgs
	to    driver.Ptr
	count int64
	steps int64
}

type piecesArgs struct {
	tables, basis driver.Ptr
	turn          int32
	of            [3]pieceArgs
}

type sampleArgs struct {
	tables, logWeights driver.Ptr
	guess, start       rowsArgs
	weights            driver.Ptr
	ended, basis       driver.Ptr
	batch, steps       int32
}

// unasked is what is taken without a look at how much memory is free, which takes as long as a few launches.
const unasked = 64 << 20

// samples is how many states of the guess the choice of a basis looks at; queueMost how many iterations are queued at once.
const samples, queueMost = 64, 8

// A component is the sequence's where it has this weight on the mean: along a guess, which may be noise, and along what follows.
const weightOfGuess, weightOfIterate = 0.5, 0.9

// chains is the arithmetic of method's loop for some sequences of the batch.
type chains[T num.Float] struct {
	*work[T]
	plan     langevinPlan
	mixture  mixtureOf[T]
	declared method.Declaration[T]
	how      basisOf
	kept     *keptTables
	args     solveArgs[T]
	room     struct{ start, guess, noise, head, samples, reset driver.Ptr }
	first    int // sequence
	length   int // of the window
	chosen   int // the component whose basis is used
	flag     uint32
	ahead    bool // the device decides, and iterations are queued
	from     int  // the iterate of the first slot of the report
	slots    int
	host     []float64
	scales   []float64
	on       []int32 // what the device holds as active
	measured map[int]int
	resets   []resetArgs // of the last successors
	stopped  bool
}

// resetArgs is what langevin_reset is asked for of a sequence, and finds.
type resetArgs struct{ wanted, count, bad int32 }

func mixtureIn[T num.Float](w *work[T]) mixtureOf[T] {
	params := w.Given.Params
	return mixtureOf[T]{params["means"].Data, params["precisions"].Data, params["means"].Shape[0], w.Problem.Dim}
}

// stepIn returns eps and sqrt(2 eps).
func stepIn[T num.Float](w *work[T]) (eps, noise T) {
	v := param.Read(w.Given.Name, fieldsOf(w.Given.Name), w.Given.Params).Number("step_size", 0)
	return T(v), T(math.Sqrt(2 * v))
}

func newChains[T num.Float](w *work[T]) (*chains[T], error) {
	m, d := mixtureIn(w), w.Problem.Dim
	c := &chains[T]{work: w, mixture: m, declared: method.Declare(w.Name, w.Method)}
	basis, dense := langevinBasis(c.declared, m)
	c.how = basis
	c.plan = planLangevin(num.Size[T](), d, m.k, dense, langevinA[w.Name], w.Options.Window, w.device.SharedMax)
	c.args.stepSize, c.args.noiseScale = stepIn(w)
	c.args.keep = T(1 - w.Options.Damping)
	c.args.clip, c.args.turn = int32(b2i(w.Options.Clip)), int32(b2i(c.how != basisNone))
	c.ahead = !math.IsNaN(w.Options.MeritTol) && !w.Options.Trace
	var err error
	if c.args.logWeights, err = upload(w, w.Given.Params["log_weights"].Data); err != nil {
		return nil, err
	}
	if c.how == basisGiven {
		c.args.tables, err = upload(w, m.given(c.plan.pad, c.declared.Basis))
		return c, err
	}
	c.kept, err = tablesFor(w, m, c.plan.pad, c.how == basisFound)
	if err == nil {
		c.args.tables = c.kept.at
	}
	return c, err
}

func (c *chains[T]) release() {
	if c.kept != nil {
		_, _ = c.stream.Wait(nil)
		c.kept.release()
	}
}

// needs returns the bytes that a sequence takes.
func (c *chains[T]) needs() float64 {
	return float64((c.Options.Window+c.plan.rows)*c.plan.pad*num.Size[T]()) * (6 + 5/float64(c.plan.rows))
}

// slotSize is the numbers of a slot of the report.
func (c *chains[T]) slotSize() int { return int(c.args.batch) * (2 + c.plan.components + 3*c.plan.dim) }

// begin allocates for n sequences from the first on.
func (c *chains[T]) begin(first, n int) error {
	p, a, size := c.Problem, &c.args, num.Size[T]()
	c.first, c.measured = first, map[int]int{}
	a.batch = int32(n)
	rows := n * c.Options.Window * c.plan.pad * size
	tiles := (c.Options.Window + c.plan.rows - 1) / c.plan.rows
	guess := 1
	if c.Guessed() {
		if guess = c.Options.Window * c.plan.pad * size; p.GuessStride != 0 {
			guess = rows
		}
	}
	a.statesSequence = int64(p.Steps * p.Dim)
	words := n * c.plan.pad * size / 4 * 8 // of a number for each column
	rooms := []struct {
		at    *driver.Ptr
		bytes int
	}{
		{&a.z, 3 * rows}, {&a.residual, rows}, {&c.room.noise, rows}, {&c.room.guess, guess}, {&c.room.start, n * c.plan.pad * size},
		{&a.squares, tiles * n * 8}, {&a.weights, tiles * n * c.plan.components * 4}, {&c.room.samples, samples * c.plan.components * 4}, {&c.room.reset, n * 12},
		{&a.active, 3 * n * 4}, {&a.ticket, 64}, {&c.room.head, 16 + queueMost*c.slotSize()*8}, {&a.told, 2 * tiles * words},
		{&a.carry, (tiles/langevinGroup + 1) * words},
	}
	whole := 0
	for i := range rooms { // each at a multiple of 256, as allocations are
		rooms[i].bytes, whole = whole, whole+(rooms[i].bytes+255)/256*256
	}
	at, err := c.alloc(whole)
	if err != nil {
		return err
	}
	for _, room := range rooms {
		*room.at = at + driver.Ptr(room.bytes)
	}
	a.last, a.bad, a.ended = a.active+driver.Ptr(4*n), a.active+driver.Ptr(8*n), a.ticket+4
	a.basis, a.halt, a.report = c.room.head, c.room.head+8, c.room.head+16
	return c.stream.Zero(a.ticket, int(at-a.ticket)+whole) // and what lies behind it
}

// Guessed tells whether there is a guess but the first state.
func (c *chains[T]) Guessed() bool { return c.guess != 0 }

func (c *chains[T]) launch(entry string, blocks, threads, shared int, args ...any) error {
	f, err := function(c.device, c.plan.variant, entry, c.Poll)
	if err != nil {
		return err
	}
	if shared > 48<<10 {
		if err := f.Shared(shared); err != nil {
			return err
		}
	}
	return f.Launch(c.stream, [3]int{blocks, 1, 1}, [3]int{threads, 1, 1}, shared, args...)
}

// rowsOn are rows of the caller's arrays, from a step of the first sequence on.
func (c *chains[T]) rowsOn(base driver.Ptr, stride, step, width int) rowsArgs {
	return rowsArgs{base + driver.Ptr((c.first*stride+step*width)*num.Size[T]()), int64(stride), int64(width)}
}

// Open brings the window's first states, guess and inputs into coordinates.
func (c *chains[T]) Open(group []*method.Sequence[T], first, steps int) error {
	p, a, d, pad := c.Problem, &c.args, c.Problem.Dim, c.plan.pad
	c.length, c.slots, c.scales = steps, 0, nil
	clear(c.measured)
	a.steps, a.tiles = int32(steps), int32((steps+c.plan.rows-1)/c.plan.rows)
	start := c.rowsOn(c.x0, p.X0Stride, 0, 0)
	if first > 0 {
		start = c.rowsOn(c.work.states, p.Steps*d, first-1, d)
		start.step = 0
	}
	n := int(a.batch)
	in := piecesArgs{tables: a.tables, basis: a.basis, turn: a.turn}
	in.of[0] = pieceArgs{start, c.room.start, int64(n), 1}
	a.start = rowsArgs{c.room.start, int64(pad), 0}
	a.guess = a.start
	guess := start
	if c.Guessed() {
		guess = c.rowsOn(c.guess, p.GuessStride, first, d)
		count := n
		a.guess = rowsArgs{c.room.guess, int64(steps * pad), int64(pad)}
		if p.GuessStride == 0 {
			count, a.guess.sequence = 1, 0
		}
		in.of[1] = pieceArgs{guess, c.room.guess, int64(count * steps), int64(steps)}
	}
	in.of[2] = pieceArgs{c.rowsOn(c.u, p.UStride, first, p.Inputs), c.room.noise, int64(n * steps), int64(steps)}
	a.noise = rowsArgs{c.room.noise, int64(steps * pad), int64(pad)}
	if p.UStride == 0 {
		in.of[2].count, a.noise.sequence = int64(steps), 0
	}
	a.states = c.work.states + driver.Ptr((c.first*p.Steps+first)*d*num.Size[T]())
	if err := c.choose(first, guess, start); err != nil {
		return err
	}
	blocks := 0
	for i := range in.of {
		in.of[i].steps = max(in.of[i].steps, 1)
		blocks += (int(in.of[i].count) + c.plan.rows - 1) / c.plan.rows
	}
	if err := c.launch("langevin_enter", blocks, c.plan.threads, c.plan.turning, driver.Struct(&in)); err != nil {
		return err
	}
	state := make([]int32, 3*n) // all go on, or will: what is active is put anew where it is not all; none stands anywhere; none is bad
	for i := range n {
		state[i], state[n+i], state[2*n+i] = 1, -1, int32(steps)
	}
	c.on = state[:n]
	if err := c.put(a.active, state); err != nil || c.ahead {
		return err
	}
	if err := c.ensure(0, group); err != nil {
		return err
	}
	for _, s := range group {
		s.SetScale(c.extent(s, 0, 0))
	}
	return nil
}

func (c *chains[T]) put(at driver.Ptr, v []int32) error {
	return c.stream.CopyIn(at, pointer(v), 4*len(v))
}

// choose has the device take the basis of the component that weighs most along the guess, where that is to be found.
func (c *chains[T]) choose(first int, guess, start rowsArgs) error {
	index := -1
	switch {
	case c.how == basisNone:
		index = c.plan.components
	case c.how == basisGiven || c.plan.components == 1:
		index = 0
	case first > 0 && c.declared.Refresh == "never":
		return nil
	}
	if index >= 0 {
		return c.put(c.args.basis, []int32{int32(index)})
	}
	a := sampleArgs{c.args.tables, c.args.logWeights, guess, start, c.room.samples, c.args.ticket + 8, c.args.basis, c.args.batch, c.args.steps}
	return c.launch("langevin_choose", samples, 256, 0, driver.Struct(&a))
}

// ensure has iterate k of some sequences evaluated and measured, and queues what may follow.
func (c *chains[T]) ensure(k int, active []*method.Sequence[T]) error {
	if c.known(k, active) {
		return nil
	}
	a := &c.args
	on := make([]int32, len(c.on))
	for _, s := range active {
		on[s.Index-c.first] = 1
	}
	if k > 0 || !slices.Equal(on, c.on) { // the device lets go of those that are done
		if err := c.put(a.active, on); err != nil {
			return err
		}
	}
	count := 1
	a.merit, a.floor, a.limit = -1, -1, math.MaxInt32
	if c.ahead {
		a.merit, a.limit = c.Options.MeritTol*float64(c.length)/float64(c.Problem.Steps), int32(min(c.cap(), math.MaxInt32))
		if count = 3; k > 0 {
			count, a.floor = queueMost, c.floor()
		}
		count = max(min(count, c.cap()+1-k), 1)
	}
	if err := c.stream.Zero(a.halt, 8+count*c.slotSize()*8); err != nil {
		return err
	}
	blocks := int(a.batch * a.tiles)
	for i := range count {
		c.flag++
		if err := c.launch("langevin_step", blocks, c.plan.threads, c.plan.shared, driver.Struct(a), int32(k+i), c.flag, int32(i)); err != nil {
			return err
		}
		if c.how == basisNone && i < count-1 { // it has measured the iterate, and states are wanted of the last alone
			continue
		}
		if err := c.leave(k+i, i); err != nil {
			return err
		}
	}
	c.from, c.slots = k, count
	head := make([]float64, 2+count*c.slotSize())
	if err := download(c.work, head, c.room.head); err != nil {
		return err
	}
	c.chosen, c.host = int(uint32(math.Float64bits(head[0]))), head[2:]
	for i := range count {
		for b := range on {
			if c.report(i, b)[1] != 0 && !(k+i == 0 && c.skipped(b)) {
				c.measured[b] = k + i
			}
		}
	}
	return nil
}

// leave queues that iterates k go to the states, and there the measuring of them, their updates and their residuals. Where the coordinates are the
// caller's the step has measured them, and each sequence's last iterate is copied.
func (c *chains[T]) leave(k, slot int) error {
	blocks := int(c.args.batch * c.args.tiles)
	if c.how == basisNone {
		return c.launch("langevin_copy", blocks, c.plan.threads, 0, driver.Struct(&c.args))
	}
	return c.launch("langevin_leave", 3*blocks, c.plan.threads, c.plan.turning, driver.Struct(&c.args), int32(k), int32(slot), int32(b2i(!c.ahead)))
}

// cap is that of method's loop.
func (c *chains[T]) cap() int {
	if c.Options.Cap >= 0 {
		return c.Options.Cap
	}
	return c.length
}

// floor returns half the squares that a residual at the floor of rounding may have, with room for states that have grown: at it the host
// has to look, for it alone ends a sequence there.
func (c *chains[T]) floor() float64 {
	sum, d := 0.0, c.plan.dim
	for i, v := range c.scales {
		if e := 16 * num.Eps[T]() * (c.Options.Atol/c.Options.Rtol + 4*v); i < d {
			sum += e * e
		}
	}
	return sum / 2 * float64(c.length)
}

func (c *chains[T]) report(slot, sequence int) []float64 {
	n := 2 + c.plan.components
	return c.host[slot*c.slotSize()+sequence*n:][:n]
}

// known tells whether the report holds iterate k of all of some sequences.
func (c *chains[T]) known(k int, active []*method.Sequence[T]) bool {
	return !slices.ContainsFunc(active, func(s *method.Sequence[T]) bool {
		i := k - c.from
		return i < 0 || i >= c.slots || c.report(i, s.Index-c.first)[1] == 0
	})
}

// extent returns the largest elements of iterate k (0), of its last update (1), of its residual (2).
func (c *chains[T]) extent(s *method.Sequence[T], k, what int) []float64 {
	d, b := c.plan.dim, s.Index-c.first
	from := c.host[(k-c.from)*c.slotSize()+int(c.args.batch)*(2+c.plan.components)+(3*b+what)*d:][:d]
	if k == 0 && c.skipped(b) {
		out := make([]float64, d) // not measured, and nothing asks
		for i := range out {
			out[i] = math.Inf(1)
		}
		return out
	}
	if num.Size[T]() == 8 {
		return from
	}
	out := make([]float64, d)
	for i, v := range from {
		out[i] = float64(math.Float32frombits(uint32(math.Float64bits(v))))
	}
	return out
}

// skipped tells whether the guess was not measured: it is if the sequence ends there.
func (c *chains[T]) skipped(b int) bool {
	return c.ahead && c.from == 0 && !(c.report(0, b)[0]/2 <= c.args.merit) && c.cap() > 0
}

// Evaluate hands over the residual.
func (c *chains[T]) Evaluate(active []*method.Sequence[T]) error {
	k := active[0].K
	if err := c.ensure(k, active); err != nil {
		return err
	}
	if err := c.oneWell(k, active); err != nil {
		return err
	}
	for _, s := range active {
		s.SetResidual(c.report(k-c.from, s.Index-c.first)[0], c.extent(s, k, 2))
	}
	return nil
}

// oneWell wants the component whose basis is used to be that of all sequences.
func (c *chains[T]) oneWell(k int, active []*method.Sequence[T]) error {
	least := weightOfIterate
	switch later := k > 0; {
	case c.how != basisFound || c.plan.components == 1, later && c.declared.Refresh != "iteration", active[0].First > 0 && c.declared.Refresh == "never":
		return nil
	case !later && c.declared.Refresh == "iteration":
		least = weightOfGuess
	}
	for _, s := range active {
		if w := c.report(k-c.from, s.Index-c.first)[2+c.chosen]; !(w >= least) {
			return errElsewhere
		}
	}
	return nil
}

// Update hands over what the step made, which is measured when it is evaluated.
func (c *chains[T]) Update(active []*method.Sequence[T]) error {
	k := active[0].K
	going, bad := active[:0:0], make([]int, len(active))
	for i, s := range active {
		bad[i] = int(c.report(k-c.from, s.Index-c.first)[1]) - 2
		if bad[i] < 0 {
			bad[i] = -1
		}
		if bad[i] < 0 || c.Options.Nonfinite != method.Stop {
			going = append(going, s)
		}
	}
	if err := c.reset(k+1, active, bad); err != nil {
		return err
	}
	if err := c.ensure(k+1, going); err != nil {
		return err
	}
	c.scales = c.scales[:0]
	nothing := make([]float64, c.plan.dim)
	for i, s := range active {
		if !slices.Contains(going, s) {
			s.SetUpdate(nothing, nothing, bad[i])
			continue
		}
		scale := c.extent(s, k+1, 0)
		for j, v := range scale {
			if len(c.scales) < len(scale) {
				c.scales = append(c.scales, v)
			} else {
				c.scales[j] = max(c.scales[j], v)
			}
		}
		s.SetUpdate(scale, c.extent(s, k+1, 1), bad[i])
	}
	return nil
}

// reset resets iterates k of the sequences that have a bad row there, before they are evaluated.
func (c *chains[T]) reset(k int, active []*method.Sequence[T], bad []int) error {
	if c.Options.Nonfinite != method.Reset || !slices.ContainsFunc(bad, func(row int) bool { return row >= 0 }) {
		return nil
	}
	c.resets = make([]resetArgs, c.args.batch)
	for i, s := range active {
		c.resets[s.Index-c.first] = resetArgs{wanted: int32(b2i(bad[i] >= 0)), bad: c.args.steps}
	}
	if err := c.stream.CopyIn(c.room.reset, pointer(c.resets), 12*len(c.resets)); err != nil {
		return err
	}
	f, err := function(c.device, c.plan.variant, "langevin_reset", c.Poll)
	if err != nil {
		return err
	}
	blocks := min((c.length*c.plan.pad+255)/256, 256)
	if err := f.Launch(c.stream, [3]int{blocks, int(c.args.batch), 1}, [3]int{256, 1, 1}, 0, driver.Struct(&c.args), int32(k), c.room.reset); err != nil {
		return err
	}
	return download(c.work, c.resets, c.room.reset)
}

// Accept does nothing: the successor of iterate k is iterate k + 1.
func (c *chains[T]) Accept(*method.Sequence[T]) error { return nil }

// Reset hands over what was reset when the successor was made, which was measured after it.
func (c *chains[T]) Reset(s *method.Sequence[T]) (int, error) {
	found, bad := c.resets[s.Index-c.first], -1
	if found.bad < c.args.steps {
		bad = int(found.bad)
	}
	s.SetUpdate(c.extent(s, s.K+1, 0), c.extent(s, s.K+1, 1), bad)
	return int(found.count), nil
}

// Close leaves the iterate in the states, where the next window finds its start.
func (c *chains[T]) Close(s *method.Sequence[T], fill bool) error {
	b := s.Index - c.first
	if k, ok := c.measured[b]; !ok || k != s.K { // an update was refused, or the loop interrupted
		if err := c.put(c.args.last+driver.Ptr(4*b), []int32{int32(s.K)}); err != nil {
			return err
		}
		ahead := c.ahead
		c.ahead = false
		err := c.leave(s.K, 0)
		if c.ahead = ahead; err != nil {
			return err
		}
	}
	if !fill {
		return nil
	}
	p, row := c.Problem, c.Problem.Dim*num.Size[T]()
	from, to := s.First+c.length, c.work.states+driver.Ptr(s.Index*p.Steps*row)
	if c.Guessed() {
		return c.stream.Copy(to+driver.Ptr(from*row), c.guess+driver.Ptr(s.Index*p.GuessStride*num.Size[T]()+from*row), (p.Steps-from)*row)
	}
	x0 := c.x0 + driver.Ptr(s.Index*p.X0Stride*num.Size[T]())
	done := 0
	for n := p.Steps - from; done < n; { // one row, then as many again
		count := max(min(done, n-done), 1)
		src := x0
		if done > 0 {
			src = to + driver.Ptr(from*row)
		}
		if err := c.stream.Copy(to+driver.Ptr((from+done)*row), src, count*row); err != nil {
			return err
		}
		done += count
	}
	return nil
}

// keptTables are the tables of a mixture on a device, kept for the next solve of it.
type keptTables struct {
	device *driver.Device
	mix    any
	turned bool
	at     driver.Ptr
	users  int
	used   uint64
}

var tablesKept struct {
	sync.Mutex
	all   []*keptTables
	clock uint64
}

// tablesMost is how many mixtures are kept.
const tablesMost = 8

// tablesFor returns the tables of a mixture, made now or kept; release gives them back.
func tablesFor[T num.Float](w *work[T], m mixtureOf[T], pad int, turned bool) (*keptTables, error) {
	tablesKept.Lock()
	defer tablesKept.Unlock()
	tablesKept.clock++
	for _, k := range tablesKept.all {
		if have, ok := k.mix.(mixtureOf[T]); ok && k.device == w.device && k.turned == turned && have.equal(m) {
			k.users++
			k.used = tablesKept.clock
			return k, nil
		}
	}
	all := m.tables(pad, turned)
	if all == nil {
		return nil, check.Valuef("solve", "precisions", "have no eigenvectors", "symmetric matrices", "")
	}
	at, err := w.device.Alloc(len(all) * num.Size[T]())
	if err != nil {
		return nil, err
	}
	if err := w.stream.CopyIn(at, pointer(all), len(all)*num.Size[T]()); err != nil {
		return nil, err
	}
	if _, err := w.stream.Wait(nil); err != nil { // another stream may want them next
		return nil, err
	}
	m.means, m.precisions = slices.Clone(m.means), slices.Clone(m.precisions)
	k := &keptTables{w.device, m, turned, at, 1, tablesKept.clock}
	if len(tablesKept.all) >= tablesMost {
		dropTables()
	}
	tablesKept.all = append(tablesKept.all, k)
	return k, nil
}

// dropTables gives up those that nobody has used for longest.
func dropTables() {
	oldest := -1
	for i, k := range tablesKept.all {
		if k.users == 0 && (oldest < 0 || k.used < tablesKept.all[oldest].used) {
			oldest = i
		}
	}
	if oldest >= 0 {
		k := tablesKept.all[oldest]
		k.device.Free(k.at)
		tablesKept.all = slices.Delete(tablesKept.all, oldest, oldest+1)
	}
}

func (k *keptTables) release() {
	tablesKept.Lock()
	k.users--
	tablesKept.Unlock()
}

// chainLoopArgs is loop of langevin_loop.cu.
type chainLoopArgs[T num.Float] struct {
	start, noise, means, precisions, logWeights driver.Ptr
	startSequence, noiseSequence                int64
	states                                      driver.Ptr
	statesSequence                              int64
	bad                                         driver.Ptr
	stepSize, noiseScale                        T
	steps, first                                int32
}

// loopSteps is how many steps a launch takes: between two the solve may be stopped.
const loopSteps = 1 << 14

// loopChains steps through time, a block or a cluster for each sequence.
func loopChains[T num.Float](w *work[T]) (err error) {
	m, p, size := mixtureIn(w), w.Problem, num.Size[T]()
	plan, _ := planLoop(size, p.Dim, m.k, w.device.Arch)
	f, err := function(w.device, plan.variant, "langevin_loop", w.Poll)
	if err != nil {
		return err
	}
	bad := neverBad(p.Batch)
	a := chainLoopArgs[T]{noiseSequence: int64(p.UStride), statesSequence: int64(p.Steps * p.Dim)}
	a.stepSize, a.noiseScale = stepIn(w)
	for _, in := range []struct {
		at   *driver.Ptr
		data []T
	}{{&a.means, m.means}, {&a.precisions, m.full()}, {&a.logWeights, w.Given.Params["log_weights"].Data}} {
		if *in.at, err = upload(w, in.data); err != nil {
			return err
		}
	}
	if a.bad, err = upload(w, bad); err != nil {
		return err
	}
	stopped := false
	for from := 0; from < p.Steps && !stopped; from += loopSteps {
		a.first, a.steps = int32(from), int32(min(loopSteps, p.Steps-from))
		for lo := 0; lo < len(w.members); {
			hi := lo + 1 // sequences that follow one another
			for hi < len(w.members) && w.members[hi] == w.members[hi-1]+1 {
				hi++
			}
			s := w.members[lo]
			b := a
			b.start, b.startSequence = w.x0+driver.Ptr(s*p.X0Stride*size), int64(p.X0Stride)
			b.states = w.states + driver.Ptr((s*p.Steps+from)*p.Dim*size)
			if from > 0 {
				b.start, b.startSequence = b.states-driver.Ptr(p.Dim*size), a.statesSequence
			}
			b.noise, b.bad = w.u+driver.Ptr((s*p.UStride+from*p.Dim)*size), a.bad+driver.Ptr(4*s)
			if err := f.Launch(w.stream, [3]int{(hi - lo) * plan.blocks, 1, 1}, [3]int{plan.threads, 1, 1}, 0, driver.Struct(&b)); err != nil {
				return err
			}
			lo = hi
		}
		if stopped, err = w.stream.Wait(w.Poll); err != nil {
			return err
		}
	}
	if err := download(w, bad, a.bad); err != nil {
		return err
	}
	of := make([]int32, len(w.members))
	for i, s := range w.members {
		of[i] = bad[s]
	}
	w.looped(of, stopped)
	return nil
}

// basisOf says how a solve turns: not at all, by a basis of the caller's, or by that of the component that weighs most.
type basisOf int

const (
	basisNone basisOf = iota
	basisGiven
	basisFound
)

// langevinBasis returns how a method turns, and how many components need a product.
func langevinBasis[T num.Float](d method.Declaration[T], m mixtureOf[T]) (basis basisOf, dense int) {
	switch {
	case d.Derivative != "rotated_diagonal":
	case d.Basis != nil:
		return basisGiven, m.k
	case !m.diagonal():
		return basisFound, m.k - 1
	}
	if m.diagonal() { // whose eigenvectors are the axes
		return basisNone, 0
	}
	return basisNone, m.k
}
