package celltest

import (
	"math"
	"math/rand/v2"
	"testing"

	"pards/core/cell"
	"pards/core/num"
	"pards/core/param"
)

// differentiable holds the derivatives with respect to inputs and parameters to central differences, and products to their transposes.
// Every cell has them but one that is driven by words.
func differentiable[T num.Float](t *testing.T, e Example, c cell.Cell[T], b cell.Block[T]) {
	diff, ok := c.(cell.Differentiable[T])
	if ok != (e.Words == 0) {
		t.Fatalf("a cell.Differentiable: %v, driven by words: %v", ok, e.Words > 0)
	}
	if ok {
		v := make([]T, b.N*c.Dim())
		rng := rand.New(rand.NewPCG(3, 4))
		for i := range v {
			v[i] = T(rng.NormFloat64())
		}
		b.Y = filled[T](b.N*c.Dim(), 7) // not to be written
		inputs(t, diff, b, v)
		parameters(t, e, diff, b, v)
		for _, y := range b.Y {
			if y != 7 {
				t.Fatal("Y was written")
			}
		}
	}
}

func filled[T num.Float](n int, v float64) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(v)
	}
	return x
}

// step is that of central differences: rounding is about 1e-10 for f of order 1, truncation 2e-9 at most, of sqrt(2 eps) at eps = 0.05,
// so 1e-8 is wanted.
const step = 2e-6

// column holds one column of a derivative, (n, D), to f at two points a step away on either side.
func column[T num.Float](t *testing.T, what string, got []T, at func(h float64) []float64) {
	t.Helper()
	if num.Size[T]() == 4 {
		return
	}
	up, down := at(step), at(-step)
	for i, g := range got {
		if want := (up[i] - down[i]) / (2 * step); !(math.Abs(float64(g)-want) <= 1e-8*(1+math.Abs(want))) {
			t.Fatalf("%s, number %d: %v, differences give %v", what, i, g, want)
		}
	}
}

// stepped is f of a cell at a block whose numbers are float64 already.
func stepped[T num.Float](t *testing.T, c cell.Cell[float64], b cell.Block[T], u []float64) []float64 {
	y := make([]float64, b.N*c.Dim())
	must(t, c.Step(cell.Block[float64]{N: b.N, X: any(b.X).([]float64), U: u, Y: y, Scratch: &cell.Arena[float64]{}}))
	return y
}

// near fails unless two sums of n*D products agree: each factor carries some 20 D roundings of numbers up to top.
func near[T num.Float](t *testing.T, what string, got, want, top float64, n, d int) {
	t.Helper()
	if bound := 80 * num.Eps[T]() * float64(n*d*d) * max(top, 1); !(math.Abs(got-want) <= bound) {
		t.Fatalf("%s: %v, its transpose says %v within %.2g", what, got, want, bound)
	}
}

func inputs[T num.Float](t *testing.T, c cell.Differentiable[T], b cell.Block[T], v []T) {
	n, d, m := b.N, c.Dim(), c.Inputs()
	back := filled[T](n*m, math.NaN())
	must(t, c.InputVJP(b, back, v))
	for k := range m {
		w, p := make([]T, n*m), filled[T](n*d, math.NaN())
		for s := range n {
			w[s*m+k] = 1
		}
		must(t, c.InputJVP(b, p, w))
		column(t, "df/du", p, func(h float64) []float64 {
			u := append([]float64(nil), any(b.U).([]float64)...)
			for s := range n {
				u[s*m+k] += h
			}
			return stepped(t, any(c).(cell.Cell[float64]), b, u)
		})
		for s := range n {
			sum, top := product(p[s*d:(s+1)*d], v[s*d:(s+1)*d])
			near[T](t, "InputVJP", float64(back[s*m+k]), sum, top, 1, d)
		}
	}
}

// product returns the sum of x[i] y[i] and the largest product.
func product[T num.Float](x, y []T) (sum, top float64) {
	for i, a := range x {
		sum += float64(a) * float64(y[i])
		top = max(top, math.Abs(float64(a)*float64(y[i])))
	}
	return sum, top
}

// parameters walks through the numbers of each parameter: the derivative along each is held to differences, the gradient to them.
func parameters[T num.Float](t *testing.T, e Example, c cell.Differentiable[T], b cell.Block[T], v []T) {
	n, d := b.N, c.Dim()
	given := drawn[T](e, draws())
	fields := cell.Continuous(e.Cell)
	all := make([][]T, len(fields))
	for i, size := range Sizes(e) {
		if size > 0 {
			all[i] = filled[T](size, 1)
		}
	}
	must(t, c.ParamVJP(b, all, v)) // adds to the ones
	for i, f := range fields {
		alone := make([][]T, len(fields))
		alone[i] = make([]T, len(all[i]))
		if all[i] == nil {
			continue
		}
		must(t, c.ParamVJP(b, alone, v))
		for k, g := range alone[i] {
			w, p := make([][]T, len(fields)), filled[T](n*d, math.NaN())
			w[i] = make([]T, len(all[i]))
			w[i][k] = 1
			must(t, c.ParamJVP(b, p, w))
			column(t, "df/d"+f.Name, p, func(h float64) []float64 {
				moved, err := cell.New(e.Cell, nudged(any(given).(param.Values[float64]), f.Name, k, h, f.Name == e.Symmetric))
				must(t, err)
				return stepped(t, moved, b, any(b.U).([]float64))
			})
			sum, top := product(p, v)
			near[T](t, "ParamVJP, "+f.Name, float64(g), sum, top, n, d)
			near[T](t, "ParamVJP on ones, "+f.Name, float64(all[i][k]), 1+sum, top, n, d)
		}
	}
	p := filled[T](n*d, math.NaN())
	must(t, c.ParamJVP(b, p, make([][]T, len(fields))))
	for _, x := range p {
		if x != 0 {
			t.Fatalf("ParamJVP of no tangents: %v", x)
		}
	}
}

// Sizes returns how many numbers an example has of each of its cell's Continuous parameters: none of one it is made without.
func Sizes(e Example) []int {
	var sizes []int
	given := drawn[float64](e, draws())
	for _, f := range cell.Continuous(e.Cell) {
		v, ok := given[f.Name]
		switch {
		case f.Kind == param.Number:
			sizes = append(sizes, 1)
		case !ok:
			sizes = append(sizes, 0)
		default:
			sizes = append(sizes, len(v.Data))
		}
	}
	return sizes
}

// With returns an example's cell with another value of one number.
func With(t testing.TB, e Example, name string, value float64) cell.Cell[float64] {
	given := drawn[float64](e, draws())
	given[name] = number(value)
	c, err := cell.New(e.Cell, given)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// nudged returns parameters of which one number has moved by h; of a symmetric matrix it and its mirror image by half of that.
func nudged(values param.Values[float64], name string, k int, h float64, symmetric bool) param.Values[float64] {
	moved := param.Values[float64]{}
	for n, v := range values {
		moved[n] = v
	}
	v := moved[name]
	v.Data = append([]float64(nil), v.Data...)
	switch {
	case len(v.Shape) == 0:
		v.Number += h
	case symmetric:
		d := v.Shape[2]
		v.Data[k] += h / 2
		v.Data[k/(d*d)*d*d+k%d*d+k/d%d] += h / 2
	default:
		v.Data[k] += h
	}
	moved[name] = v
	return moved
}
