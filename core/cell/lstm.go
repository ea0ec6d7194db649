package cell

import (
	"pards/core/internal/simd"
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
	diagonals     []T       // of the weights, (H, 4)
	b, zero       vector[T] // zero: as many as a product may have rows
}

func newLSTM[T num.Float](r *param.Reader[T]) Cell[T] {
	ih, hh := r.Array("weight_ih"), r.Array("weight_hh")
	c, b := &lstm[T]{}, r.Array("bias")
	if r.Err() == nil {
		c.h = r.Len("H")
		c.state, c.inputs = newProduct(hh, c.h, 4, c.h, 1, 2), newProduct(ih, c.h, 4, r.Len("M"), 0, -1)
		c.diagonals = diagonals(hh, c.h, 4)
		c.b, c.zero = newVector(b, c.h), newVector(make([]T, (5+c.inputs.width/max(c.h, 1))*c.h), c.h)
	}
	return c
}

// Dim returns 2 H.
func (c *lstm[T]) Dim() int { return 2 * c.h }

// Inputs returns M.
func (c *lstm[T]) Inputs() int { return c.inputs.width }

// blocks are the scalings of the Jacobian's blocks, as rows of columns: 4H, 4H, H, H.
type blocks[T num.Float] struct{ top, low, hc, f []T }

// evaluate turns a block, writes f where it is wanted, and returns the blocks if they are.
func (c *lstm[T]) evaluate(b Block[T], wanted bool) (in columns[T], k blocks[T]) {
	in = newColumns(b, 2, c.h, c.inputs.width)
	y := in.parts(b.Scratch, 2)
	k = c.local(b.Scratch, in, y, wanted)
	if b.Y != nil {
		in.back(b.Y, y, 2*c.h)
	}
	return in, k
}

// local writes f and returns the blocks if they are wanted.
func (c *lstm[T]) local(scratch *Arena[T], in columns[T], y []T, wanted bool) (k blocks[T]) {
	part, a := in.part, in.parts(scratch, 4)
	c.inputs.mix(a, in.u, &c.b, 0, 4, in)
	c.state.mix(a, in.x, nil, 0, 4, in) // the first half of x is the hidden state
	i, f, cand, o := a[:part], a[part:2*part], a[2*part:3*part], a[3*part:]
	simd.Sigmoid(a[:2*part])
	simd.Tanh(cand)
	simd.Sigmoid(o)
	squashed, next, cell := y[:part], y[part:], in.x[part:]
	for j := range next {
		next[j] = f[j]*cell[j] + i[j]*cand[j]
	}
	copy(squashed, next)
	simd.Tanh(squashed)
	if wanted {
		k = c.blocks(scratch, in, i, f, cand, o, squashed)
	}
	for j, v := range o {
		squashed[j] *= v
	}
	return k
}

// blocks: squashed is tanh(c').
func (c *lstm[T]) blocks(scratch *Arena[T], in columns[T], i, f, cand, o, squashed []T) blocks[T] {
	part, cell := c.h*in.pitch, in.x[c.h*in.pitch:]
	k := blocks[T]{in.rows(scratch, 4*c.h), in.rows(scratch, 4*c.h), in.rows(scratch, c.h), f}
	clear(k.low[3*part:])
	for j, v := range squashed {
		s := o[j] * (1 - v*v) // dh'/dc'
		ofI, ofF, ofG := i[j]*(1-i[j])*cand[j], f[j]*(1-f[j])*cell[j], i[j]*(1-cand[j]*cand[j])
		k.low[j], k.low[part+j], k.low[2*part+j] = ofI, ofF, ofG
		k.top[j], k.top[part+j], k.top[2*part+j], k.top[3*part+j] = s*ofI, s*ofF, s*ofG, o[j]*(1-o[j])*v
		k.hc[j] = s * f[j]
	}
	return k
}

// Step writes f.
func (c *lstm[T]) Step(b Block[T]) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	if few(b) {
		stepAcross(b, 2, c.h, c.inputs.width, func(in columns[T], y []T) { c.local(b.Scratch, in, y, false) })
		return nil
	}
	c.evaluate(b, false)
	return nil
}

// Together is Step for a team.
func (c *lstm[T]) Together(t Team[T]) {
	together(t, 2, c.h, c.inputs.width, func(in columns[T], y []T) { c.local(t.Scratch, in, y, false) })
}

// Jacobian writes the four blocks.
func (c *lstm[T]) Jacobian(b Block[T], j []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	in, k := c.evaluate(b, true)
	h := c.h
	d, out := 2*h, in.rows(b.Scratch, 4*h*h)
	clear(out)
	simd.Scaled(out, k.top, c.state.weight, 4, h, d, in.n, in.pitch)
	simd.Scaled(out[h*d*in.pitch:], k.low, c.state.weight, 4, h, d, in.n, in.pitch)
	for i := range h {
		copy(in.row(out, i*d+h+i), in.row(k.hc, i))
		copy(in.row(out, (h+i)*d+h+i), in.row(k.f, i))
	}
	in.back(j, out, d*d)
	return nil
}

// Diagonal reads the diagonals of the weights alone.
func (c *lstm[T]) Diagonal(b Block[T], dst []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	in, k := c.evaluate(b, true)
	h, out := c.h, in.rows(b.Scratch, 2*c.h)
	clear(out[:h*in.pitch])
	copy(out[h*in.pitch:], k.f)
	for i := range h { // rows of the coefficients that are a part apart
		simd.Mix(out[i*in.pitch:], c.diagonals[4*i:], k.top[i*in.pitch:], nil, 1, 4, in.n, h*in.pitch)
	}
	in.back(dst, out, 2*h)
	return nil
}

// JVP multiplies by the weights first.
func (c *lstm[T]) JVP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	in, k := c.evaluate(b, true)
	vT, change := in.turn(b.Scratch, v, 2*c.h), in.rows(b.Scratch, 4*c.h)
	simd.Mix(change, c.state.weight, vT, c.zero.plain, 4*c.h, c.h, in.n, in.pitch)
	out := c.gather(b, in, k, change)
	vc, part := vT[c.h*in.pitch:], c.h*in.pitch
	addTimes(out[:part], k.hc, vc)
	addTimes(out[part:], k.f, vc)
	in.back(p, out, 2*c.h)
	return nil
}

// gather returns, as rows of columns, what a change of the gates' sums makes.
func (c *lstm[T]) gather(b Block[T], in columns[T], k blocks[T], change []T) []T {
	out := in.rows(b.Scratch, 2*c.h)
	clear(out)
	c.gatherTo(out, in, k, change)
	return out
}

// gatherTo adds to out what gather returns.
func (c *lstm[T]) gatherTo(out []T, in columns[T], k blocks[T], change []T) {
	part := c.h * in.pitch
	gather(out[:part], k.top, change)
	gather(out[part:], k.low, change)
}

// VJP multiplies by the weights last.
func (c *lstm[T]) VJP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	in, k := c.evaluate(b, true)
	part, vT, out := c.h*in.pitch, in.turn(b.Scratch, v, 2*c.h), in.rows(b.Scratch, 2*c.h)
	clear(out[part:])
	addTimes(out[part:], k.hc, vT[:part])
	addTimes(out[part:], k.f, vT[part:])
	simd.Mix(out, c.state.wT, c.reach(k, vT), c.zero.plain, c.h, 4*c.h, in.n, in.pitch)
	in.back(p, out, 2*c.h)
	return nil
}

// reach returns the gradient of the gates' sums, in the place of top.
func (c *lstm[T]) reach(k blocks[T], vT []T) []T {
	part := len(vT) / 2
	scale(k.top, vT[:part])
	scale(k.low, vT[part:])
	for i, v := range k.low {
		k.top[i] += v
	}
	return k.top
}

// InputJVP multiplies by the weights first.
func (c *lstm[T]) InputJVP(b Block[T], p, w []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	b.Y = nil
	in, k := c.evaluate(b, true)
	change := in.rows(b.Scratch, 4*c.h)
	simd.Mix(change, c.inputs.weight, in.turn(b.Scratch, w, c.inputs.width), c.zero.plain, 4*c.h, c.inputs.width, in.n, in.pitch)
	in.back(p, c.gather(b, in, k, change), 2*c.h)
	return nil
}

// InputVJP multiplies by the weights last.
func (c *lstm[T]) InputVJP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	b.Y = nil
	in, k := c.evaluate(b, true)
	out := in.rows(b.Scratch, c.inputs.width)
	simd.Mix(out, c.inputs.wT, c.reach(k, in.turn(b.Scratch, v, 2*c.h)), c.zero.plain, c.inputs.width, 4*c.h, in.n, in.pitch)
	in.back(p, out, c.inputs.width)
	return nil
}

// ParamJVP differentiates the two products.
func (c *lstm[T]) ParamJVP(b Block[T], p []T, w [][]T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	b.Y = nil
	in, k := c.evaluate(b, true)
	change := in.rows(b.Scratch, 4*c.h)
	c.state.tangent(change, in.x, w, in, 4*c.h)
	out := c.gather(b, in, k, change)
	c.inputs.tangent(change, in.u, w, in, 4*c.h)
	c.gatherTo(out, in, k, change)
	in.back(p, out, 2*c.h)
	return nil
}

// ParamVJP adds what reaches the two products.
func (c *lstm[T]) ParamVJP(b Block[T], g [][]T, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	b.Y = nil
	in, k := c.evaluate(b, true)
	y := c.reach(k, in.turn(b.Scratch, v, 2*c.h))
	c.state.gradient(g, y, in.x, in, 4*c.h)
	c.inputs.gradient(g, y, in.u, in, 4*c.h)
	return nil
}
