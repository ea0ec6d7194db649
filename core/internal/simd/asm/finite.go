package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// finite writes the function that looks for what is not finite: x - x is 0, or else NaN, which stays in a sum.
func (l *level) finite() {
	TEXT(l.byName("finite"), NOSPLIT, "func(x *"+l.goType()+", n int) bool")
	Doc("tells whether n numbers are finite, a multiple of finiteRun.")
	l.noneUnordered(l.sums("finite", func(v reg.VecVirtual) { l.sub(v, v, v) }))
}

// words writes the function that looks for what is no word: the mask of such a lane is NaN, which stays in a sum.
func (l *level) words() {
	TEXT(l.byName("words"), NOSPLIT, "func(x *"+l.goType()+", n int, below "+l.goType()+") bool")
	Doc("tells whether n numbers are whole ones from 0 to less than below, a multiple of finiteRun.")
	const cut, unequal, notLess, notAtLeast = 3, 0x04, 0x15, 0x19 // of NaN they hold too
	below, zero := l.reg(), l.reg()
	l.broadcast(below, NewParamAddr("below", 16))
	l.zero(zero)
	l.noneUnordered(l.sums("words", func(v reg.VecVirtual) {
		whole, high := l.reg(), l.reg()
		l.pick(VROUNDPS, VROUNDPD, Imm(cut), v, whole)
		l.pick(VCMPPS, VCMPPD, Imm(unequal), v, whole, whole)
		l.pick(VCMPPS, VCMPPD, Imm(notLess), below, v, high)
		l.pick(VCMPPS, VCMPPD, Imm(notAtLeast), zero, v, v)
		l.or(v, v, whole)
		l.or(v, v, high)
	}))
}

// sums returns a register with the sums of what a function makes of the vectors of x.
func (l *level) sums(name string, of func(v reg.VecVirtual)) reg.VecVirtual {
	x, n := Load(Param("x"), GP64()), Load(Param("n"), GP64())
	label := func(s string) string { return l.byName(name) + s }
	sums := [4]reg.VecVirtual{l.reg(), l.reg(), l.reg(), l.reg()} // which do not wait for each other
	l.zero(sums[:]...)
	Label(label("Loop"))
	CMPQ(n, Imm(0))
	JLE(LabelRef(label("Done")))
	for i, s := range sums {
		v := l.reg()
		l.load(v, Mem{Base: x, Disp: i * l.vector})
		of(v)
		l.add(s, s, v)
	}
	ADDQ(Imm(uint64(len(sums)*l.vector)), x)
	SUBQ(Imm(uint64(len(sums)*l.lanes())), n)
	JMP(LabelRef(label("Loop")))
	Label(label("Done"))
	for _, s := range sums[1:] {
		l.add(sums[0], sums[0], s)
	}
	return sums[0]
}

// noneUnordered returns whether no lane is NaN.
func (l *level) noneUnordered(v reg.VecVirtual) {
	const unordered = 3
	l.pick(VCMPPS, VCMPPD, Imm(unordered), v, v, v)
	bad, good := GP32(), GP8()
	l.pick(VMOVMSKPS, VMOVMSKPD, v, bad)
	TESTL(bad, bad)
	SETEQ(good)
	Store(good, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
