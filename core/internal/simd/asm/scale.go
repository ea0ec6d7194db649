package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// scaled writes the function for the Jacobians of a cell whose state enters through products: rows of the weights, scaled and added up.
func (l *level) scaled() {
	TEXT(l.byName("scaled"), NOSPLIT, "func(j, coef, w *"+l.goType()+", parts, d, n, pitch int)")
	Doc("writes j[t, i, k] = sum_g coef[g d + i][t] w[g d + i, k]: j (n, d, d), coef rows of numbers, pitch apart, w (parts d, d).")
	j, coef := Load(Param("j"), GP64()), Load(Param("coef"), GP64())
	w, parts, d := NewParamAddr("w", 16), NewParamAddr("parts", 24), NewParamAddr("d", 32) // there are not registers for all
	row, block, move, next := GP64(), GP64(), GP64(), GP64()                               // bytes of a row of w, of d rows; from one coefficient to the next, to the next part's
	MOVQ(d, row)
	IMUL3Q(Imm(uint64(l.size)), row, row)
	MOVQ(row, block)
	IMULQ(d, block)
	MOVQ(NewParamAddr("pitch", 48), move)
	IMUL3Q(Imm(uint64(l.size)), move, move)
	MOVQ(move, next)
	IMULQ(d, next)
	label := func(s string) string { return l.byName("scaled") + s }
	left := GP64()

	Label(label("Steps"))
	MOVQ(NewParamAddr("n", 40), left)
	CMPQ(left, Imm(0))
	JLE(LabelRef(label("Done")))
	DECQ(left)
	MOVQ(left, NewParamAddr("n", 40))
	i, cAt, wAt := GP64(), GP64(), GP64()
	MOVQ(d, i)
	MOVQ(coef, cAt)
	MOVQ(w, wAt)
	Label(label("Rows"))
	k := GP64()
	XORQ(k, k) // bytes along the row
	Label(label("Columns"))
	MOVQ(row, left)
	SUBQ(k, left)
	JLE(LabelRef(label("Next")))
	CMPQ(left, Imm(uint64(l.vector)))
	JLT(LabelRef(label("Tail")))
	l.scaledSum(label("Full"), parts, cAt, wAt, k, next, block, func(v reg.VecVirtual, from Mem) { l.load(v, from) },
		func(v reg.VecVirtual) { l.store(Mem{Base: j, Index: k, Scale: 1}, v) })
	ADDQ(Imm(uint64(l.vector)), k)
	JMP(LabelRef(label("Columns")))
	Label(label("Tail"))
	shift := uint64(2)
	if l.size == 8 {
		shift = 3
	}
	SHRQ(Imm(shift), left)
	mask := l.first(left)
	l.scaledSum(label("Part"), parts, cAt, wAt, k, next, block, func(v reg.VecVirtual, from Mem) { l.loadMasked(v, from, mask) },
		func(v reg.VecVirtual) { l.storeMasked(Mem{Base: j, Index: k, Scale: 1}, v, mask) })
	Label(label("Next"))
	ADDQ(row, j)
	ADDQ(row, wAt)
	ADDQ(move, cAt)
	DECQ(i)
	JNZ(LabelRef(label("Rows")))
	ADDQ(Imm(uint64(l.size)), coef)
	JMP(LabelRef(label("Steps")))
	Label(label("Done"))
	VZEROUPPER()
	RET()
}

// scaledSum makes one vector of a row.
func (l *level) scaledSum(loop string, parts Mem, cAt, wAt, k, next, block reg.Register, load func(reg.VecVirtual, Mem), store func(reg.VecVirtual)) {
	g, c, w, sum, v, factor := GP64(), GP64(), GP64(), l.reg(), l.reg(), l.reg()
	MOVQ(parts, g)
	MOVQ(cAt, c)
	LEAQ(Mem{Base: wAt, Index: k, Scale: 1}, w)
	l.broadcast(factor, Mem{Base: c})
	load(v, Mem{Base: w})
	l.mul(sum, factor, v)
	Label(loop)
	DECQ(g)
	JZ(LabelRef(loop + "End"))
	ADDQ(next, c)
	ADDQ(block, w)
	l.broadcast(factor, Mem{Base: c})
	load(v, Mem{Base: w})
	l.muladd(sum, factor, v)
	JMP(LabelRef(loop))
	Label(loop + "End")
	store(sum)
}
