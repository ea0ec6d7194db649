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
	Own     map[string]string // the advice for methods that the general one does not suit
}

// Outcomes lists the statuses; the index of each is its Status.
var Outcomes = []Outcome{
	{Converged, "converged", true, "the stopping test was met", nil},
	{Floor, "floor", true, "the iterates satisfy the model to rounding, and rounding keeps them from agreeing further; " +
		"for a chaotic or expanding model no method can promise more", nil},
	{MaxIterations, "max_iterations", false, "not converged within the cap: raise max_iterations, solve in windows (window=...), " +
		"or take a method that follows the Jacobian more closely (newton, rotated_quasi_newton), or sequential",
		map[string]string{"newton": "not converged within the cap: raise max_iterations, solve in windows (window=...), or use sequential"}},
	{Nonfinite, "nonfinite", false, "an update overflowed: solve in windows (window=...), restrain A (clip=True, damping=0.5), " +
		"start from a better guess, go on with nonfinite=\"continue\", or use sequential",
		map[string]string{"sequential": "f itself is not finite at that step, though the state before it is, and no method gets past it; look at f, x0 and the inputs"}},
	{Interrupted, "interrupted", false, "the solve was interrupted; the states are not the trajectory", nil},
}

// String returns the status's name.
func (s Status) String() string { return Outcomes[s].Name }

// Success tells whether the states are the trajectory.
func (s Status) Success() bool { return Outcomes[s].Success }
