package lds

import "pards/core/num"

// BlockDiagonal is square blocks of Size along the diagonal, the last one smaller where Size does not divide D; row-major, one block
// after another.
type BlockDiagonal[T num.Float] struct{ Size int }

func init() {
	register(Entry{Class: "BlockDiagonal", Array: "blocks", Axes: 3,
		Doc: "Square blocks along the diagonal, blocks (..., T, n, d, d) with D = n d: D*d products a step."}, BlockDiagonal[float32]{2}, BlockDiagonal[float64]{2})
}

var _ Restrainable[float64] = BlockDiagonal[float64]{}
var _ Sized[float64] = BlockDiagonal[float64]{}

// Name returns "block_diagonal".
func (BlockDiagonal[T]) Name() string { return "block_diagonal" }

// Sized returns the structure of an array of blocks (..., n, d, d).
func (BlockDiagonal[T]) Sized(shape []int) Structure[T] {
	size := 1
	if len(shape) > 0 {
		size = max(shape[len(shape)-1], 1)
	}
	return BlockDiagonal[T]{size}
}

// Fits wants blocks of one size: an array has no room for a smaller last one.
func (s BlockDiagonal[T]) Fits(d int) bool { return d%s.Size == 0 }

// Len returns the numbers in all blocks.
func (s BlockDiagonal[T]) Len(d int) int { return d/s.Size*s.Size*s.Size + d%s.Size*(d%s.Size) }

// Shape returns (n, size, size).
func (s BlockDiagonal[T]) Shape(d int) []int { return []int{d / s.Size, s.Size, s.Size} }

// Valid accepts all.
func (BlockDiagonal[T]) Valid([]T, int) string { return "" }

// Growth returns size + 2, as for a dense matrix of that size.
func (s BlockDiagonal[T]) Growth(int) int { return s.Size + 2 }

// Apply multiplies block by block.
func (s BlockDiagonal[T]) Apply(span Span[T], carry []T) {
	d, length := span.D, s.Len(span.D)
	t, step := span.order()
	for range span.Steps() {
		x := span.X[t*d : (t+1)*d]
		s.Mul(x, span.A[t*length:(t+1)*length], carry, d)
		for i, v := range span.B[t*d : (t+1)*d] {
			x[i] += v
		}
		next(carry, x, span.Ref, t*d)
		t += step
	}
}

// Reduce multiplies the matrices block by block.
func (s BlockDiagonal[T]) Reduce(p []T, span Span[T]) {
	d, length := span.D, s.Len(span.D)
	t, step := span.order()
	copy(p, span.A[t*length:(t+1)*length])
	product := make([]T, s.Size*s.Size)
	for range span.Steps() - 1 {
		t += step
		s.blocks(span.A[t*length:(t+1)*length], d, func(a []T, at, _, size int) {
			multiply(product[:size*size], a, p[at:at+size*size], size)
			copy(p[at:], product[:size*size])
		})
	}
}

// blocks calls f for each block of some matrices: its numbers, where they and its first row stand among all, and its size.
func (s BlockDiagonal[T]) blocks(a []T, d int, f func(block []T, at, row, size int)) {
	for at, row := 0, 0; at < len(a); {
		size := min(s.Size, d-row%d)
		f(a[at:at+size*size], at, row, size)
		at, row = at+size*size, row+size
	}
}

// Mul multiplies each row of x by its matrix.
func (s BlockDiagonal[T]) Mul(dst, a, x []T, d int) {
	at := 0
	for row := 0; row < len(x); {
		size := min(s.Size, d-row%d)
		matvec(dst[row:row+size], a[at:at+size*size], x[row:row+size])
		at, row = at+size*size, row+size
	}
}

// Transpose transposes each block.
func (s BlockDiagonal[T]) Transpose(dst, a []T, d int) {
	s.blocks(a, d, func(block []T, at, _, size int) { Dense[T]{}.Transpose(dst[at:at+size*size], block, size) })
}

// Dense writes full matrices.
func (s BlockDiagonal[T]) Dense(dst, a []T, d int) {
	clear(dst)
	s.blocks(a, d, func(block []T, _, row, size int) {
		for i := range size {
			copy(dst[(row+i)*d+row%d:], block[i*size:(i+1)*size])
		}
	})
}

// Take writes the blocks of full matrices.
func (s BlockDiagonal[T]) Take(dst, full []T, d int) {
	s.blocks(dst, d, func(block []T, _, row, size int) {
		for i := range size {
			copy(block[i*size:(i+1)*size], full[(row+i)*d+row%d:])
		}
	})
}

// Clip divides each block by the larger of 1 and its largest singular value.
func (s BlockDiagonal[T]) Clip(a []T, d int) {
	s.blocks(a, d, func(block []T, _, _, size int) { Dense[T]{}.Clip(block, size) })
}

// Damped returns the structure itself.
func (s BlockDiagonal[T]) Damped() Structure[T] { return s }

// Scale multiplies by k.
func (BlockDiagonal[T]) Scale(dst, a []T, k T) { Diagonal[T]{}.Scale(dst, a, k) }
