package cell

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pards/core/internal/vec"
	"pards/core/num"
	"pards/core/param"
)

// Mixtures that leave out components without weight do what those that evaluate all of them do, to the bit: f, its derivatives and those of the
// parameters, states one by one, in blocks, in runs and side by side, near a well, between wells, far away and not finite.
func TestFar(t *testing.T) {
	t.Run("float32", fars[float32])
	t.Run("float64", fars[float64])
}

// precisions are what the components' matrices are, scale Z'Z + more with Z (rank, D) standard normal: some have eigenvalues below 0, or about
// there by rounding, and some pull with numbers that overflow.
var precisions = []struct {
	name        string
	scale, more func(k int) float64
	rank        func(d int) int
	same        bool // for all components
	distant     bool // the last mean
	left        bool // whether components are left out near a well
}{
	{name: "paper", scale: always(2), more: always(0), rank: func(d int) int { return d + 1 }, left: true},
	{name: "flat", scale: always(2), more: always(0), rank: func(d int) int { return d / 2 }, left: true},
	{name: "same", scale: always(2), more: always(0), rank: func(d int) int { return 2 * d }, same: true, left: true},
	{name: "distant", scale: always(2), more: always(0), rank: func(d int) int { return d + 1 }, distant: true},
	{name: "indefinite", scale: always(2), more: always(-3), rank: func(d int) int { return d + 1 }},
	{name: "mixed", scale: always(0), more: func(k int) float64 { return []float64{-1e16, 1e-16}[k%2] }, rank: func(d int) int { return 0 }},
	{name: "tiny", scale: always(1e-30), more: always(0), rank: func(d int) int { return d + 1 }},
	{name: "huge", scale: always(1e30), more: always(0), rank: func(d int) int { return d + 1 }},
}

func always(v float64) func(int) float64 { return func(int) float64 { return v } }

func fars[T num.Float](t *testing.T) {
	for i, p := range precisions {
		for _, k := range []int{1, 2, 8} {
			for _, at := range []struct {
				d    int
				logs float64
			}{{9, 1}, {9, 1e10}, {32, 1}} {
				rng := rand.New(rand.NewPCG(uint64(i), uint64(k*at.d)))
				values, means := mixed[T](rng, i, k, at.d, at.logs)
				t.Run(fmt.Sprintf("%s/K=%d/D=%d/%g", p.name, k, at.d, at.logs), func(t *testing.T) {
					left := compare(t, values, states(rng, means, k, at.d), k, at.d)
					if p.left && k == 2 && at.d == 32 && left == 0 {
						t.Error("nothing is left out anywhere")
					}
				})
			}
		}
	}
}

// mixed draws a mixture, its precisions symmetric but for rounding.
func mixed[T num.Float](rng *rand.Rand, kind, k, d int, logs float64) (values param.Values[T], means []T) {
	p := precisions[kind]
	means, P, l := make([]T, k*d), make([]T, k*d*d), make([]T, k)
	for i := range means {
		means[i] = T(3 * rng.NormFloat64())
		if p.distant && i >= (k-1)*d {
			means[i] *= T(math.Sqrt(map[int]float64{4: math.MaxFloat32, 8: math.MaxFloat64}[num.Size[T]()]) / 100)
		}
	}
	z := make([]float64, p.rank(d)*d)
	for w := range k {
		for i := range z {
			if w == 0 || !p.same {
				z[i] = rng.NormFloat64()
			}
		}
		l[w] = T(logs)
		for i := range d {
			for j := range d {
				sum := 0.0
				for r := range p.rank(d) {
					sum += z[r*d+i] * z[r*d+j]
				}
				if sum *= p.scale(w); i == j {
					sum += p.more(w)
				}
				P[(w*d+i)*d+j] = T(sum * (1 + num.Eps[T]()*rng.NormFloat64()))
			}
		}
	}
	return param.Values[T]{"means": {Shape: []int{k, d}, Data: means}, "precisions": {Shape: []int{k, d, d}, Data: P},
		"log_weights": {Shape: []int{k}, Data: l}, "step_size": {Number: 1e-4}}, means
}

// states draws rows near wells, on the ways from one to another at every gap, in the tails, and some with numbers that are not finite.
func states[T num.Float](rng *rand.Rand, means []T, k, d int) (x []T) {
	near := func(scale float64, a, b int, s float64) {
		for i := range d {
			x = append(x, T((1-s)*float64(means[a*d+i])+s*float64(means[b*d+i])+scale*rng.NormFloat64()))
		}
	}
	for w := range k {
		for range 24 {
			near(0.03, w, w, 0)
		}
		near(0, w, w, 0)
	}
	for i := range 64 { // about the middle, at ever smaller gaps, and beyond a well
		near(0, 0, k/2, 0.5-0.5*math.Pow(0.8, float64(i)))
		near(0, k/2, 0, 1+math.Pow(1.5, float64(i)))
	}
	for _, scale := range []float64{1, 100, 1e4, 1e6, 1e8, 1e12, 1e15, 1e18, 1e19, 1e25, 1e37} {
		for range 4 {
			near(scale, 0, 0, 0)
		}
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat32, math.MaxFloat64} {
		near(0.03, 0, 0, 0)
		x[len(x)-1-rng.IntN(d)] = T(v)
		for range 16 {
			near(0.03, k-1, k-1, 0)
		}
	}
	return x
}

// compare holds a cell that leaves components out to one that never does, and returns how many times it did.
func compare[T num.Float](t *testing.T, values param.Values[T], x []T, k, d int) (left int) {
	made := func(idle int64) *langevin[T] {
		c, err := New("langevin", values)
		if err != nil {
			t.Fatal(err)
		}
		c.(*langevin[T]).far.idle.Store(idle)
		return c.(*langevin[T])
	}
	n := len(x) / d
	rng := rand.New(rand.NewPCG(3, uint64(d)))
	u, v, q := make([]T, n*d), make([]T, n*d), make([]T, d*d)
	for i := range u {
		u[i], v[i] = T(rng.NormFloat64()), T(rng.NormFloat64())
	}
	for i := range q {
		q[i] = T(rng.NormFloat64())
	}
	all, few := evaluated(t, made(math.MinInt64/2), x, u, v, q, n), evaluated(t, made(1<<40), x, u, v, q, n)
	for what, want := range all {
		for i, g := range few[what] {
			if w := want[i]; g != w && (g == g || w == w) {
				t.Fatalf("%s: %v at %d of %d, all components give %v", what, g, i, len(want), w)
			}
		}
	}
	c := made(1 << 40)
	for s := c.along(Block[T]{N: n, X: x, U: u, Scratch: &Arena[T]{}}, true); s.next(c); {
		left += k - (s.to - s.from)
	}
	return left
}

// evaluated is all that a cell computes at n states.
func evaluated[T num.Float](t *testing.T, c *langevin[T], x, u, v, q []T, n int) map[string][]T {
	d := c.d
	b := Block[T]{N: n, X: x, U: u, Scratch: dirty[T](n * d * (c.k + 4))}
	out := map[string][]T{"step": nil, "jacobian": nil, "diagonal": nil, "rotated": nil, "jvp": nil, "run": nil, "team": nil, "tangent": make([]T, n*d)}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	rotated := c.Rotate(q)
	for what, do := range map[string]func(to []T) error{
		"step":     func([]T) error { return c.Step(b) },
		"jacobian": func(to []T) error { return c.Jacobian(b, to) },
		"diagonal": func(to []T) error { return c.Diagonal(b, to) },
		"rotated":  func(to []T) error { return rotated(b, to) },
		"jvp":      func(to []T) error { return c.JVP(b, to, v) },
	} {
		b.Y = make([]T, n*d)
		to := make([]T, n*d*d)
		must(do(to))
		out[what] = append(slices.Clone(b.Y), to...)
	}
	w := make([][]T, 4)
	g := make([][]T, 4)
	for i, size := range []int{c.k * d, c.k * d * d, c.k, 1} {
		g[i] = make([]T, size)
		w[i] = make([]T, size)
		for j := range w[i] {
			w[i][j] = v[j%len(v)]
		}
	}
	b.Y = nil
	weights, _, mean := c.rows(b)
	out["weights"], out["mean"] = slices.Clone(weights), slices.Clone(mean)
	b.Scratch = dirty[T](n * d * (c.k + 4))
	must(c.ParamJVP(b, out["tangent"], w))
	must(c.ParamVJP(b, g, v))
	for i, name := range []string{"means", "precisions", "log_weights", "step_size"} {
		out[name] = g[i]
	}
	const steps, team = 5, 16
	for at := 0; at+team <= n; at += 5 { // runs and teams
		start, y := slices.Clone(x[at*d:(at+team)*d]), make([]T, team*steps*d)
		c.Run(Block[T]{N: steps, X: start[:d], U: u[:steps*d], Y: y[:steps*d], Scratch: b.Scratch})
		out["run"] = append(out["run"], y[:steps*d]...)
		c.Together(Team[T]{N: team, Steps: steps, X: start, U: u, Y: y, UPitch: d, YPitch: steps * d, Scratch: b.Scratch})
		out["team"] = append(out["team"], y...)
	}
	return out
}

// dirty is an arena whose scratch is NaN.
func dirty[T num.Float](n int) *Arena[T] {
	a := &Arena[T]{}
	for range 2 { // what it has from the second time on is its own
		vec.Fill(a.Take(n), T(math.NaN()))
		a.Release(0)
	}
	return a
}

// A component is left out from about the distance on at which its weight is 0, and none before.
func TestFarEdge(t *testing.T) {
	t.Run("float32", farEdge[float32])
	t.Run("float64", farEdge[float64])
}

func farEdge[T num.Float](t *testing.T) {
	const d, n, edge = 8, courseColumns, 1e4 // (x - m)'P (x - m) from mean to mean
	values := param.Values[T]{"means": {Shape: []int{2, d}, Data: make([]T, 2*d)}, "precisions": {Shape: []int{2, d, d}, Data: make([]T, 2*d*d)},
		"log_weights": {Shape: []int{2}, Data: make([]T, 2)}, "step_size": {Number: 1}}
	for i := range d {
		values["means"].Data[d+i] = 1
		for k := range 2 {
			values["precisions"].Data[(k*d+i)*d+i] = edge / d
		}
	}
	least := map[int]float64{4: 103, 8: 744}[num.Size[T]()] // minus the logarithm of the least number that is none too
	for gap := least - 60; gap < least+40; gap++ {
		x := make([]T, 2*n*d) // at the first mean, then where its logarithm is larger by the gap
		vec.Fill(x[n*d:], T(0.5-gap/edge))
		made, err := New("langevin", values)
		if err != nil {
			t.Fatal(err)
		}
		c := made.(*langevin[T])
		c.far.idle.Store(1 << 40)
		b := Block[T]{N: 2 * n, X: x, Scratch: &Arena[T]{}}
		w, _, _ := c.rows(b)
		got, want := float64(w[len(w)-1]), math.Exp(-gap)
		if gap < least-1 && !(got > want/2 && got < 2*want) { // the gap is rounded, and so is a weight that is no normal number
			t.Errorf("%v behind, a component has weight %v, want %v", gap, got, want)
		}
		s := c.along(b, true)
		s.next(c)
		if s.next(c); gap > least+15 && s.to-s.from > 1 {
			t.Errorf("%v behind, a component is evaluated", gap)
		}
	}
}

// A component whose precision has an eigenvalue below 0 has all the weight far along that axis, where its direction tells that it has none.
func TestFarIndefinite(t *testing.T) {
	const d, n = 8, 2 * courseColumns
	values := param.Values[float64]{"means": {Shape: []int{2, d}, Data: make([]float64, 2*d)}, "precisions": {Shape: []int{2, d, d}, Data: make([]float64, 2*d*d)},
		"log_weights": {Shape: []int{2}, Data: make([]float64, 2)}, "step_size": {Number: 1e-4}}
	for i := range d {
		values["means"].Data[d+i] = 2
		values["precisions"].Data[i*d+i], values["precisions"].Data[(d+i)*d+i] = 1, 10
	}
	values["precisions"].Data[0], values["precisions"].Data[d*d] = 1e-9, -1
	x := make([]float64, n*d)
	for row := range n {
		x[row*d] = -1000
	}
	compare(t, values, x, 2, d)
}

// A block that begins in any well evaluates that one alone.
func TestFarNear(t *testing.T) {
	const k, d = 8, 32
	rng := rand.New(rand.NewPCG(1, 1))
	values, means := mixed[float32](rng, 0, k, d, 1)
	made, err := New("langevin", values)
	if err != nil {
		t.Fatal(err)
	}
	c := made.(*langevin[float32])
	c.far.idle.Store(1 << 40)
	for well := range k {
		x := slices.Clone(means[well*d : (well+1)*d])
		for i := range x {
			x[i] += float32(0.03 * rng.NormFloat64())
		}
		s := c.along(Block[float32]{N: 1, X: x, Scratch: &Arena[float32]{}}, true)
		if s.next(c); s.from != well || s.to != well+1 {
			t.Errorf("of a block in well %d components from %d to %d are evaluated", well, s.from, s.to)
		}
	}
}

// The derivatives of one component alone are those of its matrix, and not finite where f is not.
func TestOneComponent(t *testing.T) {
	c, err := New("langevin", param.Values[float64]{
		"means": {Shape: []int{1, 2}, Data: []float64{1, 2}}, "precisions": {Shape: []int{1, 2, 2}, Data: []float64{2, 1, 1, 4}},
		"log_weights": {Shape: []int{1}, Data: []float64{3}}, "step_size": {Number: 0.125},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []float64{0.5, math.NaN(), math.Inf(1), 1e300} {
		b := Block[float64]{N: 1, X: []float64{x, 1}, Scratch: &Arena[float64]{}}
		diagonal, product, J := make([]float64, 2), make([]float64, 2), make([]float64, 4)
		for _, err := range []error{c.Diagonal(b, diagonal), c.JVP(b, product, []float64{1, 2}), c.Jacobian(b, J)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		y := make([]float64, 2)
		c.(Runner[float64]).Run(Block[float64]{N: 1, X: b.X, U: make([]float64, 2), Y: y, Scratch: b.Scratch})
		got, want := slices.Concat(y, diagonal, product, J), []float64{0.75, 1.5625, 0.75, 0.5, 0.5, 0.875, 0.75, -0.125, -0.125, 0.5}
		for i, v := range got {
			if x == 0.5 && v != want[i] || x != 0.5 && v == v {
				t.Errorf("at %v: f, diagonal, J v and J are %v, want %v or NaN", x, got, want)
				break
			}
		}
	}
}
