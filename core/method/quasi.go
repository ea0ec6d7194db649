package method

import (
	"fmt"

	"pards/core/lds"
	"pards/core/num"
	"pards/core/param"
)

func init() {
	register(Entry{Name: "quasi_newton", Class: "QuasiNewton", Structure: "diagonal", Derivative: "diagonal",
		Doc: "Quasi-Newton (Gonzalez et al. 2024): A[t] = diag J[t], exact or estimated by random probes.\n\n" +
			"Linear convergence, fast where J is nearly diagonal; the choice for large D. An update takes one evaluation of f\n" +
			"and of the diagonal, for a function without diag= D + 1 of f, and a diagonal scan: B*T*D products, up to three\n" +
			"times as many where time is cut into parts. A is D numbers a step, kept for a block of steps of a native cell, and\n" +
			"for the window of a function.\n" +
			"The Hutchinson estimate is the mean over the probes of z * (J z), z of +-1: it needs products J v only, one\n" +
			"evaluation of f each for a function.\n\n" +
			"Reference: Gonzalez et al., \"Towards scalable and stable parallelization of nonlinear RNNs\" (2024).",
		Fields: []param.Field{
			{Name: "diagonal", Kind: param.Text, Default: `"exact"`, Choices: []string{"exact", "hutchinson"}, Doc: "how the diagonal is found"},
			{Name: "probes", Kind: param.Int, Default: "1", Doc: "Hutchinson: how many probes; with signs, their number"},
			{Name: "signs", Kind: param.Array, Shape: "probes T D", Default: "None",
				Doc: "Hutchinson: the signs, +-1, shared by the batch; row t belongs to A[t], row 0 is not used"},
			{Name: "fresh", Kind: param.Bool, Default: "False", Doc: "Hutchinson: draw new signs in every iteration"},
		}}, newQuasi[float32], newQuasi[float64])
}

type quasi[T num.Float] struct{}

// hutchinson is quasi-Newton with an estimated diagonal.
type hutchinson[T num.Float] struct {
	probes, steps, d int
	signs            []T // nil: drawn
	fresh            bool
}

func newQuasi[T num.Float](r *param.Reader[T]) Method[T] {
	exact := r.Text("diagonal", "exact") == "exact"
	given := r.Axes("signs") >= 0
	h := hutchinson[T]{probes: r.Int("probes", 1, 1), steps: r.Len("T"), d: r.Len("D"), fresh: r.Bool("fresh", false)}
	if given {
		h.signs = r.Array("signs")
		if n := r.Len("probes"); r.Err() == nil && h.probes != n && h.probes != 1 {
			r.Fail("probes", fmt.Sprintf("is %d", h.probes), fmt.Sprintf("%d, the first axis of signs", n), "")
		}
		h.probes = r.Len("probes")
		for _, v := range h.signs {
			if v != 1 && v != -1 {
				r.Fail("signs", fmt.Sprintf("holds %v", v), "1 and -1 only", "")
				break
			}
		}
	}
	switch {
	case exact && (given || h.fresh || h.probes != 1):
		r.Fail("diagonal", `is "exact"`, `"hutchinson"`, "probes, signs and fresh belong to the Hutchinson estimate")
	case given && h.fresh:
		r.Fail("fresh", "is True", "False", "signs were given, and given signs serve every iteration")
	case given && h.probes == 0:
		r.Fail("signs", "is empty", "at least one probe", "")
	}
	if exact {
		return quasi[T]{}
	}
	return &h
}

func (quasi[T]) Structure() lds.Structure[T] { return lds.Diagonal[T]{} }

func (quasi[T]) Linearise(b *Block[T]) error { return b.Cell.Diagonal(b.Block, b.A) }

func (*hutchinson[T]) Structure() lds.Structure[T] { return lds.Diagonal[T]{} }

func (h *hutchinson[T]) Linearise(b *Block[T]) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	z, jz := b.Scratch.Take(b.N*h.d), b.Scratch.Take(b.N*h.d)
	clear(b.A)
	for p := range h.probes {
		b.Each(func(s *Sequence[T], from, to int) {
			h.fill(z[from*h.d:to*h.d], p, s.First+b.From, b.Seed, s.K)
		})
		if err := b.Cell.JVP(b.Block, jz, z); err != nil {
			return err
		}
		for i, v := range z {
			b.A[i] += v * jz[i]
		}
	}
	if h.probes > 1 {
		lds.Diagonal[T]{}.Scale(b.A, b.A, 1/T(h.probes))
	}
	return nil
}

// fill writes the signs of one probe from step first on, for update k.
func (h *hutchinson[T]) fill(z []T, probe, first int, seed uint64, k int) {
	at := (probe*h.steps + first) * h.d
	if h.signs != nil {
		copy(z, h.signs[at:at+len(z)])
		return
	}
	seed = mix(seed)
	if h.fresh {
		seed = mix(seed + uint64(k) + 1)
	}
	for i := range z {
		z[i] = 1
		if mix(seed+uint64(at+i))>>63 == 1 {
			z[i] = -1
		}
	}
}

// mix is the finaliser of splitmix64 (Steele et al. 2014): a counter gives a random word, so signs need no memory and do not depend on
// the order in which blocks are evaluated.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
