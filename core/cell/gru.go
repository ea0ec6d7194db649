package cell

import (
	"pards/core/internal/simd"
	"pards/core/num"
	"pards/core/param"
)

func init() {
	register(Entry{Name: "gru", Class: "GRU",
		Doc: "Gated recurrent unit (Cho et al. 2014), gates in the order r, z, n:\n" +
			"i = W_ih u + b, h = W_hh x, r = s(i_r + h_r), z = s(i_z + h_z), n = tanh(i_n + r (h_n + b_n)), f = n + z (x - n).",
		Fields: []param.Field{
			{Name: "weight_ih", Kind: param.Array, Shape: "3D M", Doc: "input weights"},
			{Name: "weight_hh", Kind: param.Array, Shape: "3D D", Doc: "state weights"},
			{Name: "bias", Kind: param.Array, Shape: "3D", Doc: "bias of the input products"},
			{Name: "bias_n", Kind: param.Array, Shape: "D", Doc: "bias of the candidate's state product, inside the reset gate"},
			{Name: "exchanged", Kind: param.Bool, Default: "False",
				Doc: "x and u swap roles in every place, as in the paper's public code (needs M = D)"},
		}}, newGRU[float32], newGRU[float64])
}

type gru[T num.Float] struct {
	gates[T]
	ih, hh, b, bn []T
	exchanged     bool
}

func newGRU[T num.Float](r *param.Reader[T]) Cell[T] {
	c := &gru[T]{hh: r.Array("weight_hh"), ih: r.Array("weight_ih"), b: r.Array("bias"), bn: r.Array("bias_n"), exchanged: r.Bool("exchanged")}
	d, m := r.Len("D"), r.Len("M")
	if c.exchanged && r.Err() == nil && m != d {
		r.Fail("weight_ih", "has M different from D", "M = D", "exchanged=True multiplies the state by weight_ih")
	}
	if r.Err() != nil {
		return c
	}
	state, inputs := newProduct(c.hh, 3*d, d, 1, 3), newProduct(c.ih, 3*d, m, 0, 2)
	if c.exchanged {
		state, inputs = inputs, state
	}
	c.gates = newGates(d, 3, state, inputs)
	c.local = c.evaluate
	return c
}

// evaluate: i is the product of what is called the input here, h that of the hidden state, whichever of x and u they are.
func (c *gru[T]) evaluate(scratch *Arena[T], in columns[T], y []T, state, inputs bool) (ofState, ofInputs factors[T]) {
	d, p, hidden, given := c.d, in.pitch, in.x, in.u
	if c.exchanged {
		hidden, given = given, hidden
	}
	a, h := in.rows(scratch, 3*d), in.rows(scratch, d)
	simd.Mix(a, c.ih, given, c.b, 3*d, len(c.ih)/(3*d), in.n, p)
	simd.Mix(a, c.hh[:2*d*d], hidden, nil, 2*d, d, in.n, p)
	simd.Mix(h, c.hh[2*d*d:], hidden, c.bn, d, d, in.n, p)
	var coef []T // of r, z, h_n, i_n
	if state || inputs {
		coef = in.rows(scratch, 4*d)
	}
	simd.GRU(y, a, h, hidden, coef, d, in.n, p)
	if coef == nil {
		return
	}
	ofH := factors[T]{coef[:3*d*p], a[d*p : 2*d*p]} // the second is z
	ofI := ofH
	if state && inputs {
		ofI.coef = in.rows(scratch, 3*d)
		copy(ofI.coef, ofH.coef)
	}
	ofI.self = nil
	if state && inputs || state == c.exchanged { // those of i are wanted, which the reset gate does not scale
		copy(ofI.coef[2*d*p:], coef[3*d*p:])
	}
	if c.exchanged {
		return ofI, ofH
	}
	return ofH, ofI
}
