package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// mixRows is how many rows of the result are made at a time, a vector of each: sums that do not wait for each other.
const mixRows = 8

// mix writes the function for c[r] = bias[r] + sum_k w[r, k] x[k], or c[r] += ... without a bias, rows being n numbers long.
func (l *level) mix() {
	TEXT(l.byName("mix"), NOSPLIT, "func(c, w, x, bias *"+l.goType()+", rows, width, n, pitch int)")
	Doc("writes c[r] = bias[r] + sum_k w[r, k] x[k], for nil bias c[r] += the sum; rows of c and x lie pitch apart; n is a multiple of the lanes.")
	c, w, x, bias := Load(Param("c"), GP64()), Load(Param("w"), GP64()), Load(Param("x"), GP64()), Load(Param("bias"), GP64())
	rows, width := Load(Param("rows"), GP64()), Load(Param("width"), GP64())
	step := Load(Param("pitch"), GP64()) // between rows of c and x, in bytes
	IMUL3Q(Imm(uint64(l.size)), step, step)
	row := GP64() // between rows of w, in bytes
	MOVQ(width, row)
	IMUL3Q(Imm(uint64(l.size)), row, row)
	for _, count := range []int{mixRows, 1} {
		l.mixBlock(count, c, w, x, bias, rows, width, step, row)
	}
	VZEROUPPER()
	RET()
}

// address is base + i stride, for i up to 3; three is 3 stride.
func address(base, stride, three reg.Register, i int) Mem {
	switch i {
	case 0:
		return Mem{Base: base}
	case 3:
		return Mem{Base: base, Index: three, Scale: 1}
	}
	return Mem{Base: base, Index: stride, Scale: uint8(i)}
}

// mixBlock makes count rows of the result at a time, as long as there are so many.
func (l *level) mixBlock(count int, c, w, x, bias, rows, width, step, row reg.Register) {
	label := func(s string) string { return l.byName("mix") + s + string(rune('0'+count)) }
	Label(label("Rows"))
	CMPQ(rows, Imm(uint64(count)))
	JLT(LabelRef(label("End")))
	left, column := GP64(), GP64() // of n; the offset of the vector in hand
	MOVQ(NewParamAddr("n", 48), left)
	XORQ(column, column)

	Label(label("Columns"))
	CMPQ(left, Imm(0))
	JLE(LabelRef(label("Next")))
	sums := make([]reg.VecVirtual, count)
	cAt := GP64()
	each := func(do func(i int, to Mem)) { // with the address of each row of c
		LEAQ(Mem{Base: c, Index: column, Scale: 1}, cAt)
		for i := range sums {
			do(i, Mem{Base: cAt})
			if i+1 < count {
				ADDQ(step, cAt)
			}
		}
	}
	for i := range sums {
		sums[i] = l.reg()
	}
	TESTQ(bias, bias)
	JZ(LabelRef(label("Add")))
	for i := range sums {
		l.broadcast(sums[i], Mem{Base: bias, Disp: i * l.size})
	}
	JMP(LabelRef(label("Sum")))
	Label(label("Add"))
	each(func(i int, from Mem) { l.load(sums[i], from) })
	Label(label("Sum"))
	l.mixSum(label("K"), sums, w, x, width, step, row, column)
	each(func(i int, to Mem) { l.store(to, sums[i]) })
	ADDQ(Imm(uint64(l.vector)), column)
	SUBQ(Imm(uint64(l.lanes())), left)
	JMP(LabelRef(label("Columns")))

	Label(label("Next")) // rows
	SUBQ(Imm(uint64(count)), rows)
	move := GP64()
	for _, m := range []struct{ of, by reg.Register }{{c, step}, {w, row}} {
		MOVQ(m.by, move)
		IMUL3Q(Imm(uint64(count)), move, move)
		ADDQ(move, m.of)
	}
	TESTQ(bias, bias)
	JZ(LabelRef(label("Rows")))
	ADDQ(Imm(uint64(count*l.size)), bias)
	JMP(LabelRef(label("Rows")))
	Label(label("End"))
}

// mixSum adds w[i, k] x[k] to the sums, over k.
func (l *level) mixSum(loop string, sums []reg.VecVirtual, w, x, width, step, row, column reg.Register) {
	xAt, wAt, upper, three, k := GP64(), GP64(), GP64(), GP64(), GP64()
	LEAQ(Mem{Base: x, Index: column, Scale: 1}, xAt)
	MOVQ(w, wAt)
	if len(sums) > 1 {
		LEAQ(Mem{Base: row, Index: row, Scale: 2}, three)
		LEAQ(Mem{Base: w, Index: row, Scale: 4}, upper)
	}
	MOVQ(width, k)
	Label(loop)
	CMPQ(k, Imm(0))
	JLE(LabelRef(loop + "End"))
	v := l.reg()
	l.load(v, Mem{Base: xAt})
	for i, sum := range sums {
		base := wAt
		if i >= 4 {
			base = upper
		}
		from := address(base, row, three, i%4)
		if l.wide() {
			l.pick(VFMADD231PS_BCST, VFMADD231PD_BCST, from, v, sum)
			continue
		}
		b := l.reg()
		l.broadcast(b, from)
		l.muladd(sum, v, b)
	}
	ADDQ(step, xAt)
	ADDQ(Imm(uint64(l.size)), wAt)
	if len(sums) > 1 {
		ADDQ(Imm(uint64(l.size)), upper)
	}
	DECQ(k)
	JMP(LabelRef(loop))
	Label(loop + "End")
}
