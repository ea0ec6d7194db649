package core

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"pards/core/cell"
	"pards/core/check"
	"pards/core/method"
	"pards/core/num"
)

// need returns the bytes that a solve allocates besides the caller's arrays, at a window of w steps. length is Structure.Len, keeps how
// many numbers a step the method holds on to.
//
// A native cell needs a second iterate for each sequence in work, and what the method keeps. A Caller needs, for the whole window of the batch, that, f, the
// states before each step, the right-hand side, A, and on its own side copies of the Jacobian's shifted states and their images.
func need[T num.Float](p *method.Problem[T], length, keeps, w int) float64 {
	rows, d, size := float64(p.Batch)*float64(w), float64(p.Dim), float64(num.Size[T]())
	if !cell.IsCaller(p.Cell) {
		return min(float64(Workers()), float64(p.Batch)) * float64(w) * (d + float64(keeps)) * size
	}
	shifted := 0.0
	if length > 0 {
		shifted = 3 * d * d
	}
	return rows * (4*d + float64(length+keeps) + shifted) * size
}

// freeAlways is how little need not be asked for: reading what is free takes longer than a small solve.
const freeAlways = 64 << 20

// checkMemory refuses a solve that cannot fit, before anything is allocated, and says what would.
func checkMemory[T num.Float](p *Plan[T]) error {
	s := p.Method.Structure()
	if s == nil {
		return nil
	}
	keeps := 0
	if o, ok := p.Method.(method.Opener[T]); ok {
		keeps = o.Keeps(p.Problem.Dim)
	}
	bytes := need(p.Problem, s.Len(p.Problem.Dim), keeps, p.Options.Window)
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
	} else if s.Len(p.Problem.Dim) > 0 {
		advice = `method="picard" or "sequential" would need less`
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
	limit, ok := readNumber("/sys/fs/cgroup/memory.max")
	if used, ok2 := readNumber("/sys/fs/cgroup/memory.current"); ok && ok2 {
		free = min(free, max(limit-used, 0))
	}
	return free
}

func readNumber(path string) (float64, bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(string(b)), 64)
	return v, err == nil
}
