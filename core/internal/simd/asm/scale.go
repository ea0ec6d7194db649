package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// scaledParts is how many matrices there may be: so many coefficients are held.
const scaledParts = 4

// scaled writes the function for the Jacobians of a cell whose state enters through products: rows of the weights, scaled and added up.
func (l *level) scaled() {
	TEXT(l.byName("scaled"), NOSPLIT, "func(j, coef, w *"+l.goType()+", parts, d, wide, n, pitch int)")
	Doc("writes j[i wide + k] = sum_g coef[g d + i] w[g d + i, k], rows of n numbers, pitch apart, for i, k < d; w is (parts d, d), parts from 1 to 4,",
		"n a multiple of the lanes.")
	column := GP64()
	XORQ(column, column)
	step, next, block := GP64(), GP64(), GP64() // bytes from row to row, from a part's coefficients to the next one's, from its weights
	MOVQ(NewParamAddr("pitch", 56), step)
	IMUL3Q(Imm(uint64(l.size)), step, step)
	d := NewParamAddr("d", 32) // there are not registers for all
	MOVQ(d, next)
	MOVQ(next, block)
	IMULQ(block, block)
	IMUL3Q(Imm(uint64(l.size)), block, block)
	IMULQ(step, next)
	skip := GP64() // to the next row of matrices
	MOVQ(NewParamAddr("wide", 40), skip)
	SUBQ(d, skip)
	IMULQ(step, skip)
	nextThree, blockThree := GP64(), GP64()
	LEAQ(Mem{Base: next, Index: next, Scale: 2}, nextThree)
	LEAQ(Mem{Base: block, Index: block, Scale: 2}, blockThree)

	label := func(s string) string { return l.byName("scaled") + s }
	to, c, w, i, k := GP64(), GP64(), GP64(), GP64(), GP64()
	Label(label("Vector"))
	CMPQ(NewParamAddr("n", 48), Imm(0))
	JLE(LabelRef(label("Done")))
	for _, r := range []struct {
		from Mem
		at   reg.Register
	}{{NewParamAddr("j", 0), to}, {NewParamAddr("coef", 8), c}} {
		MOVQ(r.from, r.at)
		ADDQ(column, r.at)
	}
	MOVQ(NewParamAddr("w", 16), w)
	MOVQ(d, i)
	for parts := 1; parts <= scaledParts; parts++ {
		if parts < scaledParts {
			CMPQ(NewParamAddr("parts", 24), Imm(uint64(parts)))
			JNE(LabelRef(label("NotBy" + string(rune('0'+parts)))))
		}
		rows := label("By" + string(rune('0'+parts)))
		held := make([]reg.VecVirtual, parts)
		Label(rows)
		for g := range held {
			held[g] = l.reg()
			l.load(held[g], address(c, next, nextThree, g))
		}
		MOVQ(d, k)
		Label(rows + "Columns")
		sum := l.reg()
		for g, v := range held {
			l.scaledTerm(sum, v, address(w, block, blockThree, g), g == 0)
		}
		l.store(Mem{Base: to}, sum)
		ADDQ(step, to)
		ADDQ(Imm(uint64(l.size)), w)
		DECQ(k)
		JNZ(LabelRef(rows + "Columns"))
		ADDQ(skip, to)
		ADDQ(step, c)
		DECQ(i)
		JNZ(LabelRef(rows))
		JMP(LabelRef(label("Next")))
		if parts < scaledParts {
			Label(label("NotBy" + string(rune('0'+parts))))
		}
	}
	Label(label("Next"))
	ADDQ(Imm(uint64(l.vector)), column)
	SUBQ(Imm(uint64(l.lanes())), NewParamAddr("n", 48))
	JMP(LabelRef(label("Vector")))
	Label(label("Done"))
	VZEROUPPER()
	RET()
}

// scaledTerm adds v times the number at w to sum, or begins with it.
func (l *level) scaledTerm(sum, v reg.VecVirtual, w Mem, first bool) {
	switch {
	case l.wide() && first:
		l.pick(VMULPS_BCST, VMULPD_BCST, w, v, sum)
	case l.wide():
		l.pick(VFMADD231PS_BCST, VFMADD231PD_BCST, w, v, sum)
	case first:
		l.broadcast(sum, w)
		l.mul(sum, sum, v)
	default:
		factor := l.reg()
		l.broadcast(factor, w)
		l.muladd(sum, v, factor)
	}
}
