// Package theory predicts how an iteration converges from what its linearisation is along a trajectory: pure functions over float64.
//
// Let J[t] be the Jacobian at the trajectory and A[t] what a method takes for it. With Jt the block bidiagonal matrix that has I on its
// diagonal and -A[t] below, the error e of an iterate and L the Lipschitz constant of J, Proposition 3 of Gonzalez et al. (2025) says
//
//	|e'| <= |Jt^-1| ( max over t of |J[t] - A[t]| |e| + L/2 |e|^2 )
//
// Jt^-1 is a scan, and so is its transpose: nothing of size T D by T D is ever formed.
package theory

import "math"

// Constants are the numbers of Proposition 3.
type Constants struct {
	Difference float64 // max over t of |J[t] - A[t]|, spectral
	Inverse    float64 // |Jt^-1|, spectral
	Lipschitz  float64 // L
}

// Rate returns the factor by which a small error shrinks at least; of 1 or more it promises nothing.
func (c Constants) Rate() float64 { return product(c.Inverse, c.Difference) }

// Radius returns the size of the errors below which the bound shrinks them: 0 where the rate is 1 or more.
func (c Constants) Radius() float64 {
	curvature := product(c.Inverse, c.Lipschitz)
	switch rate := c.Rate(); {
	case !(rate < 1):
		return 0
	case curvature == 0:
		return math.Inf(1)
	default:
		return 2 * (1 - rate) / curvature
	}
}

// product is a b where nothing times infinity is nothing.
func product(a, b float64) float64 {
	if a == 0 || b == 0 {
		return 0
	}
	return a * b
}
