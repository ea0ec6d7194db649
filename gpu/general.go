//go:build cuda

package gpu

import (
	"fmt"
	"math"

	"pards/core"
	"pards/core/cell"
	"pards/core/check"
	"pards/core/lds"
	"pards/core/method"
	"pards/core/num"
	"pards/gpu/driver"
)

func init() { register(rankGeneral, general[float32]{}, general[float64]{}) }

// general is the engine for whatever no other fits: f and A are evaluated into memory, scanned and measured by kernels/general.cu, and the
// loop of package method decides between.
type general[T num.Float] struct{}

func (general[T]) fits(p *core.Plan[T]) bool {
	_, scanned := structureCodes[method.Declare(p.Name, p.Method).Structure] // which a trust region's smoother is not
	return scanned && rowsOf[p.Given.Name] != nil
}

// The codes of general.cu.
var structureCodes = map[string]int32{"zero": 0, "identity": 1, "scaled_identity": 2, "diagonal": 3, "block_diagonal": 4, "dense": 5}

const (
	derivativeNone = iota
	derivativeConstant
	derivativeFull
	derivativeDiagonal
	derivativeMean
	derivativeBlocks
	derivativeHutchinson
	derivativeRotated
)

// derivativeCodes is by Entry.Derivative.
var derivativeCodes = map[string]int32{"none": derivativeNone, "full": derivativeFull, "held": derivativeFull, "block_diagonal": derivativeBlocks,
	"rotated_diagonal": derivativeRotated, "diagonal": derivativeDiagonal, "mean_diagonal": derivativeMean}

// windowArgs is window of general.cu.
type windowArgs[T num.Float] struct {
	weight, start, u, x                     driver.Ptr
	next, f, a, right, scanned, local       driver.Ptr
	basis, signs, slots, sequence           driver.Ptr
	squares, extents, mean                  driver.Ptr
	uStride, first, steps                   int64
	seed                                    uint64
	n, length, d, m, k, flag, structure     int32
	derivative, size, probes, parts, locals int32
	clip, affine, fresh, update             int32
	damping                                 T
}

// partsMost and meansMost bound over how many blocks a sequence is spread.
const partsMost, meansMost = 256, 32

// memoryShare is the part of what is free that a solve takes; the rest is for what a scan needs.
const memoryShare = 0.8

func (general[T]) solve(w *work[T]) error {
	if err := w.takeWords(); err != nil {
		return err
	}
	r := &remote[T]{work: w, declared: method.Declare(w.Name, w.Method), structure: w.Method.Structure()}
	if s, ok := r.structure.(lds.Restrainable[T]); ok && w.Options.Damping != 0 {
		r.structure = s.Damped()
	}
	each := r.needs()
	fit := int(memoryShare * float64(w.device.Available()) / each)
	if fit == 0 {
		free := memoryShare * float64(w.device.Available())
		advice := "a method with a smaller A"
		if window := int(free / each * float64(w.Options.Window)); window > 0 {
			advice = fmt.Sprintf("window=%d would fit", window)
		}
		return check.Of(check.Memory, "solve", fmt.Sprintf("method %s with T = %d, D = %d, window %d needs %s a sequence on the GPU, %s are free; %s",
			w.Name, w.Problem.Steps, w.Problem.Dim, w.Options.Window, check.Bytes(each), check.Bytes(free), advice))
	}
	fit = min(fit, 1<<15)
	poll := func() bool {
		r.stopped = r.stopped || w.Poll != nil && w.Poll()
		return r.stopped
	}
	if err := r.begin(min(fit, len(w.members))); err != nil {
		return err
	}
	for from := 0; from < len(w.members); from += fit {
		members := w.members[from:min(from+fit, len(w.members))]
		if err := r.take(members); err != nil {
			return err
		}
		if err := method.RunRemote(w.Problem, w.Options, w.Method, r, poll, w.results, members); err != nil {
			return err
		}
	}
	_, err := w.stream.Wait(nil)
	return err
}

// remote is the arithmetic of method's loop on the device.
type remote[T num.Float] struct {
	*work[T]
	declared  method.Declaration[T]
	structure lds.Structure[T] // as it is scanned, after damping
	args      windowArgs[T]
	team      int
	x0s       driver.Ptr // (n, D)
	clipping  driver.Ptr
	count     driver.Ptr
	slot      map[int]int // of a sequence of the batch
	bases     []T         // (n, D, D): kept on the host too
	based     []bool
	stopped   bool
	extents   []float64
}

// sizes returns the blocks that a sequence is spread over, and the numbers that a team keeps of a step.
func (r *remote[T]) sizes() (parts, locals int) {
	rows := rowsOf[r.Given.Name]
	d := r.Problem.Dim
	r.team = 32
	if d > 32 {
		r.team = block
	}
	perBlock := block / r.team
	parts = min(max((r.Options.Window+4*perBlock-1)/(4*perBlock), 1), partsMost)
	return parts, max(rows(d, r.components()), 1)
}

// needs returns the bytes that a sequence takes on the device.
func (r *remote[T]) needs() float64 {
	parts, locals := r.sizes()
	d, size := float64(r.Problem.Dim), float64(num.Size[T]())
	bytes := size * float64(r.Options.Window) * (5*d + float64(r.structure.Len(r.Problem.Dim)))
	bytes += size*float64(parts*(block/r.team)*locals) + 8*(float64(parts)+5*d)
	if r.declared.Derivative == "rotated_diagonal" {
		bytes += (8*meansMost + size) * d * d
	}
	return bytes
}

// begin allocates for n sequences at a time.
func (r *remote[T]) begin(n int) (err error) {
	p, o := r.Problem, r.Options
	parts, locals := r.sizes()
	rows := n * o.Window
	a := &r.args
	*a = windowArgs[T]{uStride: int64(p.UStride), steps: int64(p.Steps), seed: o.Seed, n: int32(n), d: int32(p.Dim), m: int32(p.Inputs), k: int32(r.components()),
		structure: structureCodes[r.structure.Name()], size: int32(max(r.declared.Block, 1)), probes: int32(r.declared.Probes), parts: int32(parts), locals: int32(locals),
		clip: int32(b2i(o.Clip)), affine: int32(b2i(cell.IsAffine(p.Cell))), fresh: int32(b2i(r.declared.Fresh)), damping: T(1 - o.Damping), u: r.u}
	weights, flag := r.weights()
	a.flag = int32(b2i(flag))
	if a.weight, err = upload(r.work, weights); err != nil {
		return err
	}
	if len(r.declared.Signs) > 0 {
		if a.signs, err = upload(r.work, r.declared.Signs); err != nil {
			return err
		}
	}
	size, d := num.Size[T](), p.Dim
	for _, room := range []struct {
		at    *driver.Ptr
		bytes int
	}{
		{&a.start, n * d * size}, {&r.x0s, n * d * size}, {&a.x, rows * d * size}, {&a.next, rows * d * size}, {&a.f, rows * d * size},
		{&a.right, rows * d * size}, {&a.scanned, rows * d * size}, {&a.a, rows * r.structure.Len(d) * size},
		{&a.local, n * parts * (block / r.team) * locals * size}, {&a.squares, n * parts * 8}, {&a.extents, n * (4*d + 1) * 8}, {&r.count, 8},
		{&a.slots, n * 4}, {&a.sequence, n * 4},
	} {
		if *room.at, err = r.alloc(max(room.bytes, 1)); err != nil {
			return err
		}
	}
	if r.declared.Derivative == "rotated_diagonal" {
		r.bases = make([]T, n*d*d)
		if a.basis, err = r.alloc(n * d * d * size); err != nil {
			return err
		}
		if a.mean, err = r.alloc(meansMost * n * d * d * 8); err != nil {
			return err
		}
	}
	if side := int(a.size); o.Clip && (a.structure == structureCodes["dense"] || a.structure == structureCodes["block_diagonal"]) {
		if a.structure == structureCodes["dense"] {
			side = d
		}
		if r.clipping, err = r.alloc(clipBlocks * 3 * side * side * 8); err != nil {
			return err
		}
	}
	return nil
}

// clipBlocks is how many blocks clip matrices.
const clipBlocks = 256

// take begins with some sequences of the batch.
func (r *remote[T]) take(members []int) error {
	r.slot = map[int]int{}
	r.args.n = int32(len(members))
	r.based = make([]bool, len(members))
	index := make([]int32, len(members))
	bytes := r.Problem.Dim * num.Size[T]()
	for i, m := range members {
		r.slot[m], index[i] = i, int32(m)
		from := r.x0 + driver.Ptr(m*r.Problem.X0Stride*num.Size[T]())
		if err := r.stream.Copy(r.x0s+driver.Ptr(i*bytes), from, bytes); err != nil {
			return err
		}
	}
	if err := r.stream.Copy(r.args.start, r.x0s, len(members)*bytes); err != nil {
		return err
	}
	return r.put(r.args.sequence, index)
}

// put writes some indices to the device.
func (r *remote[T]) put(at driver.Ptr, index []int32) error {
	return r.stream.CopyIn(at, pointer(index), 4*len(index))
}

// launch starts an entry of general.cu for the sequences at work.
func (r *remote[T]) launch(entry string, blocks, sequences int, args ...any) error {
	f, err := function(r.device, generalVariant(r.Given.Name, num.Size[T](), r.team), entry, r.Poll)
	if err != nil {
		return err
	}
	return f.Launch(r.stream, [3]int{blocks, sequences, 1}, [3]int{block, 1, 1}, 0, append([]any{driver.Struct(&r.args)}, args...)...)
}

// spread is the blocks of a kernel over elements.
func (r *remote[T]) spread() int { return min(max(int(r.args.length*r.args.d)/(4*block), 1), 1024) }

// at names the sequences at work.
func (r *remote[T]) at(active []*method.Sequence[T]) error {
	slots := make([]int32, len(active))
	for i, s := range active {
		slots[i] = int32(r.slot[s.Index])
	}
	r.args.update = int32(active[0].K)
	return r.put(r.args.slots, slots)
}

// forget sets all extents to zero.
func (r *remote[T]) forget() error {
	return r.stream.Zero(r.args.extents, int(r.args.n)*(4*int(r.args.d)+1)*8)
}

// measured brings the extents, which travel as the bits of doubles, to the host.
func (r *remote[T]) measured() error {
	r.extents = make([]float64, int(r.args.n)*(4*int(r.args.d)+1))
	return download(r.work, r.extents, r.args.extents)
}

func (r *remote[T]) extent(s *method.Sequence[T], kind int) []float64 {
	d := int(r.args.d)
	return r.extents[(r.slot[s.Index]*4+kind)*d:][:d]
}

// Open fills the iterates with the guess.
func (r *remote[T]) Open(group []*method.Sequence[T], first, steps int) error {
	r.args.first, r.args.length = int64(first), int32(steps)
	if err := r.at(group); err != nil {
		return err
	}
	if err := r.forget(); err != nil {
		return err
	}
	if err := r.launch("guess", r.spread(), len(group), r.args.x, r.guess, int64(r.Problem.GuessStride)); err != nil {
		return err
	}
	if err := r.measured(); err != nil {
		return err
	}
	for _, s := range group {
		s.SetScale(r.extent(s, 3))
	}
	return nil
}

// derivative returns what Evaluate is to write of the derivative; a rotated diagonal needs the basis first.
func (r *remote[T]) derivative(k int) int32 {
	code := derivativeCodes[r.declared.Derivative]
	switch {
	case r.declared.Hutchinson:
		return derivativeHutchinson
	case code == derivativeRotated, r.declared.Period > 0 && k%r.declared.Period != 0: // later; held
		return derivativeNone
	case r.declared.Name == "picard" && r.Options.Damping != 0:
		return derivativeConstant
	}
	return code
}

// Evaluate evaluates f and, but for a rotated diagonal, A.
func (r *remote[T]) Evaluate(active []*method.Sequence[T]) error {
	if err := r.at(active); err != nil {
		return err
	}
	if err := r.forget(); err != nil {
		return err
	}
	r.args.derivative = r.derivative(active[0].K)
	if err := r.launch("evaluate", int(r.args.parts), len(active), int32(1)); err != nil {
		return err
	}
	squares := make([]float64, int(r.args.n*r.args.parts))
	if err := r.stream.CopyOut(pointer(squares), r.args.squares, 8*len(squares)); err != nil {
		return err
	}
	if err := r.measured(); err != nil {
		return err
	}
	for _, s := range active {
		sum := 0.0
		for _, v := range squares[r.slot[s.Index]*int(r.args.parts):][:r.args.parts] {
			sum += v
		}
		s.SetResidual(sum, r.extent(s, 0))
	}
	return nil
}

// Update scans, and measures what comes of it.
func (r *remote[T]) Update(active []*method.Sequence[T]) error {
	if err := r.at(active); err != nil {
		return err
	}
	if derivativeCodes[r.declared.Derivative] == derivativeRotated {
		if err := r.turn(active); err != nil {
			return err
		}
	}
	if r.clipping != 0 && r.args.derivative != derivativeNone {
		if err := r.launch("clip", clipBlocks, 1, r.clipping); err != nil {
			return err
		}
	}
	if err := r.launch("right", r.spread(), len(active)); err != nil {
		return err
	}
	n, d := int(r.args.n), int(r.args.d)
	if err := scanOn(r.device, r.stream, r.structure, r.args.a, r.args.right, 0, r.args.scanned, n, int(r.args.length), d, false, r.Poll); err != nil {
		return err
	}
	if err := r.launch("finish", r.spread(), len(active)); err != nil {
		return err
	}
	return r.measure(active)
}

// measure takes the extents of the successors.
func (r *remote[T]) measure(active []*method.Sequence[T]) error {
	if err := r.forget(); err != nil {
		return err
	}
	if err := r.launch("measure", r.spread(), len(active)); err != nil {
		return err
	}
	if err := r.measured(); err != nil {
		return err
	}
	for _, s := range active {
		bad := -1
		if left := math.Float64bits(r.extents[int(r.args.n*4*r.args.d)+r.slot[s.Index]]); left > 0 {
			bad = int(r.args.length) - int(left)
		}
		s.SetUpdate(r.extent(s, 1), r.extent(s, 2), bad)
	}
	return nil
}

// turn finds the bases where it is time to, as core/method/rotated.go does, and writes A in them.
func (r *remote[T]) turn(active []*method.Sequence[T]) error {
	bare, due := false, false
	for _, s := range active {
		bare, due = bare || !r.based[r.slot[s.Index]], due || s.Due(r.declared.Refresh)
	}
	given, d := r.declared.Basis, int(r.args.d)
	find := given == nil && (bare || due)
	if find || bare {
		means := make([]float64, int(r.args.n)*d*d)
		if find {
			count := min(int(r.args.parts), meansMost)
			if err := r.launch("mean", count, len(active)); err != nil {
				return err
			}
			if err := r.launch("add_means", 256, 1, int32(count)); err != nil {
				return err
			}
			if err := download(r.work, means, r.args.mean); err != nil {
				return err
			}
		}
		for _, s := range active {
			i := r.slot[s.Index]
			q, ok := given, given != nil
			if find {
				q, ok = method.Eigenvectors[T](means[i*d*d:(i+1)*d*d], d)
			}
			if !ok && r.based[i] {
				continue
			}
			if !ok { // a Jacobian that is not finite has no eigenvectors: the coordinates stay as they are
				q = method.Identity[T](d)
			}
			copy(r.bases[i*d*d:], q)
			r.based[i] = true
		}
		if err := r.stream.CopyIn(r.args.basis, pointer(r.bases), len(r.bases)*num.Size[T]()); err != nil {
			return err
		}
	}
	r.args.derivative = derivativeRotated
	return r.launch("evaluate", int(r.args.parts), len(active), int32(0))
}

// rowsAt returns where the rows of a slot stand, and their bytes.
func (r *remote[T]) rowsAt(base driver.Ptr, slot int) (driver.Ptr, int) {
	bytes := int(r.args.length*r.args.d) * num.Size[T]()
	return base + driver.Ptr(slot*bytes), bytes
}

// Accept copies the successor over the iterate.
func (r *remote[T]) Accept(s *method.Sequence[T]) error {
	from, bytes := r.rowsAt(r.args.next, r.slot[s.Index])
	to, _ := r.rowsAt(r.args.x, r.slot[s.Index])
	return r.stream.Copy(to, from, bytes)
}

// Reset measures the successor anew after NaN became the guess.
func (r *remote[T]) Reset(s *method.Sequence[T]) (int, error) {
	one := []*method.Sequence[T]{s}
	if err := r.at(one); err != nil {
		return 0, err
	}
	if err := r.stream.Zero(r.count, 8); err != nil {
		return 0, err
	}
	if err := r.launch("reset", r.spread(), 1, r.guess, int64(r.Problem.GuessStride), r.count); err != nil {
		return 0, err
	}
	var count [1]uint64
	if err := download(r.work, count[:], r.count); err != nil {
		return 0, err
	}
	return int(count[0]), r.measure(one)
}

// Close copies the iterate to the states, and its end to where the next window starts.
func (r *remote[T]) Close(s *method.Sequence[T], fill bool) error {
	slot, p, size := r.slot[s.Index], r.Problem, num.Size[T]()
	from, bytes := r.rowsAt(r.args.x, slot)
	row := p.Dim * size
	home := r.states + driver.Ptr((s.Index*p.Steps+s.First)*row)
	if err := r.stream.Copy(home, from, bytes); err != nil {
		return err
	}
	if err := r.stream.Copy(r.args.start+driver.Ptr(slot*row), from+driver.Ptr(bytes-row), row); err != nil || !fill {
		return err
	}
	after := *r // of which only the arguments of the kernel differ
	after.args.first += int64(r.args.length)
	after.args.length = int32(p.Steps - s.First - int(r.args.length))
	after.args.start = r.x0s
	if err := after.at([]*method.Sequence[T]{s}); err != nil {
		return err
	}
	base := home + driver.Ptr(bytes) - driver.Ptr(slot*int(after.args.length)*row) // the kernel counts from the first slot
	return after.launch("guess", after.spread(), 1, base, r.guess, int64(p.GuessStride))
}
