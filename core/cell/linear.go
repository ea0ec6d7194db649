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
	bias []T
}

func newLinear[T num.Float](r *param.Reader[T]) Cell[T] {
	A, B := r.Array("A"), r.Array("B")
	c := &linear[T]{bias: r.Array("bias")}
	if r.Err() != nil {
		return c
	}
	d, m := r.Len("D"), r.Len("M") // M is 0 without B
	c.gates = gates[T]{d: d, g: 1, state: newProduct(A, d, d, 0, 2), inputs: newProduct(B, d, m, 1, -1), local: c.evaluate}
	return c
}

// Affine marks f as affine in x.
func (c *linear[T]) Affine() {}

func (c *linear[T]) evaluate(b Block[T], state, input factors[T]) {
	if b.Y != nil {
		vec.MatMulT(b.Y, b.X, c.state.weight, c.bias, b.N, c.d, c.d)
		if m := c.inputs.width; m > 0 {
			drive := b.Scratch.Take(b.N * c.d)
			vec.MatMulT(drive, b.U, c.inputs.weight, nil, b.N, m, c.d)
			for i, v := range drive {
				b.Y[i] += v
			}
		}
	}
	for _, k := range []factors[T]{state, input} {
		vec.Fill(k.coef, 1)
		clear(k.self)
	}
}
