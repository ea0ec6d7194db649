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
	m             int
	ih, hh, b, bn []T
	exchanged     bool
}

func newGRU[T num.Float](r *param.Reader[T]) Cell[T] {
	c := &gru[T]{hh: r.Array("weight_hh"), ih: r.Array("weight_ih"), b: r.Array("bias"), bn: r.Array("bias_n"), exchanged: r.Bool("exchanged")}
	d := r.Len("D")
	c.m = r.Len("M")
	through := c.hh
	if c.exchanged {
		through = c.ih
		if r.Err() == nil && c.m != d {
			r.Fail("weight_ih", "has M different from D", "M = D", "exchanged=True multiplies the state by weight_ih")
		}
	}
	if r.Err() != nil {
		return c
	}
	c.gates = newGates(d, 3, through)
	c.local = c.evaluate
	return c
}

// Inputs returns M.
func (c *gru[T]) Inputs() int { return c.m }

func (c *gru[T]) evaluate(b Block[T], coef, self []T) {
	d, hidden, input := c.d, b.X, b.U
	if c.exchanged {
		hidden, input = input, hidden
	}
	in, hid := b.Scratch.Take(b.N*3*d), b.Scratch.Take(b.N*3*d)
	vec.MatMulT(in, input, c.ih, c.b, b.N, c.m, 3*d)
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
	if coef == nil {
		return
	}
	for t := range b.N {
		r, z, n := in[t*3*d:t*3*d+d], in[t*3*d+d:t*3*d+2*d], in[t*3*d+2*d:(t+1)*3*d]
		cand, x := hid[t*3*d+2*d:(t+1)*3*d], hidden[t*d:(t+1)*d]
		co, se := coef[t*3*d:(t+1)*3*d], self[t*d:(t+1)*d]
		for k := range d {
			dn := (1 - z[k]) * (1 - n[k]*n[k])
			co[k] = dn * r[k] * (1 - r[k]) * cand[k]
			co[d+k] = z[k] * (1 - z[k]) * (x[k] - n[k])
			if c.exchanged {
				co[2*d+k], se[k] = dn, 0
			} else {
				co[2*d+k], se[k] = dn*r[k], z[k]
			}
		}
	}
}
