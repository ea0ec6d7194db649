package core

import (
	"fmt"
	"strings"
	"time"

	"pards/core/check"
	"pards/core/internal/par"
	"pards/core/lds"
	"pards/core/method"
	"pards/core/num"
	"pards/core/param"
)

// Backend runs a checked and planned solve.
type Backend[T num.Float] interface {
	// Name returns the device's name, "cpu".
	Name() string
	// Choices returns the methods that "auto" runs, each on the sequences that the one before it failed on.
	Choices(p *Problem[T]) []Choice
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
	Settings   param.Values[T]
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

// Solve fills states (B, T, D) with the trajectory of a problem and says how it went. A sequence that fails is not an error: its
// status says so.
func Solve[T num.Float](backend Backend[T], p *Problem[T], o *Options[T], states Array[T]) (*Solution, error) {
	start := time.Now()
	problem, err := p.check(states)
	if err != nil {
		return nil, err
	}
	options, err := o.check(problem)
	if err != nil {
		return nil, err
	}
	choices, err := choose(backend, p, o)
	if err != nil {
		return nil, err
	}
	solution := &Solution{Results: make([]method.Result, problem.Batch), Device: backend.Name()}
	if options.Window < problem.Steps {
		solution.Window = options.Window
	}
	members := make([]int, problem.Batch)
	for i := range members {
		members[i] = i
	}
	var ran, reasons []string
	for i, c := range choices {
		m, err := method.New(c.Method, o.Settings, problem.Steps, problem.Dim)
		if err != nil {
			return nil, err
		}
		plan := &Plan[T]{Problem: problem, Given: p, States: states, Method: m, Name: c.Method, Settings: o.Settings, Options: options,
			NumThreads: o.NumThreads, Poll: o.Poll}
		if err := backend.Fits(plan); err != nil && (i+1 < len(choices) || len(ran) > 0) {
			reasons = append(reasons, fmt.Sprintf("%s does not fit: %v", c.Method, err))
			continue // to what may take less; what the one before failed on stays as it left it
		} else if err != nil {
			return nil, err
		}
		for _, k := range members {
			solution.Results[k] = method.Result{} // of a method that failed
		}
		if err := backend.Solve(plan, members, solution.Results); err != nil {
			return nil, err
		}
		ran, reasons = append(ran, c.Method), append(reasons, c.Reason)
		if members = failed(solution.Results, members); len(members) == 0 || solution.Worst() == method.Interrupted {
			break
		}
	}
	solution.Method, solution.Reason = strings.Join(ran, "+"), strings.TrimSpace(strings.Join(reasons, "; "))
	solution.Seconds = time.Since(start).Seconds()
	if solution.Worst() == method.Interrupted {
		return solution, check.Of(check.Stopped, "solve", "interrupted")
	}
	return solution, nil
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
	s, err := lds.ForArray[T]("scan", structure, a.Shape)
	if err != nil {
		return err
	}
	if err := lds.Check(s, a.Data, a.Shape, b.Shape, out.Shape, x0.Shape, reverse); err != nil {
		return err
	}
	w := par.New(threads, poll)
	lds.Scan(w, s, a.Data, b.Data, x0.Data, out.Data, b.Shape[0], b.Shape[1], b.Shape[2], reverse)
	if w.Stopped() {
		return check.Of(check.Stopped, "scan", "interrupted")
	}
	return nil
}
