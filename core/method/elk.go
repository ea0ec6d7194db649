package method

import (
	"fmt"
	"math"
	"slices"

	"pards/core/internal/par"
	"pards/core/internal/simd"
	"pards/core/lds"
	"pards/core/num"
	"pards/core/param"
)

func init() {
	fields := []param.Field{
		{Name: "trust", Kind: param.Number, Default: "100.0",
			Doc: "size of the trust region, above 0: the variance that an update is allowed a step and component, lambda = 1 / trust; the first one where it adapts"},
		{Name: "adaptive", Kind: param.Bool, Default: "True", Doc: "go back on an update that raises the merit, with half the trust; three times the trust after two in a row that lower it"},
		{Name: "smoother", Kind: param.Bool, Default: "True",
			Doc: "minimise over all steps; else each step knows of those before it only, a Kalman filter, as the paper's code has it"},
	}
	register(Entry{Name: "elk", Class: "ELK", Structure: "kalman", Derivative: "full", Fields: fields,
		Doc: "Newton in a trust region (ELK, Gonzalez et al. 2024): the update dx minimises |J dx + r|^2 + |dx|^2 / trust, r the\n" +
			"residual and J the Jacobian of all of it, which is the mean of a Kalman smoother with A[t] = J[t].\n\n" +
			"Converges on models whose Newton updates overflow. Adaptive, it lowers the merit with every update it keeps, and\n" +
			"becomes Newton near the solution; fixed, it approaches the trajectory linearly, by 1 / (1 + trust) an update or\n" +
			"slower. It is not exact after T updates, as others are, and by default may take 1000 however short the window.\n" +
			"An update takes one evaluation of f and J, two where it adapts and the cell is native, and two scans with\n" +
			"covariances: some 6 B*T*D*D*D products, about four times as many where time is cut into chunks. It keeps\n" +
			"3 B*T*D*D numbers of a window. On the CPU alone. damping= with newton is the paper's scale-, clip=True with\n" +
			"quasi_newton its clip- variant.\n\n" +
			"Reference: Gonzalez et al., \"Towards Scalable and Stable Parallelization of Nonlinear RNNs\" (2024), section 4;\n" +
			"the composition of chunks, Särkkä and García-Fernández, \"Temporal Parallelization of Bayesian Smoothers\" (2021)."},
		newELK[float32], newELK[float64])
	register(Entry{Name: "quasi_elk", Class: "QuasiELK", Structure: "kalman_diagonal", Derivative: "diagonal", Fields: fields,
		Doc: "Quasi-Newton in a trust region (quasi-ELK, Gonzalez et al. 2024): ELK with the diagonal of J[t] in place of it.\n\n" +
			"The update need not lower the merit, so it is measured against the largest of the last five, and after eight that\n" +
			"were not kept the next one is. Suits unstable models that are nearly diagonal, and large D. Evaluations are those\n" +
			"of quasi_newton, twice of f where it adapts and the cell is native; some 20 B*T*D products an update; it keeps\n" +
			"4 B*T*D numbers of a window, 6 where it adapts. On the CPU alone.\n\n" +
			"Reference: Gonzalez et al., \"Towards Scalable and Stable Parallelization of Nonlinear RNNs\" (2024), section 4."},
		newQuasiELK[float32], newQuasiELK[float64])
}

// elk is Newton, or quasi-Newton, in a trust region.
type elk[T num.Float] struct {
	structure lds.Smoothable[T]
	trust     float64
	adaptive  bool
	filter    bool
	memory    int // how many merits an update is measured against
	patience  int // how many updates are taken back before one is kept whatever it brings
}

// The trust region: how it shrinks and grows. Steeper ones take twice the updates on a chain that leaves a ridge.
const (
	trustLess     = 0.5
	TrustMore     = 3
	trustRetries  = 30   // of an update that overflows
	trustRounding = 1024 // eps of the state's size, below which a merit need not fall: it is mostly rounding
)

func newELK[T num.Float](r *param.Reader[T]) Method[T] { return elkOf(r, lds.Dense[T]{}, 1, 40) }

func newQuasiELK[T num.Float](r *param.Reader[T]) Method[T] { return elkOf(r, lds.Diagonal[T]{}, 5, 8) }

func elkOf[T num.Float](r *param.Reader[T], s lds.Smoothable[T], memory, patience int) Method[T] {
	m := elk[T]{structure: s, trust: r.Number("trust", 100), adaptive: r.Bool("adaptive", true),
		filter: !r.Bool("smoother", true), memory: memory, patience: patience}
	if most := largestTrust[T](); !(m.trust >= 1/most && m.trust <= most) {
		r.Fail("trust", fmt.Sprintf("is %v", m.trust), fmt.Sprintf("a number above 0, from %.2g to %.2g", 1/most, most),
			"it is the variance of the trust region; beyond, lambda = 1 / trust is lost beside 1, or 1 beside lambda")
	}
	if m.adaptive {
		return adaptive[T]{m}
	}
	return m
}

// largestTrust is the size beyond which lambda vanishes beside 1.
func largestTrust[T num.Float]() float64 { return 1 / num.Eps[T]() }

// Structure returns the structure of A, from which the trust region's own follows.
func (m elk[T]) Structure() lds.Structure[T] { return m.structure }

func (m elk[T]) Linearise(b *Block[T]) error {
	if _, ok := any(m.structure).(lds.Dense[T]); ok {
		return b.Cell.Jacobian(b.Block, b.A)
	}
	return b.Cell.Diagonal(b.Block, b.A)
}

// region is a sequence's memory.
type region[T num.Float] struct {
	trust    float64
	scratch  []T
	merits   []float64 // of the last iterates that were kept
	rejected int       // updates taken back since
	x, f     []T       // the last iterate that was kept, and f along it for a Caller
	exact    int       // its rows that satisfy the model
}

// Keeps returns the numbers of the smoother.
func (m elk[T]) Keeps(d int) int { return lds.TrustLen[T](m.structure, d) }

// Open makes room for the window.
func (m elk[T]) Open(s *Sequence[T], steps int) {
	r, ok := s.Memory.(*region[T])
	if !ok {
		r = &region[T]{trust: m.trust}
		s.Memory = r
	}
	if n := steps * lds.TrustLen[T](m.structure, len(s.carry)); len(r.scratch) < n {
		r.scratch = make([]T, n)
	}
	r.merits, r.rejected = r.merits[:0], 0
}

// smooth writes the successor of the iterate, of which A and f are known all along the window; f is overwritten. Where the trust region
// adapts, an update that overflows is tried again in a smaller one.
func (m elk[T]) smooth(w *par.Worker, s *Sequence[T], a, f []T) {
	r, d := s.Memory.(*region[T]), len(s.carry)
	for i, v := range s.x {
		s.next[i] = v - f[i]
	}
	p := lds.Trust[T]{D: d, A: a, R: s.next, Filter: m.filter, X: f, Scratch: r.scratch}
	for try := 0; ; try++ {
		p.Weight = T(1 / r.trust)
		lds.Smooth(w, m.structure, p, lds.Chunk[T](m.structure, 1, len(f)/d, d))
		if !m.adaptive || try == trustRetries || w.Stopped() || simd.FirstNonFinite(p.X) < 0 {
			break
		}
		r.trust = lessTrust[T](r.trust)
	}
	for i, v := range s.x {
		s.next[i] = v + f[i]
	}
}

func lessTrust[T num.Float](trust float64) float64 { return max(trust*trustLess, 1/largestTrust[T]()) }

// adaptive is elk with a trust region that follows the merit, after Levenberg and Marquardt.
type adaptive[T num.Float] struct{ elk[T] }

// Keeps adds the iterate to go back to, and f along it.
func (m adaptive[T]) Keeps(d int) int { return m.elk.Keeps(d) + 2*d }

// Prepare keeps each iterate or goes back to the last one that was.
func (m adaptive[T]) Prepare(p *Pass[T]) error {
	for i, s := range p.g.active {
		r := s.Memory.(*region[T])
		if m.keeps(p.g, s, r) {
			r.keep(p.g, s, i, m.memory)
		} else {
			r.back(p.g, s, i)
		}
	}
	return nil
}

// keeps tells whether an iterate is kept: its merit is lower, or rounding, or it is the first, or patience has run out.
func (m adaptive[T]) keeps(g *group[T], s *Sequence[T], r *region[T]) bool {
	if len(r.merits) == 0 || s.merit < slices.Max(r.merits) {
		return true
	}
	return g.size(s.res, s.scale) <= trustRounding*num.Eps[T]() || r.rejected >= m.patience && !math.IsInf(s.merit, 1)
}

// keep makes the iterate the one to go back to.
func (r *region[T]) keep(g *group[T], s *Sequence[T], i, memory int) {
	if k := len(r.merits); k > 0 && s.merit < r.merits[k-1] && r.rejected == 0 {
		r.trust = min(r.trust*TrustMore, largestTrust[T]())
	}
	if len(r.merits) == memory {
		r.merits = append(r.merits[:0], r.merits[1:]...)
	}
	r.merits, r.rejected = append(r.merits, s.merit), 0
	r.x, r.exact = append(r.x[:0], s.x...), s.exact
	if g.whole {
		r.f = append(r.f[:0], g.buf.f[i*len(s.x):(i+1)*len(s.x)]...)
	}
}

// back makes the last iterate that was kept the present one again. What the sizes of updates told of convergence no longer holds.
func (r *region[T]) back(g *group[T], s *Sequence[T], i int) {
	r.rejected++
	r.trust = lessTrust[T](r.trust)
	copy(s.x, r.x)
	clear(s.scale)
	widen(s.scale, s.x)
	s.finite, s.settled, s.sizes, s.exact = true, false, updates{}, r.exact
	if n := len(s.x); g.whole {
		copy(g.buf.f[i*n:(i+1)*n], r.f)
		s.before(g.buf.prev[i*n:(i+1)*n], 0, g.steps)
	}
}
