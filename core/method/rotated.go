package method

import (
	"cmp"
	"fmt"
	"math"
	"sync"

	"gonum.org/v1/gonum/mat"

	"pards/core/cell"
	"pards/core/internal/par"
	"pards/core/internal/simd"
	"pards/core/internal/vec"
	"pards/core/lds"
	"pards/core/num"
	"pards/core/param"
)

func init() {
	register(Entry{Name: "rotated_quasi_newton", Class: "RotatedQuasiNewton", Structure: "diagonal", Derivative: "rotated_diagonal",
		Doc: "Quasi-Newton in rotated coordinates: A[t] = Q diag(Q'J[t]Q) Q', Q an orthogonal basis, by default the eigenvectors of the\n" +
			"symmetrised mean Jacobian along the iterate.\n\nSuits gradient dynamics whose Jacobians share their eigenvectors, such as Langevin chains within one well, where it\n" +
			"converges like Newton. Chains or iterates that cross wells want several bases: windows (window=\"auto\") have each its\n" +
			"own, and refresh=\"pieces\" has one for each stretch of max(256, 4*D) steps. An update\n" +
			"takes one evaluation of f and of diag(Q'JQ), which costs D*D products a step for most native cells, D*D*D else, and\n" +
			"a diagonal scan with 2*B*T*D*D products to turn the coordinates; where it finds a basis anew, one evaluation of J\n" +
			"and some D*D*D products for the eigenvectors. A is D numbers a step and a basis D*D a sequence, or a piece; a\n" +
			"function's J takes B*T*D*D, or those of a window.\n\n" +
			"Reference: the common form of Gonzalez et al. (2025), with A diagonal in a basis as pards chooses it.",
		Fields: []param.Field{
			{Name: "basis", Kind: param.Array, Shape: "D D", Default: "None", Doc: "an orthogonal matrix Q, its columns the basis, kept throughout"},
			{Name: "refresh", Kind: param.Text, Default: `"iteration"`, Choices: []string{"iteration", "pieces", "window", "contraction", "never"},
				Doc: "when the basis is found anew: in every iteration, one for the window or one for each of its pieces (for functions of JAX " +
					"and on a GPU one for the window), from the guess of each window, when an update is not much smaller " +
					"than the one before, over windows too, or from the first guess alone"},
		}}, newRotated[float32], newRotated[float64])
}

// rotated is quasi-Newton in a basis.
type rotated[T num.Float] struct {
	given   []T // Q, row-major; nil: found
	refresh string
}

func newRotated[T num.Float](r *param.Reader[T]) Method[T] {
	m := &rotated[T]{given: r.Array("basis"), refresh: r.Text("refresh", "iteration")}
	if d := r.Len("D"); m.given != nil {
		if off := notOrthogonal(m.given, d); off > 100*float64(d)*num.Eps[T]() {
			r.Fail("basis", fmt.Sprintf("is not orthogonal: Q Q'v differs from v by %.2g", off), "an orthogonal matrix", "")
		}
	}
	return m
}

// notOrthogonal returns the largest element of Q Q'v - v over some vectors v of signs: nothing but rounding if Q is orthogonal, and
// much else, almost surely, if it is not; D*D products each, where Q'Q itself takes D*D*D.
func notOrthogonal[T num.Float](q []T, d int) (off float64) {
	v, y := make([]float64, d), make([]float64, d)
	for probe := range 4 {
		clear(y)
		for i := range d {
			v[i] = 1 - 2*float64(mix(uint64(probe*d+i))>>63)
			for k, w := range q[i*d : (i+1)*d] {
				y[k] += float64(w) * v[i]
			}
		}
		for i := range d {
			s := -v[i]
			for k, w := range q[i*d : (i+1)*d] {
				s += float64(w) * y[k]
			}
			off = num.Max(off, math.Abs(s))
		}
	}
	return off
}

func (*rotated[T]) Structure() lds.Structure[T] { return lds.Diagonal[T]{} }

// bases are those of the pieces of a sequence's window, one after another; the last goes on to the end.
type bases[T num.Float] struct {
	of    []*basis[T]
	steps int // of a piece
}

// basis is an orthogonal matrix Q, row-major: A is diagonal in the coordinates Q'x.
type basis[T num.Float] struct {
	q, turned []T                                // and its transpose
	diagonal  func(b cell.Block[T], d []T) error // what the cell prepared for it, nil where Jacobians must be formed
}

// at returns the basis of a row of the window, nil without any.
func (b *bases[T]) at(row int) *basis[T] {
	if len(b.of) == 0 {
		return nil
	}
	return b.of[min(row/b.steps, len(b.of)-1)]
}

// piece returns the rows from one on that have the same basis, at most up to an end.
func (b *bases[T]) piece(row, end int) (to int) {
	if i := row / max(b.steps, 1); i < len(b.of)-1 {
		return min((i+1)*b.steps, end)
	}
	return end
}

// An iterate may lie in one well here and in another there, where no basis suits both: the mean is that of a piece, long enough that
// eigenvectors, which take some D*D*D, cost little beside the Jacobians.
const (
	pieceLeast = 256
	pieceDims  = 4
)

func pieceSteps(d int) int { return max(pieceLeast, pieceDims*d) }

// Keeps returns how many numbers a step its bases take.
func (*rotated[T]) Keeps(d int) int { return (2*d*d + pieceSteps(d) - 1) / pieceSteps(d) }

// Prepare sets the bases of each sequence.
func (m *rotated[T]) Prepare(p *Pass[T]) error {
	due := false
	p.Each(func(s *Sequence[T]) { due = due || s.bases.of == nil || s.Due(m.refresh) })
	if m.given != nil {
		p.Each(func(s *Sequence[T]) {
			if s.bases.of == nil {
				s.bases = bases[T]{[]*basis[T]{m.turn(p, m.given)}, p.g.steps}
			}
		})
		return nil
	}
	if !due {
		return nil
	}
	steps := p.g.steps
	if m.refresh == "pieces" {
		steps = min((pieceSteps(p.Dim())+p.g.rows-1)/p.g.rows*p.g.rows, steps) // whole blocks
	}
	found := make(map[*Sequence[T]][]*basis[T], len(p.g.active))
	p.Each(func(s *Sequence[T]) { found[s] = make([]*basis[T], (p.g.steps+steps-1)/steps) })
	err := p.MeanJacobians(steps, func(s *Sequence[T], piece int, mean []float64) {
		q, ok := Eigenvectors[T](mean, p.Dim())
		switch {
		case ok:
			found[s][piece] = m.turn(p, q)
		case s.bases.of != nil: // a Jacobian that is not finite has no eigenvectors: the coordinates stay as they are
			found[s][piece] = s.bases.at(piece * steps)
		default:
			found[s][piece] = m.turn(p, Identity[T](p.Dim()))
		}
	})
	if err == nil && !p.g.w.Stopped() {
		p.Each(func(s *Sequence[T]) { s.bases = bases[T]{found[s], steps} })
	}
	return err
}

// contracting is how much smaller than the one before an update is that a basis did well by.
const contracting = 0.25

// Due tells whether a basis is to be found anew before the next update; the first one of a solve may be that of a poor guess.
func (s *Sequence[T]) Due(refresh string) bool {
	switch refresh {
	case "iteration", "pieces":
		return true
	case "window":
		return s.K == 0
	case "contraction":
		return s.Window == 0 && s.K == 1 || s.sizes.count > 1 && !(s.sizes.last[2] <= contracting*s.sizes.last[1])
	}
	return false
}

func (m *rotated[T]) turn(p *Pass[T], q []T) *basis[T] {
	b := &basis[T]{q: q, turned: vec.Transpose(q, p.Dim(), p.Dim())}
	if r, ok := p.g.Cell.(cell.Rotator[T]); ok {
		b.diagonal = r.Rotate(q)
	}
	return b
}

// Eigenvectors returns those of the symmetric part of a matrix, as columns; false where it is not finite.
func Eigenvectors[T num.Float](a []float64, d int) ([]T, bool) {
	if simd.FirstNonFinite(a) >= 0 {
		return nil, false
	}
	sym := mat.NewSymDense(d, nil)
	for i := range d {
		for j := i; j < d; j++ {
			sym.SetSym(i, j, (a[i*d+j]+a[j*d+i])/2)
		}
	}
	var eig mat.EigenSym
	if !eig.Factorize(sym, true) {
		return nil, false
	}
	var full mat.Dense
	eig.VectorsTo(&full)
	q := make([]T, d*d)
	for i := range q {
		q[i] = T(full.At(i/d, i%d))
	}
	return q, true
}

// Identity returns a unit matrix.
func Identity[T num.Float](d int) []T {
	q := make([]T, d*d)
	lds.Identity[T]{}.Dense(q, nil, d)
	return q
}

// Linearise writes diag(Q'JQ).
func (m *rotated[T]) Linearise(b *Block[T]) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	if f := b.Members[0].bases.at(b.From).diagonal; f != nil { // a native cell: one sequence a block, in one piece
		return f(b.Block, b.A)
	}
	d := b.Cell.Dim()
	j := b.Kept
	if j == nil {
		j = b.Scratch.Take(b.N * d * d)
		if err := b.Cell.Jacobian(b.Block, j); err != nil {
			return err
		}
	}
	jq := b.Scratch.Take(d * d)
	b.Each(func(s *Sequence[T], from, to int) {
		for t := from; t < to; t++ {
			qT := s.bases.at(b.From + t - from).turned
			vec.MatMulT(jq, qT, j[t*d*d:(t+1)*d*d], d, d, d) // row i: J q_i
			for i := range d {
				b.A[t*d+i] = simd.Dot(jq[i*d:(i+1)*d], qT[i*d:(i+1)*d])
			}
		}
	})
	return nil
}

// into writes rows in coordinates: dst = x Q.
func (b *basis[T]) into(dst, x []T, d int) {
	vec.MatMul(dst, x, b.q, b.turned, len(x)/d, d, d)
}

// outOf writes rows back from coordinates: dst = z Q'.
func (b *basis[T]) outOf(dst, z []T, d int) {
	vec.MatMul(dst, z, b.turned, b.q, len(z)/d, d, d)
}

// Pass is what a Preparer may ask about the iterates before an update.
type Pass[T num.Float] struct{ g *group[T] }

// Dim returns D.
func (p *Pass[T]) Dim() int { return p.g.Dim }

// Each calls f for each sequence that is still being solved.
func (p *Pass[T]) Each(f func(*Sequence[T])) {
	for _, s := range p.g.active {
		f(s)
	}
}

// MeanJacobians calls f with the mean of each sequence's Jacobian over each piece of some steps of the window, summed in double
// precision; for several at once.
func (p *Pass[T]) MeanJacobians(steps int, f func(s *Sequence[T], piece int, mean []float64)) error {
	g, d := p.g, p.g.Dim
	pieces := (g.steps + steps - 1) / steps
	if g.whole {
		scratch := g.arena()
		defer g.putArena(scratch)
		b := g.wholeBlock(scratch)
		b.Known = true
		j := make([]T, b.N*d*d)
		if err := g.Cell.Jacobian(b.Block, j); err != nil {
			return err
		}
		g.kept = j
		g.w.For(len(g.active)*pieces, 1, func(_ *par.Worker, i int) {
			mean, from, to := make([]float64, d*d), i%pieces*steps, min((i%pieces+1)*steps, g.steps)
			rows := j[i/pieces*g.steps*d*d:]
			addMatrices(mean, rows[from*d*d:to*d*d], 1/float64(to-from))
			f(g.active[i/pieces], i%pieces, mean)
		})
		return nil
	}
	errs := make([]error, len(g.active)*pieces)
	g.w.For(len(errs), 1, func(w *par.Worker, i int) {
		s, piece := g.active[i/pieces], i%pieces
		mean, err := g.meanOfBlocks(w, s, piece*steps, min((piece+1)*steps, g.steps))
		if errs[i] = err; err == nil && !w.Stopped() {
			f(s, piece, mean)
		}
	})
	return cmp.Or(errs...)
}

// meanOfBlocks adds up the Jacobians of blocks of rows [first, end) in their order, whoever evaluates them.
func (g *group[T]) meanOfBlocks(w *par.Worker, s *Sequence[T], first, end int) ([]float64, error) {
	d := g.Dim
	rows := min(max(blockNumbers/(d*d), blockLeast), end-first)
	count := (end - first + rows - 1) / rows
	parts := make([][]float64, count)
	errs := make([]error, count)
	mean, added := make([]float64, d*d), 0
	var mu sync.Mutex
	var spare [][]float64 // parts that were added
	take := func() []float64 {
		mu.Lock()
		defer mu.Unlock()
		last := len(spare) - 1
		if last < 0 {
			return make([]float64, d*d)
		}
		part := spare[last]
		spare = spare[:last]
		clear(part)
		return part
	}
	w.For(count, 4, func(_ *par.Worker, i int) {
		scratch := g.arena()
		defer g.putArena(scratch)
		lo, hi := first+i*rows, min(first+(i+1)*rows, end)
		prev, j := scratch.Take((hi-lo)*d), scratch.Take((hi-lo)*d*d)
		s.before(prev, lo, hi)
		b := Block[T]{Cell: g.Cell}
		b.N, b.X, b.U, b.Scratch = hi-lo, prev, g.inputs(s.Index, s.First+lo, s.First+hi), scratch
		errs[i] = g.Cell.Jacobian(b.Block, j)
		part := take()
		addMatrices(part, j, 1/float64(end-first))
		mu.Lock()
		defer mu.Unlock()
		for parts[i] = part; added < count && parts[added] != nil; added++ {
			for k, v := range parts[added] {
				mean[k] += v
			}
			spare, parts[added] = append(spare, parts[added]), nil
		}
	})
	return mean, cmp.Or(errs...)
}

// addMatrices adds weight times each d*d matrix of rows to sum.
func addMatrices[T num.Float](sum []float64, rows []T, weight float64) {
	for m := 0; m < len(rows); m += len(sum) {
		for i, v := range rows[m : m+len(sum)] {
			sum[i] += weight * float64(v)
		}
	}
}
