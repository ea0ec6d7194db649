// Package vec holds the inner loops of cells: matrix products over a block of rows, elementary functions, scratch memory.
package vec

import (
	"math"

	"pards/core/num"
)

// Fill sets every element.
func Fill[T num.Float](x []T, v T) {
	for i := range x {
		x[i] = v
	}
}

// Dot returns the sum of x[i] y[i].
func Dot[T num.Float](x, y []T) (s T) {
	y = y[:len(x)]
	for i, v := range x {
		s += v * y[i]
	}
	return s
}

// Transpose returns the transpose of a rows by cols matrix.
func Transpose[T num.Float](a []T, rows, cols int) []T {
	t := make([]T, len(a))
	for i := range rows {
		for j := range cols {
			t[j*rows+i] = a[i*cols+j]
		}
	}
	return t
}

// MatMulT writes c = x w' + bias: x is n by m, w p by m, c n by p, bias p numbers or nil.
//
// Two rows of x and four of w are held at a time: eight sums that do not wait for each other. Each sum runs in the order of its index,
// so that a row gives the same bits alone and among others.
func MatMulT[T num.Float](c, x, w, bias []T, n, m, p int) {
	i := 0
	for ; i+1 < n; i += 2 {
		x0, x1 := x[i*m:(i+1)*m], x[(i+1)*m:(i+2)*m]
		c0, c1 := c[i*p:(i+1)*p], c[(i+1)*p:(i+2)*p]
		j := 0
		for ; j+3 < p; j += 4 {
			dot2x4(c0[j:j+4], c1[j:j+4], x0, x1, w[j*m:(j+4)*m])
		}
		for ; j < p; j++ {
			row := w[j*m : (j+1)*m]
			c0[j], c1[j] = Dot(row, x0), Dot(row, x1)
		}
	}
	for ; i < n; i++ {
		x0, c0, j := x[i*m:(i+1)*m], c[i*p:(i+1)*p], 0
		for ; j+3 < p; j += 4 {
			dot1x4(c0[j:j+4], x0, w[j*m:(j+4)*m])
		}
		for ; j < p; j++ {
			c0[j] = Dot(w[j*m:(j+1)*m], x0)
		}
	}
	if bias != nil {
		for i := 0; i < n*p; i += p {
			for j, v := range bias {
				c[i+j] += v
			}
		}
	}
}

// AddMatTMul adds y'x to c: y is n by p, x n by m, c p by m. Four rows are added at a time, in their order.
func AddMatTMul[T num.Float](c, y, x []T, n, p, m int) {
	for i := range p {
		row, t := c[i*m:(i+1)*m], 0
		for ; t+3 < n; t += 4 {
			x0, x1, x2, x3 := x[t*m:(t+1)*m], x[(t+1)*m:(t+2)*m], x[(t+2)*m:(t+3)*m], x[(t+3)*m:(t+4)*m]
			y0, y1, y2, y3 := y[t*p+i], y[(t+1)*p+i], y[(t+2)*p+i], y[(t+3)*p+i]
			for j := range row {
				row[j] += y0*x0[j] + y1*x1[j] + y2*x2[j] + y3*x3[j]
			}
		}
		for ; t < n; t++ {
			for j, v := range x[t*m : (t+1)*m] {
				row[j] += y[t*p+i] * v
			}
		}
	}
}

func dot1x4[T num.Float](c, x, w []T) {
	m := len(x)
	w0, w1, w2, w3 := w[:m], w[m:2*m], w[2*m:3*m], w[3*m:4*m]
	var a0, a1, a2, a3 T
	for k, u := range x {
		a0 += u * w0[k]
		a1 += u * w1[k]
		a2 += u * w2[k]
		a3 += u * w3[k]
	}
	c[0], c[1], c[2], c[3] = a0, a1, a2, a3
}

func dot2x4[T num.Float](c0, c1, x0, x1, w []T) {
	m := len(x0)
	w0, w1, w2, w3 := w[:m], w[m:2*m], w[2*m:3*m], w[3*m:4*m]
	x1 = x1[:m]
	var a0, a1, a2, a3, b0, b1, b2, b3 T
	for k, u := range x0 {
		v := x1[k]
		a0 += u * w0[k]
		a1 += u * w1[k]
		a2 += u * w2[k]
		a3 += u * w3[k]
		b0 += v * w0[k]
		b1 += v * w1[k]
		b2 += v * w2[k]
		b3 += v * w3[k]
	}
	c0[0], c0[1], c0[2], c0[3] = a0, a1, a2, a3
	c1[0], c1[1], c1[2], c1[3] = b0, b1, b2, b3
}

// Sigmoid replaces each element by 1 / (1 + exp(-x)), which cannot overflow: exp(-x) = inf gives 0.
func Sigmoid[T num.Float](x []T) {
	if num.Size[T]() == 4 {
		for i, v := range x {
			x[i] = T(1 / (1 + exp(-float64(v))))
		}
		return
	}
	for i, v := range x {
		x[i] = T(1 / (1 + math.Exp(-float64(v))))
	}
}

// Tanh replaces each element by its hyperbolic tangent. For float32 it is computed in double precision as 1 - 2/(exp(2x)+1), which loses
// 2^-42 / |x| of its value near 0; below 1e-3 the series takes over, whose next term is 1e-13 of the value.
func Tanh[T num.Float](x []T) {
	if num.Size[T]() == 8 {
		for i, v := range x {
			x[i] = T(math.Tanh(float64(v)))
		}
		return
	}
	for i, v := range x {
		if w := float64(v); w < 1e-3 && w > -1e-3 {
			x[i] = T(w - w*w*w/3)
		} else {
			x[i] = T(1 - 2/(exp(2*w)+1))
		}
	}
}

// exp is the exponential to 2^-42 of its value, for float32 results: x = n log 2 + r, and a polynomial of degree 10 in r.
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

// Softmax replaces the logarithms x by weights exp(x - logsumexp(x)).
func Softmax[T num.Float](x []T) {
	top := x[0]
	for _, v := range x {
		top = max(top, v)
	}
	var sum T
	for i, v := range x {
		if num.Size[T]() == 4 {
			x[i] = T(exp(float64(v - top)))
		} else {
			x[i] = T(math.Exp(float64(v - top)))
		}
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}
