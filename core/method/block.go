package method

import (
	"pards/core/lds"
	"pards/core/num"
	"pards/core/param"
)

func init() {
	register(Entry{Name: "block_newton", Class: "BlockNewton", Structure: "block_diagonal", Derivative: "block_diagonal",
		Doc: "Newton on blocks: A[t] = the block diagonal of J[t].\n\nBetween quasi-Newton (blocks of 1) and Newton (one block); suits models whose components couple in groups. An update\n" +
			"takes one evaluation of f and J, and a scan of B*T*D*block products, block times as many where time is cut into\n" +
			"parts. A is D*block numbers a step; a function's J takes B*T*D*D beside.\n\n" +
			"Reference: Gonzalez et al., \"A Unifying Framework for Parallelizing Sequential Models with Linear Dynamical Systems\"\n" +
			"(2025), whose Table 1 has the ends, J and its diagonal; in their common form x' = f + A (x' - x) any A will do, and\n" +
			"blocks are pards' choice of it.",
		Fields: []param.Field{
			{Name: "block", Kind: param.Int, Doc: "size of the blocks, in the order of the components; the last one is smaller where it must be"},
		}}, newBlock[float32], newBlock[float64])
}

type block[T num.Float] struct{ structure lds.BlockDiagonal[T] }

func newBlock[T num.Float](r *param.Reader[T]) Method[T] {
	return block[T]{lds.BlockDiagonal[T]{Size: min(r.Int("block", 1, 1), max(r.Len("D"), 1))}}
}

func (m block[T]) Structure() lds.Structure[T] { return m.structure }

func (m block[T]) Linearise(b *Block[T]) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	d := b.Cell.Dim()
	j := b.Scratch.Take(b.N * d * d)
	err := b.Cell.Jacobian(b.Block, j)
	m.structure.Take(b.A, j, d)
	return err
}
