package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// transpose writes the function that transposes square blocks, as many rows as an AVX2 register has numbers, or, where they are narrow, some
// of them.
func (l *level) transpose(narrow bool) {
	n, name, more := l.lanes(), "block", ""
	if narrow {
		name, more = "strip", ", high, wide"
	}
	TEXT(l.byName(name), NOSPLIT, "func(dst, src *"+l.goType()+", count, to, from, there, here"+more+" int)")
	Doc("transposes count square blocks of rows that lie from apart in src, to apart in dst; the next block is here further in src, there in dst.")
	if narrow {
		Doc("There are high rows of src, the others count as 0, and wide rows of dst, one after another; all are of whole vectors.")
	}
	dst, src, count := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("count"), GP64())
	to, from := Load(Param("to"), GP64()), Load(Param("from"), GP64())
	there, here := Load(Param("there"), GP64()), Load(Param("here"), GP64())
	for _, r := range []reg.Register{to, from, there, here} {
		IMUL3Q(Imm(uint64(l.size)), r, r)
	}
	toThree, fromThree := GP64(), GP64()
	LEAQ(Mem{Base: to, Index: to, Scale: 2}, toThree)
	LEAQ(Mem{Base: from, Index: from, Scale: 2}, fromThree)
	loop, done := l.byName(name)+"Loop", l.byName(name)+"Done"
	var high, wide reg.Register
	if narrow {
		high, wide = Load(Param("high"), GP64()), Load(Param("wide"), GP64())
	}
	Label(loop)
	CMPQ(count, Imm(0))
	JLE(LabelRef(done))
	rows := make([]reg.VecVirtual, n)
	for i := range rows {
		if rows[i] = l.reg(); narrow {
			l.zero(rows[i])
		}
	}
	l.rowsOf(l.byName(name)+"Read", high, src, from, fromThree, func(i int, at Mem) { l.load(rows[i], at) })
	if l.size == 4 {
		rows = transpose8(rows)
	} else {
		rows = transpose4(rows)
	}
	l.rowsOf(l.byName(name)+"Written", wide, dst, to, toThree, func(i int, at Mem) { l.store(at, rows[i]) })
	ADDQ(here, src)
	ADDQ(there, dst)
	DECQ(count)
	JMP(LabelRef(loop))
	Label(done)
	VZEROUPPER()
	RET()
}

// rowsOf goes through the rows of a block, or the first some of them.
func (l *level) rowsOf(end string, some, base, stride, three reg.Register, do func(i int, at Mem)) {
	lower := GP64()
	LEAQ(Mem{Base: base, Index: stride, Scale: 4}, lower)
	for i := range l.lanes() {
		if some != nil && i > 0 {
			CMPQ(some, Imm(uint64(i)))
			JLE(LabelRef(end))
		}
		from := base
		if i >= 4 {
			from = lower
		}
		do(i, address(from, stride, three, i%4))
	}
	if some != nil {
		Label(end)
	}
}

// transpose8 exchanges numbers within pairs of rows, then pairs of numbers, then halves of registers.
func transpose8(r []reg.VecVirtual) []reg.VecVirtual {
	a, b := make([]reg.VecVirtual, 8), make([]reg.VecVirtual, 8)
	for i := 0; i < 8; i += 2 {
		a[i], a[i+1] = YMM(), YMM()
		VUNPCKLPS(r[i+1], r[i], a[i])
		VUNPCKHPS(r[i+1], r[i], a[i+1])
	}
	for i := 0; i < 8; i += 4 {
		for j := range 4 {
			b[i+j] = YMM()
			which := uint64(0x44)
			if j%2 == 1 {
				which = 0xee
			}
			VSHUFPS(Imm(which), a[i+2+j/2], a[i+j/2], b[i+j])
		}
	}
	out := make([]reg.VecVirtual, 8)
	for i := range out {
		out[i] = YMM()
		which := uint64(0x20)
		if i >= 4 {
			which = 0x31
		}
		VPERM2F128(Imm(which), b[4+i%4], b[i%4], out[i])
	}
	return out
}

func transpose4(r []reg.VecVirtual) []reg.VecVirtual {
	a, out := make([]reg.VecVirtual, 4), make([]reg.VecVirtual, 4)
	for i := 0; i < 4; i += 2 {
		a[i], a[i+1] = YMM(), YMM()
		VUNPCKLPD(r[i+1], r[i], a[i])
		VUNPCKHPD(r[i+1], r[i], a[i+1])
	}
	for i := range out {
		out[i] = YMM()
		which := uint64(0x20)
		if i >= 2 {
			which = 0x31
		}
		VPERM2F128(Imm(which), a[2+i%2], a[i%2], out[i])
	}
	return out
}
