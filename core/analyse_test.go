package core_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"pards/core"
	"pards/core/cell"
	"pards/core/cell/celltest"
	"pards/core/internal/par"
	"pards/core/method"
	"pards/core/method/methodtest"
	"pards/core/num"
	"pards/core/param"
)

// TestAnalyse walks the cells and the methods: along the loop's trajectory, a cell asked as a callable gives the same, A is what one update
// from the trajectory shows it to be, and |Jt^-1| that of the whole matrix.
func TestAnalyse(t *testing.T) {
	t.Run("float32", func(t *testing.T) { testAnalyse[float32](t) })
	t.Run("float64", func(t *testing.T) { testAnalyse[float64](t) })
}

func testAnalyse[T num.Float](t *testing.T) {
	for _, e := range celltest.Examples {
		for _, m := range method.Entries() {
			if m.Structure == "none" {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s/%s", e.Cell, e.Name, m.Name), func(t *testing.T) {
				p := methodtest.Problem[T](t, e, 2, 9)
				states := core.Host(methodtest.Loop(t, p))
				o := core.Defaults[T]()
				o.Method = m.Name
				if m.Name == "block_newton" {
					o.Settings = param.Values[T]{"block": {Number: 2}}
				}
				got, err := core.Analyse(p, &o, states, 4)
				must(t, err)
				called, err := core.Analyse(methodtest.Called(p), &o, states, 4)
				must(t, err)
				for b, a := range got {
					same(t, a, called[b])
					if n := len(a.Decay); n != 5 {
						t.Fatalf("%d iterates", n)
					}
					if m.Structure != "diagonal" || m.Derivative != "rotated_diagonal" { // in coordinates
						full(t, p, o, states, b, a)
					}
				}
			})
		}
	}
}

// same compares the analyses of a cell and of a callable. A callable does not say that it is affine: what it has for L is rounding.
func same(t *testing.T, a, b core.Analysis) {
	t.Helper()
	pairs := [][2]float64{{a.Difference, b.Difference}, {a.Inverse, b.Inverse}, {a.Lyapunov, b.Lyapunov}, {a.Start, b.Start}}
	if a.Lipschitz != 0 {
		pairs = append(pairs, [2]float64{a.Lipschitz, b.Lipschitz})
	}
	for i, v := range pairs {
		if v[0] != v[1] && math.Abs(v[0]-v[1]) > 1e-4*math.Abs(v[0]) && !(math.IsNaN(v[0]) && math.IsNaN(v[1])) {
			t.Errorf("number %d: %v of a cell, %v of a callable", i, v[0], v[1])
		}
	}
}

// full compares with dense algebra, A taken from method.Along.
func full[T num.Float](t *testing.T, p *core.Problem[T], o core.Options[T], states core.Array[T], b int, a core.Analysis) {
	t.Helper()
	d, m, n := p.Cell.Dim(), p.Cell.Inputs(), p.Length
	x := states.Data[b*n*d : (b+1)*n*d]
	prev := append(append([]T(nil), p.X0.Data[b*d:(b+1)*d]...), x[:(n-1)*d]...)
	block := cell.Block[T]{N: n, X: prev, U: p.Inputs.Data[b*n*m : (b+1)*n*m], Scratch: &cell.Arena[T]{}}
	j := make([]T, n*d*d)
	must(t, p.Cell.Jacobian(block, j))
	chosen, err := method.New(o.Method, o.Settings, n, d)
	must(t, err)
	problem := &method.Problem[T]{Cell: p.Cell, Batch: p.Batch, Steps: n, Dim: d, Inputs: m, X0: p.X0.Data, X0Stride: d, U: p.Inputs.Data, UStride: n * m}
	l, err := method.Along(par.New(1, nil), problem, method.Options{Window: n}, chosen, b, x)
	must(t, err)
	one, jt, length := make([]T, d*d), mat.NewDense(n*d, n*d, nil), l.Structure.Len(d)
	apart := 0.0
	for s := range n {
		for i := range d {
			jt.Set(s*d+i, s*d+i, 1)
		}
		if s == 0 {
			continue
		}
		l.Structure.Dense(one, l.A[s*length:(s+1)*length], d)
		off := mat.NewDense(d, d, nil)
		for i, v := range one {
			jt.Set(s*d+i/d, (s-1)*d+i%d, -float64(v))
			off.Set(i/d, i%d, float64(j[s*d*d+i])-float64(v))
		}
		var svd mat.SVD
		svd.Factorize(off, mat.SVDNone)
		apart = max(apart, svd.Values(nil)[0])
	}
	var svd mat.SVD
	svd.Factorize(jt, mat.SVDNone)
	values := svd.Values(nil)
	if want := 1 / values[len(values)-1]; math.Abs(a.Inverse/want-1) > 1e-6 {
		t.Errorf("|Jt^-1| is %v, want %v", a.Inverse, want)
	}
	if math.Abs(a.Difference-apart) > 1e-12+1e-6*apart {
		t.Errorf("|J - A| is %v, want %v", a.Difference, apart)
	}
}

func TestAnalyseRefuses(t *testing.T) {
	p := methodtest.Problem[float64](t, celltest.Examples[0], 1, 5)
	states := methodtest.Loop(t, p)
	for name, c := range map[string]struct {
		change func(*core.Options[float64], []float64) int
		want   string
	}{
		"updates": {func(*core.Options[float64], []float64) int { return -1 }, "analyse: updates is -1"},
		"states":  {func(_ *core.Options[float64], s []float64) int { s[0] = math.Inf(1); return 0 }, "analyse: states holds +Inf"},
		"method":  {func(o *core.Options[float64], _ []float64) int { o.Method = "none"; return 0 }, `analyse: method is "none"`},
		"loop":    {func(o *core.Options[float64], _ []float64) int { o.Method = "sequential"; return 0 }, "a method that iterates"},
	} {
		o, s := core.Defaults[float64](), append([]float64(nil), states...)
		o.Method = "newton"
		updates := c.change(&o, s)
		_, err := core.Analyse(p, &o, core.Host(s), updates)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
