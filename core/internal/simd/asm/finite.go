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
	x, n := Load(Param("x"), GP64()), Load(Param("n"), GP64())
	label := func(s string) string { return l.byName("finite") + s }
	sums := [4]reg.VecVirtual{l.reg(), l.reg(), l.reg(), l.reg()} // which do not wait for each other
	for _, s := range sums {
		l.pick(VXORPS, VXORPD, s, s, s)
	}
	Label(label("Loop"))
	CMPQ(n, Imm(0))
	JLE(LabelRef(label("Done")))
	for i, s := range sums {
		v := l.reg()
		l.load(v, Mem{Base: x, Disp: i * l.vector})
		l.sub(v, v, v)
		l.add(s, s, v)
	}
	ADDQ(Imm(uint64(len(sums)*l.vector)), x)
	SUBQ(Imm(uint64(len(sums)*l.lanes())), n)
	JMP(LabelRef(label("Loop")))
	Label(label("Done"))
	for _, s := range sums[1:] {
		l.add(sums[0], sums[0], s)
	}
	l.noneUnordered(sums[0])
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
