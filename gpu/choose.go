package gpu

import (
	"fmt"

	"pards/core"
	"pards/core/cell"
	"pards/core/num"
)

// cost is what solves of a shape take in seconds: a call, a step whatever the batch, and a step of one sequence.
type cost struct{ call, step, element float64 }

func (c cost) seconds(batch, steps int) float64 {
	return c.call + float64(steps)*(c.step+float64(batch)*c.element)
}

// The costs with D components are fitted to what benchmarks/gpu/choose.py measured on an H100, and TestChoices holds them to it; those of
// iterations are of some four updates.

func loopCost(d float64) cost {
	if d <= mostDense {
		return cost{0.15e-3, (0.18 + 0.0075*d) * 1e-6, 0.87e-9}
	}
	return cost{0.3e-3, (0.3 + 0.0013*d) * 1e-6, (0.87 + 0.04*d) * 1e-9}
}

func newtonCost(d float64) cost {
	if d <= mostDense { // a thread's registers hold its matrices
		return cost{0.2e-3, 0, (0.6 + 0.02*d*d) * 1e-9}
	}
	return cost{1e-3, 0, 0.19 * d * d * 1e-9}
}

func chainLoopCost(d float64) cost {
	return cost{0.3e-3, (0.43 + 0.0083*d) * 1e-6, 0.0007 * d * d * 1e-9}
}
func rotatedCost(d float64) cost { return cost{0.35e-3, 0, (3 + 0.19*d) * 1e-9} }
func quasiCost(d float64) cost   { return cost{1.3e-3, 0, 0.21 * d * d * 1e-9} }

const (
	// gain is the part of the loop's time that an iteration is to take: its updates are a guess, and the loop takes what it takes.
	gain = 0.8
	// wellsMost is up to how many wells a batch of Langevin chains is taken to stay in one: with 4 and more the basis of one was none for
	// all, and the general engine took 150 times as long as the diagonal.
	wellsMost = 2
	// leastWindow is how short windows may get before the loop is sooner done: each takes a few launches, of 10 to 30 steps' time.
	leastWindow = 64
)

// iteration is a method of updates that suits a problem.
type iteration struct {
	method, reason string
	cost           cost
}

// iterationsOf returns the iterations for a problem, the one to begin with first, and what its loop costs.
func iterationsOf[T num.Float](p *core.Problem[T]) (suited []iteration, loop cost) {
	components := p.Cell.Dim()
	d := float64(components)
	newton := iteration{"newton", "", newtonCost(d)}
	quasi := iteration{"quasi_newton", fmt.Sprintf("with D = %d full Jacobians cost too much", components), quasiCost(d)}
	switch {
	case cell.IsAffine(p.Cell):
		newton.reason = "the model is affine in its state, so one Newton update is exact"
		newton.cost.element /= 4
		return []iteration{newton}, loopCost(d)
	case p.Name == "langevin" && components > mostDense:
		rotated := iteration{"rotated_quasi_newton", "its scan moves D numbers a step, and within a well it converges like Newton", rotatedCost(d)}
		if k := p.Params["means"].Shape[0]; k > wellsMost {
			quasi.reason, quasi.cost = fmt.Sprintf("with %d wells no basis is that of all sequences, and its scan moves D numbers a step", k), rotated.cost
			return []iteration{quasi, rotated}, chainLoopCost(d)
		}
		return []iteration{rotated}, chainLoopCost(d)
	case components <= denseMost:
		newton.reason = fmt.Sprintf("with D = %d a scan of full Jacobians costs less than the updates it saves", components)
		return []iteration{newton, quasi}, loopCost(d)
	}
	return []iteration{quasi}, loopCost(d)
}

// choicesOf returns the plain loop where no iteration is expected to be faster; else the iterations, and the loop for what they fail on.
func choicesOf[T num.Float](p *core.Problem[T]) (choices []core.Choice) {
	suited, cost := iterationsOf(p)
	loop, first := cost.seconds(p.Batch, p.Length), suited[0].cost.seconds(p.Batch, p.Length)
	expected := fmt.Sprintf("a GPU is expected to take %.2g s by %s and %.2g s by the plain loop", first, suited[0].method, loop)
	if first > gain*loop {
		return []core.Choice{{Method: "sequential", Reason: expected}}
	}
	for i, s := range suited {
		if i == 0 {
			s.reason += ", and " + expected
		}
		choices = append(choices, core.Choice{Method: s.method, Reason: s.reason, LeastWindow: leastWindow})
	}
	return append(choices, core.Choice{Method: "sequential", Reason: "the plain loop for the sequences on which it failed"})
}
