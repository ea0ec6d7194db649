package method

import (
	"math"

	"pards/core/num"
)

// Tested is what a test sees of an iterate.
type Tested struct {
	Merit    float64 // half the sum of squares of its residual
	Residual float64 // the largest
	Rough    float64 // the residual's size
	Finite   bool
	Settled  bool    // the one before satisfied the model to rounding
	Update   float64 // the size of the last update
	Error    float64 // what the updates tell of the distance to the sequential trajectory
	Updates  int
}

// Limits are what it is held to.
type Limits struct {
	MeritTol float64 // NaN for the test by Rtol
	Rtol     float64
	Eps      float64 // of the dtype
	Cap      int     // most updates
	Holds    bool    // the method holds updates back
	Shortens bool    // a window is given up for a shorter one
}

// Verdict is what a test says: whether it was the last iterate, and then as what it ends, unless its window is given up.
type Verdict struct {
	Done, Short, Settled bool
	Status               Status
	Error                float64
}

// judge decides whether an iterate is the one to return.
func (i Tested) judge(l Limits) Verdict {
	v := Verdict{Done: true, Error: i.Error, Settled: i.Rough <= rounding*l.Eps}
	if l.Holds && v.Error == 0 && !v.Settled { // what a trust region holds back below rounding has not come to rest
		v.Error = math.NaN()
	}
	estimated := v.Error <= l.Rtol && (v.Settled || i.Rough <= doubtful*l.Rtol)
	switch byMerit := !math.IsNaN(l.MeritTol); {
	case !byMerit && i.Residual == 0: // no residual at all: the iterate is the trajectory, to the bit
		v.Status, v.Error = Converged, 0
	case byMerit && i.Merit <= l.MeritTol, !byMerit && estimated:
		v.Status = Converged
	case math.IsInf(v.Error, 1) && i.Settled && v.Settled: // updates grow, and two iterates satisfy the model to rounding
		v.Status, v.Error = Floor, i.Update
	case l.Shortens && i.Updates >= min(l.Cap, Patience):
		v.Short = true
	case i.Updates >= l.Cap && i.Finite:
		v.Status = MaxIterations
	case i.Updates >= l.Cap:
		v.Status = Nonfinite
	default:
		v.Done = false
	}
	return v
}

// Course is how far an iteration has come whose f something else evaluates.
type Course struct {
	Updates         int
	Sizes           [3]float64 // of the last three, the newest first
	Merit, Error    float64    // of the iterate that was tested last
	Status          Status     // of that, Going or GivenUp
	Residual, Rough float64    // its largest, and the size of that
}

// Beside the outcomes a Course has these.
const (
	Going   Status = -1
	GivenUp        = Interrupted + 1 // the window is, for a shorter one
)

// Next tests an iterate x, own being its distance from f along it, and accepts the next one, where it is not the last, moved being the distance of
// that from x. stop: an update that is not finite ends the iteration.
func (p Course) Next(own, moved Distance, stop bool, l Limits) Course {
	u := updates{[3]float64{p.Sizes[2], p.Sizes[1], p.Sizes[0]}, p.Updates}
	merit := own.Squares / 2
	if !(merit <= math.MaxFloat64) {
		merit = math.Inf(1)
	}
	v := Tested{merit, own.Largest, own.Size, num.IsFinite(own.Scale), p.Rough <= rounding*l.Eps, p.Sizes[0], u.estimate(), p.Updates}.judge(l)
	p.Sizes = [3]float64{moved.Size, p.Sizes[0], p.Sizes[1]}
	p.Merit, p.Error, p.Residual, p.Rough = merit, v.Error, own.Largest, own.Size
	refused := stop && !v.Done && !num.IsFinite(moved.Scale)
	switch {
	case v.Short, refused && l.Shortens:
		p.Status = GivenUp
	case refused:
		p.Status = Nonfinite
	case v.Done:
		p.Status = v.Status
	default:
		p.Status = Going
		p.Updates++
	}
	return p
}
