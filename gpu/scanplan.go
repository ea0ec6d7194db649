package gpu

import (
	"fmt"
	"strings"
	"sync"

	"pards/gpu/kernels"
)

// scanShape is all that the plan of a scan depends on, beside the device.
type scanShape struct {
	structure         string
	bytes             int // of a number
	batch, steps, dim int
	aligned           bool // every array begins at a multiple of 16 bytes
}

// variant is a source of kernels/ and the options that make one of its variants.
type variant struct {
	source  string
	options []string
}

// sources are the kernels' files by name.
var sources = sync.OnceValue(func() map[string]string {
	files := map[string]string{}
	entries, _ := kernels.Files.ReadDir(".")
	for _, e := range entries {
		text, _ := kernels.Files.ReadFile(e.Name())
		files[e.Name()] = string(text)
	}
	return files
})

func realName(bytes int) string {
	if bytes == 4 {
		return "float"
	}
	return "double"
}

func define(name string, value any) string { return fmt.Sprintf("-DPARDS_%s=%v", name, value) }

// onePassPlan is a scan by kernels/scan.cu.
type onePassPlan struct {
	variant
	threads, tiles, strips int
	shared                 int // bytes of dynamic shared memory
	words                  int // of the work area
}

// lanesFor returns over how many lanes n components lie: a power of two that divides a warp.
func lanesFor(n int) int {
	c := 1
	for c < n && c < 32 {
		c *= 2
	}
	return c
}

// planOnePass chooses the variant for a structure that acts on each component alone, or for small dense matrices.
func planOnePass(s scanShape) onePassPlan {
	row, staged := stagedPolicy[s.bytes/8][s.dim]
	numbers, parts, matrix := 2, 1, 0 // of a map and of a state
	switch {
	case s.structure == "dense":
		row, matrix = matrixPolicy[s.bytes/8][s.dim], s.dim
		numbers, parts = s.dim*s.dim+s.dim, s.dim
	case !staged:
		row = directVariant(s)
	}
	if s.structure == "identity" {
		numbers = 1
	}
	slots, words := row.c*row.v, s.bytes/4
	p := onePassPlan{threads: row.c * row.j, strips: (s.dim + slots - 1) / slots, tiles: (s.steps + row.j*row.k - 1) / (row.j * row.k)}
	if matrix > 0 {
		p.strips = 1
	} else if !row.staged { // as direct_scan has it
		ofA := map[string]int{"identity": 0, "scaled_identity": 1, "diagonal": row.v}
		p.shared = p.threads * row.k * s.bytes * (row.v + ofA[s.structure])
	}
	groups := (p.tiles + row.j - 1) / row.j
	clans := (groups + row.j - 1) / row.j
	p.words = workHead + s.batch*p.strips*slots*words*((p.tiles+groups)*numbers+clans*parts)
	p.variant = variant{"scan.cu", []string{define("REAL", realName(s.bytes)), define("OP", s.structure), define("STAGED", b2i(row.staged)),
		define("MATRIX", matrix), define("V", row.v), define("C", row.c), define("J", row.j), define("K", row.k),
		define("RESIDENT", row.resident), define("SHARED", p.shared)}}
	return p
}

// workHead is work_head of scan.cuh.
const workHead = 16

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// directVariant gives a thread 8 bytes of a row where a warp of them lies side by side, else one number: folding the maps of several
// takes longer than the accesses saved.
func directVariant(s scanShape) onePass {
	v := 1
	if pair := 8 / s.bytes; s.dim%pair == 0 && s.dim >= 32*pair && s.aligned {
		v = pair
	}
	row := directPolicy[s.bytes/8][v*s.bytes/4]
	row.v, row.c = v, lanesFor((s.dim+v-1)/v)
	row.j /= row.c
	return row
}

// levelsPlan is a scan by kernels/levels.cu.
type levelsPlan struct {
	variant
	threads, shared int
	team            int
	policy          leveled
	length          int // numbers of a matrix
}

// planLevels chooses the variant for matrices of a dimension.
func planLevels(structure string, bytes, d int, aligned bool) levelsPlan {
	op, dim := structure, d
	var row leveled
	var extra []string
	var team, shared int
	switch {
	case structure == "permutation":
		row, dim = permutationPolicy, lanesFor(d)
		if d > 32 {
			dim = row.block
		}
	case d > denseMost:
		op, row, dim = "large", largePolicy, 0
	case bytes == 4 && d%8 == 0 && aligned:
		t := rowFor(tensorPolicy, d, func(t tensored) int { return t.most })
		op, row = "tensor_dense", t.leveled
		team, shared = tensorShared(d, t)
		extra = []string{define("HIGH", t.high), define("STAGES", t.stages), define("MANY", t.many)}
	default:
		op, row = "dense", rowFor(densePolicy[bytes/8], d, func(l leveled) int { return l.most })
		team, shared = denseShared(bytes, d, row.block, aligned)
	}
	p := levelsPlan{threads: row.block, policy: row, team: team, shared: shared, length: d * d}
	switch {
	case op == "permutation":
		p.team, p.length = dim, d
	case team == 0:
		p.team = row.block
	}
	p.variant = variant{"levels.cu", []string{define("REAL", realName(bytes)), define("OP", op), define("DIM", dim), define("BLOCK", row.block),
		define("ALIGNED", b2i(aligned)), define("RESIDENT", row.resident), define("SHARED", p.shared), define("TEAM", p.team)}}
	p.options = append(p.options, extra...)
	return p
}

// rowFor returns the first row of a table that serves a dimension.
func rowFor[R any](table []R, d int, most func(R) int) (row R) {
	for _, row = range table {
		if d <= most(row) {
			break
		}
	}
	return row
}

// tensorShared is denseShared of op_tensor_dense.cuh.
func tensorShared(d int, t tensored) (team, shared int) {
	rows := 16 * t.high
	team = (d + rows - 1) / rows * 32
	pitch := d + 4
	if d == 8 {
		pitch = d
	}
	return team, (t.stages*t.many*(d*pitch+d) + 2*d) * (t.block / team) * 4
}

// denseMost is the largest dimension whose matrices go through shared memory.
const denseMost = 64

// denseShared returns the threads of a team and the bytes of shared memory of a block of op_dense.cuh, whose compilation fails if
// these differ from its own.
func denseShared(bytes, d, block int, aligned bool) (team, shared int) {
	pick := func(values ...int) int { // by D <= 2, 4, 8, 16, 32, 64
		for i, most := range []int{2, 4, 8, 16, 32, 64} {
			if d <= most {
				return values[i]
			}
		}
		return 0
	}
	up := func(n int) int { m := 16 / bytes; return (n + m - 1) / m * m }
	team = pick(2, 4, 8, 16, 32, 128)
	v := 1
	if most := 16 / bytes; aligned && d%most == 0 {
		v = most
	} else if aligned && d%2 == 0 && bytes == 4 {
		v = 2
	}
	stride := d
	if d >= 8 && v > 1 {
		stride += v
	} else if d >= 8 {
		stride += 1 - d%2
	}
	kept := pick(0, 0, 0, 0, 32*d, 64*d)
	numbers := pick(4, 4, 4, 4, 3, 2)*pick(8, 4, 2, 1, 1, 1)*(up(d*stride)+up(d)) + kept + 2*up(d)
	return team, numbers * (block / team) * bytes
}

// cut is how time is cut: the length of the chunks of each level, the last one's all there is.
type cut []int

// lengths are those that chunks may have.
var lengths = []int{2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 384, 512, 768, 1024, 2048, 4096}

// barrier is what it costs, in microseconds, to go up one level and down again.
const barrier = 7.5

// levelsMost is levels_most of levels.cuh.
const levelsMost = 6

// cutTime returns the cut that takes least time where `teams` chunks are worked on at once.
func cutTime(steps, sequences, teams int, policy leveled) cut {
	type key struct{ steps, depth int }
	type best struct {
		cost float64
		cut  cut
	}
	waves := func(n int) float64 { return float64((n + teams - 1) / teams) }
	memo := map[key]best{}
	var find func(k key) best
	find = func(k key) best {
		if b, ok := memo[k]; ok {
			return b
		}
		b := best{waves(sequences) * float64(k.steps) * policy.apply, cut{k.steps}}
		each := max(teams/sequences, 1)
		for _, c := range append([]int{(k.steps + each - 1) / each}, lengths...) { // the first gives every team one chunk
			if c < 2 || c >= k.steps || k.depth+1 == levelsMost || policy.reduce == 0 {
				continue
			}
			chunks := (k.steps + c - 1) / c
			up := find(key{chunks - 1, k.depth + 1})
			if cost := waves(sequences*chunks)*float64(c)*(policy.reduce+policy.apply) + barrier + up.cost; cost < b.cost {
				b = best{cost, append(cut{c}, up.cut...)}
			}
		}
		memo[k] = b
		return b
	}
	return find(key{steps, 0}).cut
}

// chunks returns the number of chunks of each level.
func (c cut) chunks(steps int) []int {
	var n []int
	for _, length := range c {
		n = append(n, (steps+length-1)/length)
		steps = n[len(n)-1] - 1
	}
	return n
}

func (v variant) String() string { return v.source + " " + strings.Join(v.options, " ") }
