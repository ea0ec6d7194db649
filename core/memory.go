package core

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"pards/core/check"
	"pards/core/method"
	"pards/core/num"
)

// freeAlways is how little need not be asked for: reading what is free takes longer than a small solve.
const freeAlways = 64 << 20

// checkMemory refuses a solve that cannot fit, before anything is allocated, and says what would.
func checkMemory[T num.Float](p *Plan[T]) error {
	workers := p.NumThreads
	if workers == 0 {
		workers = Workers()
	}
	full := method.AsksForJacobians(p.Name)
	bytes := method.Need(p.Problem, p.Method, full, workers, p.Options.Window)
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
	} else if full {
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
