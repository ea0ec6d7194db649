package core_test

import (
	"fmt"
	"math"
	"testing"

	"pards/core"
	"pards/core/cell"
	"pards/core/cell/celltest"
	"pards/core/internal/par"
	"pards/core/lds"
	"pards/core/method"
	"pards/core/method/methodtest"
	"pards/core/num"
)

// elsewhere is a method.Remote that works as a device would: whole windows of all sequences, f and A in memory, increments scanned.
type elsewhere[T num.Float] struct {
	plan    *core.Plan[T]
	x, next map[int][]T // by sequence: the window's rows
	f, a    map[int][]T
	start   map[int][]T
	steps   int
	first   int
}

// remotely is a core.Backend made of it.
type remotely[T num.Float] struct{ core.CPU[T] }

func (remotely[T]) Solve(p *core.Plan[T], members []int, results []method.Result) error {
	e := &elsewhere[T]{plan: p, x: map[int][]T{}, next: map[int][]T{}, f: map[int][]T{}, a: map[int][]T{}, start: map[int][]T{}}
	for _, m := range members {
		e.start[m] = p.Problem.X0[m*p.Problem.X0Stride:][:p.Problem.Dim]
	}
	return method.RunRemote(p.Problem, p.Options, p.Method, e, p.Poll, results, members)
}

func (e *elsewhere[T]) guess(m, from, to int) []T {
	p := e.plan.Problem
	rows := make([]T, 0, (to-from)*p.Dim)
	for t := from; t < to; t++ {
		if p.Guess != nil {
			rows = append(rows, p.Guess[m*p.GuessStride+t*p.Dim:][:p.Dim]...)
		} else {
			rows = append(rows, e.start[m]...)
		}
	}
	return rows
}

func extents[T num.Float](d int, rows func(i int) T, n int) []float64 {
	e := make([]float64, d)
	for i := range n {
		e[i%d] = num.Max(e[i%d], math.Abs(float64(rows(i))))
	}
	return e
}

func (e *elsewhere[T]) Open(group []*method.Sequence[T], first, steps int) error {
	e.first, e.steps = first, steps
	for _, s := range group {
		e.x[s.Index] = e.guess(s.Index, first, first+steps)
		x := e.x[s.Index]
		s.SetScale(extents(e.plan.Problem.Dim, func(i int) T { return x[i] }, len(x)))
	}
	return nil
}

// block is the window of one sequence.
func (e *elsewhere[T]) block(s *method.Sequence[T]) method.Block[T] {
	p, x := e.plan.Problem, e.x[s.Index]
	b := method.Block[T]{Cell: p.Cell, Members: []*method.Sequence[T]{s}, Seed: e.plan.Options.Seed}
	b.N, b.X, b.Scratch, b.Y = e.steps, append(append([]T{}, e.start[s.Index]...), x[:len(x)-p.Dim]...), &cell.Arena[T]{}, make([]T, len(x))
	if p.U != nil {
		b.U = p.U[s.Index*p.UStride+e.first*p.Inputs:][:e.steps*p.Inputs]
	}
	return b
}

func (e *elsewhere[T]) Evaluate(active []*method.Sequence[T]) error {
	for _, s := range active {
		b, x, sum := e.block(s), e.x[s.Index], 0.0
		b.A = make([]T, e.steps*max(e.plan.Method.Structure().Len(e.plan.Problem.Dim), 1))
		if err := e.plan.Method.Linearise(&b); err != nil {
			return err
		}
		e.f[s.Index], e.a[s.Index] = b.Y, b.A
		for i, v := range x {
			r := float64(v - b.Y[i])
			sum += r * r
		}
		s.SetResidual(sum, extents(e.plan.Problem.Dim, func(i int) T { return x[i] - b.Y[i] }, len(x)))
	}
	return nil
}

func (e *elsewhere[T]) Update(active []*method.Sequence[T]) error {
	d, structure := e.plan.Problem.Dim, e.plan.Method.Structure()
	w := par.New(1, nil)
	for _, s := range active {
		f, a, x, n := e.f[s.Index], e.a[s.Index], e.x[s.Index], e.steps*d
		b, inc, moved := make([]T, n), make([]T, n), make([]T, n)
		affine := cell.IsAffine(e.plan.Problem.Cell)
		if affine {
			structure.Mul(b, a, e.block(s).X, d)
			clear(b[:d])
		}
		for i := range b {
			if b[i] = f[i] - b[i]; !affine {
				b[i] -= x[i]
			}
		}
		lds.Scan(w, structure, a, b, nil, inc, 1, e.steps, d, false)
		next := inc
		if !affine {
			next = append([]T{}, f...)
			structure.Mul(moved[d:], a[structure.Len(d):], inc[:n-d], d)
			for i, v := range moved[d:] {
				next[d+i] += v
			}
		}
		e.next[s.Index] = next
		e.measure(s)
	}
	return nil
}

func (e *elsewhere[T]) measure(s *method.Sequence[T]) {
	d, x, next := e.plan.Problem.Dim, e.x[s.Index], e.next[s.Index]
	bad := num.FirstNonFinite(next)
	if bad >= 0 {
		bad /= d
	}
	s.SetUpdate(extents(d, func(i int) T { return next[i] }, len(x)), extents(d, func(i int) T { return next[i] - x[i] }, len(x)), bad)
}

func (e *elsewhere[T]) Accept(s *method.Sequence[T]) error {
	e.x[s.Index] = e.next[s.Index]
	return nil
}

func (e *elsewhere[T]) Reset(s *method.Sequence[T]) (n int, err error) {
	guess := e.guess(s.Index, e.first, e.first+e.steps)
	for i, v := range e.next[s.Index] {
		if v != v {
			e.next[s.Index][i] = guess[i]
			n++
		}
	}
	e.measure(s)
	return n, nil
}

func (e *elsewhere[T]) Close(s *method.Sequence[T], fill bool) error {
	p, x := e.plan.Problem, e.x[s.Index]
	home := e.plan.States.Data[(s.Index*p.Steps+e.first)*p.Dim:]
	copy(home, x)
	e.start[s.Index] = x[len(x)-p.Dim:]
	if fill {
		e.start[s.Index] = p.X0[s.Index*p.X0Stride:][:p.Dim]
		copy(home[len(x):], e.guess(s.Index, e.first+e.steps, p.Steps))
	}
	return nil
}

// The loop decides over a Remote's iterates as over its own: same counts and statuses, states that agree to rounding.
func TestRemote(t *testing.T) {
	for _, e := range celltest.Examples {
		p := methodtest.Problem[float64](t, e, 3, 40)
		for _, name := range []string{"newton", "quasi_newton", "picard", "jacobi", "scaled_identity"} {
			for _, change := range []func(o *core.Options[float64]){
				func(*core.Options[float64]) {},
				func(o *core.Options[float64]) { o.Window = 16 },
				func(o *core.Options[float64]) { o.MeritTol = 1e-4 },
				func(o *core.Options[float64]) { o.Nonfinite = "reset" },
				func(o *core.Options[float64]) { o.MaxIterations, o.Window = 2, 16 },
			} {
				o := core.Defaults[float64]()
				o.Method, o.Trace = name, true
				change(&o)
				what := fmt.Sprintf("%s/%s %s window %d merit_tol %v", e.Cell, e.Name, name, o.Window, o.MeritTol)
				got, want := make([]float64, 3*40*p.Cell.Dim()), make([]float64, 3*40*p.Cell.Dim())
				far, err := core.Solve[float64](remotely[float64]{}, p, &o, core.Host(got))
				must(t, err)
				near, err := core.Solve(core.CPU[float64]{}, p, &o, core.Host(want))
				must(t, err)
				for i, r := range far.Results {
					c := near.Results[i]
					// where updates grow, rounding grows with them and may decide when to stop: those are left out
					if c.Status.Success() && (r.Status != c.Status || r.Iterations != c.Iterations || len(r.Trace) != len(c.Trace)) {
						t.Errorf("%s, sequence %d: %s after %d updates, the CPU's own loop %s after %d", what, i, r.Status, r.Iterations, c.Status, c.Iterations)
					}
				}
				if near.Worst().Success() {
					for i, v := range want {
						if d := got[i] - v; !(math.Abs(d) <= 1e-9*(1+math.Abs(v))) {
							t.Fatalf("%s: %v at %d, want %v", what, got[i], i, v)
						}
					}
				}
			}
		}
	}
}
