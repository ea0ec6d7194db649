package cell

import (
	"fmt"

	"pards/core/internal/simd"
	"pards/core/num"
	"pards/core/param"
)

func init() {
	register(Entry{Name: "group_word", Class: "GroupWord", Words: true,
		Doc: "x[t] = P_w x[t-1] for an integer word w = u[t]: a product of permutations, the word problem of a group.",
		Fields: []param.Field{
			{Name: "permutations", Kind: param.Array, Shape: "G D D|G D", Doc: "G permutation matrices, or G rows of indices with y[i] = x[index[i]]"},
		}}, newWord[float32], newWord[float64])
}

type word[T num.Float] struct {
	g, d  int
	index []int   // (G, D)
	short []int32 // the same in rows of simd.PermuteWidth, for D up to that; further elements stay where they are
}

func newWord[T num.Float](r *param.Reader[T]) Cell[T] {
	matrices := r.Axes("permutations") == 3
	pattern := "G D"
	if matrices {
		pattern = "G D D"
	}
	p := r.ArrayOf("permutations", pattern)
	c := &word[T]{g: r.Len("G"), d: r.Len("D")}
	if r.Err() != nil {
		return c
	}
	if c.g == 0 || c.d == 0 {
		r.Fail("permutations", "is empty", "at least one permutation", "")
		return c
	}
	if c.g > num.MaxInteger[T]() {
		r.Fail("permutations", fmt.Sprintf("holds %d", c.g), fmt.Sprintf("at most %d", num.MaxInteger[T]()), "words travel as "+num.Name[T]())
		return c
	}
	c.index = make([]int, c.g*c.d)
	for i := range c.index {
		c.index[i] = -1
		if !matrices {
			if v := p[i]; v == T(int(v)) {
				c.index[i] = int(v)
			}
			continue
		}
		for k, v := range p[i*c.d : (i+1)*c.d] {
			if v == 1 && c.index[i] < 0 {
				c.index[i] = k
			} else if v != 0 {
				c.index[i] = c.d // more than a single 1
			}
		}
	}
	for g := range c.g {
		seen := make([]bool, c.d)
		for _, k := range c.index[g*c.d : (g+1)*c.d] {
			if k < 0 || k >= c.d || seen[k] {
				r.Fail("permutations", fmt.Sprintf("at %d is not a permutation", g), fmt.Sprintf("each of 0 to %d once", c.d-1), "")
				return c
			}
			seen[k] = true
		}
	}
	for i := 0; c.d <= simd.PermuteWidth && i < c.g; i++ {
		for k := range simd.PermuteWidth {
			if k < c.d {
				k = c.index[i*c.d+k]
			}
			c.short = append(c.short, int32(k))
		}
	}
	return c
}

// Dim returns D.
func (c *word[T]) Dim() int { return c.d }

// Inputs returns 1: a word a step.
func (c *word[T]) Inputs() int { return 1 }

// Affine marks f as linear in x.
func (c *word[T]) Affine() {}

// CheckInputs wants whole numbers below G.
func (c *word[T]) CheckInputs(u []T) (int, string) {
	if i := simd.FirstNoWord(u, c.g); i >= 0 {
		return i, fmt.Sprintf("words: whole numbers from 0 to %d (GroupWord.permutations holds %d)", c.g-1, c.g)
	}
	return -1, ""
}

func (c *word[T]) row(b Block[T], t int) []int {
	w := int(b.U[t])
	return c.index[w*c.d : (w+1)*c.d]
}

func (c *word[T]) gather(b Block[T], dst, x []T) {
	for t := range b.N {
		from, to := x[t*c.d:(t+1)*c.d], dst[t*c.d:(t+1)*c.d]
		for i, k := range c.row(b, t) {
			to[i] = from[k]
		}
	}
}

// Step permutes.
func (c *word[T]) Step(b Block[T]) error {
	if b.Y != nil {
		c.gather(b, b.Y, b.X)
	}
	return nil
}

// Run permutes again and again.
func (c *word[T]) Run(b Block[T]) {
	x, first := b.X[:c.d], 0
	if c.short != nil {
		defer b.Scratch.Release(b.Scratch.Mark())
		state := (*[simd.PermuteWidth]T)(b.Scratch.Take(simd.PermuteWidth))
		copy(state[:], x)
		if first = simd.Permute(b.Y, state, b.U, c.short, c.d); first > 0 {
			x = b.Y[(first-1)*c.d : first*c.d]
		}
	}
	for t := first; t < b.N; t++ {
		y := b.Y[t*c.d : (t+1)*c.d]
		for i, k := range c.row(b, t) {
			y[i] = x[k]
		}
		x = y
	}
}

// Alone: nothing is shared.
func (c *word[T]) Alone(int) bool { return true }

// Jacobian writes permutation matrices.
func (c *word[T]) Jacobian(b Block[T], j []T) error {
	clear(j[:b.N*c.d*c.d])
	for t := range b.N {
		for i, k := range c.row(b, t) {
			j[(t*c.d+i)*c.d+k] = 1
		}
	}
	return c.Step(b)
}

// Diagonal writes 1 where an element stays.
func (c *word[T]) Diagonal(b Block[T], d []T) error {
	for t := range b.N {
		for i, k := range c.row(b, t) {
			d[t*c.d+i] = 0
			if i == k {
				d[t*c.d+i] = 1
			}
		}
	}
	return c.Step(b)
}

// JVP permutes v.
func (c *word[T]) JVP(b Block[T], p, v []T) error {
	c.gather(b, p, v)
	return c.Step(b)
}

// VJP permutes back.
func (c *word[T]) VJP(b Block[T], p, v []T) error {
	for t := range b.N {
		for i, k := range c.row(b, t) {
			p[t*c.d+k] = v[t*c.d+i]
		}
	}
	return c.Step(b)
}
