package cell

import (
	"fmt"
	"math"
	"slices"

	"pards/core/check"
	"pards/core/internal/simd"
	"pards/core/internal/vec"
	"pards/core/num"
	"pards/core/param"
)

func init() {
	register(Entry{Name: "langevin", Class: "Langevin",
		Doc: "Unadjusted Langevin dynamics x[t] = x[t-1] + eps grad log p(x[t-1]) + sqrt(2 eps) u[t] on a mixture of Gaussians,\n" +
			"log p = logsumexp_k(log_weights[k] - (x - m_k)' P_k (x - m_k) / 2).",
		Fields: []param.Field{
			{Name: "means", Kind: param.Array, Shape: "K D", Doc: "centres of the components"},
			{Name: "precisions", Kind: param.Array, Shape: "K D D|K D", Doc: "symmetric precision matrices, or diagonals of them"},
			{Name: "log_weights", Kind: param.Array, Shape: "K", Doc: "logarithms of the weights, up to a constant"},
			{Name: "step_size", Kind: param.Number, Doc: "eps, at least 0"},
		}}, newLangevin[float32], newLangevin[float64])
}

type langevin[T num.Float] struct {
	k, d           int
	means, weights []T
	precision      []T           // (K, D, D), or (K, D)
	transposed     []T           // of each precision that is full
	wells          simd.Wells[T] // all of these for a chain by itself
	diagonal       bool
	diagonals      []T // (K, D): of the precisions
	zero           []T // D numbers
	far            far[T]
	eps, noise     T
}

func newLangevin[T num.Float](r *param.Reader[T]) Cell[T] {
	c := &langevin[T]{means: r.Array("means"), weights: r.Array("log_weights"), diagonal: r.Axes("precisions") == 2}
	pattern := "K D D"
	if c.diagonal {
		pattern = "K D"
	}
	c.precision = r.ArrayOf("precisions", pattern)
	c.k, c.d = r.Len("K"), r.Len("D")
	eps := r.Number("step_size", 0)
	c.eps, c.noise = T(eps), T(math.Sqrt(2*eps))
	switch {
	case r.Err() != nil:
	case eps < 0:
		r.Fail("step_size", fmt.Sprintf("is %v", eps), "a number of at least 0", "")
	case c.k == 0:
		r.Fail("means", "is empty", "at least one component", "")
	default:
		c.checkSymmetric(r)
		c.diagonals, c.zero = c.precision, make([]T, c.d)
		if !c.diagonal {
			c.diagonals = make([]T, c.k*c.d)
			for i := range c.diagonals {
				c.diagonals[i] = c.precision[i*c.d+i%c.d]
			}
			for p := c.precision; len(p) > 0; p = p[c.d*c.d:] {
				c.transposed = append(c.transposed, vec.Transpose(p[:c.d*c.d], c.d, c.d)...)
			}
		}
		c.wells = simd.Wells[T]{D: c.d, Means: fill(c.means, 1, c.d), Precisions: fill(c.transposed, 1, c.d), Logs: c.weights}
		if c.diagonal {
			c.wells.Diagonals = fill(c.precision, 1, c.d)
		}
	}
	return c
}

// checkSymmetric wants precisions that are symmetric but for rounding: the gradient and the Hessian below assume it.
func (c *langevin[T]) checkSymmetric(r *param.Reader[T]) {
	for k := 0; k < c.k && !c.diagonal; k++ {
		p := c.precision[k*c.d*c.d : (k+1)*c.d*c.d]
		bound := 0.0
		for _, v := range p {
			bound = max(bound, 1e-4*math.Abs(float64(v)))
		}
		for i := range c.d {
			for j := range i {
				if math.Abs(float64(p[i*c.d+j]-p[j*c.d+i])) > bound {
					r.Fail("precisions", fmt.Sprintf("at %d is not symmetric: [%d, %d] is %v and [%d, %d] is %v",
						k, i, j, p[i*c.d+j], j, i, p[j*c.d+i]), "symmetric matrices", "")
					return
				}
			}
		}
	}
}

// Dim returns D.
func (c *langevin[T]) Dim() int { return c.d }

// Inputs returns D: a noise for each component of the state.
func (c *langevin[T]) Inputs() int { return c.d }

// pulls are the components that have weight at some columns, [from, to) of them, and perhaps others: as columns, the weights w, a row each, the
// gradients h = -P_k (x - m_k), a part each, and where it is wanted the mean g of these.
type pulls[T num.Float] struct {
	from, to int
	w, h, g  []T
}

// course is what goes from some columns to the next ones, which are like them: a component that had weight is evaluated first, and others
// that had some are not asked whether they are far. It changes no result.
type course[T num.Float] struct {
	far     *simd.Far[T] // nil: all components are evaluated
	weights []T
	first   int
	idle    int // columns at which some had no weight
}

// newCourse begins at a state.
func (c *langevin[T]) newCourse(scratch *Arena[T], x []T) course[T] {
	at := course[T]{far: c.far.of(c), weights: scratch.Take(c.k * simd.Lanes[T]())[:c.k]} // so that what is taken next begins with a vector
	clear(at.weights)
	defer scratch.Release(scratch.Mark())
	at.first = at.far.Near(&c.wells, x, scratch.Take(c.d))
	return at
}

// local returns the pulls at columns, and writes f to y unless it is nil.
func (c *langevin[T]) local(scratch *Arena[T], in columns[T], at *course[T], y []T, mean bool) (p pulls[T]) {
	first, d, pitch := at.first, c.d, in.pitch
	w, h, room := in.rows(scratch, c.k), in.parts(scratch, c.k), in.parts(scratch, 1)
	p.from, p.to = first, first+1
	for i := range c.k {
		k := simd.Nth(i, first)
		if i > 0 && at.far != nil && at.weights[k] == 0 && c.none(in, at.far, w[first*pitch:], room, k) {
			at.weights[k] = simd.LeftOut
			continue
		}
		c.pull(w[k*pitch:], h[k*in.part:(k+1)*in.part], room, in, k)
		p.from, p.to = min(p.from, k), max(p.to, k+1)
	}
	for k := p.from; k < p.to; k++ {
		if at.weights[k] == simd.LeftOut {
			vec.Fill(w[k*pitch:(k+1)*pitch], T(math.Inf(-1)))
			clear(h[k*in.part : (k+1)*in.part])
		}
	}
	if mean {
		p.g = in.parts(scratch, 1)
	}
	p.w, p.h = w[p.from*pitch:p.to*pitch], h[p.from*in.part:p.to*in.part]
	simd.Mixture(y, p.g, p.w, in.x, in.u, p.h, c.eps, c.noise, p.to-p.from, d, in.n, pitch)
	at.note(&p, in)
	return p
}

// pull writes a component's h and the logarithms of its weights.
func (c *langevin[T]) pull(w, h, diff []T, in columns[T], k int) {
	d, n, pitch := c.d, in.n, in.pitch
	simd.SubRows(diff, c.means[k*d:], in.x, d, n, pitch) // minus (x - m), which gives h its sign
	if c.diagonal {
		clear(h)
		for i, p := range c.precision[k*d : (k+1)*d] {
			simd.AddScaled(in.row(h, i), p, in.row(diff, i))
		}
	} else {
		simd.Mix(h, c.precision[k*d*d:], diff, c.zero, d, d, n, pitch)
	}
	simd.DotRows(w, h, diff, d, n, pitch)
	for i, v := range w[:n] {
		w[i] = c.weights[k] - v/2
	}
}

// none tells that a component has no weight in any column, logs being the logarithms of another's.
func (c *langevin[T]) none(in columns[T], far *simd.Far[T], logs, room []T, k int) bool {
	along, square := room[:in.pitch], room[in.pitch:2*in.pitch]
	simd.Reach(along, square, far.Along[k*simd.Padded[T](c.d):], c.means[k*c.d:], in.x, c.d, in.n, in.pitch)
	for i, log := range logs[:in.n] {
		if !far.None(k, c.weights[k], log, along[i], square[i]) {
			return false
		}
	}
	return true
}

// note keeps of each component a weight that is not 0, if there is one.
func (a *course[T]) note(p *pulls[T], in columns[T]) {
	clear(a.weights)
	for k := p.from; k < p.to; k++ {
		for _, v := range in.row(p.w, k-p.from) {
			if v != 0 {
				a.weights[k] = v
				break
			}
		}
	}
	if slices.Contains(a.weights, 0) {
		a.idle += in.n
		if a.weights[a.first] == 0 {
			a.first = simd.Most(a.weights)
		}
	}
}

// one tells that all the weight is one component's, exactly.
func (p *pulls[T]) one(in columns[T]) bool {
	return p.to-p.from == 1 && !slices.ContainsFunc(in.row(p.w, 0), func(v T) bool { return v != 1 })
}

// courseColumns are how many columns of a block stand side by side: a component is left out where all of them are far from it.
const courseColumns = 16

// stretch is a few rows of a block, from at on, and the pulls there.
type stretch[T num.Float] struct {
	columns[T]
	pulls[T]
	at int

	block Block[T]
	mean  bool
	mark  int
	course[T]
}

// along returns what goes through a block, with next, and writes f where it is wanted.
func (c *langevin[T]) along(b Block[T], mean bool) stretch[T] {
	s := stretch[T]{block: b, mean: mean, course: c.newCourse(b.Scratch, b.X)}
	s.mark = b.Scratch.Mark()
	return s
}

// next goes to the next rows, or the first, and tells whether there are any.
func (s *stretch[T]) next(c *langevin[T]) bool {
	s.at += s.n
	b := s.block
	b.Scratch.Release(s.mark)
	if s.at == b.N {
		c.far.idle.Add(int64(s.idle))
		return false
	}
	d, n := c.d, min(courseColumns, b.N-s.at)
	rows := func(x []T) []T { return x[s.at*d : (s.at+n)*d] }
	if b.Y == nil {
		s.columns = newColumns(Block[T]{N: n, X: rows(b.X), Scratch: b.Scratch}, 1, d, 0)
		s.pulls = c.local(b.Scratch, s.columns, &s.course, nil, s.mean)
		return true
	}
	s.columns = newColumns(Block[T]{N: n, X: rows(b.X), U: rows(b.U), Scratch: b.Scratch}, 1, d, d)
	y := s.parts(b.Scratch, 1)
	s.pulls = c.local(b.Scratch, s.columns, &s.course, y, s.mean)
	s.back(rows(b.Y), y, d)
	return true
}

// rows returns the pulls as rows, w (n, to-from), h (to-from, n, d) and g (n, d).
func (s *stretch[T]) rows(d int) (w, h, g []T) {
	n, count := s.n, s.to-s.from
	w, h, g = s.block.Scratch.Take(n*count), s.block.Scratch.Take(count*n*d), s.block.Scratch.Take(n*d)
	s.back(w, s.w, count)
	s.back(g, s.g, d)
	for k := range count {
		s.back(h[k*n*d:(k+1)*n*d], s.h[k*s.part:], d)
	}
	return w, h, g
}

// rows returns the pulls along a block as rows, w (n, K), h (K, n, d) and g (n, d), zeros for components without weight that were left out.
func (c *langevin[T]) rows(b Block[T]) (w, h, g []T) {
	n, d := b.N, c.d
	w, h, g = b.Scratch.Take(n*c.k), b.Scratch.Take(c.k*n*d), b.Scratch.Take(n*d)
	clear(w)
	clear(h)
	for s := c.along(b, true); s.next(c); {
		ws, hs, gs := s.rows(d)
		copy(g[s.at*d:], gs)
		count := s.to - s.from
		for k := range count {
			copy(h[((s.from+k)*n+s.at)*d:], hs[k*s.n*d:(k+1)*s.n*d])
			for t := range s.n {
				w[(s.at+t)*c.k+s.from+k] = ws[t*count+k]
			}
		}
	}
	return w, h, g
}

// multiply writes P_k y for each row of y.
func (c *langevin[T]) multiply(dst, y []T, k, n int) {
	d := c.d
	if !c.diagonal {
		vec.MatMul(dst, y, c.transposed[k*d*d:(k+1)*d*d], c.precision[k*d*d:(k+1)*d*d], n, d, d)
		return
	}
	p := c.precision[k*d : (k+1)*d]
	for i, v := range y {
		dst[i] = p[i%d] * v
	}
}

// Step writes f.
func (c *langevin[T]) Step(b Block[T]) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	if !few(b) {
		for s := c.along(b, false); s.next(c); {
		}
		return nil
	}
	for t := range b.N {
		c.Run(Block[T]{N: 1, X: b.X[t*c.d:], U: b.U[t*c.d:], Y: b.Y[t*c.d:], Scratch: b.Scratch})
	}
	return nil
}

// Together is Step for a team.
func (c *langevin[T]) Together(t Team[T]) {
	defer t.Scratch.Release(t.Scratch.Mark())
	at := c.newCourse(t.Scratch, t.X)
	together(t, 1, c.d, c.d, func(in columns[T], y []T) { c.local(t.Scratch, in, &at, y, false) })
	c.far.idle.Add(int64(at.idle))
}

// Run has the components in vectors.
func (c *langevin[T]) Run(b Block[T]) {
	defer b.Scratch.Release(b.Scratch.Mark())
	idle := simd.MixtureSteps(b.Y, b.U, b.X, &c.wells, c.far.of(c), c.eps, c.noise, b.N, b.Scratch.Take(simd.MixtureRoom(&c.wells)))
	c.far.idle.Add(int64(idle))
}

// Alone tells whether side by side too few of a vector's lanes would be in use: half of them where components fill some vectors by themselves.
func (c *langevin[T]) Alone(sequences int) bool {
	if c.d >= 2*simd.Lanes[T]() {
		return alone[T](sequences, 2)
	}
	return alone[T](sequences, fewest)
}

// Jacobian writes I + eps H, H = sum_k w_k ((h_k - g) (h_k - g)' - P_k). Far from the centres, where one component has all the weight,
// h_k h_k' - g g' would be what rounding leaves of large numbers; likewise below.
func (c *langevin[T]) Jacobian(b Block[T], j []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	d := c.d
	off := b.Scratch.Take(d)
	for s := c.along(b, true); s.next(c); {
		to := j[s.at*d*d : (s.at+s.n)*d*d]
		if s.one(s.columns) {
			c.jacobianOf(to, []T{1}, c.zero, c.zero, off, s.from, 1)
			repeat(to, d*d)
			continue
		}
		w, h, g := s.rows(d)
		c.jacobianOf(to, w, h, g, off, s.from, s.n)
	}
	return nil
}

// jacobianOf writes the Jacobians of n rows from the pulls of components from one on, off being room.
func (c *langevin[T]) jacobianOf(j, w, h, g, off []T, from, n int) {
	d, count := c.d, len(w)/n
	clear(j[:n*d*d])
	for t := range n {
		J := j[t*d*d : (t+1)*d*d]
		for k, wk := range w[t*count : (t+1)*count] {
			if wk == 0 {
				continue
			}
			s := c.eps * wk
			simd.Sub(off, h[(k*n+t)*d:(k*n+t+1)*d], g[t*d:(t+1)*d])
			for i := range d {
				row, r, at := J[i*d:(i+1)*d], s*off[i], (from+k)*d+i
				if c.diagonal {
					row[i] -= s * c.precision[at]
					for m, v := range off {
						row[m] += r * v
					}
					continue
				}
				P := c.precision[at*d : (at+1)*d]
				for m, v := range off {
					row[m] += r*v - s*P[m]
				}
			}
		}
		for i := range d {
			J[i*(d+1)]++
		}
	}
}

// repeat copies the first n numbers all over x.
func repeat[T num.Float](x []T, n int) {
	for ; n < len(x); n *= 2 {
		copy(x[n:], x[:n])
	}
}

// Diagonal writes the diagonal of the Jacobian.
func (c *langevin[T]) Diagonal(b Block[T], dst []T) error {
	c.diagonalsOf(b, dst, c.diagonals, nil, nil)
	return nil
}

// Rotate: the diagonal of Q'HQ needs the components' gradients in the basis, and the diagonals of Q'P_k Q once.
func (c *langevin[T]) Rotate(q []T) func(b Block[T], dst []T) error {
	d := c.d
	qT := vec.Transpose(q, d, d)
	pq, diagonals := make([]T, d*d), make([]T, c.k*d)
	for k := range c.k {
		c.multiply(pq, qT, k, d) // row i: P_k q_i
		for i := range d {
			diagonals[k*d+i] = simd.Dot(pq[i*d:(i+1)*d], qT[i*d:(i+1)*d])
		}
	}
	return func(b Block[T], dst []T) error {
		c.diagonalsOf(b, dst, diagonals, q, qT)
		return nil
	}
}

// diagonalsOf writes the diagonals along a block, p (K, d) being those of P_k: in a basis q unless it is nil.
func (c *langevin[T]) diagonalsOf(b Block[T], dst, p, q, qT []T) {
	defer b.Scratch.Release(b.Scratch.Mark())
	d := c.d
	for s := c.along(b, true); s.next(c); {
		to, own := dst[s.at*d:(s.at+s.n)*d], p[s.from*d:s.to*d]
		if s.one(s.columns) {
			c.diagonalOf(to, []T{1}, c.zero, c.zero, own, 1)
			repeat(to, d)
			continue
		}
		w, h, g := s.rows(d)
		if q != nil {
			count := s.to - s.from
			hq, gq := b.Scratch.Take(count*s.n*d), b.Scratch.Take(s.n*d)
			vec.MatMul(hq, h, q, qT, count*s.n, d, d)
			vec.MatMul(gq, g, q, qT, s.n, d, d)
			h, g = hq, gq
		}
		c.diagonalOf(to, w, h, g, own, s.n)
	}
}

// diagonalOf writes 1 + eps sum_k w_k ((h_k - g)^2 - p_k), p_k being the diagonal of P_k in the coordinates of h and g.
func (c *langevin[T]) diagonalOf(dst, w, h, g, p []T, n int) {
	d, count := c.d, len(w)/n
	for t := range n {
		out, gt := dst[t*d:(t+1)*d], g[t*d:(t+1)*d]
		clear(out)
		for k, wk := range w[t*count : (t+1)*count] {
			if wk == 0 {
				continue
			}
			pk := p[k*d : (k+1)*d]
			for i, v := range h[(k*n+t)*d : (k*n+t+1)*d] {
				off := v - gt[i]
				out[i] += wk * (off*off - pk[i])
			}
		}
		for i, v := range out {
			out[i] = 1 + c.eps*v
		}
	}
}

// JVP writes v + eps H v.
func (c *langevin[T]) JVP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	d := c.d
	for s := c.along(b, true); s.next(c); {
		to, given := p[s.at*d:(s.at+s.n)*d], v[s.at*d:(s.at+s.n)*d]
		if s.one(s.columns) { // h is g
			c.multiply(to, given, s.from, s.n)
			for i, x := range to {
				to[i] = -x
			}
		} else {
			c.hessian(&s, to, given)
		}
		for i, x := range given {
			to[i] = x + c.eps*to[i]
		}
	}
	return nil
}

// hessian writes H v.
func (c *langevin[T]) hessian(s *stretch[T], p, v []T) {
	w, h, g := s.rows(c.d)
	n, d, count := s.n, c.d, s.to-s.from
	Pv, off := s.block.Scratch.Take(n*d), s.block.Scratch.Take(d)
	clear(p)
	for k := range count {
		c.multiply(Pv, v, s.from+k, n)
		for t := range n {
			wk := w[t*count+k]
			if wk == 0 {
				continue
			}
			simd.Sub(off, h[(k*n+t)*d:(k*n+t+1)*d], g[t*d:(t+1)*d])
			out, s := p[t*d:(t+1)*d], simd.Dot(off, v[t*d:(t+1)*d])
			for i, x := range Pv[t*d : (t+1)*d] {
				out[i] += wk * (s*off[i] - x)
			}
		}
	}
}

// VJP is JVP: the Jacobian is symmetric.
func (c *langevin[T]) VJP(b Block[T], p, v []T) error { return c.JVP(b, p, v) }

// InputJVP scales w: the noise is added.
func (c *langevin[T]) InputJVP(b Block[T], p, w []T) error {
	for i, v := range w[:b.N*c.d] {
		p[i] = c.noise * v
	}
	return nil
}

// InputVJP is InputJVP.
func (c *langevin[T]) InputVJP(b Block[T], p, v []T) error { return c.InputJVP(b, p, v) }

// away writes m_k - x for each row.
func (c *langevin[T]) away(dst, x []T, k int) {
	m := c.means[k*c.d : (k+1)*c.d]
	for i, v := range x[:len(dst)] {
		dst[i] = m[i%c.d] - v
	}
}

// ParamJVP: with d = m_k - x the gradient of a component is h_k = P_k d, the logarithm of its weight l_k - h_k'd/2, so that
//
//	dh_k = P_k dm_k + dP_k d,  dlog_k = dl_k - h_k'dm_k - d'dP_k d/2,  dg = sum_k w_k (dh_k + (dlog_k - sum_j w_j dlog_j) h_k).
//
// Of a full dP_k the symmetric part counts.
func (c *langevin[T]) ParamJVP(b Block[T], p []T, tangent [][]T) error {
	means, precisions, weights, step := tangent[0], tangent[1], tangent[2], tangent[3]
	if err := c.checkStep(step); err != nil {
		return err
	}
	defer b.Scratch.Release(b.Scratch.Mark())
	b.Y = nil
	w, h, g := c.rows(b)
	n, d := b.N, c.d
	diff, dPd, dm, Pdm, mean := b.Scratch.Take(n*d), b.Scratch.Take(n*d), b.Scratch.Take(d), b.Scratch.Take(d), b.Scratch.Take(n)
	clear(p)
	clear(mean)
	clear(dm)
	for k := range c.k {
		c.away(diff, b.X, k)
		c.precisionTangent(b, dPd, diff, precisions, k)
		if means != nil {
			copy(dm, means[k*d:])
		}
		c.multiply(Pdm, dm, k, 1)
		for t := range n {
			hk, change, out := h[(k*n+t)*d:(k*n+t+1)*d], dPd[t*d:(t+1)*d], p[t*d:(t+1)*d]
			dlog := -simd.Dot(hk, dm) - simd.Dot(change, diff[t*d:(t+1)*d])/2
			if weights != nil {
				dlog += weights[k]
			}
			wk := w[t*c.k+k]
			mean[t] += wk * dlog
			for i, v := range hk {
				out[i] += wk * (Pdm[i] + change[i] + dlog*v)
			}
		}
	}
	for i, v := range g {
		p[i] = c.eps * (p[i] - mean[i/d]*v)
		if step != nil {
			p[i] += step[0] * (v + b.U[i]/c.noise)
		}
	}
	return nil
}

// checkStep wants a step size at which sqrt(2 eps) has a derivative, where that is asked for.
func (c *langevin[T]) checkStep(step []T) error {
	if step != nil && c.eps == 0 {
		return check.Valuef("Langevin", "step_size", "is 0", "a number above 0", "sqrt(2 eps) has no derivative there")
	}
	return nil
}

// precisionTangent writes the symmetric part of dP_k times each row of y.
func (c *langevin[T]) precisionTangent(b Block[T], dst, y, dP []T, k int) {
	d := c.d
	switch {
	case dP == nil:
		clear(dst)
	case c.diagonal:
		for i, v := range y {
			dst[i] = dP[k*d+i%d] * v
		}
	default:
		defer b.Scratch.Release(b.Scratch.Mark())
		s := b.Scratch.Take(d * d)
		clear(s)
		addSymmetric(s, dP[k*d*d:(k+1)*d*d], d)
		vec.MatMulT(dst, y, s, b.N, d, d)
	}
}

// addSymmetric adds the symmetric part of a.
func addSymmetric[T num.Float](s, a []T, d int) {
	for i := range d {
		for j := range d {
			s[i*d+j] += (a[i*d+j] + a[j*d+i]) / 2
		}
	}
}

// ParamVJP is the transpose of ParamJVP. With a = eps w_k and c = eps w_k v'(h_k - g), both of a row, its terms are
//
//	means: P_k a v - c h_k    precisions: y d' with y = a v - c d/2, its symmetric part or its diagonal    log_weights: c
//
// and v'(g + u / sqrt(2 eps)) for the step size.
func (c *langevin[T]) ParamVJP(b Block[T], g [][]T, v []T) error {
	if err := c.checkStep(g[3]); err != nil {
		return err
	}
	defer b.Scratch.Release(b.Scratch.Mark())
	b.Y = nil
	w, h, mean := c.rows(b)
	n, d := b.N, c.d
	diff, y, av, ch := b.Scratch.Take(n*d), b.Scratch.Take(n*d), b.Scratch.Take(d), b.Scratch.Take(d)
	for k := range c.k {
		c.away(diff, b.X, k)
		clear(av)
		clear(ch)
		var sum T
		for t := range n {
			hk, vt, from, yt := h[(k*n+t)*d:(k*n+t+1)*d], v[t*d:(t+1)*d], diff[t*d:(t+1)*d], y[t*d:(t+1)*d]
			scale := c.eps * w[t*c.k+k]
			pull := scale * (simd.Dot(hk, vt) - simd.Dot(mean[t*d:(t+1)*d], vt))
			sum += pull
			for i, x := range vt {
				av[i] += scale * x
				ch[i] += pull * hk[i]
				yt[i] = scale*x - pull/2*from[i]
			}
		}
		c.addComponent(b, g, k, sum, av, ch, y, diff)
	}
	for i := 0; i < n*d && g[3] != nil; i++ {
		g[3][0] += v[i] * (mean[i] + b.U[i]/c.noise)
	}
	return nil
}

// addComponent adds the sums over a block to a component's gradients: sum of c, a v and c h, and rows y and d.
func (c *langevin[T]) addComponent(b Block[T], g [][]T, k int, sum T, av, ch, y, diff []T) {
	defer b.Scratch.Release(b.Scratch.Mark())
	d := c.d
	if g[0] != nil {
		Pav := b.Scratch.Take(d)
		c.multiply(Pav, av, k, 1)
		for i, v := range Pav {
			g[0][k*d+i] += v - ch[i]
		}
	}
	if g[2] != nil {
		g[2][k] += sum
	}
	switch {
	case g[1] == nil:
	case c.diagonal:
		for i, v := range y {
			g[1][k*d+i%d] += v * diff[i]
		}
	default:
		full := b.Scratch.Take(d * d)
		clear(full)
		vec.AddMatTMul(full, y, diff, b.N, d, d)
		addSymmetric(g[1][k*d*d:(k+1)*d*d], full, d)
	}
}
