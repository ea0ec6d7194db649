package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// denseFour writes the function for the recurrence of matrices of four rows. Two steps at a time are composed, (A, b) after (A', b') being
// (A A', A b' + b), so that each second state waits for one product only, and those in between follow from it. A row fills a vector, and rows
// need no transposing: in a product of matrices they are multiplied by numbers, in one with a state added up.
func (l *level) denseFour() {
	TEXT(l.byName("denseFour"), NOSPLIT, "func(x, a, b, carry *"+l.goType()+", n, step int) bool")
	Doc("writes x = a carry + b for n pairs of rows of four numbers that lie step bytes apart, and tells whether all are finite; x may be b.")
	x, a, b, carry := Load(Param("x"), GP64()), Load(Param("a"), GP64()), Load(Param("b"), GP64()), Load(Param("carry"), GP64())
	n, row := Load(Param("n"), GP64()), Load(Param("step"), GP64())
	state, off := l.four(), l.four()
	l.load(state, Mem{Base: carry})
	l.zero(off)
	label := func(s string) string { return l.byName("denseFour") + s }
	Label(label("Pairs"))
	CMPQ(n, Imm(0))
	JLE(LabelRef(label("Done")))
	next := GP64()
	LEAQ(Mem{Base: a, Index: row, Scale: 4}, next)
	var first, sums [4]reg.VecVirtual
	for k := range first {
		first[k] = l.four()
		l.load(first[k], Mem{Base: a, Disp: 4 * l.size * k})
	}
	inner, outer := l.four(), l.four()
	l.load(inner, Mem{Base: b})
	l.load(outer, Mem{Base: b, Index: row, Scale: 1})
	for i := range sums {
		product, number := l.four(), l.four()
		for k, r := range first {
			l.broadcast(number, Mem{Base: next, Disp: l.size * (4*i + k)})
			if k == 0 {
				l.mul(product, number, r)
			} else {
				l.muladd(product, number, r)
			}
		}
		sums[i] = l.four()
		l.mul(sums[i], inner, Mem{Base: next, Disp: 4 * l.size * i})
		l.muladd(sums[i], product, state)
	}
	for _, r := range first {
		l.mul(r, r, state)
	}
	l.add(state, l.totals(sums), outer)
	l.store(Mem{Base: x, Index: row, Scale: 1}, state)
	between := l.totals(first)
	l.add(between, between, inner)
	l.store(Mem{Base: x}, between)
	l.sub(between, between, between) // 0, or else NaN, which stays in a sum
	l.add(off, off, between)
	l.sub(between, state, state)
	l.add(off, off, between)
	LEAQ(Mem{Base: next, Index: row, Scale: 4}, a)
	LEAQ(Mem{Base: b, Index: row, Scale: 2}, b)
	LEAQ(Mem{Base: x, Index: row, Scale: 2}, x)
	DECQ(n)
	JMP(LabelRef(label("Pairs")))
	Label(label("Done"))
	l.store(Mem{Base: carry}, state)
	l.noneUnordered(off)
}

// four returns a register of four numbers.
func (l *level) four() reg.VecVirtual {
	if l.size == 4 {
		return XMM()
	}
	return YMM()
}

// totals adds up each of four rows: a row of the sums.
func (l *level) totals(rows [4]reg.VecVirtual) reg.VecVirtual {
	var halves [2]reg.VecVirtual // of two rows, what their halves' or their neighbours' sums are
	for i := range halves {
		halves[i] = l.four()
		high := l.four()
		l.pick(VUNPCKLPS, VUNPCKLPD, rows[2*i+1], rows[2*i], halves[i])
		l.pick(VUNPCKHPS, VUNPCKHPD, rows[2*i+1], rows[2*i], high)
		l.add(halves[i], halves[i], high)
	}
	low, high := l.four(), l.four()
	if l.size == 4 {
		VUNPCKLPD(halves[1], halves[0], low)
		VUNPCKHPD(halves[1], halves[0], high)
	} else {
		VPERM2F128(Imm(0x20), halves[1], halves[0], low)
		VPERM2F128(Imm(0x31), halves[1], halves[0], high)
	}
	l.add(low, low, high)
	return low
}
