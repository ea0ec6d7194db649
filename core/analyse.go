package core

import (
	"fmt"
	"math"

	"pards/core/cell"
	"pards/core/check"
	"pards/core/internal/par"
	"pards/core/internal/simd"
	"pards/core/lds"
	"pards/core/method"
	"pards/core/num"
	"pards/core/theory"
)

// Analysis is what theory says of a method along one trajectory.
type Analysis struct {
	theory.Constants
	Lyapunov, LyapunovError float64 // per step
	Start                   float64 // |e| of the guess
	// Decay is how an error decays with A held as it is along the trajectory, from that of the guess: a row an update.
	Decay []Decay
}

// Decay is one iterate's distance: its largest component, in the measure of the stopping rule, and its merit.
type Decay struct{ Error, Merit float64 }

// Analyse analyses a method along trajectories (B, T, D), which must be there; the options that matter are method, settings, damping and
// clip, and atol / rtol for the measure of errors. The error of the guess is followed for some updates.
func Analyse[T num.Float](p *Problem[T], o *Options[T], states Array[T], updates int) ([]Analysis, error) {
	const fn = "analyse"
	problem, err := p.check(states, o.NumThreads)
	if err != nil {
		return nil, err
	}
	options, err := o.check(problem)
	if err != nil {
		return nil, err
	}
	if updates < 0 {
		return nil, check.Valuef(fn, "updates", fmt.Sprintf("is %d", updates), "at least 0", "")
	}
	if i := simd.FirstNonFinite(states.Data); i >= 0 {
		return nil, check.Valuef(fn, "states", fmt.Sprintf("holds %v", states.Data[i]), "finite numbers", "an iterate that overflowed has no linearisation")
	}
	if err := check.Choice(fn, "method", o.Method, method.Names()); err != nil {
		return nil, err
	}
	m, err := method.New(o.Method, o.Settings, problem.Steps, problem.Dim)
	if err != nil {
		return nil, err
	}
	if m.Structure() == nil {
		return nil, check.Valuef(fn, "method", fmt.Sprintf("is %q", o.Method), "a method that iterates", "a loop has no linearisation")
	}
	if need := analyseNeed(problem, m); problem.Batch > 0 && need > freeAlways && need > available() {
		return nil, check.Of(check.Memory, fn, fmt.Sprintf("T = %d, D = %d with %s needs %s, %s are free; analyse a part of the trajectory",
			problem.Steps, problem.Dim, o.Method, check.Bytes(need), check.Bytes(available())))
	}
	all := make([]Analysis, problem.Batch)
	w := par.New(o.NumThreads, o.Poll)
	if problem.Steps == 0 {
		return all, nil
	}
	n := problem.Steps * problem.Dim
	for b := range all {
		a := &analyst[T]{Problem: problem, w: w, member: b, x: states.Data[b*n : (b+1)*n], ratio: options.Atol / options.Rtol, scratch: &cell.Arena[T]{}}
		if all[b], err = a.analyse(options, m, updates); err != nil {
			return nil, err
		}
		if w.Stopped() {
			return nil, check.Of(check.Stopped, fn, "interrupted")
		}
	}
	return all, nil
}

// analyseNeed returns the bytes that one sequence takes: A in T and twice in double precision, a Caller's Jacobians twice, and some
// twenty trajectories.
func analyseNeed[T num.Float](p *method.Problem[T], m method.Method[T]) float64 {
	d := float64(p.Dim)
	numbers := 3*float64(m.Structure().Len(p.Dim)) + 20*d
	if cell.IsCaller(p.Cell) {
		numbers += 4 * d * d
	}
	return 8 * float64(p.Steps) * numbers
}

// analyst works on one trajectory.
type analyst[T num.Float] struct {
	*method.Problem[T]
	w       *par.Worker
	member  int
	x       []T // (T, D)
	ratio   float64
	scratch *cell.Arena[T]
}

// start returns the state before the first step.
func (a *analyst[T]) start() []T { return a.X0[a.member*a.X0Stride:][:a.Dim] }

// before returns the states before each step of a trajectory.
func (a *analyst[T]) before(x []T) []T {
	return append(append(make([]T, 0, len(x)), a.start()...), x[:len(x)-a.Dim]...)
}

// block is the steps [lo, hi), from the states before them, all of the trajectory for a Caller.
func (a *analyst[T]) block(prev []T, lo, hi int) cell.Block[T] {
	d := a.Dim
	b := cell.Block[T]{N: hi - lo, X: prev[lo*d : hi*d], Scratch: a.scratch, Sequences: []int64{int64(a.member)}, First: lo}
	if a.U != nil {
		from := a.member * a.UStride
		b.U = a.U[from+lo*a.Inputs : from+hi*a.Inputs]
	}
	return b
}

// each calls f for the blocks of the trajectory: for a Caller there is one.
func (a *analyst[T]) each(f func(lo, hi int) error) error {
	rows := evaluateRows
	if cell.IsCaller(a.Cell) {
		rows = a.Steps
	}
	for lo := 0; lo < a.Steps && !a.w.Stopped(); lo += rows {
		mark := a.scratch.Mark()
		if err := f(lo, min(lo+rows, a.Steps)); err != nil {
			return err
		}
		a.scratch.Release(mark)
	}
	return nil
}

// step writes f from the states before each step.
func (a *analyst[T]) step(f, prev []T) error {
	return a.each(func(lo, hi int) error {
		b := a.block(prev, lo, hi)
		b.Y = f[lo*a.Dim : hi*a.Dim]
		return a.Cell.Step(b)
	})
}

// jacobian returns those of one block, in double precision.
func (a *analyst[T]) jacobian(prev []T, lo, hi int) ([]float64, error) {
	d := a.Dim
	b, j := a.block(prev, lo, hi), make([]T, (hi-lo)*d*d)
	if cell.IsCaller(a.Cell) {
		b.Y = make([]T, (hi-lo)*d)
		if err := a.Cell.Step(b); err != nil {
			return nil, err
		}
		b.Known = true
	}
	err := a.Cell.Jacobian(b, j)
	return num.Wide(j), err
}

func (a *analyst[T]) analyse(o method.Options, m method.Method[T], updates int) (all Analysis, err error) {
	l, err := method.Along(a.w, a.Problem, o, m, a.member, a.x)
	if err != nil || a.w.Stopped() {
		return all, err
	}
	s, err := lds.Double(l.Structure)
	if err != nil {
		return all, err
	}
	d, length := a.Dim, s.Len(a.Dim)
	matrices, basis := num.Wide(l.A), num.Wide(l.Basis)
	var growth theory.Lyapunov
	var apart theory.Largest
	full := make([]float64, d*d)
	prev := a.before(a.x)
	err = a.each(func(lo, hi int) error {
		j, err := a.jacobian(prev, lo, hi)
		for t := lo; err == nil && t < hi && !a.w.Stopped(); t++ {
			one := j[(t-lo)*d*d : (t-lo+1)*d*d]
			growth.Step(one, d)
			if t > 0 {
				s.Dense(full, matrices[t*length:(t+1)*length], d)
				apart.See(difference(one, full, basis, d), d)
			}
		}
		return err
	})
	if err != nil || a.w.Stopped() {
		return all, err
	}
	all.Lyapunov, all.LyapunovError = growth.Exponent()
	all.Difference = apart.Norm
	chain := theory.NewChain(a.w, s, matrices, d, a.Steps)
	all.Inverse = chain.InverseNorm(a.w, a.Steps)
	if !cell.IsAffine(a.Cell) {
		all.Lipschitz, err = a.lipschitz(prev)
	}
	if err != nil || a.w.Stopped() {
		return all, err
	}
	all.Start, all.Decay, err = a.decay(chain, l, basis, updates)
	return all, err
}

// difference returns J - Q A Q'; an empty Q is a unit matrix.
func difference(j, a, q []float64, d int) []float64 {
	out := append([]float64(nil), j...)
	if len(q) == 0 {
		for i, v := range a {
			out[i] -= v
		}
		return out
	}
	for i := range d {
		for k := range d {
			for l := range d {
				out[i*d+k] -= q[i*d+l] * a[l*(d+1)] * q[k*d+l]
			}
		}
	}
	return out
}

// lipschitzLooks is along how many directions the change of J is measured, beside that to the guess; lipschitzSteps at how many steps at
// least, spread over the trajectory, where it has more.
const lipschitzLooks, lipschitzSteps = 3, 4096

// lipschitz returns the largest |J(z) - J(x)| / |z - x| over the steps, z the guess or near x in some directions: an estimate from below of L
// between the trajectory and the guess. Near is a thousandth of the states' size in double precision, a hundredth in single, where
// rounding is as much of J.
func (a *analyst[T]) lipschitz(prev []T) (float64, error) {
	d, h, top := a.Dim, 1e-3, 1.0
	if num.Size[T]() == 4 {
		h = 1e-2
	}
	for _, v := range prev {
		top = max(top, math.Abs(float64(v)))
	}
	v, moved := make([]float64, len(prev)), make([]T, len(prev))
	var change theory.Largest
	for look := 0; look < lipschitzLooks && !a.w.Stopped(); look++ {
		theory.Signs(v, uint64(10+look))
		for i, x := range prev {
			moved[i] = x + T(h*top/math.Sqrt(float64(d))*v[i])
		}
		if err := a.compare(&change, prev, moved); err != nil {
			return 0, err
		}
	}
	err := a.compare(&change, prev, a.before(a.guessed()))
	return change.Norm, err
}

// compare takes in the change of J from some states to others, by their distance, at some of the steps where they are many.
func (a *analyst[T]) compare(change *theory.Largest, from, to []T) error {
	d, stride, skip := a.Dim, 1, max(a.Steps/lipschitzSteps, 1)
	if cell.IsCaller(a.Cell) {
		stride, skip = skip, 1
	}
	return a.each(func(lo, hi int) error {
		if lo/evaluateRows%skip > 0 {
			return nil
		}
		j, err := a.jacobian(from, lo, hi)
		if err != nil {
			return err
		}
		there, err := a.jacobian(to, lo, hi)
		if err != nil {
			return err
		}
		for t := 0; t < hi-lo && !a.w.Stopped(); t += stride {
			apart := 0.0
			for i := (lo + t) * d; i < (lo+t+1)*d; i++ {
				e := float64(to[i]) - float64(from[i])
				apart += e * e
			}
			one := there[t*d*d : (t+1)*d*d]
			for i, v := range j[t*d*d : (t+1)*d*d] {
				one[i] = (one[i] - v) / math.Sqrt(apart)
			}
			if apart > 0 {
				change.See(one, d)
			}
		}
		return nil
	})
}

// guessed returns the guess along the whole trajectory.
func (a *analyst[T]) guessed() []T {
	z := make([]T, len(a.x))
	if a.Guess != nil {
		copy(z, a.Guess[a.member*a.GuessStride:][:len(z)])
		return z
	}
	for t := 0; t < len(z); t += a.Dim {
		copy(z[t:], a.start())
	}
	return z
}

// decay follows the error of the guess: what an update leaves of it where A is what it is along the trajectory. f itself is evaluated, so
// that the iterates are those of the method as far as A is nearly constant on the way.
func (a *analyst[T]) decay(c *theory.Chain, l *method.Linearisation[T], basis []float64, updates int) (start float64, rows []Decay, err error) {
	n := len(a.x)
	follow := &follower[T]{analyst: a, chain: c, line: l, basis: basis, trust: l.Trust, z: a.guessed(), f: make([]T, n),
		r: make([]float64, n), d: make([]float64, n), t: make([]float64, n)}
	for k := 0; k <= updates && !a.w.Stopped(); k++ {
		row, err := follow.measure()
		if err != nil {
			return 0, nil, err
		}
		if k == 0 {
			start = follow.distance()
		}
		rows = append(rows, row)
		if !(row.Merit <= math.MaxFloat64) {
			break
		}
		if k < updates {
			follow.update()
		}
	}
	for last := len(rows) - 1; last >= 0 && len(rows) <= updates; { // what has overflowed stays so
		rows = append(rows, rows[last])
	}
	return start, rows, nil
}

// follower is an iterate on its way to the trajectory.
type follower[T num.Float] struct {
	*analyst[T]
	chain   *theory.Chain
	line    *method.Linearisation[T]
	basis   []float64
	trust   float64
	scratch []float64
	z, f    []T
	r, d, t []float64
}

// distance returns |e|, the norm over all steps and components.
func (f *follower[T]) distance() float64 {
	sum := 0.0
	for i, v := range f.z {
		e := float64(v) - float64(f.x[i])
		sum += e * e
	}
	return math.Sqrt(sum)
}

// measure evaluates the residual and says how far the iterate is.
func (f *follower[T]) measure() (row Decay, err error) {
	if err := f.step(f.f, f.before(f.z)); err != nil {
		return row, err
	}
	apart, size := make([]float64, f.Dim), make([]float64, f.Dim)
	for i, v := range f.z {
		f.r[i] = float64(v) - float64(f.f[i])
		row.Merit += f.r[i] * f.r[i] / 2
		k := i % f.Dim
		apart[k], size[k] = num.Max(apart[k], math.Abs(float64(v)-float64(f.x[i]))), max(size[k], math.Abs(float64(f.x[i])))
	}
	for k, v := range apart {
		if v != 0 {
			row.Error = num.Max(row.Error, v/(f.ratio+size[k]))
		}
	}
	if !(row.Merit <= math.MaxFloat64) {
		row = Decay{math.Inf(1), math.Inf(1)}
	}
	return row, nil
}

// update moves the iterate by the increments that its residual asks for.
func (f *follower[T]) update() {
	d := f.Dim
	for i, v := range f.r {
		f.t[i] = -v
	}
	smoothable, smooths := f.chain.Structure.(lds.Smoothable[float64])
	switch {
	case f.trust > 0 && smooths:
		if f.scratch == nil {
			f.scratch = make([]float64, f.Steps*lds.TrustLen[float64](smoothable, d))
		}
		p := lds.Trust[float64]{D: d, A: f.chain.A, R: f.r, Weight: 1 / f.trust, Filter: f.line.Filter, X: f.d, Scratch: f.scratch}
		lds.Smooth(f.w, smoothable, p, lds.Chunk[float64](smoothable, 1, f.Steps, d))
		if f.line.Adapts {
			f.trust = min(method.TrustMore*f.trust, 1/num.Eps[T]())
		}
	case len(f.basis) > 0:
		turn(f.r, f.t, f.basis, d, true)
		f.chain.Inverse(f.w, f.t, f.r)
		turn(f.d, f.t, f.basis, d, false)
	default:
		f.chain.Inverse(f.w, f.d, f.t)
	}
	for i, v := range f.d {
		f.z[i] += T(v)
	}
}

// turn writes each row times Q, or times Q'.
func turn(dst, x, q []float64, d int, in bool) {
	clear(dst)
	for t := 0; t < len(x); t += d {
		for i := range d {
			for k := range d {
				if in {
					dst[t+k] += x[t+i] * q[i*d+k]
				} else {
					dst[t+i] += q[i*d+k] * x[t+k]
				}
			}
		}
	}
}
