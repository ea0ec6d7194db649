// Package method solves x[t] = f(x[t-1], u[t]) for a whole trajectory by iteration. One update turns the iterate x into
//
//	x'[t] = f(x[t-1], u[t]) + A[t] (x'[t-1] - x[t-1])
//
// A Method declares how A[t] follows from the Jacobian and in which structure it is scanned; the loop is written once, in iterate.go.
//
// # Stopping
//
// Evaluate at iterate k, test, update: what is returned is what was tested, and the count is the number of updates made. estimate.go
// states the test; status.go the outcomes.
//
// # The form of the scan
//
// A cell that is affine in x is scanned as x'[t] = A x'[t-1] + b with b = f - A x, which is then the same at every iterate: products of
// permutations stay exact. All other cells are scanned about the iterate, x'[t] = f + A (x'[t-1] - x[t-1]): the rounding error shrinks
// with the update, and a fixed point satisfies the model to the last bit. Both are the same update in exact arithmetic.
//
// # Memory
//
// A native cell is evaluated block by block while the block is in cache, and scanned at once: besides two iterates no array grows with
// the length, whatever the structure of A. A model that calls back is evaluated over the whole window in one call.
package method
