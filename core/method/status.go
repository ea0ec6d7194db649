package method

// Status is the outcome of one sequence.
type Status int

// The outcomes, from best to worst.
const (
	Converged Status = iota
	Floor
	MaxIterations
	Nonfinite
	Interrupted
)

// Outcome describes a status.
type Outcome struct {
	Status  Status
	Name    string
	Success bool
	Advice  string
}

// Outcomes lists the statuses; the index of each is its Status.
var Outcomes = []Outcome{
	{Converged, "converged", true, "the stopping test was met"},
	{Floor, "floor", true, "the iterates satisfy the model to rounding, and rounding keeps them from agreeing further; " +
		"for a chaotic or expanding model no method can promise more"},
	{MaxIterations, "max_iterations", false, "not converged within the cap: raise max_iterations, solve in windows (window=...), " +
		"or take a method that follows the Jacobian more closely (newton, rotated_quasi_newton), or sequential"},
	{Nonfinite, "nonfinite", false, "an update overflowed: solve in windows (window=...), restrain A (clip=True, damping=0.5), " +
		"start from a better guess, go on with nonfinite=\"continue\", or use sequential"},
	{Interrupted, "interrupted", false, "the solve was interrupted; the states are not the trajectory"},
}

// String returns the status's name.
func (s Status) String() string { return Outcomes[s].Name }

// Success tells whether the states are the trajectory.
func (s Status) Success() bool { return Outcomes[s].Success }
