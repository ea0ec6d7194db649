package cell

import (
	"fmt"

	"pards/core/num"
	"pards/core/param"
)

func init() {
	register(Entry{Name: "lorenz96", Class: "Lorenz96", Autonomous: true,
		Doc: "Lorenz 96 (Lorenz 1996), dx_i/dt = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F on a ring, one Runge-Kutta step of fourth order; autonomous,\n" +
			"and chaotic for F = 8 and dim of 4 or more.",
		Fields: []param.Field{
			{Name: "dim", Kind: param.Int, Doc: "D, at least 4"},
			{Name: "forcing", Kind: param.Number, Default: "8.0", Doc: "F"},
			{Name: "step", Kind: param.Number, Default: "0.01", Doc: "length of a step in time"},
		}}, newLorenz[float32], newLorenz[float64])
}

type lorenz[T num.Float] struct {
	d       int
	force   T
	step    T
	offsets [4]T // of the stages' states along the slope before them, in steps
	weights [4]T // of the slopes in the step
}

func newLorenz[T num.Float](r *param.Reader[T]) Cell[T] {
	c := &lorenz[T]{d: r.Int("dim", 4, 4), force: T(r.Number("forcing", 8)), offsets: [4]T{0, 0.5, 0.5, 1},
		weights: [4]T{1. / 6, 1. / 3, 1. / 3, 1. / 6}}
	h := r.Number("step", 0.01)
	if h <= 0 {
		r.Fail("step", fmt.Sprintf("is %v", h), "a number above 0", "")
	}
	c.step = T(h)
	return c
}

// Dim returns D.
func (c *lorenz[T]) Dim() int { return c.d }

// Inputs returns 0.
func (c *lorenz[T]) Inputs() int { return 0 }

// slope writes dx/dt.
func (c *lorenz[T]) slope(dst, x []T) {
	d := c.d
	for i := range dst {
		dst[i] = (x[(i+1)%d]-x[(i+d-2)%d])*x[(i+d-1)%d] - x[i] + c.force
	}
}

// tangent writes the derivative of the slope at x times each of m vectors, the columns of v (D, m).
func (c *lorenz[T]) tangent(dst, x, v []T, m int) {
	d := c.d
	for i := range d {
		next, before, two := (i+1)%d, (i+d-1)%d, (i+d-2)%d
		a, b := x[before], x[next]-x[two]
		up, down, side, own, out := v[next*m:(next+1)*m], v[two*m:(two+1)*m], v[before*m:(before+1)*m], v[i*m:(i+1)*m], dst[i*m:(i+1)*m]
		for k := range out {
			out[k] = (up[k]-down[k])*a + b*side[k] - own[k]
		}
	}
}

// cotangent writes the transposed derivative of the slope at x times v.
func (c *lorenz[T]) cotangent(dst, x, v []T) {
	d := c.d
	clear(dst)
	for i, w := range v {
		next, before, two := (i+1)%d, (i+d-1)%d, (i+d-2)%d
		dst[next] += w * x[before]
		dst[two] -= w * x[before]
		dst[before] += w * (x[next] - x[two])
		dst[i] -= w
	}
}

// stages writes the states (4, D) at which the slopes of one step are taken, and the new state to y unless it is nil.
func (c *lorenz[T]) stages(at, y, x, slope []T) {
	d := c.d
	if y != nil {
		copy(y, x)
	}
	for s := range 4 {
		state := at[s*d : (s+1)*d]
		for i, v := range x {
			state[i] = v
			if s > 0 {
				state[i] += c.step * c.offsets[s] * slope[i]
			}
		}
		c.slope(slope, state)
		for i := range y {
			y[i] += c.step * c.weights[s] * slope[i]
		}
	}
}

// each calls f for each state of a block with the states of its stages, after writing f(x).
func (c *lorenz[T]) each(b Block[T], f func(t int, at []T)) {
	defer b.Scratch.Release(b.Scratch.Mark())
	d := c.d
	at, slope := b.Scratch.Take(4*d), b.Scratch.Take(d)
	for t := range b.N {
		var y []T
		if b.Y != nil {
			y = b.Y[t*d : (t+1)*d]
		}
		c.stages(at, y, b.X[t*d:(t+1)*d], slope)
		if f != nil {
			f(t, at)
		}
	}
}

// Step writes f.
func (c *lorenz[T]) Step(b Block[T]) error {
	c.each(b, nil)
	return nil
}

// forward writes J V for m vectors, the columns of v, by differentiating the stages one after another.
func (c *lorenz[T]) forward(dst, at, v, state, slope []T, m int) {
	copy(dst, v)
	for s := range 4 {
		for i, w := range v {
			state[i] = w
			if s > 0 {
				state[i] += c.step * c.offsets[s] * slope[i]
			}
		}
		c.tangent(slope, at[s*c.d:(s+1)*c.d], state, m)
		for i, w := range slope {
			dst[i] += c.step * c.weights[s] * w
		}
	}
}

// Jacobian differentiates along all directions at once.
func (c *lorenz[T]) Jacobian(b Block[T], j []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	d := c.d
	unit, state, slope := b.Scratch.Take(d*d), b.Scratch.Take(d*d), b.Scratch.Take(d*d)
	clear(unit)
	for i := range d {
		unit[i*(d+1)] = 1
	}
	c.each(b, func(t int, at []T) { c.forward(j[t*d*d:(t+1)*d*d], at, unit, state, slope, d) })
	return nil
}

// Diagonal reads the Jacobian's: every stage couples neighbours, so none of it is known without the rest.
func (c *lorenz[T]) Diagonal(b Block[T], dst []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	d := c.d
	j := b.Scratch.Take(b.N * d * d)
	err := c.Jacobian(b, j)
	for t := range b.N {
		for i := range d {
			dst[t*d+i] = j[t*d*d+i*(d+1)]
		}
	}
	return err
}

// JVP differentiates along v.
func (c *lorenz[T]) JVP(b Block[T], p, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	d := c.d
	state, slope := b.Scratch.Take(d), b.Scratch.Take(d)
	c.each(b, func(t int, at []T) { c.forward(p[t*d:(t+1)*d], at, v[t*d:(t+1)*d], state, slope, 1) })
	return nil
}

// VJP goes back through the stages.
func (c *lorenz[T]) VJP(b Block[T], p, v []T) error {
	c.backward(b, p, v, nil)
	return nil
}

// backward writes J'v to p, and calls visit, unless it is nil, with a stage's state and what reaches its slope, over the step.
func (c *lorenz[T]) backward(b Block[T], p, v []T, visit func(state, reach []T)) {
	defer b.Scratch.Release(b.Scratch.Mark())
	d := c.d
	reach, slope, back := b.Scratch.Take(d), b.Scratch.Take(d), b.Scratch.Take(d) // back: what comes through the slope to its state
	c.each(b, func(t int, at []T) {
		out, vt := p[t*d:(t+1)*d], v[t*d:(t+1)*d]
		copy(out, vt)
		for s := 3; s >= 0; s-- {
			for i, w := range vt {
				reach[i] = c.weights[s] * w
				if s < 3 {
					reach[i] += c.offsets[s+1] * back[i]
				}
				slope[i] = c.step * reach[i]
			}
			state := at[s*d : (s+1)*d]
			if visit != nil {
				visit(state, reach)
			}
			c.cotangent(back, state, slope)
			for i, w := range back {
				out[i] += w
			}
		}
	})
}

// InputJVP writes zeros: there are no inputs.
func (c *lorenz[T]) InputJVP(_ Block[T], p, _ []T) error {
	clear(p)
	return nil
}

// InputVJP has nothing to write.
func (c *lorenz[T]) InputVJP(Block[T], []T, []T) error { return nil }

// ParamJVP differentiates the stages one after another, along the forcing and the length of the step.
func (c *lorenz[T]) ParamJVP(b Block[T], p []T, w [][]T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	b.Y = nil
	d, force, step := c.d, one(w[0]), one(w[1])
	slope, change, state := b.Scratch.Take(d), b.Scratch.Take(d), b.Scratch.Take(d)
	c.each(b, func(t int, at []T) {
		out := p[t*d : (t+1)*d]
		clear(out)
		for s := range 4 {
			for i := range state { // slope and change are those of the stage before
				state[i] = 0
				if s > 0 {
					state[i] = c.offsets[s] * (c.step*change[i] + step*slope[i])
				}
			}
			c.slope(slope, at[s*d:(s+1)*d])
			c.tangent(change, at[s*d:(s+1)*d], state, 1)
			for i := range out {
				change[i] += force
				out[i] += c.weights[s] * (c.step*change[i] + step*slope[i])
			}
		}
	})
	return nil
}

// ParamVJP adds up what reaches the slopes: each holds the forcing once, and is taken times the length of the step.
func (c *lorenz[T]) ParamVJP(b Block[T], g [][]T, v []T) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	b.Y = nil
	p, slope := b.Scratch.Take(b.N*c.d), b.Scratch.Take(c.d)
	c.backward(b, p, v, func(state, reach []T) {
		c.slope(slope, state)
		for i, r := range reach {
			add(g[0], c.step*r)
			add(g[1], r*slope[i])
		}
	})
	return nil
}
