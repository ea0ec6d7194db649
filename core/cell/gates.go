package cell

import (
	"pards/core/internal/vec"
	"pards/core/num"
)

// gates is the derivative of a cell whose state enters through G matrices of weights alone:
//
//	J[t] = sum_g diag(coef[t, g]) W_g + diag(self[t])
//
// A cell computes f, coef and self over a block; the four derivatives follow here, once for all such cells.
type gates[T num.Float] struct {
	d, g   int
	weight []T // (G*D, D): the W_g one below the other
	wT     []T // its transpose, (D, G*D)
	// local writes f to b.Y unless it is nil, and, unless coef is nil, coef (n, G*D) and self (n, D).
	local func(b Block[T], coef, self []T)
}

func newGates[T num.Float](d, g int, weight []T) gates[T] {
	return gates[T]{d: d, g: g, weight: weight, wT: vec.Transpose(weight, g*d, d)}
}

// Dim returns D.
func (c *gates[T]) Dim() int { return c.d }

// Step writes f.
func (c *gates[T]) Step(b Block[T]) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	c.local(b, nil, nil)
	return nil
}

func (c *gates[T]) coefficients(b Block[T]) (coef, self []T) {
	coef, self = b.Scratch.Take(b.N*c.g*c.d), b.Scratch.Take(b.N*c.d)
	c.local(b, coef, self)
	return coef, self
}

// Jacobian scales the rows of the weights.
func (c *gates[T]) Jacobian(b Block[T], j []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	coef, self := c.coefficients(b)
	d, gd := c.d, c.g*c.d
	for t := range b.N {
		co, se := coef[t*gd:(t+1)*gd], self[t*d:(t+1)*d]
		for i := range d {
			row := j[(t*d+i)*d : (t*d+i+1)*d]
			k := co[i]
			for m, w := range c.weight[i*d : (i+1)*d] {
				row[m] = k * w
			}
			for g := d + i; g < gd; g += d {
				k := co[g]
				for m, w := range c.weight[g*d : (g+1)*d] {
					row[m] += k * w
				}
			}
			row[i] += se[i]
		}
	}
	return nil
}

// Diagonal reads the diagonals of the weights alone.
func (c *gates[T]) Diagonal(b Block[T], dst []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	coef, self := c.coefficients(b)
	d, gd := c.d, c.g*c.d
	for t := range b.N {
		co, se, out := coef[t*gd:(t+1)*gd], self[t*d:(t+1)*d], dst[t*d:(t+1)*d]
		for i := range out {
			s := se[i]
			for g := i; g < gd; g += d {
				s += co[g] * c.weight[g*d+i]
			}
			out[i] = s
		}
	}
	return nil
}

// JVP multiplies by the weights first.
func (c *gates[T]) JVP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	coef, self := c.coefficients(b)
	d, gd := c.d, c.g*c.d
	wv := b.Scratch.Take(b.N * gd)
	vec.MatMulT(wv, v, c.weight, nil, b.N, d, gd)
	for t := range b.N {
		co, h := coef[t*gd:(t+1)*gd], wv[t*gd:(t+1)*gd]
		for i := range d {
			s := self[t*d+i] * v[t*d+i]
			for g := i; g < gd; g += d {
				s += co[g] * h[g]
			}
			p[t*d+i] = s
		}
	}
	return nil
}

// VJP multiplies by the weights last.
func (c *gates[T]) VJP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	coef, self := c.coefficients(b)
	d, gd := c.d, c.g*c.d
	for t := range b.N {
		co, vt := coef[t*gd:(t+1)*gd], v[t*d:(t+1)*d]
		for g := range co {
			co[g] *= vt[g%d]
		}
	}
	vec.MatMulT(p, coef, c.wT, nil, b.N, gd, d)
	for i, s := range self {
		p[i] += s * v[i]
	}
	return nil
}

// Rotate: diag(Q'JQ)[k] = sum_g sum_i coef[g, i] Q[i, k] (W_g Q)[i, k] + sum_i self[i] Q[i, k]^2, a matrix product over the block.
func (c *gates[T]) Rotate(q []T) func(b Block[T], dst []T) error {
	d, gd := c.d, c.g*c.d
	wq, weights := make([]T, gd*d), make([]T, (gd+d)*d) // weights: the transposed matrix (D, G*D + D) that coef and self are multiplied by
	vec.MatMulT(wq, c.weight, vec.Transpose(q, d, d), nil, gd, d, d)
	for k := range d {
		row := weights[k*(gd+d) : (k+1)*(gd+d)]
		for g := range gd {
			row[g] = q[g%d*d+k] * wq[g*d+k]
		}
		for i := range d {
			row[gd+i] = q[i*d+k] * q[i*d+k]
		}
	}
	return func(b Block[T], dst []T) error {
		defer b.Scratch.Release(b.Scratch.Mark())
		coef, self := c.coefficients(b)
		both := b.Scratch.Take(b.N * (gd + d))
		for t := range b.N {
			row := both[t*(gd+d) : (t+1)*(gd+d)]
			copy(row, coef[t*gd:(t+1)*gd])
			copy(row[gd:], self[t*d:(t+1)*d])
		}
		vec.MatMulT(dst, both, weights, nil, b.N, gd+d, d)
		return nil
	}
}
