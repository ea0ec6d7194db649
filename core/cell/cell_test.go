package cell_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pards/core/cell"
	"pards/core/cell/celltest"
	"pards/core/num"
	"pards/core/param"
)

func TestCells(t *testing.T) {
	celltest.Covers(t)
	t.Run("float32", celltest.Run[float32])
	t.Run("float64", celltest.Run[float64])
}

// Chains of every width about a few vectors make the same bits alone, in a block, in a run and side by side.
func TestMixtureWidths(t *testing.T) {
	t.Run("float32", mixtureWidths[float32])
	t.Run("float64", mixtureWidths[float64])
}

func normal[T num.Float](rng *rand.Rand, n int) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(rng.NormFloat64())
	}
	return x
}

func mixtureWidths[T num.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func(n int) []T { return normal[T](rng, n) }
	for _, d := range []int{1, 2, 3, 7, 8, 9, 16, 17, 31, 32, 33, 47, 64, 65} {
		for _, full := range []bool{true, false} {
			const k, n = 3, 27 // 15 wide sequences for 12 steps are turned in pieces
			precision := param.Value[T]{Shape: []int{k, d}, Data: draw(k * d)}
			if full {
				precision = param.Value[T]{Shape: []int{k, d, d}, Data: draw(k * d * d)}
				for i := range k * d * d { // symmetric
					precision.Data[i/(d*d)*d*d+i%d*d+i/d%d] = precision.Data[i]
				}
			}
			c, err := cell.New("langevin", param.Values[T]{"means": {Shape: []int{k, d}, Data: draw(k * d)}, "precisions": precision,
				"log_weights": {Shape: []int{k}, Data: draw(k)}, "step_size": {Number: 1e-3}})
			if err != nil {
				t.Fatal(err)
			}
			celltest.Same(t, c, cell.Block[T]{N: n, X: draw(n * d), U: draw(n * d), Scratch: &cell.Arena[T]{}})
		}
	}
}

// f of a mixture is what its doc says, by sums in double precision.
func TestMixture(t *testing.T) {
	const k, d, n, eps = 3, 37, 19, 0.01
	rng := rand.New(rand.NewPCG(3, 4))
	draw := func(n int) []float64 { return normal[float64](rng, n) }
	means, logs, x, u, root, P := draw(k*d), draw(k), draw(n*d), draw(n*d), draw(k*d*d), make([]float64, k*d*d)
	for i := range P {
		for m := range d {
			P[i] += root[i/d*d+m] * root[(i/(d*d)*d+i%d)*d+m] / d
		}
	}
	c, err := cell.New("langevin", param.Values[float64]{"means": {Shape: []int{k, d}, Data: means}, "precisions": {Shape: []int{k, d, d}, Data: P},
		"log_weights": {Shape: []int{k}, Data: logs}, "step_size": {Number: eps}})
	if err != nil {
		t.Fatal(err)
	}
	y := make([]float64, n*d)
	if err := c.Step(cell.Block[float64]{N: n, X: x, U: u, Y: y, Scratch: &cell.Arena[float64]{}}); err != nil {
		t.Fatal(err)
	}
	for s := range n {
		gradient, sum := make([]float64, d), 0.0
		for w := range k {
			force, square := make([]float64, d), 0.0
			for i := range d {
				for m := range d {
					force[i] += P[(w*d+i)*d+m] * (means[w*d+m] - x[s*d+m])
				}
				square += force[i] * (means[w*d+i] - x[s*d+i])
			}
			p := math.Exp(logs[w] - square/2) // of order exp(-d)
			sum += p
			for i, v := range force {
				gradient[i] += p * v
			}
		}
		for i, g := range gradient {
			want := x[s*d+i] + eps*g/sum + math.Sqrt(2*eps)*u[s*d+i]
			if got := y[s*d+i]; !(math.Abs(got-want) <= 1e-13*(1+math.Abs(want))) { // squares of order 100, rounded, in an exponent
				t.Fatalf("state %d, component %d: %v, want %v", s, i, got, want)
			}
		}
	}
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

// Far from its centres one component of a mixture has all the weight, and J is I - eps P of that: nothing of the squares of its gradients,
// which are 1e15 there, may be left.
func TestMixtureFarAwayIsOneWell(t *testing.T) {
	c, err := cell.New("langevin", param.Values[float32]{
		"means": {Data: []float32{1, 1, 0, 0}, Shape: []int{2, 2}}, "precisions": {Data: []float32{3, 1, 1, 5, 2, 0.5, 0.5, 7}, Shape: []int{2, 2, 2}},
		"log_weights": {Data: []float32{0, 0}, Shape: []int{2}}, "step_size": {Number: 0.125},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []struct{ x, want []float32 }{
		{[]float32{3e6, -2e6}, []float32{1 - 0.375, -0.125, -0.125, 1 - 0.625}}, // the first
		{[]float32{-7e6, 1e6}, []float32{1 - 0.25, -0.0625, -0.0625, 1 - 0.875}},
	} {
		x, want := at.x, at.want
		b := cell.Block[float32]{N: 1, X: x, Y: make([]float32, 2), U: []float32{0, 0}, Scratch: &cell.Arena[float32]{}}
		J, diagonal, product := make([]float32, 4), make([]float32, 2), make([]float32, 2)
		for _, err := range []error{c.Jacobian(b, J), c.Diagonal(b, diagonal), c.JVP(b, product, []float32{1, 2})} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if J[0] != want[0] || J[1] != want[1] || J[2] != want[2] || J[3] != want[3] {
			t.Errorf("x = %v: J is %v, want %v", x, J, want)
		}
		if diagonal[0] != want[0] || diagonal[1] != want[3] {
			t.Errorf("x = %v: diag J is %v, want %v, %v", x, diagonal, want[0], want[3])
		}
		if product[0] != want[0]+2*want[1] || product[1] != want[2]+2*want[3] {
			t.Errorf("x = %v: J (1, 2) is %v, want %v, %v", x, product, want[0]+2*want[1], want[2]+2*want[3])
		}
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
