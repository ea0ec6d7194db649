package gpu

import (
	"bytes"
	"unsafe"

	"gonum.org/v1/gonum/mat"

	"pards/core/num"
)

// The dimensions of kernels/langevin.cu, and the most components that it takes.
const (
	langevinLeast, langevinMost = 16, 256
	mixtureMost                 = 16
)

// langevinGroup is group of langevin.cu: so many tiles are one link of a chain.
const langevinGroup = 8

// langevinPlan is a variant of kernels/langevin.cu and what follows from it.
type langevinPlan struct {
	variant
	dim, pad, components, bytes int
	rows, threads               int
	shared, turning             int // bytes of shared memory: of a step; of what turns rows only
}

// The codes of langevin.cu for how A is made.
var langevinA = map[string]int{"jacobi": 0, "picard": 1, "scaled_identity": 2, "quasi_newton": 3, "rotated_quasi_newton": 3}

// langevinDown is how many warps stand down a tile at most, 32 steps each. Measured on an H100 at batch 16: tiles of these lengths are
// fastest from T = 1000 on, since each waits for the one before it; longer ones leave too few blocks on a multiprocessor.
func langevinDown(pad, bytes, dense int) int {
	switch {
	case bytes == 8:
		return min(max(128/pad, 1), 4)
	case pad > 128 && dense > 1: // three sums of a product each in registers
		return 1
	case pad > 64:
		return 2
	}
	return 4
}

// planLangevin chooses the variant: tiles are shorter where there are few steps, or where they would not fit
// in the most shared memory that a block may have.
func planLangevin(bytes, dim, components, dense, a, steps, most int) langevinPlan {
	pad := (dim + 31) / 32 * 32
	if dim <= 16 {
		pad = 16
	}
	columns, slice := 32, 32
	if pad == 16 || bytes == 8 {
		columns, slice = 16, 16
	}
	across, down := pad/columns, langevinDown(pad, bytes, dense)
	for down > 1 && 16*down >= steps {
		down /= 2
	}
	var p langevinPlan
	for ; ; down /= 2 {
		p = langevinPlan{dim: dim, pad: pad, components: components, bytes: bytes, rows: 32 * down, threads: 32 * across * down}
		if pad > 128 && down == 1 {
			slice = 16
		}
		tile, warps, sums := p.rows*(pad+4), p.threads/32, 0 // as memory of langevin.cu
		if across > 1 {
			sums = across * p.rows
		}
		scratch := max((3*pad+sums)*bytes+components*p.rows*4, 3*p.threads*bytes)
		p.turning = (tile + pad + 4 + max(tile, 2*slice*(pad+8))) * bytes
		p.shared = p.turning + tile*bytes + (scratch+15)/16*16 + warps*(8+components*4) + 16
		if p.shared <= most || down == 1 {
			break
		}
	}
	p.variant = variant{"langevin.cu", []string{define("REAL", realName(bytes)), define("DIM", dim), define("PAD", pad), define("DOWN", down),
		define("COMPONENTS", components), define("DENSE", dense), define("A", a)}}
	return p
}

// langevinLoop is a variant of kernels/langevin_loop.cu.
type langevinLoop struct {
	variant
	threads, blocks int // blocks: of a sequence
}

// planLoop chooses the variant: precisions stay in registers where a block, or a cluster of blocks from architecture 90 on, has room for
// them. ok is false where not even the vectors fit in shared memory.
func planLoop(bytes, dim, components, arch int) (p langevinLoop, ok bool) {
	lanes, held := 2, 1
	if dim > 64 {
		lanes = 4
	}
	most := 1024 // threads, by the registers that each takes
	if own := (dim + lanes - 1) / lanes * bytes / 4; own > 32 {
		most = 512
	}
	total := components * dim * lanes
	for p.blocks = 1; p.blocks < 8 && total > most*p.blocks; {
		p.blocks, most = 2*p.blocks, 512
	}
	p.threads = ((components*dim+p.blocks-1)/p.blocks*lanes + 31) / 32 * 32
	if total > most*p.blocks || p.blocks > 1 && arch < 90 || (dim+lanes-1)/lanes*bytes > 64*4 {
		lanes, held, p.threads, p.blocks = 32, 0, 512, 1
	}
	chunk := 8
	if dim <= 64 {
		chunk = 32
	}
	shared := bytes * (3*components*dim + 2*chunk*dim + 2*components*p.blocks*p.threads/32)
	p.variant = variant{"langevin_loop.cu", []string{define("REAL", realName(bytes)), define("DIM", dim), define("COMPONENTS", components),
		define("LANES", lanes), define("THREADS", p.threads), define("BLOCKS", p.blocks), define("HELD", held)}}
	return p, shared <= 48<<10
}

// mixtureOf is a mixture's parameters, as the caller gave them.
type mixtureOf[T num.Float] struct {
	means, precisions []T // (K, D), and (K, D, D) or (K, D)
	k, d              int
}

// full returns the precisions as matrices.
func (m mixtureOf[T]) full() []T {
	if !m.diagonal() {
		return m.precisions
	}
	all := make([]T, m.k*m.d*m.d)
	for i, v := range m.precisions {
		all[i*m.d+i%m.d] = v
	}
	return all
}

// diagonal tells whether the precisions are given as diagonals.
func (m mixtureOf[T]) diagonal() bool { return len(m.precisions) == m.k*m.d }

func (m mixtureOf[T]) precision(k int) *mat.Dense {
	p := mat.NewDense(m.d, m.d, nil)
	for i := range m.d {
		if m.diagonal() {
			p.Set(i, i, float64(m.precisions[k*m.d+i]))
			continue
		}
		for j := range m.d { // the symmetric part: what is not is rounding
			p.Set(i, j, (float64(m.precisions[(k*m.d+i)*m.d+j])+float64(m.precisions[(k*m.d+j)*m.d+i]))/2)
		}
	}
	return p
}

// tableSize is the numbers of one table, a multiple of 4.
func tableSize(k, pad int) int { return (2+k)*pad*pad + (2*k+k*k)*pad + (k*k+3)/4*4 }

// table writes the numbers of the mixture in a basis: Q, Q', the precisions Q'P_k Q, their diagonals and the means Q'm_k, then of each pair
// (k, j) the pull Q'P_k (m_j - m_k) and 1 / (2 v'P_k v), v = m_j - m_k, or 0 where P_k is not positive definite; zeros pad them.
func (m mixtureOf[T]) table(dst []T, q *mat.Dense, pad int, definite []bool) {
	put := func(at int, a mat.Matrix) {
		rows, columns := a.Dims()
		for i := range rows {
			for j := range columns {
				dst[at+i*pad+j] = T(a.At(i, j))
			}
		}
	}
	put(0, q)
	put(pad*pad, q.T())
	means := mat.NewDense(m.k, m.d, nil)
	for i := range m.k * m.d {
		means.Set(i/m.d, i%m.d, float64(m.means[i]))
	}
	means.Mul(means, q)
	diagonals := (2 + m.k) * pad * pad
	pulls := diagonals + 2*m.k*pad
	scales := pulls + m.k*m.k*pad
	put(diagonals+m.k*pad, means)
	var pq, turned mat.Dense
	for k := range m.k {
		pq.Mul(m.precision(k), q)
		turned.Mul(q.T(), &pq)
		put((2+k)*pad*pad, &turned)
		for i := range m.d {
			dst[diagonals+k*pad+i] = T(turned.At(i, i))
		}
		for j := range m.k {
			var v, pull mat.VecDense
			v.SubVec(means.RowView(j), means.RowView(k))
			pull.MulVec(&turned, &v)
			put(pulls+(k*m.k+j)*pad, pull.T())
			if square := mat.Dot(&v, &pull); definite[k] && square > 0 {
				dst[scales+k*m.k+j] = T(1 / (2 * square))
			}
		}
	}
}

// definite tells of each precision whether it is positive definite.
func (m mixtureOf[T]) definite() []bool {
	all := make([]bool, m.k)
	for k := range all {
		var c mat.Cholesky
		all[k] = c.Factorize(mat.NewSymDense(m.d, m.precision(k).RawMatrix().Data))
	}
	return all
}

// tables returns the mixture in the eigenbasis of each precision, if turned, and at last in the caller's coordinates.
func (m mixtureOf[T]) tables(pad int, turned bool) []T {
	size := tableSize(m.k, pad)
	all, definite := make([]T, (m.k+1)*size), m.definite()
	for k := 0; k < m.k && turned; k++ {
		var eig mat.EigenSym
		var q mat.Dense
		p := m.precision(k)
		if !eig.Factorize(mat.NewSymDense(m.d, p.RawMatrix().Data), true) {
			return nil
		}
		eig.VectorsTo(&q)
		m.table(all[k*size:], &q, pad, definite)
	}
	m.table(all[m.k*size:], unit(m.d), pad, definite)
	return all
}

func unit(d int) *mat.Dense {
	q := mat.NewDense(d, d, nil)
	for i := range d {
		q.Set(i, i, 1)
	}
	return q
}

// given is the mixture in a basis of the caller's.
func (m mixtureOf[T]) given(pad int, basis []T) []T {
	q := mat.NewDense(m.d, m.d, nil)
	for i, v := range basis {
		q.Set(i/m.d, i%m.d, float64(v))
	}
	all := make([]T, tableSize(m.k, pad))
	m.table(all, q, pad, m.definite())
	return all
}

func (m mixtureOf[T]) equal(o mixtureOf[T]) bool {
	return m.k == o.k && m.d == o.d && bytes.Equal(bytesOf(m.means), bytesOf(o.means)) && bytes.Equal(bytesOf(m.precisions), bytesOf(o.precisions))
}

// bytesOf are the bits of numbers: every solve compares all of a mixture's, and bytes are compared many at a time.
func bytesOf[T num.Float](v []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*num.Size[T]())
}
