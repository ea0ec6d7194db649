package cell

import (
	"pards/core/internal/simd"
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
	c.gates = newGates(d, 1, newProduct(A, d, d, 0, 2), newProduct(B, d, m, 1, -1))
	c.local = c.evaluate
	return c
}

// Affine marks f as affine in x.
func (c *linear[T]) Affine() {}

func (c *linear[T]) evaluate(scratch *Arena[T], in columns[T], y []T, state, inputs bool) (ofState, ofInputs factors[T]) {
	bias := c.bias
	if bias == nil {
		bias = c.zero
	}
	simd.Mix(y, c.state.weight, in.x, bias, c.d, c.d, in.n, in.pitch)
	simd.Mix(y, c.inputs.weight, in.u, nil, c.d, c.inputs.width, in.n, in.pitch)
	ones := func(wanted bool) (k factors[T]) {
		if wanted {
			k.coef = in.rows(scratch, c.d)
			vec.Fill(k.coef, 1)
		}
		return k
	}
	return ones(state), ones(inputs)
}
