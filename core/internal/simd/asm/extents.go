package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// extents writes the function for the size of rows: a vector of columns at a time, four rows side by side, whose sums do not wait for each
// other. Squares are added up in double precision.
func (l *level) extents() {
	TEXT(l.byName("extents"), NOSPLIT, "func(top, x, f *"+l.goType()+", d, n int) float64")
	Doc("writes top = max |x - f|, or |x| for nil f, of n rows of d numbers, a multiple of the lanes, and returns the sum of all squares.",
		"Where a number is NaN the sum is, and top is not to be used.")
	top, x, f := Load(Param("top"), GP64()), Load(Param("x"), GP64()), Load(Param("f"), GP64())
	row, three := l.pitch(NewParamAddr("d", 24))
	label := func(s string) string { return l.byName("extents") + s }
	absolute := l.reg()
	l.load(absolute, l.absolute())
	sums := [4]reg.VecVirtual{YMM(), YMM(), YMM(), YMM()}
	for _, s := range sums {
		VXORPD(s, s, s)
	}
	column := GP64() // bytes of the columns that are left
	MOVQ(row, column)
	Label(label("Columns"))
	tops := [4]reg.VecVirtual{}
	for i := range tops {
		tops[i] = l.reg()
		l.zero(tops[i])
	}
	left, at, to := GP64(), GP64(), GP64()
	MOVQ(NewParamAddr("n", 32), left)
	MOVQ(x, at)
	MOVQ(f, to)
	for _, count := range []int{4, 1} {
		loop, end := label(fmt.Sprintf("Rows%d", count)), label(fmt.Sprintf("End%d", count))
		Label(loop)
		CMPQ(left, Imm(uint64(count)))
		JLT(LabelRef(end))
		v := make([]reg.VecVirtual, count)
		for i := range v {
			v[i] = l.reg()
			l.load(v[i], address(at, row, three, i))
		}
		TESTQ(to, to)
		JZ(LabelRef(loop + "Plain"))
		for i := range v {
			l.sub(v[i], v[i], address(to, row, three, i))
		}
		LEAQ(Mem{Base: to, Index: row, Scale: uint8(count)}, to)
		Label(loop + "Plain")
		for i := range v {
			l.squares(sums[i], v[i])
			l.and(v[i], v[i], absolute)
			l.max(tops[i], tops[i], v[i])
		}
		LEAQ(Mem{Base: at, Index: row, Scale: uint8(count)}, at)
		SUBQ(Imm(uint64(count)), left)
		JMP(LabelRef(loop))
		Label(end)
	}
	for _, t := range tops[1:] {
		l.max(tops[0], tops[0], t)
	}
	l.store(Mem{Base: top}, tops[0])
	ADDQ(Imm(uint64(l.vector)), top)
	ADDQ(Imm(uint64(l.vector)), x)
	TESTQ(f, f)
	JZ(LabelRef(label("Next")))
	ADDQ(Imm(uint64(l.vector)), f)
	Label(label("Next"))
	SUBQ(Imm(uint64(l.vector)), column)
	JG(LabelRef(label("Columns")))
	for _, s := range sums[1:] {
		VADDPD(s, sums[0], sums[0])
	}
	half := XMM()
	VEXTRACTF128(Imm(1), sums[0], half)
	VADDPD(half, sums[0].AsX(), half)
	VHADDPD(half, half, half)
	Store(half, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// squares adds the squares of v to a sum.
func (l *level) squares(sum, v reg.VecVirtual) {
	if l.size == 8 {
		VFMADD231PD(v, v, sum)
		return
	}
	low, high := YMM(), XMM()
	VCVTPS2PD(v.AsX(), low)
	VFMADD231PD(low, low, sum)
	VEXTRACTF128(Imm(1), v, high)
	VCVTPS2PD(high, low)
	VFMADD231PD(low, low, sum)
}
