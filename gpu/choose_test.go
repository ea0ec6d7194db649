package gpu

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"pards/core"
	"pards/core/cell"
	"pards/core/param"
)

// timed is a row of a program of benchmarks/gpu.
type timed struct {
	Name, Flavour string
	Axes          struct{ B, T, D int }
	Seconds       float64
}

// problem has the shape that was timed, whatever its numbers.
func (r timed) problem(t *testing.T) *core.Problem[float32] {
	d := r.Axes.D
	array := func(shape ...int) param.Value[float32] {
		count := 1
		for _, n := range shape {
			count *= n
		}
		return param.Value[float32]{Data: make([]float32, count), Shape: shape}
	}
	name, params := "gru", param.Values[float32]{"weight_ih": array(3*d, d), "weight_hh": array(3*d, d), "bias": array(3 * d), "bias_n": array(d)}
	if r.Name == "choose langevin" {
		precisions := array(2, d, d)
		for i := range 2 * d {
			precisions.Data[i*d+i%d] = 1
		}
		name, params = "langevin", param.Values[float32]{"means": array(2, d), "precisions": precisions, "log_weights": array(2), "step_size": {Number: 1e-5}}
	}
	c, err := cell.New(name, params)
	if err != nil {
		t.Fatal(err)
	}
	return &core.Problem[float32]{Cell: c, Name: name, Params: params, Batch: r.Axes.B, Length: r.Axes.T}
}

// The choice of each shape that benchmarks/gpu/choose.py has timed takes at most half as long again as the other: costs are smooth, and what
// was measured is not.
func TestChoices(t *testing.T) {
	text, err := os.ReadFile("../benchmarks/results/gpu.json")
	if err != nil {
		t.Fatal(err)
	}
	var kept struct {
		Programs map[string]struct{ Rows []timed }
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	seconds := map[string]map[string]float64{}
	shapes := map[string]timed{}
	for _, r := range kept.Programs["choose"].Rows {
		key := fmt.Sprint(r.Name, r.Axes)
		if seconds[key] == nil {
			seconds[key] = map[string]float64{}
		}
		seconds[key][r.Flavour], shapes[key] = r.Seconds, r
	}
	if len(seconds) < 40 {
		t.Fatalf("%d shapes were timed", len(seconds))
	}
	for key, of := range seconds {
		best := math.Inf(1)
		for flavour, s := range of {
			if flavour != "pards auto" {
				best = min(best, s)
			}
		}
		chosen := choicesOf(shapes[key].problem(t))[0].Method
		if took, known := of["pards "+chosen]; !known || took > 1.5*best {
			t.Errorf("%s: %s took %.2g s, the best %.2g s", key, chosen, took, best)
		}
	}
}
