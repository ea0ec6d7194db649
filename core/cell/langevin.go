package cell

import (
	"fmt"
	"math"

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
	precision      []T // (K, D, D), or (K, D)
	diagonal       bool
	diagonals      []T // (K, D): of the precisions
	eps, noise     T
}

func newLangevin[T num.Float](r *param.Reader[T]) Cell[T] {
	c := &langevin[T]{means: r.Array("means"), weights: r.Array("log_weights"), diagonal: r.Axes("precisions") == 2}
	pattern := "K D D"
	if c.diagonal {
		pattern = "K D"
	}
	c.precision, _ = r.ArrayOf("precisions", pattern)
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
		c.diagonals = c.precision
		if !c.diagonal {
			c.diagonals = make([]T, c.k*c.d)
			for i := range c.diagonals {
				c.diagonals[i] = c.precision[i*c.d+i%c.d]
			}
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

// local returns, over a block, the weights w (n, K) and gradients h = -P_k (x - m_k) (K, n, D) of the components and their mean g
// (n, D), and writes f to b.Y unless it is nil.
func (c *langevin[T]) local(b Block[T]) (w, h, g []T) {
	n, d := b.N, c.d
	w, h, g = b.Scratch.Take(n*c.k), b.Scratch.Take(c.k*n*d), b.Scratch.Take(n*d)
	diff := b.Scratch.Take(n * d)
	for k := range c.k {
		m, hk := c.means[k*d:(k+1)*d], h[k*n*d:(k+1)*n*d]
		for t := range n {
			x, y := b.X[t*d:(t+1)*d], diff[t*d:(t+1)*d]
			for i, v := range m {
				y[i] = v - x[i] // minus (x - m), which gives h its sign
			}
		}
		c.multiply(hk, diff, k, n)
		for t := range n {
			var q T
			y := diff[t*d : (t+1)*d]
			for i, v := range hk[t*d : (t+1)*d] {
				q += v * y[i]
			}
			w[t*c.k+k] = c.weights[k] - q/2
		}
	}
	clear(g)
	for t := range n {
		wt, gt := w[t*c.k:(t+1)*c.k], g[t*d:(t+1)*d]
		vec.Softmax(wt)
		for k, wk := range wt {
			for i, v := range h[(k*n+t)*d : (k*n+t+1)*d] {
				gt[i] += wk * v
			}
		}
	}
	if b.Y != nil {
		for i := range b.Y {
			b.Y[i] = b.X[i] + c.eps*g[i] + c.noise*b.U[i]
		}
	}
	return w, h, g
}

// multiply writes P_k y for each row of y.
func (c *langevin[T]) multiply(dst, y []T, k, n int) {
	d := c.d
	if !c.diagonal {
		vec.MatMulT(dst, y, c.precision[k*d*d:(k+1)*d*d], nil, n, d, d)
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
	c.local(b)
	return nil
}

// Jacobian writes I + eps H, H = sum_k w_k (h_k h_k' - P_k) - g g'.
func (c *langevin[T]) Jacobian(b Block[T], j []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	w, h, g := c.local(b)
	n, d := b.N, c.d
	for t := range n {
		J, gt := j[t*d*d:(t+1)*d*d], g[t*d:(t+1)*d]
		for i := range d {
			row, s := J[i*d:(i+1)*d], -c.eps*gt[i]
			for m, v := range gt {
				row[m] = s * v
			}
		}
		for k, wk := range w[t*c.k : (t+1)*c.k] {
			s, hk := c.eps*wk, h[(k*n+t)*d:(k*n+t+1)*d]
			for i := range d {
				row, r := J[i*d:(i+1)*d], s*hk[i]
				if c.diagonal {
					row[i] -= s * c.precision[k*d+i]
					for m, v := range hk {
						row[m] += r * v
					}
					continue
				}
				P := c.precision[(k*d+i)*d : (k*d+i+1)*d]
				for m, v := range hk {
					row[m] += r*v - s*P[m]
				}
			}
		}
		for i := range d {
			J[i*(d+1)]++
		}
	}
	return nil
}

// Diagonal writes the diagonal of the Jacobian.
func (c *langevin[T]) Diagonal(b Block[T], dst []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	w, h, g := c.local(b)
	c.diagonalOf(dst, w, h, g, c.diagonals, b.N)
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
			diagonals[k*d+i] = vec.Dot(pq[i*d:(i+1)*d], qT[i*d:(i+1)*d])
		}
	}
	return func(b Block[T], dst []T) error {
		defer b.Scratch.Release(b.Scratch.Mark())
		w, h, g := c.local(b)
		n := b.N
		hq, gq := b.Scratch.Take(c.k*n*d), b.Scratch.Take(n*d)
		vec.MatMulT(hq, h, qT, nil, c.k*n, d, d)
		vec.MatMulT(gq, g, qT, nil, n, d, d)
		c.diagonalOf(dst, w, hq, gq, diagonals, n)
		return nil
	}
}

// diagonalOf writes 1 + eps (sum_k w_k (h_k^2 - p_k) - g^2), p_k being the diagonal of P_k in the coordinates of h and g.
func (c *langevin[T]) diagonalOf(dst, w, h, g, p []T, n int) {
	d := c.d
	for t := range n {
		out := dst[t*d : (t+1)*d]
		for i, v := range g[t*d : (t+1)*d] {
			out[i] = -v * v
		}
		for k, wk := range w[t*c.k : (t+1)*c.k] {
			pk := p[k*d : (k+1)*d]
			for i, v := range h[(k*n+t)*d : (k*n+t+1)*d] {
				out[i] += wk * (v*v - pk[i])
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
	w, h, g := c.local(b)
	n, d := b.N, c.d
	Pv := b.Scratch.Take(n * d)
	for t := range n {
		vt, gt, out := v[t*d:(t+1)*d], g[t*d:(t+1)*d], p[t*d:(t+1)*d]
		s := -vec.Dot(gt, vt)
		for i, x := range gt {
			out[i] = s * x
		}
	}
	for k := range c.k {
		c.multiply(Pv, v, k, n)
		for t := range n {
			hk, vt, out := h[(k*n+t)*d:(k*n+t+1)*d], v[t*d:(t+1)*d], p[t*d:(t+1)*d]
			wk, s := w[t*c.k+k], vec.Dot(hk, vt)
			for i, x := range Pv[t*d : (t+1)*d] {
				out[i] += wk * (s*hk[i] - x)
			}
		}
	}
	for i, x := range v[:n*d] {
		p[i] = x + c.eps*p[i]
	}
	return nil
}

// VJP is JVP: the Jacobian is symmetric.
func (c *langevin[T]) VJP(b Block[T], p, v []T) error { return c.JVP(b, p, v) }
