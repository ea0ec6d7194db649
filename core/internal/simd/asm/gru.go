package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// gru writes the function for what a GRU does element by element.
func (l *level) gru() {
	TEXT(l.byName("gru"), NOSPLIT, "func(y, a, h, x, coef *"+l.goType()+", n int)")
	Doc("writes y = m + z (x - m) for r, z = sigmoid(a[0]), sigmoid(a[1]), m = tanh(a[2] + r h); with coef not nil also the derivatives",
		"dy/da[0], dy/da[1], dy/dh, dy/da[2] there, and z to a[1]. Each is n numbers, a multiple of the lanes.")
	y, a, h := Load(Param("y"), GP64()), Load(Param("a"), GP64()), Load(Param("h"), GP64())
	x, coef, part := Load(Param("x"), GP64()), Load(Param("coef"), GP64()), Load(Param("n"), GP64()) // part: from r to z, to m
	IMUL3Q(Imm(uint64(l.size)), part, part)
	label := func(s string) string { return l.byName("gru") + s }
	column := GP64()
	XORQ(column, column)
	Label(label("Columns"))
	CMPQ(column, part)
	JGE(LabelRef(label("Done")))

	r, z, c, n, f := l.reg(), l.reg(), l.reg(), l.reg(), l.reg()
	from := GP64()
	LEAQ(Mem{Base: a, Index: column, Scale: 1}, from)
	l.load(r, Mem{Base: from})
	l.sigmoid(r)
	l.load(z, Mem{Base: from, Index: part, Scale: 1})
	l.sigmoid(z)
	l.load(n, Mem{Base: from, Index: part, Scale: 2})
	l.load(c, Mem{Base: h, Index: column, Scale: 1})
	l.muladd(n, r, c)
	l.tanh(n)
	l.load(f, Mem{Base: x, Index: column, Scale: 1})
	l.sub(f, f, n)
	TESTQ(coef, coef)
	JZ(LabelRef(label("Value")))
	l.gruDerivatives(from, coef, part, column, r, z, c, n, f)
	Label(label("Value"))
	l.muladd(n, z, f)
	l.store(Mem{Base: y, Index: column, Scale: 1}, n)
	ADDQ(Imm(uint64(l.vector)), column)
	JMP(LabelRef(label("Columns")))

	Label(label("Done"))
	VZEROUPPER()
	RET()
}

// gruDerivatives: f is x - n.
func (l *level) gruDerivatives(a, coef, part, column reg.Register, r, z, c, n, f reg.VecVirtual) {
	to := GP64()
	LEAQ(Mem{Base: coef, Index: column, Scale: 1}, to)
	l.store(Mem{Base: a, Index: part, Scale: 1}, z)
	rest, dn, v := l.reg(), l.reg(), l.reg()
	l.sub(rest, l.held(1), z) // 1 - z
	l.mul(v, z, rest)
	l.mul(v, v, f)
	l.store(Mem{Base: to, Index: part, Scale: 1}, v)
	l.load(dn, rest)
	l.mul(v, n, n)
	l.negadd(dn, rest, v) // (1 - z) (1 - n^2)
	l.mul(v, dn, r)
	l.store(Mem{Base: to, Index: part, Scale: 2}, v)
	l.sub(rest, l.held(1), r)
	l.mul(v, v, rest)
	l.mul(v, v, c)
	l.store(Mem{Base: to}, v)
	ADDQ(part, to)
	l.store(Mem{Base: to, Index: part, Scale: 2}, dn)
}
