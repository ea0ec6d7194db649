package cell

import (
	"pards/core/internal/vec"
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
	c.gates = gates[T]{d: d, g: 3, inputs: newProduct(c.ih, 3*d, m, 0, 2), state: newProduct(c.hh, 3*d, d, 1, 3), mixed: c.exchanged, local: c.evaluate}
	if c.exchanged {
		c.state, c.inputs = c.inputs, c.state
	}
	return c
}

// evaluate: i is the product of what is called the input here, h that of the hidden state, whichever of x and u they are.
func (c *gru[T]) evaluate(b Block[T], state, input factors[T]) {
	d, hidden, given, ofH, ofI := c.d, b.X, b.U, state, input
	if c.exchanged {
		hidden, given, ofH, ofI = given, hidden, ofI, ofH
	}
	in, hid := b.Scratch.Take(b.N*3*d), b.Scratch.Take(b.N*3*d)
	vec.MatMulT(in, given, c.ih, c.b, b.N, len(c.ih)/(3*d), 3*d)
	vec.MatMulT(hid, hidden, c.hh, nil, b.N, d, 3*d)
	for t := range b.N { // in becomes r, z, n; hid keeps h_n + b_n
		i, h := in[t*3*d:(t+1)*3*d], hid[t*3*d:(t+1)*3*d]
		for k := range 2 * d {
			i[k] += h[k]
		}
		vec.Sigmoid(i[:2*d])
		n, cand := i[2*d:], h[2*d:]
		for k := range n {
			cand[k] += c.bn[k]
			n[k] += i[k] * cand[k]
		}
		vec.Tanh(n)
	}
	if b.Y != nil {
		for t := range b.N {
			z, n := in[t*3*d+d:t*3*d+2*d], in[t*3*d+2*d:(t+1)*3*d]
			x, y := hidden[t*d:(t+1)*d], b.Y[t*d:(t+1)*d]
			for k := range y {
				y[k] = n[k] + z[k]*(x[k]-n[k])
			}
		}
	}
	c.factors(ofH, in, hid, hidden, b.N, true)
	c.factors(ofI, in, hid, hidden, b.N, false)
}

// factors writes those of h, or those of i, which the reset gate does not scale.
func (c *gru[T]) factors(k factors[T], gates, hid, hidden []T, n int, ofH bool) {
	d := c.d
	for t := 0; t < n && k.coef != nil; t++ {
		r, z, n := gates[t*3*d:t*3*d+d], gates[t*3*d+d:t*3*d+2*d], gates[t*3*d+2*d:(t+1)*3*d]
		cand, x, co := hid[t*3*d+2*d:(t+1)*3*d], hidden[t*d:(t+1)*d], k.coef[t*3*d:(t+1)*3*d]
		for j := range d {
			dn := (1 - z[j]) * (1 - n[j]*n[j])
			co[j] = dn * r[j] * (1 - r[j]) * cand[j]
			co[d+j] = z[j] * (1 - z[j]) * (x[j] - n[j])
			co[2*d+j] = dn
			if ofH {
				co[2*d+j] = dn * r[j]
			}
		}
	}
	clear(k.self)
	if ofH && k.self != nil {
		for t := range n {
			copy(k.self[t*d:(t+1)*d], gates[t*3*d+d:t*3*d+2*d])
		}
	}
}
