package method

import (
	"math"
	"slices"

	"pards/core/cell"
	"pards/core/internal/par"
	"pards/core/internal/simd"
	"pards/core/lds"
	"pards/core/num"
)

// state is the part of a Sequence that only the loop touches.
type state[T num.Float] struct {
	x, next      []T // the iterate and its successor, W rows
	start        []T // the state before the window's first step
	scale, res   extent
	nextScale    extent // of the successor
	move         extent // of the last update
	nextMove     extent
	room         []T // for simd.Extents
	sumSquares   float64
	badRow       int // first row of the successor that is not finite, -1
	finite       bool
	sizes        updates
	settled      bool       // the last iterate satisfied the model to rounding
	ahead        bool       // its successor is made in the pass that evaluates the iterate
	merits       [3]float64 // of the three iterates before, the newest last
	merit, error float64    // of the iterate; the error is an estimate
	bases        bases[T]
	carry        []T
	carried      []T // carry as the scan in hand began with it
	done         bool
	status       Status
	result       *Result
	windowUpdate float64
	globalised
}

// group is the sequences iterated together, through one window after another.
type group[T num.Float] struct {
	*Job[T]
	w         *par.Worker
	structure lds.Structure[T] // as it is scanned, after damping
	declared  lds.Structure[T] // as the method makes it
	whole     bool             // the cell calls back: a block is the whole window of all active sequences
	fused     bool             // the next iterate may be made in the pass that evaluates this one
	affine    bool
	exact     bool // one update gives the trajectory
	rows      int  // rows of a block
	slots     int  // blocks held at a time
	steps     int  // of the window in hand
	from      int  // the step at which the first window begins
	pace      pace
	active    []*Sequence[T]
	asks      Pass[T]
	buf       *buffers[T]
	kept      []T // see Block.Kept
	remote    Remote[T]
}

// buffers hold blocks: the derivative, f, and the right-hand side of the scan where that is not f.
type buffers[T num.Float] struct {
	stretch[T]
	prev, next []T
	pass       *pass[T]
}

// stretch is A, f and right-hand sides of some steps.
type stretch[T num.Float] struct{ a, f, b []T }

// at returns it from a row on.
func (r stretch[T]) at(g *group[T], row int) stretch[T] {
	return stretch[T]{r.a[row*g.structure.Len(g.Dim):], r.f[row*g.Dim:], r.b[row*g.Dim:]}
}

// Blocks are sized for a core's cache, by shapes alone. A sequence is spread over workers where the batch alone would not fill them: then
// some blocks for each are held, so that none waits for one that is held up.
const (
	blockNumbers = 1 << 14
	blockLeast   = 8
	blockMost    = 512
	blockWhole   = 16 // rows of which cells make whole vectors, at every level
	slotsMost    = 64
	slotsWorker  = 16
	slotsBatch   = 16 // one from this batch size on
	slotsNumbers = 1 << 22
	openRows     = 1 << 14
)

func (j *Job[T]) newGroup(w *par.Worker) *group[T] {
	g := &group[T]{Job: j, w: w, declared: j.Method.Structure(), whole: cell.IsCaller(j.Cell), affine: cell.IsAffine(j.Cell)}
	g.structure = g.declared
	if r, ok := g.declared.(lds.Restrainable[T]); ok && (j.Damping != 0 || j.AutoDamping) {
		g.structure = r.Damped()
	}
	_, prepares := j.Method.(Preparer[T])
	g.fused = !g.whole && !prepares && !j.AutoDamping
	g.pace, g.asks.g = newPace(j.Options), g
	if _, ok := j.Method.(smoother[T]); ok {
		g.affine = false
	}
	_, dense := g.declared.(lds.Dense[T])
	g.exact = g.affine && dense && j.Damping == 0 && !j.Clip
	g.rows, g.slots = layout(j.Problem, j.Method, g.structure.Len(j.Dim), w.Size(), j.Window)
	return g
}

// layout returns the rows of a block and how many blocks are held at a time, all of a window where the method makes that of one piece.
func layout[T num.Float](p *Problem[T], m Method[T], length, workers, window int) (rows, slots int) {
	row := 8*p.Dim + 2*p.Inputs + length
	rows = max(blockNumbers/row, min(blockLeast, slotsNumbers/row), 1)
	if whole := min(blockWhole, rows/blockLeast*blockLeast); whole > 0 {
		rows = (rows + whole/2) / whole * whole
	}
	rows = min(rows, blockMost, max(window, 1))
	blocks := (window + rows - 1) / rows
	if _, ok := m.(smoother[T]); ok {
		return rows, blocks
	}
	if p.Batch >= slotsBatch || workers == 1 {
		return rows, 1
	}
	return rows, min(max(slotsNumbers/(rows*row), 1), slotsMost, slotsWorker*min(workers, slotsMost), max(blocks, 1))
}

// Need returns the bytes that solving a problem allocates beside the caller's arrays, by some workers at windows of w steps.
//
// A native cell needs for each sequence in work a second iterate and what the method keeps of the window, A and f of some blocks, and
// scratch for those. A Caller needs, for the window of the whole batch, a second iterate, f, the states before each step, A, what the
// method keeps, and on its own side a copy of the states and what it returns: f, or the Jacobian where that is asked for, which is held
// here too unless it is A itself.
func Need[T num.Float](p *Problem[T], m Method[T], full bool, workers, w int) float64 {
	d, size := float64(p.Dim), float64(num.Size[T]())
	structure := m.Structure()
	if structure == nil {
		return 0
	}
	length, jacobian := float64(structure.Len(p.Dim)), 0.0
	if full {
		jacobian = d * d
	}
	keeps := 0.0
	if o, ok := m.(Keeper); ok {
		keeps = float64(o.Keeps(p.Dim))
	}
	if cell.IsCaller(p.Cell) {
		held := 0.0
		if length != d*d {
			held = jacobian
		}
		return float64(p.Batch) * float64(w) * (4*d + length + keeps + held + max(d, jacobian)) * size
	}
	rows, slots := layout(p, m, structure.Len(p.Dim), workers, w)
	evaluating := min(workers, max(p.Batch, slots))
	return size * (float64(min(workers, p.Batch))*(float64(w)*(d+keeps)+float64(rows*slots)*(length+2*d)) +
		float64(evaluating*rows)*(12*d+jacobian))
}

// solveGroup takes its members through the windows.
func (j *Job[T]) solveGroup(w *par.Worker, members []int) error {
	g := j.newGroup(w)
	seqs := make([]*Sequence[T], len(members))
	for i, m := range members {
		j.begin(m)
		seqs[i] = &Sequence[T]{Index: m, state: state[T]{result: &j.Results[m], start: j.start(m)}}
	}
	if j.Steps == 0 {
		return nil
	}
	g.take(len(members))
	defer g.giveBack()
	g.from = j.Results[members[0]].Done
	_, err := g.through(seqs, g.from, j.Steps)
	return err
}

// through takes sequences from one step to another, window after window, each from the converged end of the last, and returns those that
// got there. Those that gave a window up go through it in shorter ones and join the others at its end.
func (g *group[T]) through(seqs []*Sequence[T], first, to int) ([]*Sequence[T], error) {
	for first < to && len(seqs) > 0 {
		steps := min(g.pace.length, to-first)
		g.steps = steps
		if err := g.open(seqs, first); err != nil {
			return nil, err
		}
		if err := g.window(seqs); err != nil {
			return nil, err
		}
		var on, behind []*Sequence[T]
		for _, s := range seqs {
			switch err := g.close(s, first); {
			case err != nil:
				return nil, err
			case s.short:
				behind = append(behind, s)
			case s.status.Success():
				on = append(on, s)
			}
		}
		if g.AutoWindow {
			g.pacing(steps, seqs, behind)
		}
		if len(behind) > 0 {
			caught, err := g.through(behind, first, first+steps)
			if err != nil {
				return nil, err
			}
			on = append(on, caught...)
			slices.SortFunc(on, func(a, b *Sequence[T]) int { return a.Index - b.Index })
		}
		first, seqs = first+steps, on
	}
	return seqs, nil
}

// take gets the group's buffers.
func (g *group[T]) take(members int) {
	n := min(g.rows*g.slots, g.Window)
	if g.whole {
		n = members * g.Window
	}
	g.spare.Lock()
	defer g.spare.Unlock()
	if last := len(g.spare.buffers) - 1; last >= 0 {
		g.buf, g.spare.buffers = g.spare.buffers[last], g.spare.buffers[:last]
		return
	}
	d := g.Dim
	g.buf = &buffers[T]{stretch: stretch[T]{make([]T, n*g.structure.Len(d)), make([]T, n*d), make([]T, n*d)}, next: make([]T, members*g.Window*d)}
	if g.whole {
		g.buf.prev = make([]T, n*d)
	}
}

// giveBack keeps the buffers for the next group.
func (g *group[T]) giveBack() {
	g.spare.Lock()
	defer g.spare.Unlock()
	g.spare.buffers = append(g.spare.buffers, g.buf)
}

// begin makes a sequence ready for the window in hand.
func (g *group[T]) begin(s *Sequence[T], first int) {
	d := g.Dim
	s.First, s.Window, s.K = first, first/g.Window, 0
	if g.AutoWindow {
		s.Window = len(s.result.Windows)
	}
	if s.carry == nil {
		all := make(extent, 5*d)
		s.scale, s.res, s.move, s.nextScale, s.nextMove = all[:d], all[d:2*d], all[2*d:3*d], all[3*d:4*d], all[4*d:]
		s.room = make([]T, simd.ExtentRoom[T](d))
		s.carry, s.carried = make([]T, d), make([]T, d)
	}
	clear(s.scale)
	clear(s.move)
	clear(s.carry)
	s.finite, s.done, s.settled, s.short, s.sizes, s.damping = true, false, false, false, updates{}, 0
	s.windowUpdate, s.merits = math.NaN(), [3]float64{math.NaN(), math.NaN(), math.NaN()}
}

// open starts a window at its guess.
func (g *group[T]) open(seqs []*Sequence[T], first int) error {
	for i, s := range seqs {
		if g.begin(s, first); g.remote == nil {
			g.fill(s, g.buf.next[i*g.Window*g.Dim:][:g.steps*g.Dim])
		}
	}
	if g.remote != nil {
		return g.remote.Open(seqs, first, g.steps)
	}
	return nil
}

// home returns where the states of the window in hand belong.
func (g *group[T]) home(s *Sequence[T]) []T {
	return g.States[s.Index*g.Steps*g.Dim:][s.First*g.Dim : (s.First+g.steps)*g.Dim]
}

// fill writes a sequence's guess: what is left of a longer window, the given one, or the first state.
func (g *group[T]) fill(s *Sequence[T], next []T) {
	d := g.Dim
	s.x, s.next = g.home(s), next
	for lo := 0; lo < g.steps && !g.w.Stopped(); lo += openRows { // in pieces: first touching much memory takes long
		hi := min(lo+openRows, g.steps)
		x := s.x[lo*d : hi*d]
		switch {
		case s.left:
		case g.Guess != nil && !s.misled:
			copy(x, g.guess(s.Index, s.First+lo, s.First+hi))
		default:
			repeat(x, s.start[:d])
		}
		widen(s.scale, x)
	}
	s.left = false
	if o, ok := g.Method.(Opener[T]); ok {
		o.Open(s, g.steps)
	}
}

// close files a sequence's window in its result, or gives it up.
func (g *group[T]) close(s *Sequence[T], first int) error {
	g.file(s)
	fill := !s.short && !s.status.Success() && s.status != Interrupted && first+g.steps < g.Steps
	switch {
	case g.remote != nil && s.short:
		return nil
	case g.remote != nil:
		return g.remote.Close(s, fill)
	case s.short:
		g.leave(s)
		return nil
	}
	if home := g.home(s); &home[0] != &s.x[0] {
		copy(home, s.x)
		s.x = home
	}
	if s.start = s.x[(g.steps-1)*g.Dim:]; fill {
		g.fillGuess(s.Index, first+g.steps)
	}
	return nil
}

// file adds what became of a window to the sequence's result.
func (g *group[T]) file(s *Sequence[T]) {
	r := s.result
	r.Iterations += s.K
	if g.AutoWindow {
		r.Windows, r.Advances = append(r.Windows, 0), append(r.Advances, 0)
	}
	if r.Windows[s.Window] = s.K; s.short {
		return
	}
	r.Status = max(r.Status, s.status)
	r.Merit += s.merit
	r.Error += s.error
	r.Residual = num.Max(r.Residual, s.res.top())
	if s.First == g.from {
		r.Update = s.windowUpdate
	} else {
		r.Update = num.Max(r.Update, s.windowUpdate)
	}
	if !s.status.Success() {
		return
	}
	r.Done = s.First + g.steps
	r.solved = solved{r.Error, r.Merit, r.Residual, r.Update}
	if g.AutoWindow {
		r.Advances[s.Window] = g.steps
	}
}

// window iterates until every sequence is done: evaluate, test, update. It is the only fixed-point loop on the CPU.
func (g *group[T]) window(seqs []*Sequence[T]) error {
	g.active = append(g.active[:0], seqs...)
	for {
		for _, s := range g.active {
			s.ahead = g.fused && !g.last(s)
		}
		if err := g.sweep(true); err != nil {
			return err
		}
		back, behind := false, false
		for _, s := range g.active {
			g.test(s)
			back = g.AutoDamping && g.takeBack(s) || back
			behind = !s.done && !s.ahead || behind
		}
		g.giveUp()
		if g.drop(); len(g.active) > 0 && behind {
			if err := g.update(back); err != nil {
				return err
			}
		}
		for _, s := range g.active {
			if err := g.accept(s); err != nil {
				return err
			}
		}
		if g.drop(); len(g.active) == 0 || g.interrupted() {
			return nil
		}
	}
}

// last tells whether the iterate is likely to be the last, so that its successor would be made in vain: no more are allowed, one update is
// exact, or those that were made promise an error or a merit that passes the test.
func (g *group[T]) last(s *Sequence[T]) bool {
	most := g.cap()
	if g.mayShorten() {
		most = min(most, Patience)
	}
	switch {
	case s.K >= most, s.K == 1 && g.exact:
		return true
	case !math.IsNaN(g.MeritTol):
		return promised(s.merits) <= g.meritTol()
	}
	return s.sizes.estimate() <= g.Rtol
}

// promised returns what three merits, the last of them, let expect of the next: the update takes as many digits off as the one before, or, as
// Newton's method goes on, up to twice as many.
func promised(merits [3]float64) float64 {
	was, now := math.Log(merits[1]/merits[0]), math.Log(merits[2]/merits[1])
	if more := now / was; more > 1 {
		now *= min(more, 2)
	}
	return merits[2] * math.Exp(now)
}

// meritTol is the part of the window in hand.
func (g *group[T]) meritTol() float64 { return g.MeritTol * float64(g.steps) / float64(g.Steps) }

// interrupted tells whether the work is to stop, and if so ends all active sequences: what they hold has not been tested.
func (g *group[T]) interrupted() bool {
	if !g.w.Stopped() {
		return false
	}
	for _, s := range g.active {
		s.done, s.status = true, Interrupted
	}
	return true
}

// giveUp ends all sequences where the solve is to end.
func (g *group[T]) giveUp() {
	if g.GiveUp == nil || len(g.active) == 0 || !g.GiveUp(g.active[0].First) {
		return
	}
	for _, s := range g.active {
		if !s.done {
			s.done, s.status = true, MaxIterations
		}
	}
}

// update makes the next iterates that evaluating has not made already. Where some sequences went back to the iterate before, what is
// kept of f is of another.
func (g *group[T]) update(back bool) error {
	if back && g.whole {
		if err := g.sweep(true); err != nil {
			return err
		}
	}
	if p, ok := g.Method.(Preparer[T]); ok && g.remote == nil {
		if err := p.Prepare(&g.asks); err != nil || g.interrupted() {
			return err
		}
	}
	for {
		if err := g.sweep(false); err != nil || !g.AutoDamping || g.interrupted() {
			return err
		}
		again := false
		for _, s := range g.active {
			again = s.badRow >= 0 && (s.dampMore() || s.dampWhole()) || again
		}
		if !again {
			return nil
		}
	}
}

// drop removes the sequences that are done. Where f of all of them is kept for the update, it moves up.
func (g *group[T]) drop() {
	kept, n := g.active[:0], g.steps*g.Dim
	for i, s := range g.active {
		if s.done {
			continue
		}
		if to := len(kept); g.whole && to != i {
			copy(g.buf.f[to*n:(to+1)*n], g.buf.f[i*n:(i+1)*n])
			copy(g.buf.prev[to*n:(to+1)*n], g.buf.prev[i*n:(i+1)*n])
		}
		kept = append(kept, s)
	}
	g.active = kept
}

// sweep goes once through the window: it evaluates f along the iterates, measures their residuals, and makes the successors of those that are
// ahead in the same pass; or it makes those of the others.
func (g *group[T]) sweep(evaluate bool) error {
	for _, s := range g.active {
		s.begin(evaluate, evaluate == s.ahead)
	}
	if g.remote != nil {
		return g.sweepRemote(evaluate, !evaluate)
	}
	if g.whole {
		return g.sweepWhole(evaluate, !evaluate)
	}
	for _, s := range g.active {
		if !evaluate && s.ahead {
			continue
		}
		if err := g.sweepBlocks(s, evaluate, evaluate == s.ahead); err != nil {
			return err
		}
	}
	return nil
}

func (s *state[T]) begin(evaluate, update bool) {
	if evaluate {
		s.sumSquares, s.exact = 0, 0
		clear(s.res)
	}
	if update {
		s.badRow = -1
		clear(s.nextScale)
		clear(s.nextMove)
	}
}

// pass is a sweep of one sequence of a native cell through its blocks; a group, or one after it, makes one and goes on with that.
type pass[T num.Float] struct {
	g                *group[T]
	s                *Sequence[T]
	evaluate, update bool
	together         bool // all blocks are advanced at once
	queue            queue
	places           []place[T]
	count            int // places in use
	err              error
	each             func(w *par.Worker, i int)
	take             func(i int)
}

// place is where one block at a time is evaluated, and what that leaves.
type place[T num.Float] struct {
	block   Block[T]
	member  [1]*Sequence[T]
	squares float64
	res     extent
	exact   int // rows at its beginning that satisfy the model to rounding
	err     error
}

// pass returns that of the group's buffers.
func (g *group[T]) pass() *pass[T] {
	p := g.buf.pass
	if p == nil {
		p = &pass[T]{places: make([]place[T], g.slots)}
		all := make(extent, g.slots*g.Dim)
		for i := range p.places {
			p.places[i].res = all[i*g.Dim : (i+1)*g.Dim]
		}
		p.each, p.take = p.evaluateBlock, p.takeBlock
		g.buf.pass = p
	}
	p.g = g
	return p
}

// sweepBlocks sweeps one sequence of a native cell. All workers that are spare evaluate its blocks; each is scanned once those before it
// are, while it is in a cache.
func (g *group[T]) sweepBlocks(s *Sequence[T], evaluate, update bool) error {
	count, places, grain := (g.steps+g.rows-1)/g.rows, g.slots, 4
	_, together := g.Method.(smoother[T])
	if !together && (places == 1 || !g.w.Spare()) {
		places, grain = 1, count
	}
	p := g.pass()
	p.s, p.evaluate, p.update, p.together, p.count, p.err = s, evaluate, update, together, places, nil
	p.queue.reset(places)
	g.w.For(count, grain, p.each)
	if p.err == nil && !g.interrupted() && update && together {
		g.advance(s, g.buf.at(g, 0), 0, g.steps)
	}
	return p.err
}

// rows returns the steps of a block, and where its A and f stand.
func (p *pass[T]) rows(i int) (to stretch[T], lo, hi int) {
	g := p.g
	return g.buf.at(g, i%p.count*g.rows), i * g.rows, min((i+1)*g.rows, g.steps)
}

// evaluateBlock evaluates a block once its place is free.
func (p *pass[T]) evaluateBlock(w *par.Worker, i int) {
	if !p.queue.wait(w, i) {
		return
	}
	scratch := p.g.arena()
	defer p.g.putArena(scratch)
	to, lo, hi := p.rows(i)
	p.g.block(w, p.s, scratch, to, lo, hi, p.evaluate, p.update, &p.places[i%p.count])
	p.queue.put(i, p.take)
}

// takeBlock adds up what a block left, and advances it; in the order of the blocks.
func (p *pass[T]) takeBlock(i int) {
	at, s := &p.places[i%p.count], p.s
	if p.err == nil {
		p.err = at.err
	}
	if p.err != nil {
		return
	}
	to, lo, hi := p.rows(i)
	if p.evaluate {
		s.sumSquares += at.squares
		s.res.merge(at.res)
		if s.exact == lo {
			s.exact += at.exact
		}
	}
	if p.update && !p.together {
		p.g.advance(s, to, lo, hi)
	}
}

// block evaluates steps [lo, hi) of a sequence.
func (g *group[T]) block(w *par.Worker, s *Sequence[T], scratch *cell.Arena[T], to stretch[T], lo, hi int, evaluate, update bool, at *place[T]) {
	d, n, length := g.Dim, hi-lo, g.structure.Len(g.Dim)
	prev := scratch.Take(n * d)
	s.before(prev, lo, hi)
	f := to.f[:n*d]
	at.member[0] = s
	b := &at.block
	*b = Block[T]{Block: cell.Block[T]{N: n, X: prev, U: g.inputs(s.Index, s.First+lo, s.First+hi), Y: f, Scratch: scratch},
		Cell: g.Cell, Members: at.member[:], From: lo, Seed: g.Seed}
	if !update {
		at.err = g.Cell.Step(b.Block)
	} else {
		b.A = to.a[:n*length]
		switch at.err = g.linearise(w, b); {
		case at.err != nil:
		case g.exact:
			at.err = g.constant(b, prev, to.b[:n*d])
		default:
			g.rightHandSide(s, b, f, prev, to.b[:n*d])
		}
	}
	if evaluate {
		clear(at.res)
		at.squares, at.exact = residual(at.res, s.x[lo*d:hi*d], f, scratch.Take(simd.ExtentRoom[T](d))), 0
		if g.AutoWindow || g.AutoDamping {
			at.exact = exact(s.x[lo*d:hi*d], f, d, g.Atol/g.Rtol)
		}
	}
}

// before writes the states before steps [lo, hi): x0 or the iterate, one step back.
func (s *Sequence[T]) before(dst []T, lo, hi int) {
	d := len(s.start)
	if lo == 0 {
		copy(dst, s.start[:d])
		copy(dst[d:], s.x[:(hi-1)*d])
		return
	}
	copy(dst, s.x[(lo-1)*d:(hi-1)*d])
}

// residual returns the sum of squares of x - f, in double precision, and widens res by it. room is for vector code, see simd.Extents.
func residual[T num.Float](res extent, x, f, room []T) (squares float64) {
	if len(room) > 0 {
		if squares, finite := simd.Extents(res, x, f, room); finite {
			return squares
		}
	}
	d := len(res)
	for t := 0; t < len(x); t += d {
		xt, ft := x[t:t+d], f[t:t+d]
		for i, v := range xt {
			r := math.Abs(float64(v - ft[i]))
			squares += r * r
			if !(r <= res[i]) {
				res[i] = num.Max(res[i], r)
			}
		}
	}
	return squares
}

// linearise asks the method for A, clips it, then damps it.
func (g *group[T]) linearise(w *par.Worker, b *Block[T]) error {
	if err := g.Method.Linearise(b); err != nil {
		return err
	}
	r, ok := g.declared.(lds.Restrainable[T])
	if !ok {
		return nil
	}
	if n := g.declared.Len(g.Dim); g.Clip && n > 0 {
		for at := 0; at < len(b.A) && !w.Stopped(); at += n { // one at a time: singular values take long
			r.Clip(b.A[at:at+n], g.Dim)
		}
	}
	switch {
	case g.AutoDamping:
		n := g.structure.Len(g.Dim)
		b.Each(func(s *Sequence[T], from, to int) {
			if s.damping == 1 { // A may be infinite
				clear(b.A[from*n : to*n])
				return
			}
			r.Scale(b.A[from*n:to*n], b.A[from*n:to*n], T(1-s.damping))
		})
	case g.Damping != 0:
		r.Scale(b.A, b.A, T(1-g.Damping))
	}
	return nil
}

// constant writes the right-hand side f - A x of an affine cell whose own Jacobians A are: f where x is 0. prev is written over.
func (g *group[T]) constant(b *Block[T], prev, rhs []T) error {
	clear(prev)
	zero := b.Block
	zero.X, zero.Y = prev, rhs
	err := g.Cell.Step(zero)
	if b.From == 0 {
		copy(rhs[:g.Dim], b.Y)
	}
	return err
}

// rightHandSide writes what the scan adds at each step, where that is not f itself: in coordinates, Q'(f - x); for an affine cell f - A x.
func (g *group[T]) rightHandSide(s *Sequence[T], b *Block[T], f, prev, rhs []T) {
	switch {
	case s.bases.of != nil:
		defer b.Scratch.Release(b.Scratch.Mark())
		r := b.Scratch.Take(len(f))
		for i, v := range s.x[b.From*g.Dim:][:len(f)] {
			r[i] = f[i] - v
		}
		s.bases.at(b.From).into(rhs, r, g.Dim)
	case g.affine:
		g.structure.Mul(rhs, b.A, prev, g.Dim)
		for i, v := range f {
			rhs[i] = v - rhs[i]
		}
		if b.From == 0 {
			copy(rhs[:g.Dim], f)
		}
	}
}

// advance scans steps [from, to) of one piece, whose A, f and right-hand sides stand first in r, and measures what it wrote.
func (g *group[T]) advance(s *Sequence[T], r stretch[T], from, to int) {
	d, n := g.Dim, to-from
	a, f, rhs, x, next := r.a, r.f, r.b, s.x[from*d:to*d], s.next[from*d:to*d]
	if m, ok := g.Method.(smoother[T]); ok {
		m.smooth(g.w, s, a[:n*g.structure.Len(d)], f[:n*d])
		measureUpdate(s, x, next, from)
		return
	}
	span := lds.Span[T]{D: d, A: a[:n*g.structure.Len(d)], B: f[:n*d], Ref: x, X: next}
	basis := s.bases.at(from)
	if basis != nil || g.affine {
		span.B, span.Ref = rhs[:n*d], nil
	}
	if last := s.bases.at(max(from-1, 0)); last != basis { // the carry takes the coordinates of the next piece
		last.outOf(s.carried, s.carry, d)
		basis.into(s.carry, s.carried, d)
	}
	copy(s.carried, s.carry)
	g.scan(s, span, from == 0)
	if basis != nil {
		g.outOfBasis(s, basis, span, f[:n*d], from == 0)
	}
	measureUpdate(s, x, next, from)
}

// scan runs the recurrence; the first step of a window is its right-hand side alone.
func (g *group[T]) scan(s *Sequence[T], span lds.Span[T], first bool) {
	if d := g.Dim; first {
		copy(span.X[:d], span.B[:d])
		for i, v := range span.X[:d] {
			s.carry[i] = v
			if span.Ref != nil {
				s.carry[i] -= span.Ref[i]
			}
		}
		span.A, span.B, span.X = span.A[g.structure.Len(d):], span.B[d:], span.X[d:]
		if span.Ref != nil {
			span.Ref = span.Ref[d:]
		}
	}
	if len(span.B) > 0 {
		g.structure.Apply(span, s.carry)
	}
}

// outOfBasis turns increments w in coordinates Q'x, which the scan left in span.X, into the iterate x'[t] = f[t] + Q a[t] w[t-1].
func (g *group[T]) outOfBasis(s *Sequence[T], basis *basis[T], span lds.Span[T], f []T, first bool) {
	d, n := g.Dim, span.Steps()
	scratch := g.arena()
	defer g.putArena(scratch)
	w := scratch.Take(n * d)
	g.structure.Mul(w[d:], span.A[g.structure.Len(d):], span.X[:(n-1)*d], d)
	if g.structure.Mul(w[:d], span.A[:g.structure.Len(d)], s.carried, d); first {
		clear(w[:d])
	}
	basis.outOf(span.X, w, d)
	for i, v := range f {
		span.X[i] += v
	}
}

// measureUpdate takes the extents of a new piece of the next iterate and of its distance from the old one.
func measureUpdate[T num.Float](s *Sequence[T], x, next []T, from int) {
	d := len(s.nextScale)
	if len(s.room) > 0 {
		if _, finite := simd.Extents(s.nextScale, next, nil, s.room); finite {
			if _, finite = simd.Extents(s.nextMove, next, x, s.room); finite {
				return
			}
		}
	}
	for t := 0; t < len(x); t += d {
		xt, nt := x[t:t+d], next[t:t+d]
		for i, v := range nt {
			if a := math.Abs(float64(v)); !(a <= s.nextScale[i]) {
				s.nextScale[i] = num.Max(s.nextScale[i], a)
				if s.badRow < 0 && !num.IsFinite(v) {
					s.badRow = from + t/d
				}
			}
			if a := math.Abs(float64(v - xt[i])); !(a <= s.nextMove[i]) {
				s.nextMove[i] = num.Max(s.nextMove[i], a)
			}
		}
	}
}

// test decides whether the iterate just evaluated is the one to return.
func (g *group[T]) test(s *Sequence[T]) {
	if s.done {
		return
	}
	s.merit = s.sumSquares / 2
	if !(s.merit <= math.MaxFloat64) {
		s.merit = math.Inf(1)
	}
	if g.Trace {
		s.result.Trace = append(s.result.Trace, Row{s.merit, s.res.top(), s.windowUpdate})
	}
	g.report(s)
	_, holds := g.Method.(smoother[T])
	verdict := Tested{s.merit, s.res.top(), g.size(s.res, s.scale), s.finite, s.settled, s.sizes.last[2], s.sizes.estimate(), s.K}.judge(Limits{
		g.meritTol(), g.Rtol, num.Eps[T](), g.cap(), holds, g.mayShorten()})
	s.done, s.status, s.short, s.error, s.settled = verdict.Done, verdict.Status, verdict.Short, verdict.Error, verdict.Settled
}

// cap returns the largest number of updates of the window in hand. Methods that hold updates back take no fewer on short windows.
func (g *group[T]) cap() int {
	_, holds := g.Method.(smoother[T])
	switch {
	case g.Cap >= 0:
		return g.Cap
	case holds && !math.IsNaN(g.MeritTol):
		return max(g.steps, 1000)
	case holds:
		return 1000
	case !math.IsNaN(g.MeritTol):
		return g.steps
	}
	return min(g.steps+1, 1000)
}

// accept makes the successor the iterate, or rejects it.
func (g *group[T]) accept(s *Sequence[T]) error {
	if s.done {
		return nil
	}
	if s.badRow >= 0 {
		if s.result.BadStep < 0 {
			s.result.BadStep = s.First + s.badRow
		}
		switch g.Nonfinite {
		case Stop:
			s.done, s.status, s.short = true, Nonfinite, g.mayShorten()
			return nil
		case Reset:
			if err := g.reset(s); err != nil {
				return err
			}
		}
	}
	s.finite = s.badRow < 0
	s.former, s.merits = s.exact, [3]float64{s.merits[1], s.merits[2], s.merit}
	s.x, s.next = s.next, s.x
	if g.remote != nil {
		if err := g.remote.Accept(s); err != nil {
			return err
		}
	}
	s.scale, s.nextScale = s.nextScale, s.scale
	s.move, s.nextMove = s.nextMove, s.move
	s.K++
	s.sizes.add(g.size(s.move, s.scale))
	s.windowUpdate = s.move.top()
	return nil
}

// reset gives the NaN components of the successor the value of the guess, and measures it anew.
func (g *group[T]) reset(s *Sequence[T]) error {
	if g.remote != nil {
		s.begin(false, true)
		n, err := g.remote.Reset(s)
		s.result.Resets += n
		return err
	}
	start := make([]T, len(s.next))
	if g.Guess != nil {
		copy(start, g.guess(s.Index, s.First, s.First+g.steps))
	} else {
		repeat(start, s.start[:g.Dim])
	}
	for i, v := range s.next {
		if v != v {
			s.next[i] = start[i]
			s.result.Resets++
		}
	}
	s.begin(false, true)
	measureUpdate(s, s.x, s.next, 0)
	return nil
}

// report keeps the progress up to date.
func (g *group[T]) report(s *Sequence[T]) {
	if g.Progress != nil {
		g.Progress.set(Report{Iteration: s.K, Window: s.Window, Windows: max(g.windows(), s.Window+1), Sequences: len(g.active), Merit: s.merit})
	}
}
