package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// mixture writes the function for a step along the gradient of a mixture, from the logarithms of its weights on.
func (l *level) mixture() {
	TEXT(l.byName("mixture"), NOSPLIT, "func(y, mean, w, x, u, h *"+l.goType()+", wells, rows, n, pitch int, eps, noise "+l.goType()+")")
	Doc("replaces w, a row for each of the wells, by exp(w) over the sum of these, and writes mean[r] = sum_k w[k] h[k, r] and y[r] = x[r] + eps mean[r] + noise u[r],",
		"neither where it is nil; rows lie pitch apart; n is a multiple of the lanes.")
	label := func(s string) string { return l.byName("mixture") + s }
	pitch, three := l.pitch(NewParamAddr("pitch", 72))
	block := GP64() // from a well's rows to the next one's
	MOVQ(NewParamAddr("rows", 56), block)
	IMULQ(pitch, block)
	l.each(label, NewParamAddr("n", 64), func(column reg.Register) {
		l.mixtureWeights(label, column, pitch)
		l.mixtureRows(label, column, pitch, three, block)
	})
}

// wells emits a loop over a column's weights.
func (l *level) wells(loop string, column, pitch reg.Register, body func(w Mem)) {
	w, k := at(NewParamAddr("w", 16), column), GP64()
	MOVQ(NewParamAddr("wells", 48), k)
	Label(loop)
	body(Mem{Base: w})
	ADDQ(pitch, w)
	DECQ(k)
	JNZ(LabelRef(loop))
}

// mixtureWeights: of the largest the exponential is 1, so that no sum is 0 or overflows. What is NaN makes all of them NaN.
func (l *level) mixtureWeights(label func(string) string, column, pitch reg.Register) {
	top, sum := l.reg(), l.reg()
	l.load(top, Mem{Base: at(NewParamAddr("w", 16), column)})
	l.wells(label("Top"), column, pitch, func(w Mem) { l.max(top, top, w) })
	l.zero(sum)
	l.wells(label("Exp"), column, pitch, func(w Mem) {
		v := l.reg()
		l.load(v, w)
		l.sub(v, v, top)
		l.exp(v)
		l.store(w, v)
		l.add(sum, sum, v)
	})
	l.wells(label("Share"), column, pitch, func(w Mem) {
		v := l.reg()
		l.load(v, w)
		l.div(v, v, sum)
		l.store(w, v)
	})
}

// mixtureRows writes a column of mean and y.
func (l *level) mixtureRows(label func(string) string, column, pitch, three, block reg.Register) {
	eps, noise := l.reg(), l.reg()
	l.broadcast(eps, NewParamAddr("eps", 80))
	l.broadcast(noise, NewParamAddr("noise", 80+l.size))
	offset, left := GP64(), GP64()
	MOVQ(column, offset)
	MOVQ(NewParamAddr("rows", 56), left)
	l.byFour(label, left, func(count int) {
		name := func(s string) string { return label(fmt.Sprintf("%s%d", s, count)) }
		sums := make([]reg.VecVirtual, count)
		for i := range sums {
			sums[i] = l.reg()
			l.zero(sums[i])
		}
		h := at(NewParamAddr("h", 40), offset)
		l.wells(name("Wells"), column, pitch, func(w Mem) {
			v := l.reg()
			l.load(v, w)
			for i, s := range sums {
				l.muladd(s, v, address(h, pitch, three, i))
			}
			ADDQ(block, h)
		})
		l.unlessNil(name("Mean"), NewParamAddr("mean", 8), func(to reg.Register) {
			ADDQ(offset, to)
			for i, s := range sums {
				l.store(address(to, pitch, three, i), s)
			}
		})
		l.unlessNil(name("Y"), NewParamAddr("y", 0), func(to reg.Register) {
			ADDQ(offset, to)
			x, u := at(NewParamAddr("x", 24), offset), at(NewParamAddr("u", 32), offset)
			for i, s := range sums {
				l.addmul(s, eps, address(x, pitch, three, i))
				l.muladd(s, noise, address(u, pitch, three, i))
				l.store(address(to, pitch, three, i), s)
			}
		})
		for range count {
			ADDQ(pitch, offset)
		}
	})
}

// unlessNil emits code that is passed over where a pointer is nil.
func (l *level) unlessNil(over string, pointer Mem, do func(to reg.Register)) {
	to := GP64()
	MOVQ(pointer, to)
	TESTQ(to, to)
	JZ(LabelRef(over))
	do(to)
	Label(over)
}
