package cell

import (
	"pards/core/internal/simd"
	"pards/core/internal/vec"
	"pards/core/num"
)

// gates is a cell whose state and inputs enter through matrix products alone, G rows of each for a component of f:
//
//	df/dx[t] = sum_g diag(coef[t, g]) W_g + diag(self[t])
//
// and df/du of the same form with the weights of the inputs. A cell computes f and the factors over a block; the derivatives follow
// here, once for all such cells. All of it is done on columns, so that vector instructions run along time whatever D is.
type gates[T num.Float] struct {
	d, g          int
	state, inputs product[T]
	diagonals     []T       // (D, G), of the weights of the state
	zero          vector[T] // as many as a product may have rows
	// local writes f, and returns the factors that are asked for: of state, of inputs.
	local func(scratch *Arena[T], in columns[T], y []T, state, inputs bool) (ofState, ofInputs factors[T])
}

// columns is a block turned: x has D rows of n numbers, u has M, and rows lie pitch apart. A part is what D rows take; numbers behind the
// n, and behind the rows of a part, are anything.
//
// Where a block has few steps it is taken step by step, across: a row is one number, and vector instructions run along the components.
type columns[T num.Float] struct {
	n, pitch, part int
	across         bool
	x, u           []T
}

// fewest is the part of a vector's lanes below which a block is taken across.
const fewest = 4

// parts takes some parts from the arena.
func (c columns[T]) parts(a *Arena[T], count int) []T { return a.Take(count * c.part) }

// rows takes count rows from the arena; not for what is across.
func (c columns[T]) rows(a *Arena[T], count int) []T { return a.Take(count * c.pitch) }

// row returns the numbers of one row.
func (c columns[T]) row(x []T, i int) []T { return x[i*c.pitch:][:c.n] }

// turn returns the columns of n rows of some width.
func (c columns[T]) turn(a *Arena[T], x []T, width int) []T {
	t := c.rows(a, width)
	simd.Transpose(t, x, c.n, width, c.pitch, width)
	return t
}

// back writes columns as rows of a block.
func (c columns[T]) back(dst, x []T, width int) { simd.Transpose(dst, x, width, c.n, width, c.pitch) }

// newColumns turns a block whose states have some parts of d numbers.
func newColumns[T num.Float](b Block[T], parts, d, m int) columns[T] {
	c := columns[T]{n: b.N, pitch: simd.Padded[T](b.N)}
	c.part = d * c.pitch
	c.x = c.turn(b.Scratch, b.X, parts*d)
	if m > 0 {
		c.u = c.turn(b.Scratch, b.U, m)
	}
	return c
}

// stepAcross writes f step by step: local writes it from columns that are across.
func stepAcross[T num.Float](b Block[T], parts, d, m int, local func(in columns[T], y []T)) {
	c := columns[T]{n: 1, pitch: 1, part: simd.Padded[T](d), across: true}
	x, y, u := c.parts(b.Scratch, parts), c.parts(b.Scratch, parts), b.Scratch.Take(simd.Padded[T](m)) // vectors read beyond the last number
	for t := range b.N {
		mark := b.Scratch.Mark()
		for i := range parts {
			copy(x[i*c.part:], b.X[(t*parts+i)*d:][:d])
		}
		copy(u, b.U[t*m:(t+1)*m])
		c.x, c.u = x, u
		local(c, y)
		for i := range parts {
			copy(b.Y[(t*parts+i)*d:][:d], y[i*c.part:])
		}
		b.Scratch.Release(mark)
	}
}

// turnedNumbers is how many numbers of inputs and of states are turned at a time, at least those of a step: sequences may lie far apart in
// memory, so that each is read and written in long pieces.
const turnedNumbers = 1 << 13

// together steps a team whose states have some parts of d numbers: they stay columns from step to step.
func together[T num.Float](s Team[T], parts, d, m int, local func(in columns[T], y []T)) {
	defer s.Scratch.Release(s.Scratch.Mark())
	c := columns[T]{n: s.N, pitch: simd.Padded[T](s.N)}
	c.part = d * c.pitch
	state, given := parts*c.part, m*c.pitch
	most := min(s.Steps, max(turnedNumbers/max(state, given, 1), 1))
	x, u := s.Scratch.Take((most+1)*state), s.Scratch.Take(most*given)
	clear(x[:state]) // also behind the sequences, where numbers might grow from step to step
	clear(u)
	simd.Transpose(x, s.X, s.N, parts*d, c.pitch, parts*d)
	for t := 0; t < s.Steps; t += most {
		steps := min(most, s.Steps-t)
		simd.Transpose(u, s.U[t*m:], s.N, steps*m, c.pitch, s.UPitch)
		for i := range steps {
			mark := s.Scratch.Mark()
			c.x, c.u = x[i*state:(i+1)*state], u[i*given:(i+1)*given]
			local(c, x[(i+1)*state:(i+2)*state])
			s.Scratch.Release(mark)
		}
		simd.Transpose(s.Y[t*parts*d:], x[state:], steps*parts*d, s.N, s.YPitch, c.pitch)
		copy(x[:state], x[steps*state:])
	}
	c.back(s.X, x, parts*d)
}

// few tells whether a block is better taken across.
func few[T num.Float](b Block[T]) bool { return b.N*fewest <= simd.Least[T]() }

// alone tells whether so many sequences are better run one by one than side by side: one, and up to a part of a vector's lanes.
func alone[T num.Float](sequences, part int) bool {
	return sequences*part <= max(simd.Least[T](), part)
}

// addTimes adds x y to dst, element by element.
func addTimes[T num.Float](dst, x, y []T) {
	x, y = x[:len(dst)], y[:len(dst)]
	for i := range dst {
		dst[i] += x[i] * y[i]
	}
}

// product is W x + bias, W (R, width), and where its parts stand among the parameters, -1 for nowhere. The bias is added to the last
// rows, as many as it has.
type product[T num.Float] struct {
	d, width     int
	weight, wT   []T // W, and its transpose
	padded       []T // the transpose of W, each d of its columns filled up to a part
	slot, biased int
}

// vector is numbers by parts of d, and the same filled up to parts.
type vector[T num.Float] struct{ plain, padded []T }

func newVector[T num.Float](v []T, d int) vector[T] { return vector[T]{v, fill(v, 1, d)} }

// fill fills each d columns of rows of numbers up to what a part takes.
func fill[T num.Float](x []T, rows, d int) []T {
	if rows*d == 0 {
		return nil
	}
	part, parts := simd.Padded[T](d), len(x)/(rows*d)
	out := make([]T, rows*parts*part)
	for i := range rows * parts {
		copy(out[i*part:], x[i*d:(i+1)*d])
	}
	return out
}

// mix writes parts [from, to) of W x + bias; without a bias it adds them.
func (c *product[T]) mix(dst, x []T, bias *vector[T], from, to int, in columns[T]) {
	switch {
	case !in.across && bias == nil:
		simd.Mix(dst, c.weight[from*c.d*c.width:], x, nil, (to-from)*c.d, c.width, in.n, in.pitch)
	case !in.across:
		simd.Mix(dst, c.weight[from*c.d*c.width:], x, bias.plain, (to-from)*c.d, c.width, in.n, in.pitch)
	default:
		dst = dst[:(to-from)*in.part]
		if bias != nil {
			copy(dst, bias.padded)
		}
		if c.width > 0 { // a row of x times the columns of W
			simd.Mix(dst, x, c.padded[from*in.part:], nil, 1, c.width, len(dst), len(c.padded)/c.width)
		}
	}
}

// factors scale the rows of a product in a derivative: coef has G*D rows and self D, nil where there is none.
type factors[T num.Float] struct{ coef, self []T }

// newProduct makes W of rows by parts of d.
func newProduct[T num.Float](weight []T, d, parts, width, slot, biased int) product[T] {
	wT := vec.Transpose(weight, parts*d, width)
	return product[T]{d, width, weight, wT, fill(wT, width, d), slot, biased}
}

// tangent writes the derivative of the product along a tangent w of the parameters, rows of the columns of x.
func (c *product[T]) tangent(dst, x []T, w [][]T, in columns[T], rows int) {
	clear(dst)
	if dw := at(w, c.slot); dw != nil {
		simd.Mix(dst, dw, x, nil, rows, c.width, in.n, in.pitch)
	}
	db := at(w, c.biased)
	for i, v := range db {
		row := in.row(dst, rows-len(db)+i)
		for t := range row {
			row[t] += v
		}
	}
}

// gradient adds to g the gradients of the parameters, y being the product's.
func (c *product[T]) gradient(g [][]T, y, x []T, in columns[T], rows int) {
	if dw := at(g, c.slot); dw != nil {
		for r := range rows {
			for m := range c.width {
				dw[r*c.width+m] += simd.Dot(in.row(y, r), in.row(x, m))
			}
		}
	}
	db := at(g, c.biased)
	for i := range db {
		for _, v := range in.row(y, rows-len(db)+i) {
			db[i] += v
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

// newGates leaves local to the cell.
func newGates[T num.Float](d, g int, state, inputs product[T]) gates[T] {
	return gates[T]{d: d, g: g, state: state, inputs: inputs, diagonals: diagonals(state.weight, d, g),
		zero: newVector(make([]T, (g+(inputs.width+d)/max(d, 1))*d), d)}
}

// diagonals returns those of g matrices, one under another, as d rows of g.
func diagonals[T num.Float](w []T, d, g int) []T {
	out := make([]T, d*g)
	for k := range out {
		i := k / g
		out[k] = w[(k%g*d+i)*d+i]
	}
	return out
}

// Dim returns D.
func (c *gates[T]) Dim() int { return c.d }

// Inputs returns M.
func (c *gates[T]) Inputs() int { return c.inputs.width }

// evaluate turns a block, writes f where it is wanted, and returns the factors.
func (c *gates[T]) evaluate(b Block[T], state, inputs bool) (in columns[T], ofState, ofInputs factors[T]) {
	in = newColumns(b, 1, c.d, c.inputs.width)
	y := in.parts(b.Scratch, 1)
	ofState, ofInputs = c.local(b.Scratch, in, y, state, inputs)
	if b.Y != nil {
		in.back(b.Y, y, c.d)
	}
	return in, ofState, ofInputs
}

// Step writes f.
func (c *gates[T]) Step(b Block[T]) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	if few(b) {
		stepAcross(b, 1, c.d, c.inputs.width, func(in columns[T], y []T) { c.local(b.Scratch, in, y, false, false) })
		return nil
	}
	c.evaluate(b, false, false)
	return nil
}

// Together is Step for a team.
func (c *gates[T]) Together(t Team[T]) {
	together(t, 1, c.d, c.inputs.width, func(in columns[T], y []T) { c.local(t.Scratch, in, y, false, false) })
}

// Jacobian scales the rows of the weights.
func (c *gates[T]) Jacobian(b Block[T], j []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	in, k, _ := c.evaluate(b, true, false)
	out := in.rows(b.Scratch, c.d*c.d)
	simd.Scaled(out, k.coef, c.state.weight, c.g, c.d, c.d, in.n, in.pitch)
	for i := 0; i < c.d && k.self != nil; i++ {
		simd.AddScaled(in.row(out, i*c.d+i), 1, in.row(k.self, i))
	}
	in.back(j, out, c.d*c.d)
	return nil
}

// Diagonal reads the diagonals of the weights alone.
func (c *gates[T]) Diagonal(b Block[T], dst []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	in, k, _ := c.evaluate(b, true, false)
	out := in.rows(b.Scratch, c.d)
	if k.self != nil {
		copy(out, k.self)
	} else {
		clear(out)
	}
	for i := range c.d { // rows of the coefficients that are a part apart
		simd.Mix(out[i*in.pitch:], c.diagonals[i*c.g:], k.coef[i*in.pitch:], nil, 1, c.g, in.n, in.part)
	}
	in.back(dst, out, c.d)
	return nil
}

// JVP multiplies by the weights first.
func (c *gates[T]) JVP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	in, k, _ := c.evaluate(b, true, false)
	c.forward(b, in, p, v, k, &c.state)
	return nil
}

// VJP multiplies by the weights last.
func (c *gates[T]) VJP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	in, k, _ := c.evaluate(b, true, false)
	c.reverse(b, in, p, v, k, &c.state)
	return nil
}

// InputJVP is JVP with the weights of the inputs.
func (c *gates[T]) InputJVP(b Block[T], p, w []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	b.Y = nil
	in, _, k := c.evaluate(b, false, true)
	c.forward(b, in, p, w, k, &c.inputs)
	return nil
}

// InputVJP is VJP with the weights of the inputs.
func (c *gates[T]) InputVJP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	b.Y = nil
	in, _, k := c.evaluate(b, false, true)
	c.reverse(b, in, p, v, k, &c.inputs)
	return nil
}

// forward writes the derivative along v of what enters through one product.
func (c *gates[T]) forward(b Block[T], in columns[T], p, v []T, k factors[T], w *product[T]) {
	vT, wv, out := in.turn(b.Scratch, v, w.width), in.rows(b.Scratch, c.g*c.d), in.rows(b.Scratch, c.d)
	simd.Mix(wv, w.weight, vT, c.zero.plain, c.g*c.d, w.width, in.n, in.pitch)
	clear(out)
	if k.self != nil {
		addTimes(out, k.self, vT)
	}
	gather(out, k.coef, wv)
	in.back(p, out, c.d)
}

// gather adds sum_g coef[g] h[g] to p, all of them rows of columns.
func gather[T num.Float](p, coef, h []T) {
	for g := 0; g < len(coef); g += len(p) {
		addTimes(p, coef[g:g+len(p)], h[g:g+len(p)])
	}
}

// reverse writes the transposed derivative times v of what enters through one product; the coefficients are overwritten.
func (c *gates[T]) reverse(b Block[T], in columns[T], p, v []T, k factors[T], w *product[T]) {
	vT, out := in.turn(b.Scratch, v, c.d), in.rows(b.Scratch, w.width)
	scale(k.coef, vT)
	simd.Mix(out, w.wT, k.coef, c.zero.plain, w.width, c.g*c.d, in.n, in.pitch)
	if k.self != nil {
		addTimes(out, k.self, vT)
	}
	in.back(p, out, w.width)
}

// scale multiplies the coefficients by v, which makes them the gradient of a product.
func scale[T num.Float](coef, v []T) {
	for g := 0; g < len(coef); g += len(v) {
		part := coef[g : g+len(v)]
		for i, s := range v {
			part[i] *= s
		}
	}
}

// ParamJVP differentiates the two products.
func (c *gates[T]) ParamJVP(b Block[T], p []T, w [][]T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	b.Y = nil
	in, state, inputs := c.evaluate(b, true, true)
	gd := c.g * c.d
	change, out := in.rows(b.Scratch, gd), in.rows(b.Scratch, c.d)
	clear(out)
	c.state.tangent(change, in.x, w, in, gd)
	gather(out, state.coef, change)
	c.inputs.tangent(change, in.u, w, in, gd)
	gather(out, inputs.coef, change)
	in.back(p, out, c.d)
	return nil
}

// ParamVJP adds what reaches the two products.
func (c *gates[T]) ParamVJP(b Block[T], g [][]T, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	b.Y = nil
	in, state, inputs := c.evaluate(b, true, true)
	vT := in.turn(b.Scratch, v, c.d)
	scale(state.coef, vT)
	scale(inputs.coef, vT)
	c.state.gradient(g, state.coef, in.x, in, c.g*c.d)
	c.inputs.gradient(g, inputs.coef, in.u, in, c.g*c.d)
	return nil
}

// Rotate: diag(Q'JQ)[k] = sum_g sum_i coef[g, i] Q[i, k] (W_g Q)[i, k] + sum_i self[i] Q[i, k]^2, a matrix product over the block.
func (c *gates[T]) Rotate(q []T) func(b Block[T], dst []T) error {
	d, gd := c.d, c.g*c.d
	wq, ofCoef, ofSelf := make([]T, gd*d), make([]T, d*gd), make([]T, d*d)
	vec.MatMulT(wq, c.state.weight, vec.Transpose(q, d, d), gd, d, d)
	for k := range d {
		for g := range gd {
			ofCoef[k*gd+g] = q[g%d*d+k] * wq[g*d+k]
		}
		for i := range d {
			ofSelf[k*d+i] = q[i*d+k] * q[i*d+k]
		}
	}
	return func(b Block[T], dst []T) error {
		defer b.Scratch.Release(b.Scratch.Mark())
		in, k, _ := c.evaluate(b, true, false)
		out := in.rows(b.Scratch, d)
		simd.Mix(out, ofCoef, k.coef, c.zero.plain, d, gd, in.n, in.pitch)
		if k.self != nil {
			simd.Mix(out, ofSelf, k.self, nil, d, d, in.n, in.pitch)
		}
		in.back(dst, out, d)
		return nil
	}
}
