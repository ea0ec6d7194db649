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
	m     int
	ih, b []T
}

func newElman[T num.Float](r *param.Reader[T]) Cell[T] {
	hh := r.Array("weight_hh")
	c := &elman[T]{ih: r.Array("weight_ih"), b: r.Array("bias")}
	if r.Err() != nil {
		return c
	}
	c.gates, c.m = newGates(r.Len("D"), 1, hh), r.Len("M")
	c.local = c.evaluate
	return c
}

// Inputs returns M.
func (c *elman[T]) Inputs() int { return c.m }

func (c *elman[T]) evaluate(b Block[T], coef, self []T) {
	y, in := b.Scratch.Take(b.N*c.d), b.Scratch.Take(b.N*c.d)
	vec.MatMulT(y, b.X, c.weight, c.b, b.N, c.d, c.d)
	vec.MatMulT(in, b.U, c.ih, nil, b.N, c.m, c.d)
	for i, v := range in {
		y[i] += v
	}
	vec.Tanh(y)
	if b.Y != nil {
		copy(b.Y, y)
	}
	for i := range coef {
		coef[i] = 1 - y[i]*y[i]
	}
	clear(self)
}
