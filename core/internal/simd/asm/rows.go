package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// each emits a loop over the vectors of n numbers, with the bytes that each begins at.
func (l *level) each(label func(string) string, n Mem, body func(column reg.Register)) {
	column, end := GP64(), GP64()
	XORQ(column, column)
	Label(label("Columns"))
	MOVQ(n, end)
	IMUL3Q(Imm(uint64(l.size)), end, end)
	CMPQ(column, end)
	JGE(LabelRef(label("Done")))
	body(column)
	ADDQ(Imm(uint64(l.vector)), column)
	JMP(LabelRef(label("Columns")))
	Label(label("Done"))
	VZEROUPPER()
	RET()
}

// bytes returns a register with as many as some numbers take.
func (l *level) bytes(numbers Mem) reg.Register {
	r := GP64()
	MOVQ(numbers, r)
	IMUL3Q(Imm(uint64(l.size)), r, r)
	return r
}

// pitch returns registers with the bytes from row to row, and over three.
func (l *level) pitch(numbers Mem) (pitch, three reg.Register) {
	pitch, three = l.bytes(numbers), GP64()
	LEAQ(Mem{Base: pitch, Index: pitch, Scale: 2}, three)
	return pitch, three
}

// byFour emits a loop over rows, four at a time, then one; body moves on.
func (l *level) byFour(label func(string) string, left reg.Register, body func(count int)) {
	for _, count := range []int{4, 1} {
		name := func(s string) string { return label(fmt.Sprintf("%s%d", s, count)) }
		Label(name("Rows"))
		CMPQ(left, Imm(uint64(count)))
		JLT(LabelRef(name("End")))
		body(count)
		SUBQ(Imm(uint64(count)), left)
		JMP(LabelRef(name("Rows")))
		Label(name("End"))
	}
}

// at returns a register with base + offset.
func at(base Mem, offset reg.Register) reg.Register {
	r := GP64()
	MOVQ(base, r)
	ADDQ(offset, r)
	return r
}

// subRows writes the function for what rows are short of a number each.
func (l *level) subRows() {
	TEXT(l.byName("subRows"), NOSPLIT, "func(y, c, x *"+l.goType()+", rows, n, pitch int)")
	Doc("writes y[r] = c[r] - x[r], a number less a row; rows lie pitch apart; n is a multiple of the lanes.")
	label := func(s string) string { return l.byName("subRows") + s }
	pitch, three := l.pitch(NewParamAddr("pitch", 40))
	l.each(label, NewParamAddr("n", 32), func(column reg.Register) {
		y, x, c, left := at(NewParamAddr("y", 0), column), at(NewParamAddr("x", 16), column), GP64(), GP64()
		MOVQ(NewParamAddr("c", 8), c)
		MOVQ(NewParamAddr("rows", 24), left)
		l.byFour(label, left, func(count int) {
			for i := range count {
				v := l.reg()
				l.broadcast(v, Mem{Base: c, Disp: i * l.size})
				l.sub(v, v, address(x, pitch, three, i))
				l.store(address(y, pitch, three, i), v)
			}
			ADDQ(U32(count*l.size), c)
			for range count {
				ADDQ(pitch, x)
				ADDQ(pitch, y)
			}
		})
	})
}

// reach writes the function for how far rows are from a number each: along a direction, and in all.
func (l *level) reach() {
	TEXT(l.byName("reach"), NOSPLIT, "func(along, square, w, c, x *"+l.goType()+", rows, n, pitch int)")
	Doc("writes the sums over r of w[r] y[r] and of y[r]^2, y[r] = x[r] - c[r], column by column; rows lie pitch apart; n is a multiple of the lanes.")
	label := func(s string) string { return l.byName("reach") + s }
	pitch, three := l.pitch(NewParamAddr("pitch", 56))
	l.each(label, NewParamAddr("n", 48), func(column reg.Register) {
		x, w, c, left := at(NewParamAddr("x", 32), column), GP64(), GP64(), GP64()
		MOVQ(NewParamAddr("w", 16), w)
		MOVQ(NewParamAddr("c", 24), c)
		MOVQ(NewParamAddr("rows", 40), left)
		var along, square [4]reg.VecVirtual // sums that do not wait for each other
		for i := range along {
			along[i], square[i] = l.reg(), l.reg()
			l.zero(along[i], square[i])
		}
		l.byFour(label, left, func(count int) {
			for i := range count {
				v, b := l.reg(), l.reg()
				l.load(v, address(x, pitch, three, i))
				l.broadcast(b, Mem{Base: c, Disp: i * l.size})
				l.sub(v, v, b)
				l.broadcast(b, Mem{Base: w, Disp: i * l.size})
				l.muladd(along[i], v, b)
				l.muladd(square[i], v, v)
			}
			ADDQ(U32(count*l.size), c)
			ADDQ(U32(count*l.size), w)
			for range count {
				ADDQ(pitch, x)
			}
		})
		for _, s := range []struct {
			sums [4]reg.VecVirtual
			to   Mem
		}{{along, NewParamAddr("along", 0)}, {square, NewParamAddr("square", 8)}} {
			l.add(s.sums[0], s.sums[0], s.sums[1])
			l.add(s.sums[2], s.sums[2], s.sums[3])
			l.add(s.sums[0], s.sums[0], s.sums[2])
			l.store(Mem{Base: at(s.to, column)}, s.sums[0])
		}
	})
}

// dotLanes is how many lanes dot has, on every level.
func (l *level) dotLanes() int { return 32 / l.size }

// dotRows writes the function for the inner products of columns. Each has the bits of dot: what is a lane there is a row here, so that a lane's
// four sums are made from rows that far apart, and lanes are added up as there.
func (l *level) dotRows() {
	TEXT(l.byName("dotRows"), NOSPLIT, "func(dst, x, y *"+l.goType()+", rows, n, pitch int)")
	Doc("writes the sum over r of x[r] y[r], rows that lie pitch apart, column by column with the bits of dot; n is a multiple of the lanes.")
	label := func(s string) string { return l.byName("dotRows") + s }
	pitch, step, three := l.bytes(NewParamAddr("pitch", 40)), GP64(), GP64() // step: from a lane's number to its next
	MOVQ(pitch, step)
	IMUL3Q(Imm(uint64(l.dotLanes())), step, step)
	LEAQ(Mem{Base: step, Index: step, Scale: 2}, three)
	l.each(label, NewParamAddr("n", 32), func(column reg.Register) {
		half := l.dotLanes() / 2
		var fold func(lane, count int) reg.VecVirtual
		fold = func(lane, count int) reg.VecVirtual {
			var a, b reg.VecVirtual
			if count == 1 {
				a, b = l.dotLane(label, lane, column, pitch, step, three), l.dotLane(label, lane+half, column, pitch, step, three)
			} else {
				a, b = fold(lane, count/2), fold(lane+count/2, count/2)
			}
			l.add(a, a, b)
			return a
		}
		l.store(Mem{Base: at(NewParamAddr("dst", 0), column)}, fold(0, half))
	})
}

// dotLane returns the sum of what dot has in one lane.
func (l *level) dotLane(label func(string) string, lane int, column, pitch, step, three reg.Register) reg.VecVirtual {
	name := func(s string) string { return label(s) + string(rune('0'+lane)) }
	x, y, left, offset := at(NewParamAddr("x", 8), column), at(NewParamAddr("y", 16), column), GP64(), GP64()
	MOVQ(pitch, offset)
	IMUL3Q(Imm(uint64(lane)), offset, offset)
	ADDQ(offset, x)
	ADDQ(offset, y)
	sums := [4]reg.VecVirtual{l.reg(), l.reg(), l.reg(), l.reg()}
	l.zero(sums[:]...)
	term := func(i int) {
		v := l.reg()
		l.load(v, address(x, step, three, i))
		l.muladd(sums[i], v, address(y, step, three, i))
	}
	MOVQ(NewParamAddr("rows", 24), left)
	Label(name("Many"))
	CMPQ(left, Imm(uint64(4*l.dotLanes())))
	JLT(LabelRef(name("One")))
	for i := range sums {
		term(i)
	}
	LEAQ(Mem{Base: x, Index: step, Scale: 4}, x)
	LEAQ(Mem{Base: y, Index: step, Scale: 4}, y)
	SUBQ(Imm(uint64(4*l.dotLanes())), left)
	JMP(LabelRef(name("Many")))
	Label(name("One"))
	CMPQ(left, Imm(uint64(lane)))
	JLE(LabelRef(name("End")))
	term(0)
	ADDQ(step, x)
	ADDQ(step, y)
	SUBQ(Imm(uint64(l.dotLanes())), left)
	JMP(LabelRef(name("One")))
	Label(name("End"))
	l.add(sums[0], sums[0], sums[1])
	l.add(sums[2], sums[2], sums[3])
	l.add(sums[0], sums[0], sums[2])
	return sums[0]
}
