package cell

import (
	"pards/core/internal/vec"
	"pards/core/num"
	"pards/core/param"
)

func init() {
	register(Entry{Name: "elman", Class: "Elman", Doc: "Elman network (Elman 1990): f = tanh(W_ih u + W_hh x + b).",
		Fields: []param.Field{
			{Name: "weight_ih", Kind: param.Array, Shape: "D M", Doc: "input weights"},
			{Name: "weight_hh", Kind: param.Array, Shape: "D D", Doc: "state weights"},
			{Name: "bias", Kind: param.Array, Shape: "D", Doc: "bias"},
		}}, newElman[float32], newElman[float64])
}

type elman[T num.Float] struct {
	gates[T]
	b []T
}

func newElman[T num.Float](r *param.Reader[T]) Cell[T] {
	ih, hh := r.Array("weight_ih"), r.Array("weight_hh")
	c := &elman[T]{b: r.Array("bias")}
	if r.Err() != nil {
		return c
	}
	d, m := r.Len("D"), r.Len("M")
	c.gates = gates[T]{d: d, g: 1, state: newProduct(hh, d, d, 1, 2), inputs: newProduct(ih, d, m, 0, -1), local: c.evaluate}
	return c
}

func (c *elman[T]) evaluate(b Block[T], state, input factors[T]) {
	y, in := b.Scratch.Take(b.N*c.d), b.Scratch.Take(b.N*c.d)
	vec.MatMulT(y, b.X, c.state.weight, c.b, b.N, c.d, c.d)
	vec.MatMulT(in, b.U, c.inputs.weight, nil, b.N, c.inputs.width, c.d)
	for i, v := range in {
		y[i] += v
	}
	vec.Tanh(y)
	if b.Y != nil {
		copy(b.Y, y)
	}
	for _, k := range []factors[T]{state, input} {
		for i := range k.coef {
			k.coef[i] = 1 - y[i]*y[i]
		}
		clear(k.self)
	}
}
