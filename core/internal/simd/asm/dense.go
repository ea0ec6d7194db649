package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dense writes the function for the recurrence of full matrices. As many rows of a matrix as a vector has lanes are multiplied by the state
// at a time, and their sums folded into one vector. Rows that do not fill a vector are left to the last lanes, so that some are done twice.
// Matrices come from memory or the second cache, to which vectors of 32 bytes suffice.
func (l *level) dense() {
	TEXT(l.byName("dense"), NOSPLIT, "func(x, a, b, ref, carry *"+l.goType()+", d, n, step int)")
	Doc("writes x = a carry + b for n rows of d numbers, d at least the lanes, and carry = x - ref of each, or x for nil ref; step is 1 or -1.")
	x, a, b, ref := Load(Param("x"), GP64()), Load(Param("a"), GP64()), Load(Param("b"), GP64()), Load(Param("ref"), GP64())
	carry := Load(Param("carry"), GP64())
	row, three := l.pitch(NewParamAddr("d", 40)) // of a
	rest := GP64()                               // lanes of a row's last columns
	MOVQ(NewParamAddr("d", 40), rest)
	ANDQ(Imm(uint64(l.lanes()-1)), rest)
	mask := l.first(rest)
	label := func(s string) string { return l.byName("dense") + s }
	shift := uint64(2)
	if l.size == 8 {
		shift = 3
	}

	Label(label("Steps"))
	left := GP64()
	MOVQ(NewParamAddr("n", 48), left)
	CMPQ(left, Imm(0))
	JLE(LabelRef(label("Done")))
	DECQ(left)
	MOVQ(left, NewParamAddr("n", 48))
	i, at := GP64(), GP64() // bytes along the result, and where its row is in a
	XORQ(i, i)
	MOVQ(a, at)
	Label(label("Rows"))
	sum := l.denseRows(label, at, carry, row, three, rest, mask)
	l.add(sum, sum, Mem{Base: b, Index: i, Scale: 1})
	l.store(Mem{Base: x, Index: i, Scale: 1}, sum)
	ADDQ(Imm(uint64(l.vector)), i)
	LEAQ(Mem{Base: at, Index: row, Scale: 4}, at)
	if l.lanes() == 8 {
		LEAQ(Mem{Base: at, Index: row, Scale: 4}, at)
	}
	MOVQ(row, left) // bytes of the result that are left
	SUBQ(i, left)
	JLE(LabelRef(label("Next")))
	CMPQ(left, Imm(uint64(l.vector)))
	JGE(LabelRef(label("Rows")))
	SUBQ(Imm(uint64(l.vector)), left) // back by as many rows as are missing
	ADDQ(left, i)
	SARQ(Imm(shift), left) // rows
	IMULQ(row, left)
	ADDQ(left, at)
	JMP(LabelRef(label("Rows")))

	Label(label("Next")) // the state changes when all rows are done
	last := GP64()
	MOVQ(row, last)
	SUBQ(Imm(uint64(l.vector)), last)
	XORQ(i, i)
	Label(label("Carry"))
	l.load(sum, Mem{Base: x, Index: i, Scale: 1})
	TESTQ(ref, ref)
	JZ(LabelRef(label("Keep")))
	l.sub(sum, sum, Mem{Base: ref, Index: i, Scale: 1})
	Label(label("Keep"))
	l.store(Mem{Base: carry, Index: i, Scale: 1}, sum)
	CMPQ(i, last)
	JGE(LabelRef(label("Over")))
	ADDQ(Imm(uint64(l.vector)), i)
	CMPQ(i, last)
	JLE(LabelRef(label("Carry")))
	MOVQ(last, i)
	JMP(LabelRef(label("Carry")))
	Label(label("Over"))
	step := GP64() // bytes to the next row
	MOVQ(NewParamAddr("step", 56), step)
	IMULQ(row, step)
	ADDQ(step, x)
	ADDQ(step, b)
	TESTQ(ref, ref)
	JZ(LabelRef(label("Move")))
	ADDQ(step, ref)
	Label(label("Move"))
	IMULQ(NewParamAddr("d", 40), step)
	ADDQ(step, a)
	JMP(LabelRef(label("Steps")))
	Label(label("Done"))
	VZEROUPPER()
	RET()
}

// denseRows multiplies rows of a, from at on, by the state at carry: a vector of a sum each.
func (l *level) denseRows(label func(string) string, first, carry, row, three, rest, mask reg.Register) reg.VecVirtual {
	sums := make([]reg.VecVirtual, l.lanes())
	for r := range sums {
		sums[r] = l.reg()
		l.zero(sums[r])
	}
	state, low, high, left := GP64(), GP64(), GP64(), GP64()
	MOVQ(carry, state)
	MOVQ(first, low)
	LEAQ(Mem{Base: first, Index: row, Scale: 4}, high)
	each := func(do func(sum reg.VecVirtual, from Mem)) {
		for r, sum := range sums {
			base := low
			if r >= 4 {
				base = high
			}
			do(sum, address(base, row, three, r%4))
		}
	}
	v := l.reg()
	MOVQ(NewParamAddr("d", 40), left)
	SUBQ(rest, left)
	Label(label("Columns"))
	l.load(v, Mem{Base: state})
	each(func(sum reg.VecVirtual, from Mem) { l.muladd(sum, v, from) })
	for _, p := range []reg.Register{state, low, high} {
		ADDQ(Imm(uint64(l.vector)), p)
	}
	SUBQ(Imm(uint64(l.lanes())), left)
	JG(LabelRef(label("Columns")))
	TESTQ(rest, rest)
	JZ(LabelRef(label("Fold")))
	l.loadMasked(v, Mem{Base: state}, mask)
	each(func(sum reg.VecVirtual, from Mem) {
		w := l.reg()
		l.loadMasked(w, from, mask)
		l.muladd(sum, v, w)
	})
	Label(label("Fold"))
	return l.fold(sums)
}

// fold adds up each vector of as many as there are lanes: a vector of the sums, in their order.
func (l *level) fold(sums []reg.VecVirtual) reg.VecVirtual {
	for len(sums) > 2 {
		var half []reg.VecVirtual
		for i := 0; i < len(sums); i += 2 {
			h := l.reg()
			l.pick(VHADDPS, VHADDPD, sums[i+1], sums[i], h)
			half = append(half, h)
		}
		sums = half
	}
	low, high := l.reg(), l.reg()
	VPERM2F128(Imm(0x20), sums[1], sums[0], low)
	VPERM2F128(Imm(0x31), sums[1], sums[0], high)
	l.add(low, low, high)
	return low
}
