package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// diagonal writes the function for the recurrence of diagonal matrices.
func (l *level) diagonal() {
	TEXT(l.byName("diagonal"), NOSPLIT, "func(x, a, b, ref, carry *"+l.goType()+", d, n, step int)")
	Doc("writes x = a carry + b for n rows of d numbers that lie step bytes apart, and carry = x - ref of each, or x for nil ref.")
	l.recurrence("diagonal", "x", "a", "b", "ref", "carry")
}

// sum writes the function for that of unit matrices.
func (l *level) sum() {
	TEXT(l.byName("sum"), NOSPLIT, "func(x, b, ref, carry *"+l.goType()+", d, n, step int)")
	Doc("writes x = carry + b for n rows of d numbers that lie step bytes apart, and carry = x - ref of each, or x for nil ref.")
	l.recurrence("sum", "x", "", "b", "ref", "carry")
}

// recurrence writes the body, with the names of x, a, b, ref and carry; no a: ones.
func (l *level) recurrence(name string, arguments ...string) {
	rows, read := rows{step: Load(Param("step"), GP64())}, []int{}
	size := 0
	for i, argument := range arguments {
		if argument == "" {
			continue
		}
		rows.at[i] = Load(Param(argument), GP64())
		if size += 8; i < 3 {
			read = append(read, i)
		}
	}
	rows.n = NewParamAddr("n", size+8)
	d := Load(Param("d"), GP64())
	done := l.byName(name) + "Done"
	for _, count := range []int{4, 1} { // vectors side by side, whose chains do not wait for each other
		label := func(s string) string { return fmt.Sprintf("%s%s%d", l.byName(name), s, count) }
		Label(label("Columns"))
		CMPQ(d, U32(count*l.lanes()))
		JLT(LabelRef(label("End")))
		l.columns(label, rows, count, nil)
		for _, i := range read {
			ADDQ(U32(count*l.vector), rows.at[i])
		}
		ADDQ(U32(count*l.vector), rows.at[4])
		SUBQ(U32(count*l.lanes()), d)
		TESTQ(rows.at[3], rows.at[3])
		JZ(LabelRef(label("Columns")))
		ADDQ(U32(count*l.vector), rows.at[3])
		JMP(LabelRef(label("Columns")))
		Label(label("End"))
	}
	CMPQ(d, Imm(0))
	JLE(LabelRef(done))
	l.columns(func(s string) string { return l.byName(name) + "Tail" + s }, rows, 1, l.first(d))
	Label(done)
	VZEROUPPER()
	RET()
}

// rows are where x, a (nil for ones), b, ref and carry begin, the way from one row to the next, and how many there are.
type rows struct {
	at   [5]reg.Register
	step reg.Register
	n    Mem
}

// columns runs some vectors side by side through time.
func (l *level) columns(label func(string) string, r rows, count int, mask reg.Register) {
	load, store := func(v reg.VecVirtual, from Mem) { l.load(v, from) }, func(to Mem, v reg.VecVirtual) { l.store(to, v) }
	if mask != nil {
		load = func(v reg.VecVirtual, from Mem) { l.loadMasked(v, from, mask) }
		store = func(to Mem, v reg.VecVirtual) { l.storeMasked(to, v, mask) }
	}
	carry := make([]reg.VecVirtual, count)
	for i := range carry {
		carry[i] = l.reg()
		load(carry[i], Mem{Base: r.at[4], Disp: i * l.vector})
	}
	left, offset := GP64(), GP64()
	MOVQ(r.n, left)
	XORQ(offset, offset)
	Label(label("Time"))
	CMPQ(left, Imm(0))
	JLE(LabelRef(label("Over")))
	place := func(which, i int) Mem { return Mem{Base: r.at[which], Index: offset, Scale: 1, Disp: i * l.vector} }
	for i := range carry {
		b := l.reg()
		load(b, place(2, i))
		if r.at[1] == nil {
			l.add(b, b, carry[i])
		} else {
			v := l.reg()
			load(v, place(1, i))
			l.muladd(b, v, carry[i])
		}
		store(place(0, i), b)
		l.load(carry[i], b)
	}
	TESTQ(r.at[3], r.at[3])
	JZ(LabelRef(label("Next")))
	for i := range carry {
		v := l.reg()
		load(v, place(3, i))
		l.sub(carry[i], carry[i], v)
	}
	Label(label("Next"))
	ADDQ(r.step, offset)
	DECQ(left)
	JMP(LabelRef(label("Time")))
	Label(label("Over"))
	for i := range carry {
		store(Mem{Base: r.at[4], Disp: i * l.vector}, carry[i])
	}
}
