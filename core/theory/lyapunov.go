package theory

import (
	"math"

	"gonum.org/v1/gonum/floats"
)

// Lyapunov follows one vector through the Jacobians of a trajectory.
type Lyapunov struct {
	v, next []float64
	logs    []float64
}

// Step multiplies by the next Jacobian, d by d.
func (l *Lyapunov) Step(j []float64, d int) {
	l.Advance(d, func(next, v []float64) {
		for i := range d {
			next[i] = floats.Dot(j[i*d:(i+1)*d], v)
		}
	})
}

// Advance multiplies by the next Jacobian, of which product writes that with v, of d components.
func (l *Lyapunov) Advance(d int, product func(next, v []float64)) {
	if l.v == nil {
		l.v, l.next = make([]float64, d), make([]float64, d)
		Signs(l.v, 2)
		floats.Scale(1/math.Sqrt(float64(d)), l.v)
	}
	product(l.next, l.v)
	norm := floats.Norm(l.next, 2)
	l.logs = append(l.logs, math.Log(norm))
	if norm == 0 || !(norm <= math.MaxFloat64) { // a product of zero shrinks infinitely fast; begin anew
		Signs(l.next, uint64(len(l.logs)))
		norm = math.Sqrt(float64(d))
	}
	for i, v := range l.next {
		l.v[i] = v / norm
	}
}

const lyapunovBlocks = 16

// Exponent returns the mean growth of the vector a step, and its standard error, from the means of 16 blocks; the first tenth, in which the
// vector turns to the direction that grows most, is left out. NaN where there are too few steps for one, or for the error.
func (l *Lyapunov) Exponent() (mean, err float64) {
	logs := l.logs[len(l.logs)/10:]
	if len(logs) == 0 {
		return math.NaN(), math.NaN()
	}
	mean = floats.Sum(logs) / float64(len(logs))
	if len(logs) < 2*lyapunovBlocks || math.IsInf(mean, 0) {
		return mean, math.NaN()
	}
	for b := range lyapunovBlocks {
		block := logs[b*len(logs)/lyapunovBlocks : (b+1)*len(logs)/lyapunovBlocks]
		off := floats.Sum(block)/float64(len(block)) - mean
		err += off * off
	}
	return mean, math.Sqrt(err / lyapunovBlocks / (lyapunovBlocks - 1))
}
