//go:build !noasm

package simd

import "golang.org/x/sys/cpu"

var avx2 = leveled{"avx2",
	kernels[float32]{8, exp32AVX2, sigmoid32AVX2, tanh32AVX2, mix32AVX2, gru32AVX2, gruSteps32AVX2, scaled32AVX2, diagonal32AVX2, sum32AVX2,
		dense32AVX2, denseTwo32AVX2, productTwo32AVX2, denseFour32AVX2, extents32AVX2, finite32AVX2, words32AVX2, prefix32AVX2, sub32AVX2, addScaled32AVX2,
		addChange32AVX2, dot32AVX2, subRows32AVX2, dotRows32AVX2, reach32AVX2, mixture32AVX2, permute32AVX2, 8, block32AVX2, strip32AVX2, nil},
	kernels[float64]{4, exp64AVX2, sigmoid64AVX2, tanh64AVX2, mix64AVX2, gru64AVX2, gruSteps64AVX2, scaled64AVX2, diagonal64AVX2, sum64AVX2,
		dense64AVX2, denseTwo64AVX2, productTwo64AVX2, denseFour64AVX2, extents64AVX2, finite64AVX2, words64AVX2, prefix64AVX2, sub64AVX2, addScaled64AVX2,
		addChange64AVX2, dot64AVX2, subRows64AVX2, dotRows64AVX2, reach64AVX2, mixture64AVX2, nil, 4, block64AVX2, strip64AVX2, nil}}

// avx512 is AVX2 where longer vectors do not pay.
var avx512 = func() leveled {
	l := avx2
	l.name = "avx512"
	s, d := &l.single, &l.double
	s.lanes, s.half, d.lanes, d.half = 16, &avx2.single, 8, &avx2.double
	s.exp, s.sigmoid, s.tanh, s.mix, s.gru = exp32AVX512, sigmoid32AVX512, tanh32AVX512, mix32AVX512, gru32AVX512
	d.exp, d.sigmoid, d.tanh, d.mix, d.gru = exp64AVX512, sigmoid64AVX512, tanh64AVX512, mix64AVX512, gru64AVX512
	s.subRows, s.dotRows, s.reach, s.mixture = subRows32AVX512, dotRows32AVX512, reach32AVX512, mixture32AVX512
	s.scaled, s.diagonal, s.sum = scaled32AVX512, diagonal32AVX512, sum32AVX512
	d.subRows, d.dotRows, d.reach, d.mixture = subRows64AVX512, dotRows64AVX512, reach64AVX512, mixture64AVX512
	d.scaled, d.diagonal, d.sum, d.permute = scaled64AVX512, diagonal64AVX512, sum64AVX512, permute64AVX512
	return l
}()

// levels lists those that this machine has, the best first.
func levels() (all []leveled) {
	x := &cpu.X86
	if x.HasAVX2 && x.HasFMA {
		if x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL && x.HasBMI2 {
			all = append(all, avx512)
		}
		all = append(all, avx2)
	}
	return append(all, plain)
}
