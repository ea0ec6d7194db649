package theory

import (
	"math"

	"gonum.org/v1/gonum/floats"
)

// Growth follows one vector through the Jacobians of a trajectory.
type Growth struct {
	v, next []float64
	logs    []float64
}

// Advance multiplies by the next Jacobian, of which product writes that with v, of d components.
func (g *Growth) Advance(d int, product func(next, v []float64)) {
	if g.v == nil {
		g.start(d)
	}
	product(g.next, g.v)
	norm := floats.Norm(g.next, 2)
	g.logs = append(g.logs, math.Log(norm))
	if norm == 0 || !(norm <= math.MaxFloat64) { // a product of zero shrinks infinitely fast; begin anew
		Signs(g.next, uint64(len(g.logs)))
		norm = math.Sqrt(float64(d))
	}
	for i, v := range g.next {
		g.v[i] = v / norm
	}
}

func (g *Growth) start(d int) {
	g.v, g.next = make([]float64, d), make([]float64, d)
	Signs(g.v, 2)
	floats.Scale(1/math.Sqrt(float64(d)), g.v)
}

const (
	lyapunovBlocks  = 16
	correlationMost = 0.8
)

// Exponent returns the mean growth of the vector a step, and its standard error, from the means of 16 blocks; the first tenth, in which the
// vector turns to the direction that grows most, is left out. NaN where there are too few steps for one, or for the error.
func (g *Growth) Exponent() (mean, err float64) {
	logs := g.logs[len(g.logs)/10:]
	if len(logs) == 0 {
		return math.NaN(), math.NaN()
	}
	mean = floats.Sum(logs) / float64(len(logs))
	if len(logs) < 2*lyapunovBlocks || math.IsInf(mean, 0) {
		return mean, math.NaN()
	}
	squares, products, last := 0.0, 0.0, 0.0
	for b := range lyapunovBlocks {
		block := logs[b*len(logs)/lyapunovBlocks : (b+1)*len(logs)/lyapunovBlocks]
		off := floats.Sum(block)/float64(len(block)) - mean
		squares, products, last = squares+off*off, products+off*last, off
	}
	err = math.Sqrt(squares / lyapunovBlocks / (lyapunovBlocks - 1))
	if products > 0 { // means of blocks that follow one another are alike: as many as they are they tell less
		r := math.Min(products/squares, correlationMost)
		err *= math.Sqrt((1 + r) / (1 - r))
	}
	return mean, err
}

// Lyapunov follows two vectors that are not alike: as long as they grow by different means, neither has turned to the direction that grows
// most.
type Lyapunov struct{ all [2]Growth }

// Step multiplies by the next Jacobian, d by d.
func (l *Lyapunov) Step(j []float64, d int) {
	if other := &l.all[1]; other.v == nil {
		other.start(d)
		for i := 0; i < d; i += 2 {
			other.v[i] = -other.v[i]
		}
	}
	for i := range l.all {
		l.all[i].Advance(d, func(next, v []float64) {
			for i := range d {
				next[i] = floats.Dot(j[i*d:(i+1)*d], v)
			}
		})
	}
}

// Exponent returns the larger of both means a step, and its standard error, to which their difference is added; see Growth.
func (l *Lyapunov) Exponent() (mean, err float64) {
	mean, err = l.all[0].Exponent()
	less, off := l.all[1].Exponent()
	if less > mean {
		mean, err, less = less, off, mean
	}
	if !math.IsInf(less, 0) {
		err = math.Hypot(err, mean-less)
	}
	return mean, err
}
