package simd

import (
	"math"
	"slices"

	"pards/core/num"
)

// Far tells where wells of a mixture have no weight without their products, by a bound that Cauchy and Schwarz give: for P without negative
// eigenvalues and any v, y'P y >= (w'y)^2 with w = P v / sqrt(v'P v). What it tells has no weight has none after all of it is evaluated, to
// the bit.
type Far[T num.Float] struct {
	// Along has the w of each well, D numbers filled up with zeros to Padded(D).
	Along []T
	// Slack times |y|^2 is how much less than (w'y)^2 rounding may make y'P y of each well; infinite where nothing is known of P.
	Slack []T
	// Below is how far under the largest a logarithm has to be for a weight of 0.
	Below T
}

// FarLimit returns a number up to which slacks and logarithms may be for None, so that all that enters a well's products is finite.
func FarLimit[T num.Float]() T {
	if num.Size[T]() == 4 {
		return 1 << 60
	}
	return T(math.Ldexp(1, 500))
}

// NoWeight returns how far under the largest a logarithm has to be for Mixture to make a weight of 0 of it.
func NoWeight[T num.Float]() T {
	if num.Size[T]() == 4 {
		return 110 // the least float32 is e^-104, and a half of it is rounded to that
	}
	return 750
}

// None tells that a well has no weight where another's logarithm is top: log is that of its factor, along and square are w'y, or its negative,
// and |y|^2. It does not of what is not finite.
func (f *Far[T]) None(well int, log, top, along, square T) bool {
	slack := f.Slack[well] * square
	return along*along-slack > 2*(log-top+f.Below) && slack <= FarLimit[T]() && top <= FarLimit[T]()
}

// Near returns the well that has most weight at x as far as directions tell: the one to evaluate first. off is room for D numbers.
func (f *Far[T]) Near(c *Wells[T], x, off []T) (near int) {
	if f == nil {
		return 0
	}
	top := T(math.Inf(-1))
	for i, log := range c.Logs {
		at := i * Padded[T](c.D)
		Sub(off[:c.D], c.Means[at:at+c.D], x[:c.D])
		along := Dot(f.Along[at:at+c.D], off[:c.D])
		if v := log - along*along/2; v > top {
			near, top = i, v
		}
	}
	return near
}

// Wells are those of a mixture as MixtureSteps takes them: of each well a logarithm, a mean, and the transpose of a matrix, or else its diagonal.
// Means, diagonals and rows of matrices are D numbers, filled up with zeros to Padded(D).
type Wells[T num.Float] struct {
	D                            int
	Logs                         []T
	Means, Precisions, Diagonals []T
}

// MixtureRoom returns how many numbers MixtureSteps needs beside its arguments.
func MixtureRoom[T num.Float](c *Wells[T]) int {
	return (4+len(c.Logs))*Padded[T](c.D) + len(c.Logs)*(Lanes[T]()+2)
}

// MixtureSteps runs one chain through n steps from x: y (n, D), u (n, D). A step is SubRows, Mix by the precisions, DotRows, which gives
// logarithms log_k - (m_k - x)'P_k (m_k - x) / 2, and Mixture, to the bit, with components in lanes. With far, not nil, products of wells that
// have no weight are left out: one that had some at the step before is the first, and others that had none are asked for. It returns at how many
// steps some well had none.
func MixtureSteps[T num.Float](y, u, x []T, c *Wells[T], far *Far[T], eps, noise T, n int, room []T) (idle int) {
	d, wells, part := c.D, len(c.Logs), Padded[T](c.D)
	if d == 0 || wells == 0 {
		return 0
	}
	all, k, zero := of[T](), fit[T](part), T(0) // found once: that costs as much as some of them
	lanes := k.lanes
	take := func(n int) (taken []T) { taken, room = room[:n], room[n:]; return taken }
	state, next, given, off, h := take(part), take(part), take(part), take(part), take(wells*part)
	w, logs, weights := take(wells*lanes), take(wells), take(wells)
	clear(state)
	clear(given)
	clear(weights)
	copy(state, x[:d])
	first := far.Near(c, x, off)
	for t := range n {
		copy(given, u[t*d:(t+1)*d])
		from, to := first, first+1
		for o := range wells {
			i := Nth(o, first)
			at := i * part
			all.sub(&off[0], &c.Means[at : at+part][0], &state[0], part)
			if o > 0 && far != nil && weights[i] == 0 &&
				far.None(i, c.Logs[i], logs[first], all.dot(&far.Along[at], &off[0], d), all.dot(&off[0], &off[0], d)) {
				weights[i] = LeftOut
				continue
			}
			c.times(k, h[at:at+part], off, &zero, i)
			logs[i] = c.Logs[i] - all.dot(&h[at], &off[0], d)/2
			from, to = min(from, i), max(to, i+1)
		}
		if to-from == 1 && num.IsFinite(logs[from]) { // its weight is 1
			copy(next, state)
			all.addScaled(&next[0], &h[from*part], part, eps)
			all.addScaled(&next[0], &given[0], part, noise)
			w[0] = 1
		} else {
			for i := from; i < to; i++ {
				if weights[i] == LeftOut {
					logs[i] = T(math.Inf(-1))
					clear(h[i*part : (i+1)*part])
				}
			}
			k.mix(&w[0], nil, nil, &logs[from], to-from, 0, lanes, lanes) // each to all lanes of a row
			k.mixture(&next[0], nil, &w[0], &state[0], &given[0], &h[from*part], to-from, part/lanes, lanes, lanes, eps, noise)
		}
		clear(weights)
		for i := from; i < to; i++ {
			weights[i] = w[(i-from)*lanes]
		}
		if slices.Contains(weights, 0) {
			idle++
			if weights[first] == 0 {
				first = Most(weights)
			}
		}
		copy(y[t*d:(t+1)*d], next)
		state, next = next, state
	}
	return idle
}

// times writes the product of a well's matrix and x; zero, which is 0, is the caller's so that it is allocated once.
func (c *Wells[T]) times(k *kernels[T], h, x []T, zero *T, well int) {
	part := len(h)
	at := well * part
	if c.Diagonals == nil {
		k.mix(&h[0], &x[0], &c.Precisions[c.D*at : c.D*(at+part)][0], zero, 1, c.D, part, part)
		return
	}
	for i, p := range c.Diagonals[at : at+part] {
		h[i] = p * x[i]
	}
}

// LeftOut stands for the weight of a well that is not evaluated.
const LeftOut = -1

// Most returns where x is largest.
func Most[T num.Float](x []T) (at int) {
	for i, v := range x {
		if v > x[at] {
			at = i
		}
	}
	return at
}

// Nth returns the n-th of numbers from 0 on, the first of which is moved to the front.
func Nth(n, first int) int {
	switch {
	case n == 0:
		return first
	case n <= first:
		return n - 1
	}
	return n
}
