package cell

import (
	"pards/core/internal/vec"
	"pards/core/num"
	"pards/core/param"
)

func init() {
	register(Entry{Name: "lstm", Class: "LSTM",
		Doc: "Long short-term memory (Hochreiter and Schmidhuber 1997), gates in the order i, f, g, o; the state is (h, c) stacked, D = 2 H:\n" +
			"a = W_ih u + W_hh h + b, c' = s(a_f) c + s(a_i) tanh(a_g), h' = s(a_o) tanh(c').",
		Fields: []param.Field{
			{Name: "weight_ih", Kind: param.Array, Shape: "4H M", Doc: "input weights"},
			{Name: "weight_hh", Kind: param.Array, Shape: "4H H", Doc: "weights of h"},
			{Name: "bias", Kind: param.Array, Shape: "4H", Doc: "bias"},
		}}, newLSTM[float32], newLSTM[float64])
}

// lstm has a Jacobian of four blocks: both rows of the left ones are weights scaled by gates, the right ones are diagonal:
//
//	dh'/dh = sum_g top[g] W_g    dh'/dc = diag(hc)
//	dc'/dh = sum_g low[g] W_g    dc'/dc = diag(f)
type lstm[T num.Float] struct {
	h, m           int
	ih, hh, hhT, b []T
}

func newLSTM[T num.Float](r *param.Reader[T]) Cell[T] {
	c := &lstm[T]{hh: r.Array("weight_hh"), ih: r.Array("weight_ih"), b: r.Array("bias")}
	if r.Err() == nil {
		c.h, c.m = r.Len("H"), r.Len("M")
		c.hhT = vec.Transpose(c.hh, 4*c.h, c.h)
	}
	return c
}

// Dim returns 2 H.
func (c *lstm[T]) Dim() int { return 2 * c.h }

// Inputs returns M.
func (c *lstm[T]) Inputs() int { return c.m }

// factors are the scalings of the Jacobian's blocks over n steps.
type factors[T num.Float] struct{ top, low, hc, f []T } // (n, 4H), (n, 4H), (n, H), (n, H)

// local writes f to b.Y unless it is nil, and returns the factors where they are wanted.
func (c *lstm[T]) local(b Block[T], wanted bool) (k factors[T]) {
	h, n := c.h, b.N
	a, own, hidden := b.Scratch.Take(n*4*h), b.Scratch.Take(n*4*h), b.Scratch.Take(n*h)
	for t := range n {
		copy(hidden[t*h:(t+1)*h], b.X[2*t*h:])
	}
	vec.MatMulT(a, b.U, c.ih, c.b, n, c.m, 4*h)
	vec.MatMulT(own, hidden, c.hh, nil, n, h, 4*h)
	for i, v := range own {
		a[i] += v
	}
	if wanted {
		k = factors[T]{b.Scratch.Take(n * 4 * h), b.Scratch.Take(n * 4 * h), b.Scratch.Take(n * h), b.Scratch.Take(n * h)}
	}
	squashed := b.Scratch.Take(h)
	for t := range n {
		g := a[t*4*h : (t+1)*4*h]
		vec.Sigmoid(g[:2*h])
		vec.Tanh(g[2*h : 3*h])
		vec.Sigmoid(g[3*h:])
		i, f, cand, o := g[:h], g[h:2*h], g[2*h:3*h], g[3*h:]
		cell := b.X[(2*t+1)*h : (2*t+2)*h]
		for j := range h {
			squashed[j] = f[j]*cell[j] + i[j]*cand[j]
		}
		if b.Y != nil {
			copy(b.Y[(2*t+1)*h:], squashed)
		}
		vec.Tanh(squashed)
		if b.Y != nil {
			for j, v := range squashed {
				b.Y[2*t*h+j] = o[j] * v
			}
		}
		if !wanted {
			continue
		}
		top, low := k.top[t*4*h:(t+1)*4*h], k.low[t*4*h:(t+1)*4*h]
		for j, v := range squashed {
			s := o[j] * (1 - v*v) // dh'/dc'
			low[j] = i[j] * (1 - i[j]) * cand[j]
			low[h+j] = f[j] * (1 - f[j]) * cell[j]
			low[2*h+j] = i[j] * (1 - cand[j]*cand[j])
			low[3*h+j] = 0
			for g := j; g < 3*h; g += h {
				top[g] = s * low[g]
			}
			top[3*h+j] = o[j] * (1 - o[j]) * v
			k.hc[t*h+j], k.f[t*h+j] = s*f[j], f[j]
		}
	}
	return k
}

// Step writes f.
func (c *lstm[T]) Step(b Block[T]) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	c.local(b, false)
	return nil
}

// Jacobian writes the four blocks.
func (c *lstm[T]) Jacobian(b Block[T], j []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	k, h := c.local(b, true), c.h
	d := 2 * h
	clear(j[:b.N*d*d])
	for t := range b.N {
		J := j[t*d*d : (t+1)*d*d]
		for i := range h {
			for g := i; g < 4*h; g += h {
				top, low := k.top[t*4*h+g], k.low[t*4*h+g]
				up, down := J[i*d:i*d+h], J[(h+i)*d:(h+i)*d+h]
				for m, w := range c.hh[g*h : (g+1)*h] {
					up[m] += top * w
					down[m] += low * w
				}
			}
			J[i*d+h+i], J[(h+i)*d+h+i] = k.hc[t*h+i], k.f[t*h+i]
		}
	}
	return nil
}

// Diagonal reads the diagonals of the weights alone.
func (c *lstm[T]) Diagonal(b Block[T], dst []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	k, h := c.local(b, true), c.h
	for t := range b.N {
		for i := range h {
			var s T
			for g := i; g < 4*h; g += h {
				s += k.top[t*4*h+g] * c.hh[g*h+i]
			}
			dst[2*t*h+i], dst[(2*t+1)*h+i] = s, k.f[t*h+i]
		}
	}
	return nil
}

// JVP multiplies by the weights first.
func (c *lstm[T]) JVP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	k, h := c.local(b, true), c.h
	vh, wv := b.Scratch.Take(b.N*h), b.Scratch.Take(b.N*4*h)
	for t := range b.N {
		copy(vh[t*h:(t+1)*h], v[2*t*h:])
	}
	vec.MatMulT(wv, vh, c.hh, nil, b.N, h, 4*h)
	for t := range b.N {
		for i := range h {
			vc := v[(2*t+1)*h+i]
			up, down := k.hc[t*h+i]*vc, k.f[t*h+i]*vc
			for g := i; g < 4*h; g += h {
				up += k.top[t*4*h+g] * wv[t*4*h+g]
				down += k.low[t*4*h+g] * wv[t*4*h+g]
			}
			p[2*t*h+i], p[(2*t+1)*h+i] = up, down
		}
	}
	return nil
}

// VJP multiplies by the weights last.
func (c *lstm[T]) VJP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	k, h := c.local(b, true), c.h
	through := b.Scratch.Take(b.N * h)
	for t := range b.N {
		vh, vc := v[2*t*h:(2*t+1)*h], v[(2*t+1)*h:(2*t+2)*h]
		for g := range 4 * h {
			k.top[t*4*h+g] = k.top[t*4*h+g]*vh[g%h] + k.low[t*4*h+g]*vc[g%h]
		}
		for i := range h {
			k.hc[t*h+i] = k.hc[t*h+i]*vh[i] + k.f[t*h+i]*vc[i]
		}
	}
	vec.MatMulT(through, k.top, c.hhT, nil, b.N, 4*h, h)
	for t := range b.N {
		copy(p[2*t*h:], through[t*h:(t+1)*h])
		copy(p[(2*t+1)*h:], k.hc[t*h:(t+1)*h])
	}
	return nil
}
