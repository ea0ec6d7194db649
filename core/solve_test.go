package core_test

import (
	"testing"

	"pards/core"
	"pards/core/method/methodtest"
	"pards/core/num"
)

func cpu[T num.Float](p *core.Problem[T], o *core.Options[T], states []T) (*core.Solution, error) {
	return core.Solve(core.CPU[T]{}, p, o, core.Host(states))
}

func TestMethods(t *testing.T) {
	t.Run("float32", func(t *testing.T) { methodtest.Run(t, cpu[float32]) })
	t.Run("float64", func(t *testing.T) { methodtest.Run(t, cpu[float64]) })
}

func TestWorkers(t *testing.T) { methodtest.Workers(t, cpu[float64]) }
