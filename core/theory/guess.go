package theory

import (
	"math"
	"sort"
)

// Counts are about how many updates of a window each method takes.
type Counts struct{ Newton, Diagonal, Identity, Zero float64 }

// newtonCount is what Newton's method takes where it converges at all.
const newtonCount = 4

// Guess returns rough counts from a few Jacobians, rows of d*d numbers, for a window of some steps: with A in place of J an error
// e shrinks in k updates at least as (s m)^k and as (s w)^k / k!, s the largest row sum of |J - A|, w the window, and m how many steps A
// remembers, 1 / (1 - |A|).
func Guess(js []float64, d int, window, tolerance float64) Counts {
	var off, diagonal, shift, all float64 // largest row sums of J less its diagonal, of the diagonal, of J - I, of J
	for t := 0; t+d*d <= len(js); t += d * d {
		for i := range d {
			sum := 0.0
			for _, v := range js[t+i*d : t+(i+1)*d] {
				sum += math.Abs(v)
			}
			own := js[t+i*d+i]
			rest := sum - math.Abs(own)
			off, diagonal = math.Max(off, rest), math.Max(diagonal, math.Abs(own))
			shift, all = math.Max(shift, rest+math.Abs(own-1)), math.Max(all, sum)
		}
	}
	newton := float64(newtonCount)
	if !(all <= math.MaxFloat64) { // a Jacobian that is not finite leads nowhere
		newton = math.Max(window, newtonCount)
	}
	memory := window
	if diagonal < 1 {
		memory = math.Min(window, 1/(1-diagonal))
	}
	return Counts{newton, count(off, memory, window, tolerance), count(shift, window, window, tolerance), count(all, 1, window, tolerance)}
}

// count returns the updates until the bound of Guess falls to a tolerance, and one to see it; never more than steps.
func count(size, memory, window, tolerance float64) float64 {
	geometric, volterra, least := math.Log(size*memory), math.Log(size*window), math.Log(tolerance)
	most := int(math.Max(window, 1)) - 1
	k := 1 + sort.Search(most, func(i int) bool { // once below, both bounds stay there
		k := float64(i + 1)
		factorial, _ := math.Lgamma(k + 1)
		return math.Min(k*geometric, k*volterra-factorial) <= least
	})
	if k > most {
		return math.Max(window, 1)
	}
	return float64(k + 1)
}
