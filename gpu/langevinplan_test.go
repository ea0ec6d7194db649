package gpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
	"gonum.org/v1/gonum/mat"

	"pards/core"
	"pards/core/cell"
	"pards/core/num"
	"pards/core/param"
)

// Shared memory is what memory::bytes of kernels/langevin.cu comes to, compiled; tiles shrink for few steps and for little of it.
func TestPlanLangevin(t *testing.T) {
	for _, c := range []struct{ bytes, dim, steps, most, rows, shared int }{
		{4, 32, 1000, 227 << 10, 128, 57056},
		{4, 64, 30000, 227 << 10, 128, 107936},
		{4, 128, 30000, 227 << 10, 64, 106144},
		{4, 256, 30000, 227 << 10, 64, 208160},
		{4, 256, 30000, 163 << 10, 32, 105888},
		{8, 64, 30, 227 << 10, 32, 56944},
	} {
		p := planLangevin(c.bytes, c.dim, 2, 1, 3, c.steps, c.most)
		if p.rows != c.rows || p.shared != c.shared {
			t.Errorf("D = %d, T = %d: %d rows in %d bytes, want %d in %d", c.dim, c.steps, p.rows, p.shared, c.rows, c.shared)
		}
	}
}

// In the eigenbasis of a component its precision is diagonal, and the turned mixture turned back is the mixture. Half the square along a pull,
// scaled, is half of y'P y where y is the distance of the means, and of a precision that is not positive definite there is none.
func TestMixtureTables(t *testing.T) {
	const k, d, pad = 2, 5, 16
	rng := rand.New(rand.NewPCG(1, 2))
	m := mixtureOf[float64]{make([]float64, k*d), make([]float64, k*d*d), k, d}
	for i := range m.means {
		m.means[i] = rng.NormFloat64()
	}
	for c := range k {
		for i := range d {
			for j := range i + 1 {
				v := rng.NormFloat64()
				m.precisions[(c*d+i)*d+j], m.precisions[(c*d+j)*d+i] = v, v
			}
		}
	}
	for i := range d { // the first component's alone is positive definite
		m.precisions[i*d+i] += 10
	}
	all, size := m.tables(pad, true), tableSize(k, pad)
	for b := range k {
		table := all[b*size:]
		vectors := table[(2+k)*pad*pad:]
		means, pulls, scales := vectors[k*pad:], vectors[2*k*pad:], vectors[(2*k+k*k)*pad:]
		want, along := 0.0, 0.0
		for i := range d {
			for j := range d {
				want += (m.means[d+i] - m.means[i]) * m.precisions[i*d+j] * (m.means[d+j] - m.means[j]) / 2
			}
			along += pulls[pad+i] * (means[pad+i] - means[i])
		}
		if got := along * along * scales[1]; math.Abs(got-want) > 1e-13*want || scales[0] != 0 || scales[k] != 0 {
			t.Errorf("basis %d: %v along a pull, want %v; scales %v", b, got, want, scales[:k*k])
		}
		for c := range k {
			p := table[(2+c)*pad*pad:]
			for i := range d {
				for j := range d {
					back := 0.0 // Q (Q'PQ) Q'
					for x := range d {
						for y := range d {
							back += table[i*pad+x] * p[x*pad+y] * table[j*pad+y]
						}
					}
					if want := m.precisions[(c*d+i)*d+j]; math.Abs(back-want) > 1e-13 { // d*d terms of size 1
						t.Errorf("basis %d, component %d: %v at (%d, %d), want %v", b, c, back, i, j, want)
					}
					if b == c && i != j && math.Abs(p[i*pad+j]) > 1e-13 {
						t.Errorf("component %d is not diagonal in its basis: %v at (%d, %d)", c, p[i*pad+j], i, j)
					}
				}
			}
		}
	}
}

// mixtureProblem draws a chain on some wells, as the paper's: precisions 2 Z'Z, the wells at 1, at 0 and at random.
func mixtureProblem[T num.Float](t *testing.T, d, k, batch, steps int, eps float64, guess bool) *core.Problem[T] {
	rng := rand.New(rand.NewPCG(uint64(d), uint64(k)))
	draw := func(n int) []T {
		x := make([]T, n)
		for i := range x {
			x[i] = T(float32(rng.NormFloat64()))
		}
		return x
	}
	means, precisions, weights := draw(k*d), make([]T, k*d*d), make([]T, k)
	for i := range min(2, k) * d {
		means[i] = T(1 - i/d)
	}
	for c := range k {
		z := draw((d + 1) * d)
		for i := range d {
			for j := range i + 1 {
				sum := 0.0
				for l := range d + 1 {
					sum += float64(z[l*d+i]) * float64(z[l*d+j])
				}
				precisions[(c*d+i)*d+j], precisions[(c*d+j)*d+i] = T(float32(2*sum)), T(float32(2*sum))
			}
		}
	}
	values := param.Values[T]{"means": {Data: means, Shape: []int{k, d}}, "precisions": {Data: precisions, Shape: []int{k, d, d}},
		"log_weights": {Data: weights, Shape: []int{k}}, "step_size": {Number: eps}}
	c, err := cell.New("langevin", values)
	if err != nil {
		t.Fatal(err)
	}
	p := &core.Problem[T]{Cell: c, Name: "langevin", Params: values, Batch: batch, Length: steps,
		X0: core.Host(make([]T, d), d), Inputs: core.Host(draw(batch*steps*d), batch, steps, d)}
	if guess {
		p.Guess = core.Host(draw(steps*d), steps, d)
	}
	return p
}

// The kernels, on the host, make the CPU's iterates, residuals and extents: every way to make A, a basis of one well, batches, tiles that
// are not full, a pitch wider than the state. Each iterate is the CPU's to rounding.
func TestChainsOnTheHost(t *testing.T) {
	t.Run("float32", chainsOnTheHost[float32])
	t.Run("float64", chainsOnTheHost[float64])
}

func chainsOnTheHost[T num.Float](t *testing.T) {
	for _, c := range []struct {
		dim, wells, batch, steps, updates int
		method                            string
		step, damping, ulps               float64 // ulps: what rounding may come to, sums over D, and over T where A is near 1
		wide                              bool    // the first well is ten times as wide, and weighs something everywhere
	}{
		{16, 2, 2, 260, 2, "rotated_quasi_newton", 1e-4, 0, 2000, false},
		{19, 3, 1, 140, 3, "rotated_quasi_newton", 1e-4, 0.25, 1000, false},
		{16, 1, 3, 33, 2, "quasi_newton", 1e-3, 0, 100, false},
		{16, 2, 1, 1, 1, "picard", 1e-3, 0, 100, false},
		{19, 2, 2, 165, 3, "scaled_identity", 1e-3, 0.5, 100, false},
		{16, 1, 1, 2200, 2, "quasi_newton", 1e-5, 0, 1000, false}, // 18 tiles: a chain of three groups, which forgets slowly
		{16, 2, 1, 64, 1, "jacobi", 0.5, 0, 20, false},            // nothing but products: one pass of tf32 is 100 times worse
		{16, 2, 1, 150, 3, "picard", 1e-5, 0, 1000, true},
		{48, 3, 2, 150, 4, "picard", 1e-5, 0, 1000, false}, // from the second iterate on most tiles are in one of the wells: products for it alone
		{48, 2, 1, 150, 3, "rotated_quasi_newton", 1e-5, 0, 1000, false},
	} {
		p := mixtureProblem[T](t, c.dim, c.wells, c.batch, c.steps, c.step, true)
		if c.wide {
			for i := range c.dim * c.dim {
				p.Params["precisions"].Data[i] /= 100
			}
		}
		m := mixtureOf[T]{p.Params["means"].Data, p.Params["precisions"].Data, c.wells, c.dim}
		o := core.Defaults[T]()
		o.Method, o.Damping, o.MaxIterations = c.method, c.damping, c.updates
		turn, dense, basis := 0, c.wells, c.wells
		if c.method == "rotated_quasi_newton" { // in that of the first well
			turn, dense, basis = 1, c.wells-1, 0
			o.Settings = param.Values[T]{"basis": {Data: eigenbasis(t, m), Shape: []int{c.dim, c.dim}}}
		}
		plan := planLangevin(num.Size[T](), c.dim, c.wells, dense, langevinA[c.method], c.steps, 227<<10)
		tables, got, squares, extents := m.tables(plan.pad, true), make([]T, c.batch*c.steps*c.dim), make([]float64, c.batch), make([]float64, c.batch*3*c.dim)
		starts := make([]T, 0, c.batch*c.dim)
		for range c.batch {
			starts = append(starts, p.X0.Data...)
		}
		var run func(tables, logWeights unsafe.Pointer, basis int32, noise, guess, start unsafe.Pointer, batch, steps int32, stepSize, damping float64,
			turn, updates int32, states, squares, extents unsafe.Pointer)
		purego.RegisterLibFunc(&run, hostLibrary(t, plan.variant), "pards_chains")
		at := func(v []T) unsafe.Pointer { return unsafe.Pointer(&v[0]) }
		run(at(tables), at(p.Params["log_weights"].Data), int32(basis), at(p.Inputs.Data), at(p.Guess.Data), at(starts), int32(c.batch), int32(c.steps),
			p.Params["step_size"].Number, c.damping, int32(turn), int32(c.updates), at(got), unsafe.Pointer(&squares[0]), unsafe.Pointer(&extents[0]))

		want := make([]T, len(got))
		s, err := core.Solve(core.CPU[T]{}, p, &o, core.Host(want))
		if err != nil {
			t.Fatal(err)
		}
		what, tol := fmt.Sprintf("%s, D = %d, %d wells, T = %d", c.method, c.dim, c.wells, c.steps), c.ulps*num.Eps[T]()
		for b, r := range s.Results {
			if r.Iterations != c.updates {
				t.Fatalf("%s: the CPU stopped after %d updates, which is no test", what, r.Iterations)
			}
			top, off, n := 0.0, 0.0, c.steps*c.dim
			for i, v := range want[b*n : (b+1)*n] {
				top, off = max(top, math.Abs(float64(v))), num.Max(off, math.Abs(float64(v-got[b*n+i])))
			}
			if !(off <= tol*top) {
				t.Errorf("%s, sequence %d: states are %.2g apart, of size %.2g", what, b, off, top)
			}
			var largest [3]float64
			for i := range largest {
				for _, v := range extents[(3*b+i)*c.dim : (3*b+i+1)*c.dim] {
					largest[i] = max(largest[i], v)
				}
			}
			for i, v := range []struct{ got, want, tol float64 }{{squares[b] / 2, r.Merit, tol * (top*top + r.Merit)}, {largest[0], top, tol * top},
				{largest[1], r.Update, tol * top}, {largest[2], r.Residual, tol * top}} {
				if !(math.Abs(v.got-v.want) <= v.tol) {
					t.Errorf("%s, sequence %d: %s is %v, the CPU's %v", what, b, []string{"merit", "largest state", "update", "residual"}[i], v.got, v.want)
				}
			}
		}
	}
}

// eigenbasis is that of the first component's precision, as tables has it.
func eigenbasis[T num.Float](t *testing.T, m mixtureOf[T]) []T {
	var eig mat.EigenSym
	var q mat.Dense
	if !eig.Factorize(mat.NewSymDense(m.d, m.precision(0).RawMatrix().Data), true) {
		t.Fatal("no eigenvectors")
	}
	eig.VectorsTo(&q)
	out := make([]T, m.d*m.d)
	for i := range out {
		out[i] = T(q.At(i/m.d, i%m.d))
	}
	return out
}
