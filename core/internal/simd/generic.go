package simd

import (
	"math"
	"slices"
	"unsafe"

	"pards/core/num"
)

var plain = leveled{"generic", generic[float32](), generic[float64]()}

// generic are the kernels in plain Go.
func generic[T num.Float]() kernels[T] {
	return kernels[T]{
		lanes:     1,
		exp:       each(exponential[T]),
		sigmoid:   each(logistic[T]),
		tanh:      each(tangent[T]),
		mix:       mix[T],
		gru:       gru[T],
		gruSteps:  gruSteps[T],
		scaled:    scaled[T],
		diagonal:  diagonal[T],
		sum:       sum[T],
		finite:    finite[T],
		words:     words[T],
		sub:       sub[T],
		addScaled: addScaled[T],
		dot:       dot[T],
		subRows:   subRows[T],
		dotRows:   dotRows[T],
		reach:     reach[T],
		mixture:   mixture[T],
	}
}

func each[T num.Float](f func(T) T) func(*T, int) {
	return func(x *T, n int) {
		for i, v := range unsafe.Slice(x, n) {
			unsafe.Slice(x, n)[i] = f(v)
		}
	}
}

func mix[T num.Float](c, w, x, bias *T, rows, width, n, pitch int) {
	for r := range rows {
		row := part(c, r, n, pitch)
		if bias != nil {
			for i := range row {
				row[i] = unsafe.Slice(bias, rows)[r]
			}
		}
		for k := range width {
			v := unsafe.Slice(w, rows*width)[r*width+k]
			for i, u := range part(x, k, n, pitch) {
				row[i] += v * u
			}
		}
	}
}

// exponential, for float32, needs no more than half of double precision.
func exponential[T num.Float](v T) T {
	if num.Size[T]() == 4 {
		return T(exp(float64(v)))
	}
	return T(math.Exp(float64(v)))
}

// logistic divides by what cannot overflow.
func logistic[T num.Float](v T) T {
	if v < 0 {
		e := exponential(v)
		return e / (1 + e)
	}
	return 1 / (1 + exponential(-v))
}

// tangent is, for float32, 1 - 2/(exp(2x)+1) in double precision, which loses 2^-42 / |x| of its value near 0; below 1e-3 the series
// takes over, whose next term is 1e-13 of the value.
func tangent[T num.Float](v T) T {
	w := float64(v)
	switch {
	case num.Size[T]() == 8:
		return T(math.Tanh(w))
	case w < 1e-3 && w > -1e-3:
		return T(w - w*w*w/3)
	}
	return T(1 - 2/(exp(2*w)+1))
}

// exp is the exponential to 2^-42 of its value: x = n log 2 + r, and a polynomial of degree 10 in r.
func exp(x float64) float64 {
	const (
		round = 0x1.8p52 // x + round - round is x rounded to a whole number, which also stands in the low bits of the sum
		log2  = 0x1.62e42fefa39efp-1
	)
	if !(x > -700 && x < 700) { // beyond float32's range on either side, or NaN
		return math.Exp(x)
	}
	k := x*(1/log2) + round
	r := x - (k-round)*log2
	r2 := r * r
	r4 := r2 * r2
	p := 1 + r + r2*(1./2+r*(1./6)) + r4*((1./24+r*(1./120))+r2*(1./720+r*(1./5040))+r4*((1./40320+r*(1./362880))+r2*(1./3628800)))
	return math.Float64frombits(math.Float64bits(p) + math.Float64bits(k)<<52)
}

// part returns the first n numbers of row r of a pointer's rows.
func part[T num.Float](x *T, r, n, pitch int) []T { return unsafe.Slice(x, r*pitch+n)[r*pitch:] }

func gru[T num.Float](y, a, h, x, coef *T, n int) {
	gates, cand, hidden, out := unsafe.Slice(a, 3*n), unsafe.Slice(h, n), unsafe.Slice(x, n), unsafe.Slice(y, n)
	for i := range n {
		r, z := logistic(gates[i]), logistic(gates[n+i])
		m := tangent(gates[2*n+i] + r*cand[i])
		f := hidden[i] - m
		if coef != nil {
			dm := (1 - z) * (1 - m*m)
			for g, v := range [4]T{dm * r * (1 - r) * cand[i], z * (1 - z) * f, dm * r, dm} {
				unsafe.Slice(coef, 4*n)[g*n+i] = v
			}
			gates[n+i] = z
		}
		out[i] = m + z*f
	}
}

func gruSteps[T num.Float](y, a, w, own, hidden *T, d, part, n, swap int) {
	rows, of, weights := unsafe.Slice(y, (n+1)*d), unsafe.Slice(hidden, n*d), unsafe.Slice(w, 3*d*part)
	for t := range n {
		at, x := unsafe.Slice(a, 3*n*part)[3*t*part:][:3*part], rows[t*d:(t+1)*d]
		for i, s := range unsafe.Slice(own, d) {
			r, z, q := at[i], at[part+i], at[2*part+i]
			for k, v := range x {
				g := weights[3*k*part+i:]
				r += v * g[0]
				z += v * g[part]
				s += v * g[2*part]
			}
			if swap != 0 {
				s, q = q, s
			}
			gates := [3]T{r, z, q}
			gru(&rows[(t+1)*d+i], &gates[0], &s, &of[t*d+i], nil, 1)
		}
	}
}

func scaled[T num.Float](j, coef, w *T, parts, d, wide, n, pitch int) {
	for i := range d {
		for k := range d {
			row := part(j, i*wide+k, n, pitch)
			clear(row)
			for g := range parts {
				v := part(w, g*d+i, d, d)[k]
				for t, c := range part(coef, g*d+i, n, pitch) {
					row[t] += c * v
				}
			}
		}
	}
}

func diagonal[T num.Float](x, a, b, ref, carry *T, d, n, step int) {
	c := unsafe.Slice(carry, d)
	row := func(p *T, t int) []T { return unsafe.Slice((*T)(unsafe.Add(unsafe.Pointer(p), t*step)), d) }
	for t := range n {
		xt, at, bt := row(x, t), row(a, t), row(b, t)
		for i := range c {
			xt[i] = at[i]*c[i] + bt[i]
		}
		copy(c, xt)
		if ref != nil {
			for i, v := range row(ref, t) {
				c[i] -= v
			}
		}
	}
}

func sum[T num.Float](x, b, ref, carry *T, d, n, step int) {
	c := unsafe.Slice(carry, d)
	row := func(p *T, t int) []T { return unsafe.Slice((*T)(unsafe.Add(unsafe.Pointer(p), t*step)), d) }
	for t := range n {
		xt := row(x, t)
		for i, v := range row(b, t) {
			xt[i] = c[i] + v
		}
		copy(c, xt)
		if ref != nil {
			for i, v := range row(ref, t) {
				c[i] -= v
			}
		}
	}
}

func finite[T num.Float](x *T, n int) bool { return num.FirstNonFinite(unsafe.Slice(x, n)) < 0 }

func words[T num.Float](x *T, n int, below T) bool { return firstNoWord(unsafe.Slice(x, n), below) < 0 }

func firstNoWord[T num.Float](x []T, below T) int {
	return slices.IndexFunc(x, func(v T) bool { return !(v >= 0 && v < below && v == T(int(v))) })
}

func sub[T num.Float](y, a, b *T, n int) {
	from := unsafe.Slice(b, n)
	for i, v := range unsafe.Slice(a, n) {
		unsafe.Slice(y, n)[i] = v - from[i]
	}
}

func addScaled[T num.Float](y, x *T, n int, s T) {
	for i, v := range unsafe.Slice(x, n) {
		unsafe.Slice(y, n)[i] += s * v
	}
}

// dot: four sums that do not wait for each other.
func dot[T num.Float](x, y *T, n int) T {
	v, w := unsafe.Slice(x, n), unsafe.Slice(y, n)
	var sums [4]T
	for ; len(v) >= 4; v, w = v[4:], w[4:] {
		for i := range sums {
			sums[i] += v[i] * w[i]
		}
	}
	for i := range v {
		sums[0] += v[i] * w[i]
	}
	return (sums[0] + sums[1]) + (sums[2] + sums[3])
}

func subRows[T num.Float](y, c, x *T, rows, n, pitch int) {
	for r, v := range unsafe.Slice(c, rows) {
		to := part(y, r, n, pitch)
		for i, w := range part(x, r, n, pitch) {
			to[i] = v - w
		}
	}
}

// dotRows: the sums of dot.
func dotRows[T num.Float](dst, x, y *T, rows, n, pitch int) {
	for i := range unsafe.Slice(dst, n) {
		var sums [4]T
		for r := range rows {
			a := r % 4
			if r >= rows/4*4 {
				a = 0
			}
			sums[a] += part(x, r, n, pitch)[i] * part(y, r, n, pitch)[i]
		}
		unsafe.Slice(dst, n)[i] = (sums[0] + sums[1]) + (sums[2] + sums[3])
	}
}

func reach[T num.Float](along, square, w, c, x *T, rows, n, pitch int) {
	weights, from := unsafe.Slice(w, rows), unsafe.Slice(c, rows)
	for i := range unsafe.Slice(along, n) {
		var a, s T
		for r := range rows {
			v := part(x, r, n, pitch)[i] - from[r]
			a += weights[r] * v
			s += v * v
		}
		unsafe.Slice(along, n)[i], unsafe.Slice(square, n)[i] = a, s
	}
}

func mixture[T num.Float](y, mean, w, x, u, h *T, wells, rows, n, pitch int, eps, noise T) {
	weights := unsafe.Slice(w, (wells-1)*pitch+n)
	for i := range n {
		top, sum := weights[i], T(0)
		for k := range wells {
			top = max(top, weights[k*pitch+i])
		}
		for k := range wells {
			e := exponential(weights[k*pitch+i] - top)
			weights[k*pitch+i] = e
			sum += e
		}
		for k := range wells {
			weights[k*pitch+i] /= sum
		}
	}
	for r := range rows {
		for i := range n {
			var sum T
			for k := range wells {
				sum += weights[k*pitch+i] * part(h, k*rows+r, n, pitch)[i]
			}
			if mean != nil {
				part(mean, r, n, pitch)[i] = sum
			}
			if y != nil {
				v := part(x, r, n, pitch)[i] + eps*sum
				part(y, r, n, pitch)[i] = v + noise*part(u, r, n, pitch)[i]
			}
		}
	}
}
