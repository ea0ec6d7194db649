// Package core solves x[t] = f(x[t-1], u[t]), t = 1..T, for its whole trajectory, by parallel iteration or by the plain loop.
//
// # Layout
//
// Arrays are flat and row-major: states and guess (B, T, D), inputs (B, T, M), x0 (B, D). Indices are 0-based: states[i] is x[i+1], and
// x0 itself is not stored. A batch axis that is missing is shared by all sequences.
//
// # Stopping
//
// With merit_tol the iteration stops at the first iterate whose merit 0.5 sum r^2, r[t] = x[t] - f(x[t-1], u[t]), is at most that.
// Otherwise it stops when the estimated distance to the sequential trajectory is at most rtol (package method, estimate.go).
//
// # Packages
//
// check builds argument errors; lds evaluates linear dynamical systems; cell holds the models; method the iterations; theory what they
// may be expected to do. A Backend runs what Solve has checked and planned.
package core

// Version is the release, set when the library is built.
var Version = "dev"
