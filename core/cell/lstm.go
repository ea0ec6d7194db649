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
	h             int
	state, inputs product[T]
	b             []T
}

func newLSTM[T num.Float](r *param.Reader[T]) Cell[T] {
	ih, hh := r.Array("weight_ih"), r.Array("weight_hh")
	c := &lstm[T]{b: r.Array("bias")}
	if r.Err() == nil {
		c.h = r.Len("H")
		c.state, c.inputs = newProduct(hh, 4*c.h, c.h, 1, 2), newProduct(ih, 4*c.h, r.Len("M"), 0, -1)
	}
	return c
}

// Dim returns 2 H.
func (c *lstm[T]) Dim() int { return 2 * c.h }

// Inputs returns M.
func (c *lstm[T]) Inputs() int { return c.inputs.width }

// blocks are the scalings of the Jacobian's blocks over n steps.
type blocks[T num.Float] struct{ top, low, hc, f []T } // (n, 4H), (n, 4H), (n, H), (n, H)

// local writes f to b.Y unless it is nil, and returns the blocks where they are wanted.
func (c *lstm[T]) local(b Block[T], wanted bool) (k blocks[T]) {
	h, n := c.h, b.N
	a, own, hidden := b.Scratch.Take(n*4*h), b.Scratch.Take(n*4*h), c.hidden(b, b.X)
	vec.MatMulT(a, b.U, c.inputs.weight, c.b, n, c.inputs.width, 4*h)
	vec.MatMulT(own, hidden, c.state.weight, nil, n, h, 4*h)
	for i, v := range own {
		a[i] += v
	}
	if wanted {
		k = blocks[T]{b.Scratch.Take(n * 4 * h), b.Scratch.Take(n * 4 * h), b.Scratch.Take(n * h), b.Scratch.Take(n * h)}
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
				for m, w := range c.state.weight[g*h : (g+1)*h] {
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
				s += k.top[t*4*h+g] * c.state.weight[g*h+i]
			}
			dst[2*t*h+i], dst[(2*t+1)*h+i] = s, k.f[t*h+i]
		}
	}
	return nil
}

// hidden returns the first half of each row.
func (c *lstm[T]) hidden(b Block[T], x []T) []T {
	h := c.h
	first := b.Scratch.Take(b.N * h)
	for t := range b.N {
		copy(first[t*h:(t+1)*h], x[2*t*h:])
	}
	return first
}

// JVP multiplies by the weights first.
func (c *lstm[T]) JVP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	k, h := c.local(b, true), c.h
	vh, wv := c.hidden(b, v), b.Scratch.Take(b.N*4*h)
	vec.MatMulT(wv, vh, c.state.weight, nil, b.N, h, 4*h)
	for t := range b.N {
		for i := range h {
			vc := v[(2*t+1)*h+i]
			p[2*t*h+i], p[(2*t+1)*h+i] = k.hc[t*h+i]*vc, k.f[t*h+i]*vc
		}
	}
	c.gather(p, k, wv, b.N)
	return nil
}

// gather adds to p what a change of the gates' sums makes.
func (c *lstm[T]) gather(p []T, k blocks[T], change []T, n int) {
	h := c.h
	for t := range n {
		for i := range h {
			up, down := p[2*t*h+i], p[(2*t+1)*h+i]
			for g := t*4*h + i; g < (t+1)*4*h; g += h {
				up += k.top[g] * change[g]
				down += k.low[g] * change[g]
			}
			p[2*t*h+i], p[(2*t+1)*h+i] = up, down
		}
	}
}

// VJP multiplies by the weights last.
func (c *lstm[T]) VJP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	k, h := c.local(b, true), c.h
	through := b.Scratch.Take(b.N * h)
	for t := range b.N {
		vh, vc := v[2*t*h:(2*t+1)*h], v[(2*t+1)*h:(2*t+2)*h]
		for i := range h {
			k.hc[t*h+i] = k.hc[t*h+i]*vh[i] + k.f[t*h+i]*vc[i]
		}
	}
	vec.MatMulT(through, c.reach(k, v, b.N), c.state.wT, nil, b.N, 4*h, h)
	for t := range b.N {
		copy(p[2*t*h:], through[t*h:(t+1)*h])
		copy(p[(2*t+1)*h:], k.hc[t*h:(t+1)*h])
	}
	return nil
}

// reach returns the gradient of the gates' sums (n, 4H), in the place of top.
func (c *lstm[T]) reach(k blocks[T], v []T, n int) []T {
	h := c.h
	for t := range n {
		vh, vc := v[2*t*h:(2*t+1)*h], v[(2*t+1)*h:(2*t+2)*h]
		top, low := k.top[t*4*h:(t+1)*4*h], k.low[t*4*h:(t+1)*4*h]
		for g := range top {
			top[g] = top[g]*vh[g%h] + low[g]*vc[g%h]
		}
	}
	return k.top
}

// InputJVP multiplies by the weights first.
func (c *lstm[T]) InputJVP(b Block[T], p, w []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	b.Y = nil
	k, change := c.local(b, true), b.Scratch.Take(b.N*4*c.h)
	vec.MatMulT(change, w, c.inputs.weight, nil, b.N, c.inputs.width, 4*c.h)
	clear(p)
	c.gather(p, k, change, b.N)
	return nil
}

// InputVJP multiplies by the weights last.
func (c *lstm[T]) InputVJP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	b.Y = nil
	vec.MatMulT(p, c.reach(c.local(b, true), v, b.N), c.inputs.wT, nil, b.N, 4*c.h, c.inputs.width)
	return nil
}

// ParamJVP differentiates the two products.
func (c *lstm[T]) ParamJVP(b Block[T], p []T, w [][]T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	b.Y = nil
	k, change := c.local(b, true), b.Scratch.Take(b.N*4*c.h)
	clear(p)
	c.state.tangent(change, c.hidden(b, b.X), w, b.N, 4*c.h)
	c.gather(p, k, change, b.N)
	c.inputs.tangent(change, b.U, w, b.N, 4*c.h)
	c.gather(p, k, change, b.N)
	return nil
}

// ParamVJP adds what reaches the two products.
func (c *lstm[T]) ParamVJP(b Block[T], g [][]T, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	b.Y = nil
	y := c.reach(c.local(b, true), v, b.N)
	c.state.gradient(g, y, c.hidden(b, b.X), b.N, 4*c.h)
	c.inputs.gradient(g, y, b.U, b.N, 4*c.h)
	return nil
}
