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
	ofInput, ofHidden product[T] // whichever of u and x that are
	b, bi, bn         vector[T]  // bi: the last part of b
	exchanged         bool
}

func newGRU[T num.Float](r *param.Reader[T]) Cell[T] {
	ih, hh, b, bn := r.Array("weight_ih"), r.Array("weight_hh"), r.Array("bias"), r.Array("bias_n")
	c := &gru[T]{exchanged: r.Bool("exchanged", false)}
	d, m := r.Len("D"), r.Len("M")
	if c.exchanged && r.Err() == nil && m != d {
		r.Fail("weight_ih", "has M different from D", "M = D", "exchanged=True multiplies the state by weight_ih")
	}
	if r.Err() != nil {
		return c
	}
	c.ofHidden, c.ofInput = newProduct(hh, d, 3, d, 1, 3), newProduct(ih, d, 3, m, 0, 2)
	c.b, c.bi, c.bn = newVector(b, d), newVector(b[2*d:], d), newVector(bn, d)
	c.gates = newGates(d, 3, c.ofHidden, c.ofInput)
	if c.exchanged {
		c.gates = newGates(d, 3, c.ofInput, c.ofHidden)
	}
	c.local = c.evaluate
	return c
}

// evaluate: i is the product of what is called the input here, h that of the hidden state, whichever of x and u they are.
func (c *gru[T]) evaluate(scratch *Arena[T], in columns[T], y []T, state, inputs bool) (ofState, ofInputs factors[T]) {
	part, hidden, given := in.part, in.x, in.u
	if c.exchanged {
		hidden, given = given, hidden
	}
	a, h := in.parts(scratch, 3), in.parts(scratch, 1)
	if c.exchanged { // what is u's comes first, as it does in Run
		c.ofHidden.mix(a, hidden, &c.b, 0, 2, in)
		c.ofInput.mix(a, given, nil, 0, 2, in)
		c.ofInput.mix(a[2*part:], given, &c.bi, 2, 3, in)
	} else {
		c.ofInput.mix(a, given, &c.b, 0, 3, in)
		c.ofHidden.mix(a, hidden, nil, 0, 2, in)
	}
	c.ofHidden.mix(h, hidden, &c.bn, 2, 3, in)
	var coef []T // of r, z, h_n, i_n
	if state || inputs {
		coef = in.parts(scratch, 4)
	}
	simd.GRU(y, a, h, hidden, coef, part)
	if coef == nil {
		return
	}
	ofH := factors[T]{coef[:3*part], a[part : 2*part]} // the second is z
	ofI := ofH
	if state && inputs {
		ofI.coef = in.parts(scratch, 3)
		copy(ofI.coef, ofH.coef)
	}
	ofI.self = nil
	if state && inputs || state == c.exchanged { // those of i are wanted, which the reset gate does not scale
		copy(ofI.coef[2*part:], coef[3*part:])
	}
	if c.exchanged {
		return ofI, ofH
	}
	return ofH, ofI
}

// Run mixes the inputs of all steps first.
func (c *gru[T]) Run(b Block[T]) {
	defer b.Scratch.Release(b.Scratch.Mark())
	d, part := c.d, simd.Padded[T](c.d)
	a, y := b.Scratch.Take(3*b.N*part), b.Scratch.Take((b.N+1)*d+part)
	of, own := c.bn.padded, c.bi.padded
	if !c.exchanged {
		of, own = own, of
	}
	for t := range b.N {
		copy(a[3*t*part:], c.b.padded[:2*part])
		copy(a[(3*t+2)*part:], of)
	}
	if c.inputs.width > 0 {
		simd.Mix(a, b.U, c.inputs.padded, nil, b.N, c.inputs.width, 3*part, 3*part)
	}
	copy(y, b.X[:d])
	hidden := y
	if c.exchanged {
		hidden = b.Scratch.Take(b.N*d + part)
		copy(hidden, b.U)
	}
	simd.GRUSteps(y, a, c.state.padded, own, hidden, d, b.N, c.exchanged)
	copy(b.Y, y[d:(b.N+1)*d])
}

// Alone tells whether side by side too few of a vector's lanes would be in use.
func (c *gru[T]) Alone(sequences int) bool { return alone[T](sequences, fewest) }
