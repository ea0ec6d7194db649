package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// permuteWidth is how many numbers are moved at once.
const permuteWidth = 8

// permute writes the function for a product of permutations, whose state stays in a register: for float32 by AVX2, for float64 by AVX-512.
func (l *level) permute() {
	TEXT(l.byName("permute"), NOSPLIT, "func(y, x, u *"+l.goType()+", index *int32, d, n int)")
	Doc("writes n rows y, d apart and 8 long, each the row before, x at first, by the row u[t] of index (…, 8): y[i] = x[index[u[t], i]].")
	y, u, index := Load(Param("y"), GP64()), Load(Param("u"), GP64()), Load(Param("index"), GP64())
	row, n := Load(Param("d"), GP64()), Load(Param("n"), GP64())
	IMUL3Q(Imm(uint64(l.size)), row, row)
	state := l.reg()
	l.load(state, Mem{Base: Load(Param("x"), GP64())})
	label := func(s string) string { return l.byName("permute") + s }
	Label(label("Steps"))
	CMPQ(n, Imm(0))
	JLE(LabelRef(label("Done")))
	word := GP64()
	l.pick(VCVTTSS2SIQ, VCVTTSD2SIQ, Mem{Base: u}, word)
	IMUL3Q(Imm(4*permuteWidth), word, word)
	from := Mem{Base: index, Index: word, Scale: 1}
	order := l.reg()
	if l.size == 4 {
		VMOVDQU(from, order)
		VPERMPS(state, order, state)
	} else {
		VPMOVSXDQ(from, order)
		VPERMPD(state, order, state)
	}
	l.store(Mem{Base: y}, state)
	ADDQ(row, y)
	ADDQ(Imm(uint64(l.size)), u)
	DECQ(n)
	JMP(LabelRef(label("Steps")))
	Label(label("Done"))
	VZEROUPPER()
	RET()
}
