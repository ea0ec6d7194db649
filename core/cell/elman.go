package cell

import (
	"pards/core/internal/simd"
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
	b vector[T]
}

func newElman[T num.Float](r *param.Reader[T]) Cell[T] {
	ih, hh := r.Array("weight_ih"), r.Array("weight_hh")
	c, b := &elman[T]{}, r.Array("bias")
	if r.Err() != nil {
		return c
	}
	d, m := r.Len("D"), r.Len("M")
	c.b = newVector(b, d)
	c.gates = newGates(d, 1, newProduct(hh, d, 1, d, 1, 2), newProduct(ih, d, 1, m, 0, -1))
	c.local = c.evaluate
	return c
}

func (c *elman[T]) evaluate(scratch *Arena[T], in columns[T], y []T, state, inputs bool) (ofState, ofInputs factors[T]) {
	c.state.mix(y, in.x, &c.b, 0, 1, in)
	c.inputs.mix(y, in.u, nil, 0, 1, in)
	simd.Tanh(y)
	slopes := func(wanted bool) (k factors[T]) {
		if wanted {
			k.coef = in.parts(scratch, 1)
			for i, v := range y {
				k.coef[i] = 1 - v*v
			}
		}
		return k
	}
	return slopes(state), slopes(inputs)
}
