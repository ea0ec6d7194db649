package cell

import (
	"pards/core/internal/vec"
	"pards/core/num"
	"pards/core/param"
)

func init() {
	register(Entry{Name: "linear", Class: "Linear", Doc: "x[t] = A x[t-1] + B u[t] + bias, a linear dynamical system with constant matrices.",
		Fields: []param.Field{
			{Name: "A", Kind: param.Array, Shape: "D D", Doc: "transition matrix"},
			{Name: "B", Kind: param.Array, Shape: "D M", Default: "None", Doc: "input matrix; None: the model takes no inputs"},
			{Name: "bias", Kind: param.Array, Shape: "D", Default: "None", Doc: "constant added at every step"},
		}}, newLinear[float32], newLinear[float64])
}

type linear[T num.Float] struct {
	gates[T]
	m       int
	b, bias []T
}

func newLinear[T num.Float](r *param.Reader[T]) Cell[T] {
	A := r.Array("A")
	c := &linear[T]{b: r.Array("B"), bias: r.Array("bias")}
	if r.Err() != nil {
		return c
	}
	c.gates, c.m = newGates(r.Len("D"), 1, A), r.Len("M")
	c.local = c.evaluate
	return c
}

// Inputs returns M, 0 without B.
func (c *linear[T]) Inputs() int { return c.m }

// Affine marks f as affine in x.
func (c *linear[T]) Affine() {}

func (c *linear[T]) evaluate(b Block[T], coef, self []T) {
	if b.Y != nil {
		vec.MatMulT(b.Y, b.X, c.weight, c.bias, b.N, c.d, c.d)
		if c.b != nil {
			drive := b.Scratch.Take(b.N * c.d)
			vec.MatMulT(drive, b.U, c.b, nil, b.N, c.m, c.d)
			for i, v := range drive {
				b.Y[i] += v
			}
		}
	}
	vec.Fill(coef, 1)
	clear(self)
}
