package method

import (
	"pards/core/lds"
	"pards/core/num"
	"pards/core/param"
)

func init() {
	register(Entry{Name: "newton", Class: "Newton", Structure: "dense", Derivative: "full",
		Doc: "Newton's method (DEER, Lim et al. 2024): A[t] = J[t].\n\nQuadratic convergence; one update is exact where the model is affine in x. The choice for small D.\n" +
			"An update takes one evaluation of f and J, which for a function without jac= are D + 1 of f, and a dense scan:\n" +
			"B*T*D*D products run through in time, D times as many where time is cut into parts. Native cells keep J of a\n" +
			"block of steps only; a function's J takes B*T*D*D numbers, or those of a window.\n\n" +
			"Reference: Lim et al., \"Parallelizing non-linear sequential models over the sequence length\" (2024)."}, newton[float32]{}.make, newton[float64]{}.make)
	register(Entry{Name: "scaled_identity", Class: "ScaledIdentity", Structure: "scaled_identity", Derivative: "mean_diagonal",
		Doc: "A[t] = (tr J[t] / D) I.\n\nAs cheap to scan as Picard, B*T*D products an update and B*T numbers of A, and follows a contraction that all\n" +
			"components share. An update takes one evaluation of f and of the diagonal of J, for a function without diag=\n" +
			"D + 1 of f.\n\nReference: Gonzalez et al., \"A Unifying Framework for Parallelizing Sequential Models with Linear Dynamical\n" +
			"Systems\" (2025)."},
		scaled[float32]{}.make, scaled[float64]{}.make)
	register(Entry{Name: "picard", Class: "Picard", Structure: "identity", Derivative: "none",
		Doc: "Picard iteration (Shih et al. 2023): A[t] = I, a cumulative sum.\n\nNeeds no derivative; suits models close to the identity, such as small steps of an SDE. An update takes one\n" +
			"evaluation of f and B*T*D sums, and no memory but the iterates. With J - I of size s it takes some s*T updates\n" +
			"and a few: windows of 1 / s steps suit it.\n\nReference: Shih et al., \"Parallel sampling of diffusion models\" (2023)."},
		picard[float32]{}.make, picard[float64]{}.make)
	register(Entry{Name: "jacobi", Class: "Jacobi", Structure: "zero", Derivative: "none",
		Doc: "Jacobi iteration (Song et al. 2021): A[t] = 0, no scan at all.\n\nNeeds no derivative; suits strongly contracting models, which forget their past in few steps: it takes as many\n" +
			"updates. An update takes one evaluation of f, and no memory but the iterates.\n\n" +
			"Reference: Song et al., \"Accelerating feedforward computation via parallel nonlinear equation solving\" (2021)."},
		jacobi[float32]{}.make, jacobi[float64]{}.make)
}

type newton[T num.Float] struct{}

func (newton[T]) make(*param.Reader[T]) Method[T] { return newton[T]{} }
func (newton[T]) Structure() lds.Structure[T]     { return lds.Dense[T]{} }
func (newton[T]) Linearise(b *Block[T]) error     { return b.Cell.Jacobian(b.Block, b.A) }

type scaled[T num.Float] struct{}

func (scaled[T]) make(*param.Reader[T]) Method[T] { return scaled[T]{} }
func (scaled[T]) Structure() lds.Structure[T]     { return lds.ScaledIdentity[T]{} }
func (scaled[T]) Linearise(b *Block[T]) error {
	defer b.Scratch.Release(b.Scratch.Mark())
	d := b.Cell.Dim()
	diag := b.Scratch.Take(b.N * d)
	err := b.Cell.Diagonal(b.Block, diag)
	for t := range b.A {
		var s T
		for _, v := range diag[t*d : (t+1)*d] {
			s += v
		}
		b.A[t] = s / T(d)
	}
	return err
}

type picard[T num.Float] struct{}

func (picard[T]) make(*param.Reader[T]) Method[T] { return picard[T]{} }
func (picard[T]) Structure() lds.Structure[T]     { return lds.Identity[T]{} }
func (picard[T]) Linearise(b *Block[T]) error     { return onlyStep(b) }

type jacobi[T num.Float] struct{}

func (jacobi[T]) make(*param.Reader[T]) Method[T] { return jacobi[T]{} }
func (jacobi[T]) Structure() lds.Structure[T]     { return lds.Zero[T]{} }
func (jacobi[T]) Linearise(b *Block[T]) error     { return onlyStep(b) }

// onlyStep is the linearisation without a derivative: f, where it is wanted.
func onlyStep[T num.Float](b *Block[T]) error {
	if b.Known {
		return nil
	}
	return b.Cell.Step(b.Block)
}
