package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// deepest is the most steps that follow each other in a lane of denseTwo.
const deepest = 16

// denseTwo writes the function for the recurrence of matrices of two rows. Step by step it would wait for two products and a sum at each;
// here a block of steps is cut into as many runs as there are lanes, and the steps of each run are composed in its lane, (A, b) after (P, q)
// being (A P, A q + b). What waits for the run before is then one step a run, and the states within follow from where each run begins.
func (l *level) denseTwo() {
	TEXT(l.byName("denseTwo"), 0, "func(x, a, b, carry *"+l.goType()+", deep, n, step int) bool")
	Doc("writes x = a carry + b for n blocks of rows of two numbers that lie step bytes apart, deep for each lane, and tells whether all are finite;",
		"deep is at most deepTwo, and even where two rows fill 16 bytes; x may be b.")
	c := l.composer()
	c.x = Load(Param("x"), GP64())
	label := func(s string) string { return l.byName("denseTwo") + s }
	carry, state, off := Load(Param("carry"), GP64()), [2]reg.VecVirtual{XMM(), XMM()}, l.reg()
	for i, s := range state {
		l.pick(VMOVSS, VMOVSD, Mem{Base: carry, Disp: i * l.size}, s)
	}
	l.zero(off)
	n := Load(Param("n"), GP64())
	if c.together() == 2 { // of two rows of x the first in memory
		TESTQ(c.row, c.row)
		JNS(LabelRef(label("Blocks")))
		ADDQ(c.row, c.x)
	}
	Label(label("Blocks"))
	CMPQ(n, Imm(0))
	JLE(LabelRef(label("Done")))
	c.compose(label("Compose"))
	c.states(label("States"), c.starts(state), off)
	DECQ(n)
	JMP(LabelRef(label("Blocks")))
	Label(label("Done"))
	for i, s := range state {
		l.pick(VMOVSS, VMOVSD, s, Mem{Base: carry, Disp: i * l.size})
	}
	l.noneUnordered(off)
}

// productTwo writes the function for what denseTwo does to three states at once, which it does not write: the columns of a product of matrices,
// and the state itself.
func (l *level) productTwo() {
	TEXT(l.byName("productTwo"), 0, "func(columns, a, b *"+l.goType()+", deep, n, step int)")
	Doc("replaces x and p, each row of columns (2, 4) being x, p, p and anything, by a x + b and a p for blocks as denseTwo has them.")
	c := l.composer()
	columns, state := Load(Param("columns"), GP64()), [2]reg.VecVirtual{l.four(), l.four()}
	for i, s := range state {
		l.load(s, Mem{Base: columns, Disp: 4 * i * l.size})
	}
	n := Load(Param("n"), GP64())
	label := func(s string) string { return l.byName("productTwo") + s }
	Label(label("Blocks"))
	CMPQ(n, Imm(0))
	JLE(LabelRef(label("Done")))
	c.compose(label("Compose"))
	c.columns(state)
	DECQ(n)
	JMP(LabelRef(label("Blocks")))
	Label(label("Done"))
	for i, s := range state {
		l.store(Mem{Base: columns, Disp: 4 * i * l.size}, s)
	}
	VZEROUPPER()
	RET()
}

// composer is where denseTwo is in x, a and b; the bytes from a row of b to the next, from a lane's to the next lane's, and thrice those, of
// which a has twice as many; room for what the steps of a block are composed to, and where the last of it stands.
type composer struct {
	*level
	x, a, b, row, lane, three, room, last reg.Register
}

// kept is how many vectors are kept of each step of all lanes: P by rows, then q.
const kept = 6

// composer loads the arguments a, b, deep and step, and makes room.
func (l *level) composer() *composer {
	c := composer{level: l, a: Load(Param("a"), GP64()), b: Load(Param("b"), GP64()), row: Load(Param("step"), GP64()),
		lane: Load(Param("deep"), GP64()), three: GP64(), room: GP64(), last: GP64()}
	LEAQ(AllocLocal((deepest*kept+1)*l.vector).Offset(l.vector-1), c.room)
	ANDQ(I32(-l.vector), c.room)
	IMUL3Q(U32(kept*l.vector), c.lane, c.last)
	LEAQ(Mem{Base: c.room, Index: c.last, Scale: 1, Disp: -kept * l.vector}, c.last)
	IMULQ(c.row, c.lane)
	LEAQ(Mem{Base: c.lane, Index: c.lane, Scale: 2}, c.three)
	return &c
}

// at returns the place of the first row of a lane: of b and x for times 1, of a for times 2.
func (c *composer) at(base reg.Register, lane, times, disp int) Mem {
	switch lane {
	case 0:
		return Mem{Base: base, Disp: disp}
	case 3:
		return Mem{Base: base, Disp: disp, Index: c.three, Scale: uint8(times)}
	}
	return Mem{Base: base, Disp: disp, Index: c.lane, Scale: uint8(lane * times)}
}

// halves returns a vector whose low half is what stands at a lane, the high half what stands half the lanes further.
func (c *composer) halves(base, further reg.Register, lane, times, disp int) reg.VecVirtual {
	v := YMM()
	high := c.at(base, lane+2, times, disp)
	if c.size == 4 {
		high = c.at(further, lane, times, disp)
	}
	VBROADCASTF128(c.at(base, lane, times, disp), v)
	VINSERTF128(Imm(1), high, v, v)
	return v
}

// further returns the place of the fifth lane, if there is one.
func (c *composer) further(base reg.Register, times int) reg.Register {
	if c.size == 8 {
		return nil
	}
	p := GP64()
	LEAQ(Mem{Base: base, Index: c.lane, Scale: uint8(4 * times)}, p)
	return p
}

// matrices loads one step's a of every lane: the four numbers of a matrix, each of all lanes.
func (c *composer) matrices() (m []reg.VecVirtual) {
	if c.size == 8 {
		for row := range 2 {
			m = append(m, c.pairs(VUNPCKLPD, VUNPCKHPD, c.halves(c.a, nil, 0, 2, 16*row), c.halves(c.a, nil, 1, 2, 16*row))...)
		}
		return m
	}
	further := c.further(c.a, 2)
	var rows [2][]reg.VecVirtual // of two lanes, and of those half the lanes further: the first rows, the second ones
	for i := range rows {
		rows[i] = c.pairs(VUNPCKLPS, VUNPCKHPS, c.halves(c.a, further, 2*i, 2, 0), c.halves(c.a, further, 2*i+1, 2, 0))
	}
	for row := range rows {
		m = append(m, c.pairs(VUNPCKLPD, VUNPCKHPD, rows[0][row], rows[1][row])...)
	}
	return m
}

// vectors loads one step's b of every lane.
func (c *composer) vectors() []reg.VecVirtual {
	if c.size == 8 {
		return c.pairs(VUNPCKLPD, VUNPCKHPD, c.halves(c.b, nil, 0, 1, 0), c.halves(c.b, nil, 1, 1, 0))
	}
	further, quads := c.further(c.b, 1), [2]reg.VecVirtual{YMM(), YMM()} // of two lanes, and of those half the lanes further
	for i, quad := range quads {
		VBROADCASTSD(c.at(c.b, 2*i, 1, 0), quad)
		for place, from := range []Mem{c.at(c.b, 2*i+1, 1, 0), c.at(further, 2*i, 1, 0), c.at(further, 2*i+1, 1, 0)} {
			pair := YMM()
			VBROADCASTSD(from, pair)
			VBLENDPD(Imm(2<<place), pair, quad, quad)
		}
	}
	v := []reg.VecVirtual{YMM(), YMM()}
	VSHUFPS(Imm(0x88), quads[1], quads[0], v[0])
	VSHUFPS(Imm(0xdd), quads[1], quads[0], v[1])
	return v
}

// ahead returns what follows in a and b, about a block further: lanes are not read in the order of memory, which the hardware would see.
func (c *composer) ahead() [2]reg.Register {
	a, b := GP64(), GP64()
	LEAQ(Mem{Base: c.a, Index: c.lane, Scale: 8}, a)
	LEAQ(Mem{Base: a, Index: c.lane, Scale: 8}, a)
	LEAQ(Mem{Base: c.b, Index: c.lane, Scale: 8}, b)
	return [2]reg.Register{a, b}
}

// fetch asks for the lines of as much as a step of all lanes takes, and moves on.
func (c *composer) fetch(ahead [2]reg.Register) {
	const line = 64
	for i, lines := range []int{2, 1} {
		for k := range lines {
			PREFETCHT0(Mem{Base: ahead[i], Disp: line * k})
		}
		for rows := line * lines / (2 * c.size); rows > 0; rows -= 8 {
			LEAQ(Mem{Base: ahead[i], Index: c.row, Scale: uint8(min(rows, 8))}, ahead[i])
		}
	}
}

// compose goes through the steps of all lanes side by side and leaves what each comes to in room.
func (c *composer) compose(loop string) {
	p, q, to, ahead := c.matrices(), c.vectors(), GP64(), c.ahead()
	MOVQ(c.room, to)
	keep := func() {
		for i, v := range append(p, q...) {
			c.store(Mem{Base: to, Disp: i * c.vector}, v)
		}
		c.fetch(ahead)
		ADDQ(c.row, c.b)
		LEAQ(Mem{Base: c.a, Index: c.row, Scale: 2}, c.a)
	}
	keep()
	CMPQ(to, c.last)
	JGE(LabelRef(loop + "End"))
	Label(loop)
	ADDQ(U32(kept*c.vector), to)
	m, v := c.matrices(), c.vectors()
	for i := range 2 { // of each column both numbers change at once
		first, second := c.reg(), c.reg()
		c.mul(first, m[1], p[2+i])
		c.mul(second, m[2], p[i])
		c.addmul(p[i], m[0], first)
		c.addmul(p[2+i], m[3], second)
	}
	c.muladd(v[0], m[1], q[1])
	c.muladd(v[1], m[2], q[0])
	c.addmul(q[0], m[0], v[0])
	c.addmul(q[1], m[3], v[1])
	keep()
	CMPQ(to, c.last)
	JLT(LabelRef(loop))
	Label(loop + "End")
	for range c.lanes()/4 - 1 { // past the other lanes
		LEAQ(Mem{Base: c.b, Index: c.lane, Scale: 4}, c.b)
		LEAQ(Mem{Base: c.a, Index: c.lane, Scale: 8}, c.a)
	}
	ADDQ(c.three, c.b)
	LEAQ(Mem{Base: c.a, Index: c.three, Scale: 2}, c.a)
}

// starts returns the states before the runs of all lanes, and moves state on to that after the last.
func (c *composer) starts(state [2]reg.VecVirtual) (starts [2]reg.VecVirtual) {
	var before [2][]reg.VecVirtual // parts of vectors, the later ones shorter
	s := state
	for lane := range c.lanes() {
		var next [2]reg.VecVirtual
		for i := range next {
			next[i] = XMM()
			c.pick(VMOVSS, VMOVSD, c.run(4+i, lane), next[i])
			c.pick(VFMADD231SS, VFMADD231SD, c.run(2*i, lane), s[0], next[i])
			c.pick(VFMADD231SS, VFMADD231SD, c.run(2*i+1, lane), s[1], next[i])
			before[i] = append(before[i], s[i])
			for length, left := 1, lane+1; left%2 == 0; length, left = 2*length, left/2 {
				n := len(before[i])
				before[i] = append(before[i][:n-2], c.joined(before[i][n-2], before[i][n-1], length))
			}
		}
		s = next
	}
	for i := range state {
		starts[i] = before[i][0]
		c.load(state[i], s[i])
	}
	return starts
}

// run is what all steps of a lane are composed to: a number of P by rows, then of q.
func (c *composer) run(which, lane int) Mem {
	return Mem{Base: c.last, Disp: which*c.vector + lane*c.size}
}

// columns moves the columns of state, the first with b, past the runs of all lanes.
func (c *composer) columns(state [2]reg.VecVirtual) {
	zero := c.four()
	c.zero(zero)
	s := state
	for lane := range c.lanes() {
		var next [2]reg.VecVirtual
		for i := range next {
			next[i] = c.four()
			c.broadcast(next[i], c.run(4+i, lane))
			c.pick(VBLENDPS, VBLENDPD, Imm(1), next[i], zero, next[i])
			for k, v := range s {
				p := c.four()
				c.broadcast(p, c.run(2*i+k, lane))
				c.muladd(next[i], p, v)
			}
		}
		s = next
	}
	for i := range state {
		c.load(state[i], s[i])
	}
}

// joined returns some numbers of a, then as many of b.
func (c *composer) joined(a, b reg.VecVirtual, numbers int) reg.VecVirtual {
	switch v := XMM(); numbers * c.size {
	case 4:
		VUNPCKLPS(b, a, v)
		return v
	case 8:
		VUNPCKLPD(b, a, v)
		return v
	}
	v := YMM()
	VXORPS(v, v, v)
	VINSERTF128(Imm(0), a, v, v)
	VINSERTF128(Imm(1), b, v, v)
	return v
}

// states writes the states of all lanes, as many steps at a time as fill 16 bytes, and adds NaN to off where one is not finite.
func (c *composer) states(loop string, starts [2]reg.VecVirtual, off reg.VecVirtual) {
	step := kept * c.vector
	from := []reg.Register{GP64(), GP64()}[:c.together()] // those that come first in memory, and the next
	left := Load(Param("deep"), GP64())
	MOVQ(c.room, from[0])
	if len(from) == 2 {
		LEAQ(Mem{Base: c.room, Disp: step}, from[1])
		TESTQ(c.row, c.row)
		JNS(LabelRef(loop))
		XCHGQ(from[0], from[1])
	}
	Label(loop)
	var x []reg.VecVirtual
	for _, at := range from {
		for i := range 2 {
			v := c.reg()
			c.load(v, Mem{Base: at, Disp: (4 + i) * c.vector})
			for k, s := range starts {
				c.muladd(v, s, Mem{Base: at, Disp: (2*i + k) * c.vector})
			}
			x = append(x, v)
		}
		ADDQ(U32(step*len(from)), at)
	}
	c.scatter(x)
	for _, v := range x {
		c.sub(v, v, v) // 0, or else NaN, which stays in a sum
		c.add(off, off, v)
	}
	LEAQ(Mem{Base: c.x, Index: c.row, Scale: uint8(len(from))}, c.x)
	SUBQ(Imm(uint64(len(from))), left)
	JG(LabelRef(loop))
	for range c.lanes()/4 - 1 { // past the other lanes
		LEAQ(Mem{Base: c.x, Index: c.lane, Scale: 4}, c.x)
	}
	ADDQ(c.three, c.x)
}

// together is how many rows of b fill 16 bytes.
func (c *composer) together() int { return 8 / c.size }

// scatter writes 16 bytes of every lane.
func (c *composer) scatter(x []reg.VecVirtual) {
	var lanes []reg.VecVirtual
	if c.size == 8 {
		lanes = c.pairs(VUNPCKLPD, VUNPCKHPD, x[0], x[1])
	} else {
		early, late := c.pairs(VUNPCKLPS, VUNPCKHPS, x[0], x[1]), c.pairs(VUNPCKLPS, VUNPCKHPS, x[2], x[3])
		lanes = append(c.pairs(VUNPCKLPD, VUNPCKHPD, early[0], late[0]), c.pairs(VUNPCKLPD, VUNPCKHPD, early[1], late[1])...)
	}
	further := c.further(c.x, 1)
	for i, v := range lanes {
		high := c.at(c.x, i+2, 1, 0)
		if c.size == 4 {
			high = c.at(further, i, 1, 0)
		}
		VMOVUPD(v.AsX(), c.at(c.x, i, 1, 0))
		VEXTRACTF128(Imm(1), v, high)
	}
}

// pairs returns what two instructions make of two registers.
func (c *composer) pairs(low, high func(...Op), a, b reg.VecVirtual) []reg.VecVirtual {
	v := []reg.VecVirtual{c.reg(), c.reg()}
	low(b, a, v[0])
	high(b, a, v[1])
	return v
}
