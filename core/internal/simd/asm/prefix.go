package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// prefix writes the function for the recurrence of diagonal matrices several of whose rows fill a vector. Step by step it would wait for a
// product and a sum at each; here rows of a vector are first composed among themselves, (a, b) after (a', b') being (a a', a b' + b), with
// those 1, 2 and 4 rows before them, and what waits for the vector before is one product and sum, and a permutation.
func (l *level) prefix() {
	TEXT(l.byName("prefix"), NOSPLIT, "func(x, a, b, carry *"+l.goType()+", lanes *int32, count, n, step int) bool")
	Doc("writes x = a carry + b for the rows of n vectors that lie step bytes apart, and tells whether all are finite; count compositions fill a vector.")
	x, a, b, carry := Load(Param("x"), GP64()), Load(Param("a"), GP64()), Load(Param("b"), GP64()), Load(Param("carry"), GP64())
	lanes, count, left, step := Load(Param("lanes"), GP64()), Load(Param("count"), GP64()), Load(Param("n"), GP64()), Load(Param("step"), GP64())
	label := func(s string, count int) string { return fmt.Sprintf("%s%s%d", l.byName("prefix"), s, count) }
	state, off, last, one := l.reg(), l.reg(), YMM(), l.held(1)
	l.load(state, Mem{Base: carry})
	l.zero(off)
	VMOVUPS(Mem{Base: lanes}, last)
	most := 3
	if l.size == 8 {
		most = 2
	}
	var from, keep []reg.VecVirtual
	for i := range most {
		from, keep = append(from, YMM()), append(keep, YMM())
		VMOVUPS(Mem{Base: lanes, Disp: 32 + 64*i}, from[i])
		VMOVUPS(Mem{Base: lanes, Disp: 64 + 64*i}, keep[i])
	}
	for c := most; c > 0; c-- {
		CMPQ(count, Imm(uint64(c)))
		JNE(LabelRef(label("End", c)))
		Label(label("Time", c))
		CMPQ(left, Imm(0))
		JLE(LabelRef(label("Done", 0)))
		p, q, earlier := l.reg(), l.reg(), l.reg()
		l.load(p, Mem{Base: a})
		l.load(q, Mem{Base: b})
		for i := range c {
			VPERMPS(q, from[i], earlier)
			VANDPS(keep[i], earlier, earlier)
			l.muladd(q, p, earlier)
			VPERMPS(p, from[i], earlier)
			VBLENDVPS(keep[i], earlier, one, earlier)
			l.mul(p, p, earlier)
		}
		l.muladd(q, p, state)
		l.store(Mem{Base: x}, q)
		VPERMPS(q, last, state)
		l.sub(q, q, q) // 0, or else NaN, which stays in a sum
		l.add(off, off, q)
		for _, r := range []reg.Register{x, a, b} {
			ADDQ(step, r)
		}
		DECQ(left)
		JMP(LabelRef(label("Time", c)))
		Label(label("End", c))
	}
	Label(label("Done", 0))
	l.store(Mem{Base: carry}, state)
	l.noneUnordered(off)
}
