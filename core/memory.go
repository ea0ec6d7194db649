package core

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	"pards/core/check"
	"pards/core/method"
	"pards/core/num"
)

// freeAlways is how little need not be asked for: reading what is free takes longer than a small solve.
const freeAlways = 64 << 20

// Memory returns the method that would run, the length of its windows (0: none), and the bytes that a solve allocates beside the arrays
// of problem and states, of which only the axes count: nothing is allocated or read.
func Memory[T num.Float](p *Problem[T], o *Options[T]) (name string, window int, bytes float64, err error) {
	if p.Batch < 0 || p.Length < 0 {
		return "", 0, 0, check.Valuef("memory", "batch or length", fmt.Sprintf("is %d, %d", p.Batch, p.Length), "at least 0", "")
	}
	problem := &method.Problem[T]{Cell: p.Cell, Batch: p.Batch, Steps: p.Length, Dim: p.Cell.Dim(), Inputs: p.Cell.Inputs()}
	options, err := o.check(problem)
	if err != nil {
		return "", 0, 0, err
	}
	if err := checkMethod(o); err != nil {
		return "", 0, 0, err
	}
	if name = o.Method; name == "auto" {
		name = CPU[T]{}.Choices(p, o)[0].Method
	}
	m, err := method.New(name, o.Settings, problem.Steps, problem.Dim)
	if err != nil {
		return "", 0, 0, err
	}
	if options.Window < problem.Steps {
		window = options.Window
	}
	return name, window, need(&Plan[T]{Problem: problem, Method: m, Name: name, Options: options, NumThreads: o.NumThreads}), nil
}

// need returns the bytes that a plan allocates on the CPU.
func need[T num.Float](p *Plan[T]) float64 {
	workers := p.NumThreads
	if workers == 0 {
		workers = Workers()
	}
	return method.Need(p.Problem, p.Method, method.AsksForJacobians(p.Name), workers, p.Options.Window)
}

// A solve that allocates much makes little garbage beside it, but Go's collector would let that grow as large as what is in use. While
// such solves run it lets it grow to a tenth, so that their peak is what need says; tiny ones are not slowed by a collector that runs often.
const (
	leanFrom    = 16 << 20 // bytes
	leanPercent = 10
)

var leanSolves struct {
	sync.Mutex
	running, before int
}

// lean keeps the heap small until done is called.
func lean(bytes float64) (done func()) {
	if bytes < leanFrom {
		return func() {}
	}
	l := &leanSolves
	l.Lock()
	defer l.Unlock()
	if l.running++; l.running == 1 {
		l.before = debug.SetGCPercent(leanPercent)
	}
	return func() {
		l.Lock()
		defer l.Unlock()
		if l.running--; l.running == 0 {
			debug.SetGCPercent(l.before)
		}
	}
}

// checkMemory refuses a solve that cannot fit, before anything is allocated, and says what would.
func checkMemory[T num.Float](p *Plan[T]) error {
	bytes := need(p)
	if bytes < freeAlways {
		return nil
	}
	free := available()
	if bytes <= free {
		return nil
	}
	advice := "give the sequences fewer at a time"
	if w := int(free / 2 / bytes * float64(p.Options.Window)); w >= 1 {
		advice = fmt.Sprintf("window=%d would fit", w)
	} else if method.AsksForJacobians(p.Name) {
		advice = `method="quasi_newton" or "sequential" would need less`
	}
	return check.Of(check.Memory, "solve", fmt.Sprintf("method %s with batch %d, T = %d, D = %d, window %d needs %s beside the result, %s are free; %s",
		p.Name, p.Problem.Batch, p.Problem.Steps, p.Problem.Dim, p.Options.Window, check.Bytes(bytes), check.Bytes(free), advice))
}

// available returns the bytes that may still be allocated: what the system has free, and what the control group leaves. Where neither
// can be read there is no limit.
func available() float64 {
	free := math.Inf(1)
	if f, err := os.Open("/proc/meminfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if v, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
				kb, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 64)
				free = kb * 1024
			}
		}
	}
	for _, group := range []struct{ dir, limit, used string }{ // of version 2, and of version 1
		{"/sys/fs/cgroup/", "memory.max", "memory.current"},
		{"/sys/fs/cgroup/memory/", "memory.limit_in_bytes", "memory.usage_in_bytes"},
	} {
		limit, ok := readNumber(group.dir + group.limit)
		if used, ok2 := readNumber(group.dir + group.used); ok && ok2 {
			free = min(free, max(limit-used+cached(group.dir+"memory.stat"), 0))
		}
	}
	return free
}

// cached returns the bytes of file pages that a control group gives back when memory is short.
func cached(path string) float64 {
	b, _ := os.ReadFile(path)
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "inactive_file "); ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(v), 64)
			return n
		}
	}
	return 0
}

func readNumber(path string) (float64, bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(string(b)), 64)
	return v, err == nil
}
