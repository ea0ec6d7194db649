package gpu

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Shared memory is what memory::bytes of kernels/langevin.cu comes to, compiled; tiles shrink for few steps and for little of it.
func TestPlanLangevin(t *testing.T) {
	for _, c := range []struct{ bytes, dim, steps, most, rows, shared int }{
		{4, 32, 1000, 227 << 10, 128, 58848},
		{4, 64, 30000, 227 << 10, 128, 110496},
		{4, 128, 30000, 227 << 10, 64, 108704},
		{4, 256, 30000, 227 << 10, 64, 212768},
		{4, 256, 30000, 163 << 10, 32, 141728},
		{8, 64, 30, 227 << 10, 32, 59248},
	} {
		p := planLangevin(c.bytes, c.dim, 2, 1, 3, c.steps, c.most)
		if p.rows != c.rows || p.shared != c.shared {
			t.Errorf("D = %d, T = %d: %d rows in %d bytes, want %d in %d", c.dim, c.steps, p.rows, p.shared, c.rows, c.shared)
		}
	}
}

// In the eigenbasis of a component its precision is diagonal, and the turned mixture turned back is the mixture.
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
	all, size := m.tables(pad, true), tableSize(k, pad)
	for b := range k {
		table := all[b*size:]
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
