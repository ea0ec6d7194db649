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
	bias vector[T]
}

func newLinear[T num.Float](r *param.Reader[T]) Cell[T] {
	A, B := r.Array("A"), r.Array("B")
	c, bias := &linear[T]{}, r.Array("bias")
	if r.Err() != nil {
		return c
	}
	d, m := r.Len("D"), r.Len("M") // M is 0 without B
	c.gates = newGates(d, 1, newProduct(A, d, 1, d, 0, 2), newProduct(B, d, 1, m, 1, -1))
	c.bias = c.zero
	if bias != nil {
		c.bias = newVector(bias, d)
	}
	c.local = c.evaluate
	return c
}

// Affine marks f as affine in x.
func (c *linear[T]) Affine() {}

func (c *linear[T]) evaluate(scratch *Arena[T], in columns[T], y []T, state, inputs bool) (ofState, ofInputs factors[T]) {
	c.state.mix(y, in.x, &c.bias, 0, 1, in)
	c.inputs.mix(y, in.u, nil, 0, 1, in)
	ones := func(wanted bool) (k factors[T]) {
		if wanted {
			k.coef = in.parts(scratch, 1)
			vec.Fill(k.coef, 1)
		}
		return k
	}
	return ones(state), ones(inputs)
}
