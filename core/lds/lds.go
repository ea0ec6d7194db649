package lds

import (
	"fmt"
	"slices"

	"pards/core/check"
	"pards/core/internal/par"
	"pards/core/internal/simd"
	"pards/core/num"
)

// Span is a run of consecutive steps of one sequence.
type Span[T num.Float] struct {
	D       int
	A       []T // n times Len(D)
	B       []T // n times D
	Ref     []T // n times D, the reference at the steps of the span; nil: zero
	X       []T // n times D, written; must not overlap A, B or Ref
	Reverse bool
}

// Steps returns the number of steps.
func (s Span[T]) Steps() int { return len(s.B) / s.D }

// order returns the first row in the direction of the scan and the distance to the next.
func (s Span[T]) order() (first, step int) {
	if s.Reverse {
		return s.Steps() - 1, -1
	}
	return 0, 1
}

// part returns the steps [from, to), counted in the direction of the scan.
func (s Span[T]) part(from, to, length int) Span[T] {
	if s.Reverse {
		n := s.Steps()
		from, to = n-to, n-from
	}
	p := Span[T]{D: s.D, Reverse: s.Reverse, A: s.A[from*length : to*length], B: s.B[from*s.D : to*s.D], X: s.X[from*s.D : to*s.D]}
	if s.Ref != nil {
		p.Ref = s.Ref[from*s.D : to*s.D]
	}
	return p
}

// carryOut writes x - ref of the last step to carry.
func (s Span[T]) carryOut(carry []T) {
	at := (s.Steps() - 1) * s.D
	if s.Reverse {
		at = 0
	}
	next(carry, s.X[at:at+s.D], s.Ref, at)
}

// next writes x - ref of one step to carry.
func next[T num.Float](carry, x, ref []T, at int) {
	if ref == nil {
		copy(carry, x)
		return
	}
	ref = ref[at : at+len(x)]
	for i := range carry {
		carry[i] = x[i] - ref[i]
	}
}

// Structure is a form of the matrices A[t]. Below, a is rows of Len(d) numbers, one a step.
type Structure[T num.Float] interface {
	Name() string
	// Len returns how many numbers hold one A.
	Len(d int) int
	// Shape returns the axes of one A, for messages and for callers' arrays.
	Shape(d int) []int
	// Valid returns what is wrong with the numbers of a, "" for nothing.
	Valid(a []T, d int) string
	// Apply runs the recurrence through a span. carry is x - ref just before it, and on return that of its last step.
	Apply(s Span[T], carry []T)
	// Reduce writes to p the product of the span's matrices, the last one leftmost.
	Reduce(p []T, s Span[T])
	// Mul writes A[t] x[t] for each row.
	Mul(dst, a, x []T, d int)
	// Transpose writes the transposed matrices.
	Transpose(dst, a []T, d int)
	// Dense writes the matrices in full.
	Dense(dst, a []T, d int)
	// Growth returns how many times the work of Apply grows when time is cut into chunks.
	Growth(d int) int
}

// Restrainable is a structure that can be clipped and damped.
type Restrainable[T num.Float] interface {
	Structure[T]
	// Clip limits diagonal entries to [-1, 1], a dense A by its largest singular value.
	Clip(a []T, d int)
	// Damped returns the structure that holds k A for this structure's A.
	Damped() Structure[T]
	// Scale writes k A in the form of Damped; dst may be a where the two structures are the same.
	Scale(dst, a []T, k T)
}

// Sized is a family of structures, one of which fits an array.
type Sized[T num.Float] interface {
	// Sized returns the structure of an array with axes (B, T, ...).
	Sized(shape []int) Structure[T]
	// Fits tells whether an array can hold the structure in dimension d.
	Fits(d int) bool
}

// summarizer is a structure that need not write states to know what a span comes to.
type summarizer[T num.Float] interface {
	// Summary does what Reduce does, and to carry what Apply does; X may hold anything then.
	Summary(p []T, s Span[T], carry []T)
}

// Entry describes a registered structure.
type Entry struct {
	Name, Class string // "diagonal", "Diagonal"
	Doc         string
	Array       string // how callers call the numbers of all A, "a"; empty: there are none
	Axes        int    // of one A among these
	Whole       bool   // they are whole numbers, and have no say in the dtype of a result
}

// structures is the registry: a float32 and a float64 instance of each.
var structures struct {
	entries []Entry
	f32     map[string]Structure[float32]
	f64     map[string]Structure[float64]
}

func register(e Entry, f32 Structure[float32], f64 Structure[float64]) {
	if structures.f32 == nil {
		structures.f32, structures.f64 = map[string]Structure[float32]{}, map[string]Structure[float64]{}
	}
	e.Name = f32.Name()
	structures.entries = append(structures.entries, e)
	structures.f32[e.Name], structures.f64[e.Name] = f32, f64
}

// Entries returns the registered structures.
func Entries() []Entry { return structures.entries }

// Names returns their names.
func Names() []string {
	var names []string
	for _, e := range structures.entries {
		names = append(names, e.Name)
	}
	return names
}

// ForArray returns the structure of a name that fits an array with axes (B, T, ...).
func ForArray[T num.Float](fn, name string, shape []int) (Structure[T], error) {
	s, err := ByName[T](fn, name)
	if family, ok := s.(Sized[T]); ok {
		s = family.Sized(shape)
	}
	return s, err
}

// Double returns a structure in double precision.
func Double[T num.Float](s Structure[T]) (Structure[float64], error) {
	if b, ok := s.(BlockDiagonal[T]); ok {
		return BlockDiagonal[float64](b), nil
	}
	return ByName[float64]("lds", s.Name())
}

// ByName returns a structure.
func ByName[T num.Float](fn, name string) (Structure[T], error) {
	if _, ok := structures.f32[name]; !ok {
		return nil, check.Choice(fn, "structure", name, Names())
	}
	if num.Size[T]() == 4 {
		return any(structures.f32[name]).(Structure[T]), nil
	}
	return any(structures.f64[name]).(Structure[T]), nil
}

// Chunks are worth their second pass over the data only where a sequence is long and the batch leaves workers idle.
const (
	chunkBatch  = 4       // no chunks over time from this batch size on
	chunkLeast  = 1 << 21 // nor below this many numbers in the batch
	chunkSteps  = 1 << 14
	chunkGrowth = 5 // nor where they multiply the work by this much: few cores would lose

	pieceNumbers = 1 << 20 // how much is scanned between two looks at whether to stop
)

// Chunk returns the length of the chunks into which time is cut: T for none. It depends on its arguments alone.
func Chunk[T num.Float](s Structure[T], batch, steps, d int) int {
	if batch >= chunkBatch || batch*steps*d < chunkLeast || s.Growth(d) >= chunkGrowth {
		return max(steps, 1)
	}
	return chunkSteps
}

// Run evaluates one span, cut into chunks. carry is as in Apply.
//
// Every chunk but the last is run once from nothing and reduced to its product; the carries then follow one from another; the
// chunks are run again, each from its own carry. Where a product overflows, of which a state need know nothing, they are run one after another.
func Run[T num.Float](w *par.Worker, s Structure[T], span Span[T], carry []T, chunk int) {
	n := span.Steps()
	if n <= chunk {
		piece := 1 + pieceNumbers/(span.D+s.Len(span.D))
		for from := 0; from < n && !w.Stopped(); from += piece {
			s.Apply(span.part(from, min(n, from+piece), s.Len(span.D)), carry)
		}
		return
	}
	d, count := span.D, (n+chunk-1)/chunk
	part := func(i int) Span[T] { return span.part(i*chunk, min(n, (i+1)*chunk), s.Len(d)) }
	carries, ok := between(w, s, count, part, carry)
	if !ok {
		copy(carry, carries[d:2*d])
		for i := 1; i < count && !w.Stopped(); i++ {
			s.Apply(part(i), carry)
		}
		return
	}
	w.For(count-1, 1, func(_ *par.Worker, i int) {
		end := append([]T(nil), carries[(i+1)*d:(i+2)*d]...)
		s.Apply(part(i+1), end)
		if i == count-2 {
			copy(carry, end)
		}
	})
}

// between runs the first of count chunks and returns the carry before each, which holds but for the second where something is not finite.
func between[T num.Float](w *par.Worker, s Structure[T], count int, part func(i int) Span[T], carry []T) (carries []T, finite bool) {
	d := len(carry)
	length := s.Len(d)
	carries, products := make([]T, (count+1)*d), make([]T, count*length)
	copy(carries, carry)
	copy(carries[d:], carry)
	w.For(count-1, 1, func(_ *par.Worker, i int) {
		end := carries[(i+1)*d : (i+2)*d]
		if i == 0 {
			s.Apply(part(i), end)
		} else {
			summary(s, products[i*length:(i+1)*length], part(i), end)
		}
	})
	moved := make([]T, d)
	for i := 1; i < count-1; i++ {
		s.Mul(moved, products[i*length:(i+1)*length], carries[i*d:(i+1)*d], d)
		for j, v := range moved {
			carries[(i+1)*d+j] += v
		}
	}
	return carries, simd.FirstNonFinite(carries) < 0
}

// summary does what summarizer says.
func summary[T num.Float](s Structure[T], p []T, span Span[T], carry []T) {
	if own, ok := s.(summarizer[T]); ok {
		own.Summary(p, span, carry)
		return
	}
	s.Reduce(p, span)
	s.Apply(span, carry)
}

// Scan evaluates x[t] = A[t] x[t-1] + b[t] for a batch of sequences (reverse: x[t] = A[t] x[t+1] + b[t], x0 standing after the last
// step). Without x0 the first A is not read. The lengths must be right: Check tells.
func Scan[T num.Float](w *par.Worker, s Structure[T], a, b, x0, out []T, batch, steps, d int, reverse bool) {
	scan(w, s, a, b, nil, x0, out, batch, steps, d, reverse)
}

// Update evaluates x[t] = A[t] (x[t-1] - ref[t-1]) + b[t] for a batch of sequences, whose first A is not read.
func Update[T num.Float](w *par.Worker, s Structure[T], a, b, ref, out []T, batch, steps, d int) {
	scan(w, s, a, b, ref, nil, out, batch, steps, d, false)
}

// scan does either; ref is nil for zero.
func scan[T num.Float](w *par.Worker, s Structure[T], a, b, ref, x0, out []T, batch, steps, d int, reverse bool) {
	if batch == 0 || steps == 0 || d == 0 { // where none are asked for, steps may be more than arithmetic takes
		return
	}
	length, chunk := s.Len(d), Chunk(s, batch, steps, d)
	w.For(batch, 1+(1<<14)/(steps*(d+length)), func(w *par.Worker, i int) {
		own := func(v []T, length int) []T { return v[i*steps*length : (i+1)*steps*length] }
		span := Span[T]{D: d, A: own(a, length), B: own(b, d), X: own(out, d), Reverse: reverse}
		if ref != nil {
			span.Ref = own(ref, d)
		}
		carry, from := make([]T, d), 0
		if x0 != nil {
			copy(carry, x0[i*d:(i+1)*d])
		} else {
			from = 1
			head := span.part(0, 1, length)
			copy(head.X, head.B)
			head.carryOut(carry)
		}
		Run(w, s, span.part(from, steps, length), carry, chunk)
	})
}

// checkStates reports what is wrong with the shapes of b, out and x0; of small scans it would be most of the time if nothing were.
func checkStates(fn string, b, out, x0 []int) error {
	if len(b) == 3 && slices.Equal(b, out) && (x0 == nil || len(x0) == 2 && x0[0] == b[0] && x0[1] == b[2]) {
		return nil
	}
	dims := check.NewDims(fn)
	if err := dims.Shape("b", b, "B T D"); err != nil {
		return err
	}
	if err := dims.Shape("out", out, "B T D"); err != nil {
		return err
	}
	return dims.Shape("x0", x0, "B D")
}

// Check reports what is wrong with the arguments of a scan; shapes are (B, T, ...) throughout.
func Check[T num.Float](s Structure[T], a []T, aShape, bShape, outShape, x0Shape []int, reverse bool) error {
	const fn = "scan"
	if err := checkStates(fn, bShape, outShape, x0Shape); err != nil {
		return err
	}
	steps, d := bShape[1], bShape[2]
	want := append([]int{bShape[0], steps}, s.Shape(d)...)
	if family, ok := s.(Sized[T]); ok && !family.Fits(d) {
		return check.Valuef(fn, "A", fmt.Sprintf("(%s) has shape %s", s.Name(), check.ShapeText(aShape)), "blocks that make up D",
			"b has shape "+check.ShapeText(bShape))
	}
	if s.Len(d) > 0 && !slices.Equal(want, aShape) {
		return check.Valuef(fn, "A", fmt.Sprintf("(%s) has shape %s", s.Name(), check.ShapeText(aShape)), check.ShapeText(want),
			"b has shape "+check.ShapeText(bShape))
	}
	per, skip, drop := steps*s.Len(d), s.Len(d), 0 // the A next to x0 may hold anything when there is none
	if len(a) == 0 || per == 0 {
		return nil
	}
	if reverse {
		skip, drop = 0, skip
	}
	if x0Shape != nil {
		skip, drop = 0, 0
	}
	for i := 0; i < len(a); i += per {
		if wrong := s.Valid(a[i+skip:i+per-drop], d); wrong != "" {
			return check.Valuef(fn, "A", "("+s.Name()+") "+wrong, "", "")
		}
	}
	return nil
}
