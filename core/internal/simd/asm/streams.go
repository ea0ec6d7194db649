package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// along emits loops over n numbers: as many vectors at a time as step has registers to work with, then single ones, then the lanes that are
// left, for which mask is not nil. Each of pointers is moved on.
func (l *level) along(name string, n reg.Register, pointers []reg.Register, together int, step func(i, disp int, mask reg.Register)) {
	label := func(s string) string { return l.byName(name) + s }
	advance := func(count int) {
		for _, p := range pointers {
			ADDQ(Imm(uint64(count*l.vector)), p)
		}
		SUBQ(Imm(uint64(count*l.lanes())), n)
	}
	Label(label("Many"))
	CMPQ(n, Imm(uint64(together*l.lanes())))
	JLT(LabelRef(label("One")))
	for i := range together {
		step(i, i*l.vector, nil)
	}
	advance(together)
	JMP(LabelRef(label("Many")))
	Label(label("One"))
	CMPQ(n, Imm(uint64(l.lanes())))
	JLT(LabelRef(label("Tail")))
	step(0, 0, nil)
	advance(1)
	JMP(LabelRef(label("One")))
	Label(label("Tail"))
	CMPQ(n, Imm(0))
	JLE(LabelRef(label("Done")))
	step(0, 0, l.first(n))
	Label(label("Done"))
}

// part loads a vector, or its first lanes.
func (l *level) part(at Mem, mask reg.Register) reg.VecVirtual {
	v := l.reg()
	if mask == nil {
		l.load(v, at)
	} else {
		l.loadMasked(v, at, mask)
	}
	return v
}

func (l *level) keep(at Mem, v reg.VecVirtual, mask reg.Register) {
	if mask == nil {
		l.store(at, v)
	} else {
		l.storeMasked(at, v, mask)
	}
}

// subtract writes the function for a difference.
func (l *level) subtract() {
	TEXT(l.byName("sub"), NOSPLIT, "func(y, a, b *"+l.goType()+", n int)")
	Doc("writes y = a - b, n numbers each.")
	y, a, b, n := Load(Param("y"), GP64()), Load(Param("a"), GP64()), Load(Param("b"), GP64()), Load(Param("n"), GP64())
	l.along("sub", n, []reg.Register{y, a, b}, 4, func(_, disp int, mask reg.Register) {
		v := l.part(Mem{Base: a, Disp: disp}, mask)
		l.sub(v, v, l.part(Mem{Base: b, Disp: disp}, mask))
		l.keep(Mem{Base: y, Disp: disp}, v, mask)
	})
	VZEROUPPER()
	RET()
}

// addScaled writes the function for a sum with a multiple.
func (l *level) addScaled() {
	TEXT(l.byName("addScaled"), NOSPLIT, "func(y, x *"+l.goType()+", n int, s "+l.goType()+")")
	Doc("writes y += s x, n numbers each.")
	y, x, n := Load(Param("y"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	s := l.reg()
	l.broadcast(s, NewParamAddr("s", 24))
	l.along("addScaled", n, []reg.Register{y, x}, 4, func(_, disp int, mask reg.Register) {
		v := l.part(Mem{Base: y, Disp: disp}, mask)
		l.muladd(v, s, l.part(Mem{Base: x, Disp: disp}, mask))
		l.keep(Mem{Base: y, Disp: disp}, v, mask)
	})
	VZEROUPPER()
	RET()
}

// addChange writes the function that adds what is new in increments.
func (l *level) addChange() {
	TEXT(l.byName("addChange"), NOSPLIT, "func(y, b, ref *"+l.goType()+", n int)")
	Doc("writes y = b + (y - (b - ref)), n numbers each.")
	y, b, ref, n := Load(Param("y"), GP64()), Load(Param("b"), GP64()), Load(Param("ref"), GP64()), Load(Param("n"), GP64())
	l.along("addChange", n, []reg.Register{y, b, ref}, 4, func(_, disp int, mask reg.Register) {
		v, given := l.part(Mem{Base: y, Disp: disp}, mask), l.part(Mem{Base: b, Disp: disp}, mask)
		known := l.reg()
		l.sub(known, given, l.part(Mem{Base: ref, Disp: disp}, mask))
		l.sub(v, v, known)
		l.add(v, v, given)
		l.keep(Mem{Base: y, Disp: disp}, v, mask)
	})
	VZEROUPPER()
	RET()
}

// dot writes the function for an inner product: four sums side by side.
func (l *level) dot() {
	TEXT(l.byName("dot"), NOSPLIT, "func(x, y *"+l.goType()+", n int) "+l.goType())
	Doc("returns the sum of x y, n numbers each.")
	x, y, n := Load(Param("x"), GP64()), Load(Param("y"), GP64()), Load(Param("n"), GP64())
	var sums [4]reg.VecVirtual
	for i := range sums {
		sums[i] = l.reg()
		l.zero(sums[i])
	}
	l.along("dot", n, []reg.Register{x, y}, len(sums), func(i, disp int, mask reg.Register) {
		l.muladd(sums[i], l.part(Mem{Base: x, Disp: disp}, mask), l.part(Mem{Base: y, Disp: disp}, mask))
	})
	l.add(sums[0], sums[0], sums[1])
	l.add(sums[2], sums[2], sums[3])
	l.add(sums[0], sums[0], sums[2])
	half, low := XMM(), sums[0].AsX()
	VEXTRACTF128(Imm(1), sums[0].AsY(), half)
	if l.size == 4 {
		VADDPS(half, low, low)
		VHADDPS(low, low, low)
		VHADDPS(low, low, low)
	} else {
		VADDPD(half, low, low)
		VHADDPD(low, low, low)
	}
	Store(low, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
