// Package lds evaluates linear dynamical systems
//
//	x[t] = A[t] (x[t-1] - ref[t-1]) + b[t]
//
// by a scan. Without a reference this is the linear recurrence x[t] = A[t] x[t-1] + b[t]; with b = f along an iterate and ref the
// iterate itself it is one update of a fixed-point method, in the form whose rounding errors shrink with the update.
//
// # Layout
//
// Arrays are flat and row-major: b, ref and x have D numbers a step, A has Structure.Len(D). The transition structures (dense,
// diagonal, identity …) are one type each; calls are per run of steps, never per step.
//
// # Bits
//
// Chunk depends on structure, batch, length and dimension alone, so the number of workers changes no bit.
package lds
