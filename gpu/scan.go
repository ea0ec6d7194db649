//go:build cuda

package gpu

import (
	"sync"

	"pards/core/lds"
	"pards/core/num"
	"pards/gpu/driver"
)

func init() { scanners.f32, scanners.f64 = scanOn[float32], scanOn[float64] }

// scanArgs is scan_args of kernels/scan.cuh.
type scanArgs struct {
	a, b, x0, out, work       driver.Ptr
	steps                     int64
	batch, dim, tiles, strips int32
	reverse, resident         int32
}

// level and levelArgs are those of kernels/levels.cuh.
type level struct {
	a, b, x, p, s driver.Ptr
	steps         int64
	chunk, chunks int32
}

type levelArgs struct {
	at                  [levelsMost]level
	x0, barrier         driver.Ptr
	rowA, rowB          int64
	count, batch, units int32
	dim, reverse, _     int32
}

// ready are kernels that have been loaded, by device, variant and entry: finding one by its source takes longer than running it.
var ready sync.Map

type readyKey struct {
	device  *driver.Device
	variant string
}

// function returns an entry of a variant, compiled if need be; poll as for driver.Compile.
func function(d *driver.Device, v variant, entry string, poll func() bool) (*driver.Function, error) {
	key := readyKey{d, v.String() + entry}
	if f, ok := ready.Load(key); ok {
		return f.(*driver.Function), nil
	}
	m, err := d.Load(driver.Source{Name: v.source, Files: sources(), Options: v.options}, poll)
	if err != nil {
		return nil, err
	}
	f, err := m.Function(entry)
	if err == nil {
		ready.Store(key, f)
	}
	return f, err
}

// workAreas belong to a stream each, on which scans follow one another.
var workAreas struct {
	sync.Mutex
	of map[workKey]workArea
}

type workKey struct {
	device *driver.Device
	stream uintptr
	use    areaUse
}

// areaUse is what an area serves. Words and barriers begin as zero, and every scan leaves them as the next one needs them.
type areaUse int

const (
	words areaUse = iota
	barriers
	summaries
)

type workArea struct {
	at    driver.Ptr
	bytes int
}

// area returns the area for a use, of at least some bytes: the stream's, or one that belongs to the graph which the stream records, as that runs on
// any stream, and two of them may run side by side. A smaller one of the stream's is kept, as a scan under way may use it and nobody waits here;
// each is twice the one before at least, so that all together are less than twice the largest.
func area(d *driver.Device, s driver.Stream, use areaUse, bytes int) (driver.Ptr, error) {
	if s.Recorded {
		return newArea(d, s, use, bytes)
	}
	workAreas.Lock()
	defer workAreas.Unlock()
	key := workKey{d, s.Handle(), use}
	have := workAreas.of[key]
	if have.bytes >= bytes {
		return have.at, nil
	}
	bytes = max(bytes, 2*have.bytes, 1<<20)
	at, err := newArea(d, s, use, bytes)
	if err != nil {
		return 0, err
	}
	if workAreas.of == nil {
		workAreas.of = map[workKey]workArea{}
	}
	workAreas.of[key] = workArea{at, bytes}
	return at, nil
}

// newArea returns memory for a use; a graph clears it whenever it runs.
func newArea(d *driver.Device, s driver.Stream, use areaUse, bytes int) (at driver.Ptr, err error) {
	if s.Recorded {
		at, err = d.AllocRecorded(s, bytes)
	} else {
		at, err = d.Alloc(bytes)
	}
	if err == nil && use != summaries {
		err = s.Zero(at, bytes)
	}
	return at, err
}

// scanOn begins a scan on a stream. The arguments have been checked; a and x0 may be 0.
func scanOn[T num.Float](d *driver.Device, s driver.Stream, structure lds.Structure[T], a, b, x0, out driver.Ptr, batch, steps, dim int, reverse bool, poll func() bool) error {
	bytes, name := num.Size[T](), structure.Name()
	blocks, isBlocks := structure.(lds.BlockDiagonal[T])
	if name == "dense" && dim == 1 || isBlocks && blocks.Size == 1 {
		name, isBlocks = "diagonal", false
	}
	x := scanArgs{a: a, b: b, x0: x0, out: out, steps: int64(steps), batch: int32(batch), dim: int32(dim), reverse: int32(b2i(reverse))}
	switch {
	case name == "zero":
		return s.Copy(out, b, batch*steps*dim*bytes)
	case name == "diagonal" || name == "scaled_identity" || name == "identity":
		return scanOnce(d, s, name, bytes, x, poll)
	case name == "dense" && matrixPolicy[bytes/8][dim].j > 0:
		return scanOnce(d, s, name, bytes, x, poll)
	case !isBlocks:
		return scanLevels(d, s, name, bytes, x, structure.Len(dim), dim, 1, poll)
	}
	size, whole := blocks.Size, dim/blocks.Size
	if whole > 0 {
		x.dim = int32(size)
		if err := scanLevels(d, s, "dense", bytes, x, structure.Len(dim), dim, whole, poll); err != nil {
			return err
		}
	}
	if dim%size == 0 {
		return nil
	}
	x.dim = int32(dim % size) // a smaller last block stands beside the others
	x.a += driver.Ptr(whole * size * size * bytes)
	for _, at := range []*driver.Ptr{&x.b, &x.out, &x.x0} {
		if *at != 0 {
			*at += driver.Ptr(whole * size * bytes)
		}
	}
	return scanLevels(d, s, "dense", bytes, x, structure.Len(dim), dim, 1, poll)
}

// plans are those that were made, by all that they depend on.
var plans sync.Map

type planKey struct {
	device                            *driver.Device
	structure                         string
	bytes, steps, sequences, dim, row int
	aligned                           bool
}

// madeOnce and madeLevels are plans with their kernels.
type madeOnce struct {
	onePassPlan
	f        *driver.Function
	blocks   int  // of the grid
	resident bool // one for each tile, all at once
}

type madeLevels struct {
	levelsPlan
	f       *driver.Function
	cut     cut
	chunks  []int
	grid    [3]int
	p, s, x []int // where the summaries of each level and the states above stand among all
	numbers int
}

// planned returns the plan of a key, made by f if it is new.
func planned[P any](key planKey, f func() (P, error)) (P, error) {
	if p, ok := plans.Load(key); ok {
		return p.(P), nil
	}
	p, err := f()
	if err == nil {
		plans.Store(key, p)
	}
	return p, err
}

// scanOnce is a scan in one pass.
func scanOnce(d *driver.Device, s driver.Stream, structure string, bytes int, x scanArgs, poll func() bool) error {
	aligned := (x.a|x.b|x.out)%16 == 0
	p, err := planned(planKey{d, structure, bytes, int(x.steps), int(x.batch), int(x.dim), 0, aligned}, func() (madeOnce, error) {
		return makeOnce(d, scanShape{structure, bytes, int(x.batch), int(x.steps), int(x.dim), aligned}, poll)
	})
	if err != nil {
		return err
	}
	if x.work, err = area(d, s, words, p.words*8); err != nil {
		return err
	}
	x.tiles, x.strips, x.resident = int32(p.tiles), int32(p.strips), int32(b2i(p.resident))
	return p.f.Launch(s, [3]int{p.blocks, 1, 1}, [3]int{p.threads, 1, 1}, p.shared, driver.Struct(&x))
}

// makeOnce plans a scan in one pass.
func makeOnce(d *driver.Device, shape scanShape, poll func() bool) (p madeOnce, err error) {
	p.onePassPlan = planOnePass(shape)
	if p.f, err = function(d, p.variant, "scan", poll); err != nil {
		return p, err
	}
	if err = p.f.Shared(p.shared); err != nil {
		return p, err
	}
	atOnce, err := p.f.Blocks(p.threads, p.shared)
	atOnce *= d.SMs
	p.blocks = p.tiles * p.strips * shape.batch
	if p.resident = p.blocks <= atOnce; !p.resident && p.shared > 0 {
		p.blocks = atOnce // which take several tiles each
	}
	return p, err
}

// makeLevels plans a scan of matrices.
func makeLevels(d *driver.Device, structure string, bytes, steps, sequences, dim int, aligned bool, poll func() bool) (p madeLevels, err error) {
	p.levelsPlan = planLevels(structure, bytes, dim, aligned)
	if p.f, err = function(d, p.variant, "scan", poll); err != nil {
		return p, err
	}
	if err = p.f.Shared(p.shared); err != nil {
		return p, err
	}
	blocks, err := p.f.Blocks(p.threads, p.shared)
	if err != nil {
		return p, err
	}
	most := 1
	p.cut = cutTime(steps, sequences, blocks*d.SMs*(p.threads/p.team), p.policy)
	p.chunks = p.cut.chunks(steps)
	take := func(n int) int {
		at := p.numbers
		p.numbers += (n + 63) / 64 * 64
		return at
	}
	for _, n := range p.chunks {
		most = max(most, n)
		p.p, p.s, p.x = append(p.p, take(sequences*(n-1)*p.length)), append(p.s, take(sequences*(n-1)*dim)), append(p.x, take(sequences*(n-1)*dim))
	}
	p.grid = [3]int{min(blocks*d.SMs, sequences*most), 1, 1}
	return p, nil
}

// scanLevels is a scan of matrices of dimension x.dim, units of which make up a row of rowA and rowB numbers.
func scanLevels(d *driver.Device, s driver.Stream, structure string, bytes int, x scanArgs, rowA, rowB, units int, poll func() bool) error {
	dim, sequences := int(x.dim), int(x.batch)*units
	aligned := (x.a|x.b|x.out)%16 == 0 && (rowA|rowB|dim*dim)*bytes%16 == 0
	p, err := planned(planKey{d, structure, bytes, int(x.steps), sequences, dim, rowB, aligned}, func() (madeLevels, error) {
		return makeLevels(d, structure, bytes, int(x.steps), sequences, dim, aligned, poll)
	})
	if err != nil {
		return err
	}
	g := levelArgs{x0: x.x0, rowA: int64(rowA), rowB: int64(rowB), count: int32(len(p.cut)), batch: x.batch, units: int32(units), dim: x.dim, reverse: x.reverse}
	scratch := driver.Ptr(0)
	if len(p.cut) > 1 {
		if scratch, err = area(d, s, summaries, p.numbers*bytes); err != nil {
			return err
		}
		if g.barrier, err = area(d, s, barriers, 16); err != nil {
			return err
		}
	}
	g.at[0] = level{a: x.a, b: x.b, x: x.out, steps: x.steps}
	for i, n := range p.chunks {
		l := &g.at[i]
		l.chunk, l.chunks = int32(p.cut[i]), int32(n)
		if i+1 < len(p.cut) {
			at := func(n int) driver.Ptr { return scratch + driver.Ptr(n*bytes) }
			l.p, l.s = at(p.p[i]), at(p.s[i])
			g.at[i+1] = level{a: l.p, b: l.s, x: at(p.x[i]), steps: int64(n - 1)}
		}
	}
	if len(p.cut) == 1 {
		return p.f.Launch(s, p.grid, [3]int{p.threads, 1, 1}, p.shared, driver.Struct(&g))
	}
	return p.f.LaunchCooperative(s, p.grid, [3]int{p.threads, 1, 1}, p.shared, driver.Struct(&g))
}
