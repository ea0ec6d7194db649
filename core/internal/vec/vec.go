// Package vec holds the inner loops of cells: matrix products over a block of rows, scratch memory.
package vec

import (
	"pards/core/internal/simd"
	"pards/core/num"
)

// Fill sets every element.
func Fill[T num.Float](x []T, v T) {
	for i := range x {
		x[i] = v
	}
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

// MatMulT writes c = x w': x is n by m, w p by m, c n by p.
//
// Two rows of x and four of w are held at a time: eight sums that do not wait for each other. Each sum runs in the order of its index,
// so that a row gives the same bits alone and among others.
func MatMulT[T num.Float](c, x, w []T, n, m, p int) {
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
			c0[j], c1[j] = simd.Dot(row, x0), simd.Dot(row, x1)
		}
	}
	for ; i < n; i++ {
		x0, c0, j := x[i*m:(i+1)*m], c[i*p:(i+1)*p], 0
		for ; j+3 < p; j += 4 {
			dot1x4(c0[j:j+4], x0, w[j*m:(j+4)*m])
		}
		for ; j < p; j++ {
			c0[j] = simd.Dot(w[j*m:(j+1)*m], x0)
		}
	}
}

// MatMul writes c = x b: x is n by m, b m by p, c n by p, and bT b's transpose, which is read where no vectors fit. Each sum runs in the order
// of its index.
func MatMul[T num.Float](c, x, b, bT []T, n, m, p int) {
	if lanes := simd.Least[T](); lanes == 1 || p%lanes != 0 || n*m == 0 {
		MatMulT(c, x, bT, n, m, p)
		return
	}
	clear(c[:n*p])
	simd.Mix(c, x, b, nil, n, m, p, p) // the rows of b, mixed
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
