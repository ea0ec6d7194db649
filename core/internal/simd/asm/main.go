// Command asm writes the assembly of package simd: go run . -out ../simd_amd64.s -stubs ../stubs_amd64.go -pkg simd
package main

import . "github.com/mmcloughlin/avo/build"

func main() {
	ConstraintExpr("!noasm")
	for _, l := range []*level{{4, 32}, {8, 32}, {4, 64}, {8, 64}} {
		l.elementary("exp", "replaces n numbers by their exponentials.", l.exp)
		l.elementary("sigmoid", "replaces n numbers v by 1 / (1 + exp(-v)).", l.sigmoid)
		l.elementary("tanh", "replaces n numbers by their hyperbolic tangents.", l.tanh)
		l.mix()
		l.gru()
		l.scaled()
		l.diagonal()
		l.sum()
		l.subRows()
		l.dotRows()
		l.reach()
		l.mixture()
		if !l.wide() {
			l.transpose(false)
			l.transpose(true)
			l.dense()
			l.denseTwo()
			l.productTwo()
			l.denseFour()
			l.extents()
			l.finite()
			l.words()
			l.prefix()
			l.subtract()
			l.addScaled()
			l.addChange()
			l.dot()
			l.gruSteps()
		}
		if l.vector == permuteWidth*l.size {
			l.permute()
		}
	}
	Generate()
}
