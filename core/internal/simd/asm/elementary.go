package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// magic plus a number n of size below 2^21 has n in its low bits.
func (l *level) magic() float64 {
	if l.size == 4 {
		return 0x1.8p23
	}
	return 0x1.8p52
}

// reduce splits x = n log 2 + r and returns r, and n + magic.
func (l *level) reduce(x reg.VecVirtual) (r, shifted reg.VecVirtual) {
	high, low := 0x1.63p-1, -0x1.bd0105c610ca8p-13 // log 2 in two parts; n times the first is exact
	if l.size == 8 {
		high, low = 0x1.62e42feep-1, 0x1.a39ef35793c76p-33
	}
	shifted, r = l.held(l.magic()), l.reg()
	l.muladd(shifted, x, l.constant(0x1.71547652b82fep+0)) // 1/log 2
	n := l.reg()
	l.sub(n, shifted, l.constant(l.magic()))
	l.load(r, x)
	l.negadd(r, n, l.constant(high))
	l.negadd(r, n, l.constant(low))
	return r, shifted
}

// expm1 returns exp(r) - 1 for |r| <= log(2)/2: r + r^2 (1/2 + r/6 + ...), whose first term left out is a tenth of an ulp.
func (l *level) expm1(r reg.VecVirtual) reg.VecVirtual {
	degree := 7
	if l.size == 8 {
		degree = 13
	}
	factorial := make([]float64, degree+1)
	factorial[0] = 1
	for i := 1; i <= degree; i++ {
		factorial[i] = factorial[i-1] * float64(i)
	}
	p := l.held(1 / factorial[degree])
	for i := degree - 1; i >= 2; i-- {
		l.addmul(p, r, l.constant(1/factorial[i]))
	}
	r2 := l.reg()
	l.mul(r2, r, r)
	l.addmul(p, r2, r)
	return p
}

// power returns 2^n of n + magic, for n at which that is a normal number.
func (l *level) power(shifted reg.VecVirtual) reg.VecVirtual {
	p := l.reg()
	l.shiftLeft(p, shifted, l.mantissa())
	l.addBits(p, p, l.pattern(l.bias()<<l.mantissa()))
	return p
}

// scale multiplies v by 2^n of n + magic. AVX2 does it in two steps, neither of them beyond the normal numbers.
func (l *level) scale(v, shifted reg.VecVirtual) {
	n := l.reg()
	l.sub(n, shifted, l.constant(l.magic()))
	if l.wide() {
		l.pick(VSCALEFPS, VSCALEFPD, n, v, v)
		return
	}
	half, rest := l.held(l.magic()), l.reg()
	l.muladd(half, n, l.constant(0.5))
	l.sub(rest, half, l.constant(l.magic()))
	l.sub(rest, n, rest)
	l.add(rest, rest, l.constant(l.magic()))
	l.mul(v, v, l.power(half))
	l.mul(v, v, l.power(rest))
}

// expOf returns exp(z).
func (l *level) expOf(z reg.VecVirtual) reg.VecVirtual {
	r, shifted := l.reduce(z)
	p := l.expm1(r)
	l.add(p, p, l.constant(1))
	l.scale(p, shifted)
	return p
}

// lowest is an argument whose exponential is 0, highest one whose exponential is infinite.
func (l *level) lowest() float64 {
	if l.size == 4 {
		return -110
	}
	return -750
}

func (l *level) highest() float64 {
	if l.size == 4 {
		return 89
	}
	return 710
}

// exp replaces v by its exponential.
func (l *level) exp(v reg.VecVirtual) {
	l.max(v, l.held(l.lowest()), v)
	l.min(v, l.held(l.highest()), v)
	l.load(v, l.expOf(v))
}

// sign is the bit of it, absolute all others.
func (l *level) sign() Mem     { return l.pattern(1 << (8*uint(l.size) - 1)) }
func (l *level) absolute() Mem { return l.pattern(1<<(8*uint(l.size)-1) - 1) }

// sigmoid replaces v by 1 / (1 + exp(-v)): with e = exp(-|v|), which cannot overflow, that is 1 / (1 + e), or e / (1 + e) where v < 0.
func (l *level) sigmoid(v reg.VecVirtual) {
	z, below := l.reg(), l.reg()
	l.or(z, v, l.sign())
	l.max(z, l.held(l.lowest()), z)
	e, top := l.expOf(z), l.held(1)
	l.add(below, e, top)
	if l.wide() {
		k := K()
		l.pick(VPMOVD2M, VPMOVQ2M, v, k)
		l.pick(VMOVAPS, VMOVAPD, e, k, top)
	} else {
		l.pick(VBLENDVPS, VBLENDVPD, v, e, top, top)
	}
	l.div(v, top, below)
}

// tanh replaces v by its hyperbolic tangent: with q = exp(-2|v|) - 1, exact to rounding near 0 too, that is -q / (2 + q), with v's sign.
func (l *level) tanh(v reg.VecVirtual) {
	low := -40.0
	if l.size == 8 {
		low = -80
	}
	z, q := l.reg(), l.reg()
	l.or(z, v, l.sign())
	l.add(z, z, z)
	l.max(z, l.held(low), z)
	r, shifted := l.reduce(z)
	p, power := l.expm1(r), l.power(shifted)
	l.sub(q, power, l.constant(1))
	l.muladd(q, power, p) // 2^n p + (2^n - 1)
	l.and(v, v, l.sign())
	l.add(z, q, l.constant(2))
	l.div(q, q, z)
	l.and(q, q, l.absolute())
	l.or(v, q, v)
}

// elementary writes a function that replaces the n elements of x.
func (l *level) elementary(name, doc string, apply func(reg.VecVirtual)) {
	TEXT(l.byName(name), NOSPLIT, "func(x *"+l.goType()+", n int)")
	Doc(doc)
	x, n := Load(Param("x"), GP64()), Load(Param("n"), GP64())
	loop, tail, done := l.byName(name)+"Loop", l.byName(name)+"Tail", l.byName(name)+"Done"
	Label(loop)
	CMPQ(n, Imm(uint64(l.lanes())))
	JLT(LabelRef(tail))
	v := l.reg()
	l.load(v, Mem{Base: x})
	apply(v)
	l.store(Mem{Base: x}, v)
	ADDQ(Imm(uint64(l.vector)), x)
	SUBQ(Imm(uint64(l.lanes())), n)
	JMP(LabelRef(loop))
	Label(tail)
	CMPQ(n, Imm(0))
	JLE(LabelRef(done))
	first := l.first(n)
	l.loadMasked(v, Mem{Base: x}, first)
	apply(v)
	l.storeMasked(Mem{Base: x}, v, first)
	Label(done)
	VZEROUPPER()
	RET()
}
