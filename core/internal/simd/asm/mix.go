package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// mixRows is how many rows of the result are made at a time, a vector of each: sums that do not wait for each other. Of a row by itself four
// vectors are, or two.
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
	for _, columns := range []int{4, 2, 1} {
		if count == 1 || columns == 1 {
			l.mixColumns(label(fmt.Sprintf("By%dOf", columns)), count, columns, c, w, x, bias, width, step, row, left, column)
		}
	}

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

// mixColumns makes so many vectors of each of count rows at a time, as long as there are so many; the last may be a part.
func (l *level) mixColumns(name string, count, columns int, c, w, x, bias, width, step, row, left, column reg.Register) {
	Label(name + "Columns")
	CMPQ(left, U32((columns-1)*l.lanes()))
	JLE(LabelRef(name + "Next"))
	sums := make([]reg.VecVirtual, count*columns) // row by row
	cAt := GP64()
	each := func(do func(i int, to Mem)) { // with the address of each vector of c
		LEAQ(Mem{Base: c, Index: column, Scale: 1}, cAt)
		for i := range sums {
			do(i, Mem{Base: cAt, Disp: i % columns * l.vector})
			if i+1 < count {
				ADDQ(step, cAt)
			}
		}
	}
	for i := range sums {
		sums[i] = l.reg()
	}
	TESTQ(bias, bias)
	JZ(LabelRef(name + "Add"))
	for i := range sums {
		l.broadcast(sums[i], Mem{Base: bias, Disp: i / columns * l.size})
	}
	JMP(LabelRef(name + "Sum"))
	Label(name + "Add")
	each(func(i int, from Mem) { l.load(sums[i], from) })
	Label(name + "Sum")
	l.mixSum(name+"K", count, sums, w, x, width, step, row, column)
	each(func(i int, to Mem) { l.store(to, sums[i]) })
	ADDQ(U32(columns*l.vector), column)
	SUBQ(U32(columns*l.lanes()), left)
	JMP(LabelRef(name + "Columns"))
	Label(name + "Next")
}

// mixSum adds w[i, k] x[k] to the sums, over k: of count rows, a vector of each or several of one.
func (l *level) mixSum(loop string, count int, sums []reg.VecVirtual, w, x, width, step, row, column reg.Register) {
	xAt, wAt, upper, three, k := GP64(), GP64(), GP64(), GP64(), GP64()
	LEAQ(Mem{Base: x, Index: column, Scale: 1}, xAt)
	MOVQ(w, wAt)
	if count > 1 {
		LEAQ(Mem{Base: row, Index: row, Scale: 2}, three)
		LEAQ(Mem{Base: w, Index: row, Scale: 4}, upper)
	}
	MOVQ(width, k)
	Label(loop)
	CMPQ(k, Imm(0))
	JLE(LabelRef(loop + "End"))
	v := l.reg()
	if count == 1 {
		l.broadcast(v, Mem{Base: wAt})
	} else {
		l.load(v, Mem{Base: xAt})
	}
	for i, sum := range sums {
		base := wAt
		if i >= 4 {
			base = upper
		}
		from := address(base, row, three, i%4)
		switch {
		case count == 1:
			l.muladd(sum, v, Mem{Base: xAt, Disp: i * l.vector})
		case l.wide():
			l.pick(VFMADD231PS_BCST, VFMADD231PD_BCST, from, v, sum)
		default:
			b := l.reg()
			l.broadcast(b, from)
			l.muladd(sum, v, b)
		}
	}
	ADDQ(step, xAt)
	ADDQ(Imm(uint64(l.size)), wAt)
	if count > 1 {
		ADDQ(Imm(uint64(l.size)), upper)
	}
	DECQ(k)
	JMP(LabelRef(loop))
	Label(loop + "End")
}
