package method

import (
	"pards/core/cell"
	"pards/core/internal/par"
	"pards/core/lds"
	"pards/core/num"
	"pards/core/param"
)

// Method declares how A[t] is made. A value holds settings only and may be used by many solves at once.
type Method[T num.Float] interface {
	// Structure returns the structure of A; nil for a method that does not iterate.
	Structure() lds.Structure[T]
	// Linearise writes A (and f, to b.Y) for each row of a block; the A of a window's first step is never read.
	Linearise(b *Block[T]) error
}

// Preparer is a method that looks at the whole iterate before each update, for instance to find a basis.
type Preparer[T num.Float] interface {
	Prepare(p *Pass[T]) error
}

// Opener is a method that keeps something for each window.
type Opener[T num.Float] interface {
	// Open is called when a window of some steps begins.
	Open(s *Sequence[T], steps int)
	Keeper
}

// Keeper is a method that keeps something for the steps of a window.
type Keeper interface {
	// Keeps returns how many numbers a step it keeps, for the estimate of memory.
	Keeps(d int) int
}

// smoother is a method that makes the successor of a whole window from A and f all along it; f may be overwritten.
type smoother[T num.Float] interface {
	smooth(w *par.Worker, s *Sequence[T], a, f []T)
}

// Direct is a method that does not iterate.
type Direct[T num.Float] interface {
	Run(j *Job[T], members []int) error
}

// Block is a block of steps, of several sequences for a Caller and of one else, with everything a method needs.
type Block[T num.Float] struct {
	cell.Block[T]
	Cell    cell.Cell[T]
	A       []T
	Members []*Sequence[T] // the rows are those of each in turn, equally many
	From    int            // index of the first row within the window
	Seed    uint64         // of whatever a method draws
	Kept    []T            // the Jacobians of the rows, where Prepare had to ask a Caller for them; nil else
}

// Each calls f for the rows [from, to) of each sequence.
func (b *Block[T]) Each(f func(s *Sequence[T], from, to int)) {
	n := b.N / len(b.Members)
	for i, s := range b.Members {
		f(s, i*n, (i+1)*n)
	}
}

// Sequence is the state of one sequence while it is solved.
type Sequence[T num.Float] struct {
	Index  int // in the batch
	First  int // index of the window's first step
	Window int // number of the window
	K      int // updates made in the window
	// Memory belongs to the method and lives through the sequence.
	Memory any
	state[T]
}

// Entry describes a registered method.
type Entry struct {
	Name, Class string // "quasi_newton", "QuasiNewton"
	Doc         string
	Structure   string // name of the structure, "none" for a method that does not iterate, "kalman" and "kalman_diagonal" for a trust region
	Derivative  string // what is asked of the cell: "full", "held", "block_diagonal", "rotated_diagonal", "diagonal", "mean_diagonal", "none"
	Fields      []param.Field
}

var family param.Family[Entry, Method[float32], Method[float64]]

func register(e Entry, f32 func(*param.Reader[float32]) Method[float32], f64 func(*param.Reader[float64]) Method[float64]) {
	family.Add(e.Name, e.Class, e.Fields, e, f32, f64)
}

// Entries returns the registered methods by name.
func Entries() []Entry { return family.Entries() }

// AsksForJacobians tells whether a method has a cell write whole Jacobians.
func AsksForJacobians(name string) bool {
	e, ok := family.About(name)
	return ok && e.Derivative != "none" && e.Derivative != "diagonal" && e.Derivative != "mean_diagonal"
}

// Names returns the registered names in order; not to be changed.
func Names() []string { return family.Names() }

// New makes a registered method from its settings, for a problem of T steps of dimension d.
func New[T num.Float](name string, values param.Values[T], steps, d int) (Method[T], error) {
	made, err := param.Make(&family, "solve", "method", name, values, func(r *param.Reader[T]) {
		r.Fix("T", steps, "the problem's length")
		r.Fix("D", d, "the problem's dimension")
	})
	if err != nil {
		return nil, err
	}
	return made.(Method[T]), nil
}
