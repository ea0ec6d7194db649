package cell_test

import (
	"math"
	"strings"
	"testing"

	"pards/core/cell"
	"pards/core/cell/celltest"
	"pards/core/param"
)

func TestCells(t *testing.T) {
	celltest.Covers(t)
	t.Run("float32", celltest.Run[float32])
	t.Run("float64", celltest.Run[float64])
}

// A mixture whose components are all far away keeps a finite gradient: the log-sum-exp is shifted by its largest term.
func TestMixtureFarAway(t *testing.T) {
	c, err := cell.New("langevin", param.Values[float32]{
		"means": {Shape: []int{2, 1}, Data: []float32{0, 1}}, "precisions": {Shape: []int{2, 1, 1}, Data: []float32{1, 1}},
		"log_weights": {Shape: []int{2}, Data: []float32{0, 0}}, "step_size": {Number: 0.5}})
	if err != nil {
		t.Fatal(err)
	}
	y := make([]float32, 1)
	if err := c.Step(cell.Block[float32]{N: 1, X: []float32{1000}, U: []float32{0}, Y: y, Scratch: &cell.Arena[float32]{}}); err != nil {
		t.Fatal(err)
	}
	if want := 1000 - 0.5*999.0; math.Abs(float64(y[0])-want) > 1e-3 { // component 1 is nearer by 499.5 in log p: its weight is 1 - e^-499
		t.Errorf("f(1000) = %v, want %v", y[0], want)
	}
}

func TestBadParameters(t *testing.T) {
	m := func(shape []int, data ...float64) param.Value[float64] {
		return param.Value[float64]{Shape: shape, Data: data}
	}
	square := m([]int{2, 2}, 1, 2, 3, 4)
	for _, c := range []struct {
		cell string
		v    param.Values[float64]
		want string
	}{
		{"nothing", nil, `cell: name is "nothing", want one of `},
		{"linear", param.Values[float64]{}, "Linear: A is missing, want an array of shape (D D)"},
		{"linear", param.Values[float64]{"A": square, "C": square}, `Linear: parameter is "C", want one of A, B, bias`},
		{"linear", param.Values[float64]{"A": m([]int{2, 1}, 1, 2)}, "Linear: A has shape (2, 1), want (D, D)"},
		{"linear", param.Values[float64]{"A": square, "bias": m([]int{3}, 1, 2, 3)}, "Linear: bias has shape (3,), want (D,) = (2,); D is fixed by A has shape (2, 2)"},
		{"linear", param.Values[float64]{"A": m([]int{1, 1}, math.NaN())}, "Linear: A holds NaN at (0, 0), want finite numbers"},
		{"group_word", param.Values[float64]{"permutations": m([]int{1, 2}, 1, 1)}, "GroupWord: permutations at 0 is not a permutation"},
		{"langevin", param.Values[float64]{"means": m([]int{1, 2}, 0, 0), "precisions": m([]int{1, 2, 2}, 1, 2, 3, 4), "log_weights": m([]int{1}, 0), "step_size": {Number: 1}},
			"Langevin: precisions at 0 is not symmetric: [1, 0] is 3 and [0, 1] is 2"},
		{"langevin", param.Values[float64]{"means": m([]int{1, 1}, 0), "precisions": m([]int{1, 1}, 1), "log_weights": m([]int{1}, 0), "step_size": {Number: -1}},
			"Langevin: step_size is -1, want a number of at least 0"},
	} {
		_, err := cell.New(c.cell, c.v)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %v\nwant %s", err, c.want)
		}
	}
}
