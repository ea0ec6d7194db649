package cell

import (
	"pards/core/internal/vec"
	"pards/core/num"
)

// gates is a cell whose state and inputs enter through matrix products alone, G rows of each for a component of f:
//
//	df/dx[t] = sum_g diag(coef[t, g]) W_g + diag(self[t])
//
// and df/du of the same form with the weights of the inputs. A cell computes f and the factors over a block; the derivatives follow
// here, once for all such cells.
type gates[T num.Float] struct {
	d, g          int
	state, inputs product[T]
	mixed         bool // df/du has a self part too; M = D
	// local writes f to b.Y unless it is nil, and the factors that are asked for.
	local func(b Block[T], state, input factors[T])
}

// product is W x + bias, W (R, width), and where its parts stand among the parameters, -1 for nowhere. The bias is added to the last
// rows, as many as it has.
type product[T num.Float] struct {
	width        int
	weight, wT   []T // W, and its transpose
	slot, biased int
}

// factors scale the rows of a product in a derivative: coef (n, G*D) and self (n, D), each nil where it is not wanted.
type factors[T num.Float] struct{ coef, self []T }

func newProduct[T num.Float](weight []T, rows, width, slot, biased int) product[T] {
	return product[T]{width, weight, vec.Transpose(weight, rows, width), slot, biased}
}

// tangent writes the derivative of the product over n rows of x, for a tangent w of the parameters.
func (c *product[T]) tangent(dst, x []T, w [][]T, n, rows int) {
	clear(dst)
	if dw := at(w, c.slot); dw != nil {
		vec.MatMulT(dst, x, dw, nil, n, c.width, rows)
	}
	db := at(w, c.biased)
	for end := rows; end <= n*rows && db != nil; end += rows {
		for i, v := range db {
			dst[end-len(db)+i] += v
		}
	}
}

// gradient adds to g the gradients of the parameters, y (n, R) being the product's.
func (c *product[T]) gradient(g [][]T, y, x []T, n, rows int) {
	if dw := at(g, c.slot); dw != nil {
		vec.AddMatTMul(dw, y, x, n, rows, c.width)
	}
	db := at(g, c.biased)
	for end := rows; end <= n*rows && db != nil; end += rows {
		for i := range db {
			db[i] += y[end-len(db)+i]
		}
	}
}

// at returns the tangent or the gradient in a slot, nil for none.
func at[T num.Float](w [][]T, slot int) []T {
	if slot < 0 {
		return nil
	}
	return w[slot]
}

// Dim returns D.
func (c *gates[T]) Dim() int { return c.d }

// Inputs returns M.
func (c *gates[T]) Inputs() int { return c.inputs.width }

// Step writes f.
func (c *gates[T]) Step(b Block[T]) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	c.local(b, factors[T]{}, factors[T]{})
	return nil
}

func (c *gates[T]) coefficients(b Block[T]) (coef, self []T) {
	k := factors[T]{b.Scratch.Take(b.N * c.g * c.d), b.Scratch.Take(b.N * c.d)}
	c.local(b, k, factors[T]{})
	return k.coef, k.self
}

// inputFactors returns the factors of df/du; self is nil where there is none.
func (c *gates[T]) inputFactors(b Block[T]) factors[T] {
	k := factors[T]{coef: b.Scratch.Take(b.N * c.g * c.d)}
	if c.mixed {
		k.self = b.Scratch.Take(b.N * c.d)
	}
	b.Y = nil
	c.local(b, factors[T]{}, k)
	return k
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
			for m, w := range c.state.weight[i*d : (i+1)*d] {
				row[m] = k * w
			}
			for g := d + i; g < gd; g += d {
				k := co[g]
				for m, w := range c.state.weight[g*d : (g+1)*d] {
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
				s += co[g] * c.state.weight[g*d+i]
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
	c.forward(b, p, v, factors[T]{coef, self}, &c.state)
	return nil
}

// VJP multiplies by the weights last.
func (c *gates[T]) VJP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	coef, self := c.coefficients(b)
	c.back(b, p, v, factors[T]{coef, self}, &c.state)
	return nil
}

// InputJVP is JVP with the weights of the inputs.
func (c *gates[T]) InputJVP(b Block[T], p, w []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	c.forward(b, p, w, c.inputFactors(b), &c.inputs)
	return nil
}

// InputVJP is VJP with the weights of the inputs.
func (c *gates[T]) InputVJP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	c.back(b, p, v, c.inputFactors(b), &c.inputs)
	return nil
}

// forward writes the derivative along v of what enters through one product.
func (c *gates[T]) forward(b Block[T], p, v []T, k factors[T], w *product[T]) {
	wv := b.Scratch.Take(b.N * c.g * c.d)
	vec.MatMulT(wv, v, w.weight, nil, b.N, w.width, c.g*c.d)
	clear(p)
	for i, s := range k.self {
		p[i] = s * v[i]
	}
	c.gather(p, k.coef, wv, b.N)
}

// gather adds sum_g coef[g] h[g] to p.
func (c *gates[T]) gather(p, coef, h []T, n int) {
	d, gd := c.d, c.g*c.d
	for t := range n {
		co, ht, out := coef[t*gd:(t+1)*gd], h[t*gd:(t+1)*gd], p[t*d:(t+1)*d]
		for i, s := range out {
			for g := i; g < gd; g += d {
				s += co[g] * ht[g]
			}
			out[i] = s
		}
	}
}

// back writes the transposed derivative times v of what enters through one product; the factors are overwritten.
func (c *gates[T]) back(b Block[T], p, v []T, k factors[T], w *product[T]) {
	c.scale(k.coef, v, b.N)
	vec.MatMulT(p, k.coef, w.wT, nil, b.N, c.g*c.d, w.width)
	for i, s := range k.self {
		p[i] += s * v[i]
	}
}

// scale multiplies the coefficients by v, which makes them the gradient of a product.
func (c *gates[T]) scale(coef, v []T, n int) {
	d, gd := c.d, c.g*c.d
	for t := range n {
		co, vt := coef[t*gd:(t+1)*gd], v[t*d:(t+1)*d]
		for g := range co {
			co[g] *= vt[g%d]
		}
	}
}

// both returns the coefficients of both products.
func (c *gates[T]) both(b Block[T]) (state, input []T) {
	gd := c.g * c.d
	state, input, b.Y = b.Scratch.Take(b.N*gd), b.Scratch.Take(b.N*gd), nil
	c.local(b, factors[T]{coef: state}, factors[T]{coef: input})
	return state, input
}

// ParamJVP differentiates the two products.
func (c *gates[T]) ParamJVP(b Block[T], p []T, w [][]T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	state, input := c.both(b)
	gd := c.g * c.d
	change := b.Scratch.Take(b.N * gd)
	clear(p)
	c.state.tangent(change, b.X, w, b.N, gd)
	c.gather(p, state, change, b.N)
	c.inputs.tangent(change, b.U, w, b.N, gd)
	c.gather(p, input, change, b.N)
	return nil
}

// ParamVJP adds what reaches the two products.
func (c *gates[T]) ParamVJP(b Block[T], g [][]T, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	state, input := c.both(b)
	c.scale(state, v, b.N)
	c.scale(input, v, b.N)
	c.state.gradient(g, state, b.X, b.N, c.g*c.d)
	c.inputs.gradient(g, input, b.U, b.N, c.g*c.d)
	return nil
}

// Rotate: diag(Q'JQ)[k] = sum_g sum_i coef[g, i] Q[i, k] (W_g Q)[i, k] + sum_i self[i] Q[i, k]^2, a matrix product over the block.
func (c *gates[T]) Rotate(q []T) func(b Block[T], dst []T) error {
	d, gd := c.d, c.g*c.d
	wq, weights := make([]T, gd*d), make([]T, (gd+d)*d) // weights: the transposed matrix (D, G*D + D) that coef and self are multiplied by
	vec.MatMulT(wq, c.state.weight, vec.Transpose(q, d, d), nil, gd, d, d)
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
