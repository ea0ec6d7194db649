package core

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pards/core/check"
	"pards/core/internal/par"
	"pards/core/internal/simd"
	"pards/core/lds"
	"pards/core/method"
	"pards/core/num"
)

// Backend runs a checked and planned solve.
type Backend[T num.Float] interface {
	// Name returns the device's name, "cpu".
	Name() string
	// Choices returns the methods that "auto" runs, each on the sequences that the one before it failed on.
	Choices(p *Problem[T], o *Options[T]) []Choice
	// Fits returns why a plan cannot run, for want of memory or of a kernel, before anything is allocated.
	Fits(job *Plan[T]) error
	// Solve fills states and results of the sequences named by members.
	Solve(job *Plan[T], members []int, results []method.Result) error
}

// Plan is a solve ready to run.
type Plan[T num.Float] struct {
	Problem    *method.Problem[T]
	Given      *Problem[T] // what the caller gave, where arrays on a device have their addresses
	States     Array[T]    // (B, T, D), to write to
	Method     method.Method[T]
	Name       string
	Options    method.Options
	NumThreads int
	Poll       func() bool
	Kept       any // what a backend's Fits found, for its Solve
}

// CPU is the backend of this machine's cores.
type CPU[T num.Float] struct{}

// Name returns "cpu".
func (CPU[T]) Name() string { return "cpu" }

// Fits asks how much memory is free.
func (CPU[T]) Fits(p *Plan[T]) error { return checkMemory(p) }

// Solve runs the plan on a team of goroutines.
func (CPU[T]) Solve(p *Plan[T], members []int, results []method.Result) error {
	defer lean(need(p))()
	job := method.Job[T]{Problem: p.Problem, Options: p.Options, Method: p.Method, Worker: par.New(p.NumThreads, p.Poll), States: p.States.Data, Results: results}
	return job.Run(members)
}

// Workers returns how many workers a solve gets when it does not ask.
func Workers() int { return par.Default() }

// Vectors names the vector instructions in use: "avx512", "avx2", "generic".
func Vectors() string {
	level, _ := simd.Level()
	return level
}

// Environment returns what is wrong with the environment's variables that the core reads, PARDS_NUM_THREADS and PARDS_SIMD.
func Environment() error {
	_, err := simd.Level()
	return errors.Join(par.Wrong(), err)
}

// Solve fills states (B, T, D) with the trajectory of a problem and says how it went. A sequence that fails is not an error: its
// status says so.
func Solve[T num.Float](backend Backend[T], p *Problem[T], o *Options[T], states Array[T]) (*Solution, error) {
	start := time.Now()
	problem, err := p.check(states, o.NumThreads)
	if err != nil {
		return nil, err
	}
	options, err := o.check(problem)
	if err != nil {
		return nil, err
	}
	if err := checkMethod(o); err != nil {
		return nil, err
	}
	solution := &Solution{Results: make([]method.Result, problem.Batch), Device: backend.Name()}
	r := &run[T]{backend: backend, o: o, plan: Plan[T]{Problem: problem, Given: p, States: states, Options: options,
		NumThreads: o.NumThreads, Poll: o.Poll}, solution: solution}
	for i := range problem.Batch {
		r.left = append(r.left, i)
	}
	if o.Method == "auto" {
		err = r.auto()
	} else {
		err = r.by(o.Method)
	}
	if err != nil {
		return nil, err
	}
	if w := r.longest(); w < problem.Steps {
		solution.Window = w
	}
	solution.Method, solution.Reason = strings.Join(r.ran, "+"), strings.Join(r.reasons, "; ")
	solution.Seconds = time.Since(start).Seconds()
	if solution.Worst() == method.Interrupted {
		return solution, check.Of(check.Stopped, "solve", "interrupted")
	}
	return solution, nil
}

// run is a solve under way: by one method, or by those that "auto" takes one after another.
type run[T num.Float] struct {
	backend  Backend[T]
	o        *Options[T]
	plan     Plan[T] // but for the method
	solution *Solution
	left     []int // the sequences that are not solved
	ran      []string
	reasons  []string
}

// say adds to the reasons.
func (r *run[T]) say(text string, args ...any) {
	r.reasons = append(r.reasons, fmt.Sprintf(text, args...))
}

// longest is the length of the windows, of the longest that was done where they adapt; 0 where no window was. What a backend solves in
// windows of one length advances by all of them.
func (r *run[T]) longest() int {
	if !r.plan.Options.AutoWindow {
		return r.plan.Options.Window
	}
	longest := 0
	for _, result := range r.solution.Results {
		if len(result.Advances) == 0 && len(result.Windows) > 1 {
			longest = r.plan.Options.Window
		}
		for _, steps := range result.Advances {
			longest = max(longest, steps)
		}
	}
	return longest
}

// planOf is the plan of a method by its name.
func (r *run[T]) planOf(name string) (*Plan[T], error) {
	plan := r.plan
	m, err := method.New(name, r.o.Settings, plan.Problem.Steps, plan.Problem.Dim)
	plan.Method, plan.Name = m, name
	return &plan, err
}

// by solves what is left by a method, and tells what it failed on if another may follow.
func (r *run[T]) by(name string) error {
	plan, err := r.planOf(name)
	if err != nil {
		return err
	}
	if err := r.backend.Fits(plan); err != nil {
		return err
	}
	if err := r.backend.Solve(plan, r.left, r.solution.Results); err != nil {
		return err
	}
	if len(r.ran) == 0 || r.ran[len(r.ran)-1] != name {
		r.ran = append(r.ran, name)
	}
	before := len(r.left)
	if r.left = failed(r.solution.Results, r.left); len(r.left) > 0 && r.o.Method == "auto" {
		first := r.solution.Results[r.left[0]]
		for _, i := range r.left {
			if o := r.solution.Results[i]; o.Done < first.Done {
				first = o
			}
		}
		who := ""
		if before > 1 {
			who = fmt.Sprintf("on %d of %d sequences, the first ", len(r.left), before)
		}
		r.say("%s ended as %s %s%s", name, first.Status, who, ending(first, plan.Problem.Steps))
	}
	return nil
}

// ending tells where a sequence failed, and what its iterates came to. The plain loop has none, and goes through all steps.
func ending(o method.Result, steps int) string {
	if o.Done == steps {
		return fmt.Sprintf("at step %d of %d, as the model does", o.BadStep, steps)
	}
	text := fmt.Sprintf("at step %d of %d after %d updates, its merit then %.2g", o.Done, steps, o.Iterations, o.Merit)
	if o.BadStep >= 0 {
		text += fmt.Sprintf(", the first overflow at step %d", o.BadStep)
	}
	return text
}

// failed returns those members that did not succeed.
func failed(results []method.Result, members []int) []int {
	var left []int
	for _, i := range members {
		if !results[i].Status.Success() {
			left = append(left, i)
		}
	}
	return left
}

// Scan evaluates x[t] = A[t] x[t-1] + b[t] over a batch; a (B, T, ...), b and out (B, T, D), x0 (B, D) or none.
func Scan[T num.Float](structure string, a, b, x0, out Array[T], reverse bool, threads int, poll func() bool) error {
	s, err := scanned(structure, a, b, x0, out, reverse)
	if err != nil {
		return err
	}
	w := par.New(threads, poll)
	lds.Scan(w, s, a.Data, b.Data, x0.Data, out.Data, b.Shape[0], b.Shape[1], b.Shape[2], reverse)
	if w.Stopped() {
		return check.Of(check.Stopped, "scan", "interrupted")
	}
	return nil
}

// Update evaluates x'[t] = f[t] + A[t] (x'[t-1] - x[t-1]) over a batch: the iterate that follows x, along which f was evaluated. a (B, T, ...),
// the others (B, T, D).
func Update[T num.Float](structure string, a, f, x, out Array[T]) error {
	s, err := scanned(structure, a, f, Array[T]{}, out, false)
	if err != nil {
		return err
	}
	if !slices.Equal(x.Shape, f.Shape) {
		return check.Valuef("update", "x", "has shape "+check.ShapeText(x.Shape), check.ShapeText(f.Shape), "that of f")
	}
	lds.Update(par.New(0, nil), s, a.Data, f.Data, x.Data, out.Data, f.Shape[0], f.Shape[1], f.Shape[2])
	return nil
}

// scanned returns the structure of the arguments of a scan, which it checks.
func scanned[T num.Float](structure string, a, b, x0, out Array[T], reverse bool) (lds.Structure[T], error) {
	s, err := lds.ForArray[T]("scan", structure, a.Shape)
	if err != nil {
		return nil, err
	}
	return s, lds.Check(s, a.Data, a.Shape, b.Shape, out.Shape, x0.Shape, reverse)
}

// Measure writes, of each sequence of x and f (B, T, D), how far x is from f; least is atol / rtol.
func Measure[T num.Float](x, f Array[T], least float64, to []method.Distance) error {
	if len(x.Shape) != 3 || x.Shape[0] != len(to) || !slices.Equal(x.Shape, f.Shape) {
		return check.Valuef("measure", "x", "has shape "+check.ShapeText(x.Shape)+", f "+check.ShapeText(f.Shape), "one of (B, T, D)", "")
	}
	steps, d := x.Shape[1], x.Shape[2]
	par.New(0, nil).For(len(to), 1+worthHelper/(steps*d+1), func(w *par.Worker, i int) {
		to[i] = method.Measure(w, x.Data[i*steps*d:(i+1)*steps*d], f.Data[i*steps*d:(i+1)*steps*d], d, least)
	})
	return nil
}

// worthHelper is how many numbers to measure are worth a helper.
const worthHelper = 1 << 14
