package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// level is what code is written for: numbers of some bytes in vectors of some bytes. Its methods emit the instruction that the type and
// the registers call for; operands stand as in Intel's manuals, the destination first.
type level struct {
	size   int // of a number
	vector int // of a register: 32 for AVX2 with FMA, 64 for AVX-512
}

func (l *level) lanes() int { return l.vector / l.size }

func (l *level) wide() bool { return l.vector == 64 }

func (l *level) reg() reg.VecVirtual {
	if l.wide() {
		return ZMM()
	}
	return YMM()
}

// bits are those of a number.
func (l *level) bits(v float64) uint64 {
	if l.size == 4 {
		return uint64(math.Float32bits(float32(v)))
	}
	return math.Float64bits(v)
}

// constants are those that stand among the data of the package, by name.
var constants = map[string]Mem{}

// constant returns memory that holds v in every lane.
func (l *level) constant(v float64) Mem { return l.pattern(l.bits(v)) }

// pattern is constant for bits.
func (l *level) pattern(bits uint64) Mem {
	name := fmt.Sprintf("all%d_%x", 8*l.size, bits)
	if at, ok := constants[name]; ok {
		return at
	}
	at := GLOBL(name, RODATA|NOPTR)
	for i := 0; i < 64; i += l.size {
		if l.size == 4 {
			DATA(i, U32(bits))
		} else {
			DATA(i, U64(bits))
		}
	}
	constants[name] = at
	return at
}

// held returns a register that holds v in every lane.
func (l *level) held(v float64) reg.VecVirtual {
	r := l.reg()
	l.load(r, l.constant(v))
	return r
}

// zero clears registers.
func (l *level) zero(vs ...reg.VecVirtual) {
	for _, v := range vs {
		l.pick(VXORPS, VXORPD, v, v, v)
	}
}

// pick calls the one of two instructions that is for l's numbers.
func (l *level) pick(single, double any, ops ...Op) {
	emit := double
	if l.size == 4 {
		emit = single
	}
	switch f := emit.(type) { // instructions that both sets have take any operands, those of AVX2 alone as many as they have
	case func(...Op):
		f(ops...)
	case func(_, _ Op):
		f(ops[0], ops[1])
	case func(_, _, _ Op):
		f(ops[0], ops[1], ops[2])
	case func(_, _, _, _ Op):
		f(ops[0], ops[1], ops[2], ops[3])
	default:
		panic(fmt.Sprintf("an instruction with operands %T", emit))
	}
}

func (l *level) broadcast(dst reg.VecVirtual, from Op) { l.pick(VBROADCASTSS, VBROADCASTSD, from, dst) }
func (l *level) load(dst reg.VecVirtual, from Op)      { l.pick(VMOVUPS, VMOVUPD, from, dst) }
func (l *level) store(to Op, src reg.VecVirtual)       { l.pick(VMOVUPS, VMOVUPD, src, to) }
func (l *level) add(dst, a reg.VecVirtual, b Op)       { l.pick(VADDPS, VADDPD, b, a, dst) }
func (l *level) sub(dst, a reg.VecVirtual, b Op)       { l.pick(VSUBPS, VSUBPD, b, a, dst) }
func (l *level) mul(dst, a reg.VecVirtual, b Op)       { l.pick(VMULPS, VMULPD, b, a, dst) }
func (l *level) div(dst, a reg.VecVirtual, b Op)       { l.pick(VDIVPS, VDIVPD, b, a, dst) }

// max and min return b where either is NaN.
func (l *level) max(dst, a reg.VecVirtual, b Op) { l.pick(VMAXPS, VMAXPD, b, a, dst) }
func (l *level) min(dst, a reg.VecVirtual, b Op) { l.pick(VMINPS, VMINPD, b, a, dst) }

// muladd: dst += a b. addmul: dst = dst a + b. negadd: dst -= a b.
func (l *level) muladd(dst, a reg.VecVirtual, b Op) { l.pick(VFMADD231PS, VFMADD231PD, b, a, dst) }
func (l *level) addmul(dst, a reg.VecVirtual, b Op) { l.pick(VFMADD213PS, VFMADD213PD, b, a, dst) }
func (l *level) negadd(dst, a reg.VecVirtual, b Op) { l.pick(VFNMADD231PS, VFNMADD231PD, b, a, dst) }

// bit operations
func (l *level) and(dst, a reg.VecVirtual, b Op) { l.pick(VANDPS, VANDPD, b, a, dst) }
func (l *level) or(dst, a reg.VecVirtual, b Op)  { l.pick(VORPS, VORPD, b, a, dst) }

// whole-number operations on the bits of numbers
func (l *level) addBits(dst, a reg.VecVirtual, b Op) {
	l.pick(VPADDD, VPADDQ, b, a, dst)
}
func (l *level) shiftLeft(dst reg.VecVirtual, a reg.VecVirtual, by uint64) {
	l.pick(VPSLLD, VPSLLQ, U8(by), a, dst)
}

// mantissa is how many bits stand behind the exponent; bias is that of the exponent.
func (l *level) mantissa() uint64 {
	if l.size == 4 {
		return 23
	}
	return 52
}

func (l *level) bias() uint64 {
	if l.size == 4 {
		return 127
	}
	return 1023
}

// byName is NAME_float32_avx2 and the like.
func (l *level) byName(name string) string {
	kind, set := "32", "AVX2"
	if l.size == 8 {
		kind = "64"
	}
	if l.wide() {
		set = "AVX512"
	}
	return name + kind + set
}

// goType is the type of a slice's elements.
func (l *level) goType() string {
	if l.size == 4 {
		return "float32"
	}
	return "float64"
}

// first returns a mask of the first n lanes, n less than all of them.
func (l *level) first(n reg.Register) reg.Register {
	if l.wide() {
		bits, one, k := GP64(), GP64(), K()
		MOVQ(I32(1), one)
		SHLXQ(n, one, bits)
		DECQ(bits)
		KMOVW(bits.As32(), k)
		return k
	}
	table, mask := GP64(), l.reg()
	LEAQ(l.masks(), table)
	offset := GP64()
	MOVQ(n, offset)
	NEGQ(offset)
	l.load(mask, Mem{Base: table, Disp: l.vector, Index: offset, Scale: uint8(l.size)})
	return mask
}

// masks is data: a vector of set bits, then one of zeros.
func (l *level) masks() Mem {
	const name = "masks"
	if at, ok := constants[name]; ok {
		return at
	}
	at := GLOBL(name, RODATA|NOPTR)
	for i := 0; i < 64; i += 8 {
		v := uint64(0)
		if i < 32 {
			v = 1<<64 - 1
		}
		DATA(i, U64(v))
	}
	constants[name] = at
	return at
}

// loadMasked leaves zeros in the other lanes.
func (l *level) loadMasked(dst reg.VecVirtual, from Mem, mask reg.Register) {
	if l.wide() {
		l.pick(VMOVUPS_Z, VMOVUPD_Z, from, mask, dst)
	} else {
		l.pick(VMASKMOVPS, VMASKMOVPD, from, mask, dst)
	}
}

func (l *level) storeMasked(to Mem, src reg.VecVirtual, mask reg.Register) {
	if l.wide() {
		l.pick(VMOVUPS, VMOVUPD, src, mask, to)
	} else {
		l.pick(VMASKMOVPS, VMASKMOVPD, src, mask, to)
	}
}
