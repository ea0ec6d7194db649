// Package check builds the argument errors of pards: one type, one wording, used by every package. A message says, in this order,
// the function, the argument, what came, what was wanted, and why or what to do.
package check

import (
	"fmt"
	"slices"
	"strings"
)

// Kind tells callers in other languages which exception an error becomes.
type Kind int

// The kinds, in the order of enum pards_code.
const (
	Value Kind = iota + 1
	Type
	Memory
	Stopped
	Callback
	Handle
	Device
)

// Error is what a caller did wrong.
type Error struct {
	Kind       Kind
	Func, Arg  string
	Came, Want string
	Why        string // the reason, or what to do; may be empty
}

// Error returns "solve: x0 has shape (16, 5), want (B, D) = (16, 4); why".
func (e *Error) Error() string {
	var s strings.Builder
	if e.Func != "" {
		s.WriteString(e.Func + ": ")
	}
	s.WriteString(e.Arg)
	if e.Came != "" {
		s.WriteString(" " + e.Came)
	}
	if e.Want != "" {
		s.WriteString(", want " + e.Want)
	}
	if e.Why != "" {
		s.WriteString("; " + e.Why)
	}
	return s.String()
}

// Valuef reports an argument of wrong value or shape; why may be empty.
func Valuef(fn, arg, came, want, why string) error {
	return &Error{Kind: Value, Func: fn, Arg: arg, Came: came, Want: want, Why: why}
}

// Typef reports an argument of wrong type.
func Typef(fn, arg, came, want, why string) error {
	return &Error{Kind: Type, Func: fn, Arg: arg, Came: came, Want: want, Why: why}
}

// Of reports something that is not about one argument.
func Of(kind Kind, fn, text string) error { return &Error{Kind: kind, Func: fn, Arg: text} }

// Choice refuses a name that is not in a list.
func Choice(fn, arg, came string, known []string) error {
	if slices.Contains(known, came) {
		return nil
	}
	return Valuef(fn, arg, fmt.Sprintf("is %q", came), "one of "+strings.Join(known, ", "), "")
}

// ShapeText writes a shape as Python does.
func ShapeText(shape []int) string {
	s := make([]string, len(shape))
	for i, n := range shape {
		s[i] = fmt.Sprint(n)
	}
	if len(s) == 1 {
		return "(" + s[0] + ",)"
	}
	return "(" + strings.Join(s, ", ") + ")"
}

// Bytes writes a number of bytes for a person.
func Bytes(n float64) string {
	for _, u := range []string{"bytes", "KiB", "MiB", "GiB", "TiB"} {
		if n < 1024 {
			return fmt.Sprintf("%.3g %s", n, u)
		}
		n /= 1024
	}
	return fmt.Sprintf("%.3g PiB", n)
}

// Dims binds axis names to lengths while the shapes of one call are checked: the first array that has an axis fixes it, and later
// messages say which one did.
type Dims struct {
	fn    string
	bound []binding // a few, which are found sooner than in a map
	room  [6]binding
}

// binding is an axis, its length, and what says so: a text, or the shape of an argument.
type binding struct {
	axis  string
	n     int
	by    string
	shape []int
}

func (b binding) text() string {
	if b.shape == nil {
		return b.by
	}
	return fmt.Sprintf("%s has shape %s", b.by, ShapeText(b.shape))
}

// NewDims starts the check of one call of fn.
func NewDims(fn string) *Dims {
	d := &Dims{fn: fn}
	d.bound = d.room[:0]
	return d
}

// Fix binds an axis to a length known beforehand; by says why, as in "GRU.weight_hh has shape (12, 4)".
func (d *Dims) Fix(axis string, n int, by string) { d.bind(binding{axis: axis, n: n, by: by}) }

func (d *Dims) bind(b binding) {
	if i := d.find(b.axis); i >= 0 {
		d.bound[i] = b
		return
	}
	d.bound = append(d.bound, b)
}

// find returns where an axis is bound, -1 if it is not.
func (d *Dims) find(axis string) int {
	return slices.IndexFunc(d.bound, func(b binding) bool { return b.axis == axis })
}

// get returns what an axis is bound to, and whether it is.
func (d *Dims) get(axis string) (binding, bool) {
	if i := d.find(axis); i >= 0 {
		return d.bound[i], true
	}
	return binding{}, false
}

// Len returns the length bound to an axis, 0 if none is.
func (d *Dims) Len(axis string) int {
	b, _ := d.get(axis)
	return b.n
}

// Shape checks a shape against a pattern such as "3D M": axes apart by spaces, each a name with an optional factor before it.
func (d *Dims) Shape(arg string, shape []int, pattern string) error {
	axes := strings.Fields(pattern)
	wrong, why := len(axes) != len(shape), ""
	for i := 0; i < len(axes) && !wrong; i++ {
		factor, name := axis(axes[i])
		b, ok := d.get(name)
		switch {
		case !ok && shape[i]%factor == 0:
			d.bind(binding{name, shape[i] / factor, arg, shape})
		case !ok:
			wrong, why = true, fmt.Sprintf("%d is not a multiple of %d", shape[i], factor)
		case shape[i] != factor*b.n:
			wrong, why = true, fmt.Sprintf("%s is fixed by %s", name, b.text())
		}
	}
	if !wrong {
		return nil
	}
	return Valuef(d.fn, arg, "has shape "+ShapeText(shape), d.pattern(axes), why)
}

// pattern writes "(3D, M) = (12, 4)" where the lengths are known, else "(3D, M)".
func (d *Dims) pattern(axes []string) string {
	lengths := make([]int, len(axes))
	known := len(axes) > 0
	for i, a := range axes {
		factor, name := axis(a)
		b, ok := d.get(name)
		lengths[i], known = factor*b.n, known && ok
	}
	names := "(" + strings.Join(axes, ", ") + ")"
	if len(axes) == 1 {
		names = "(" + axes[0] + ",)"
	}
	if known {
		return names + " = " + ShapeText(lengths)
	}
	return names
}

// axis splits "3D" into 3 and "D".
func axis(s string) (int, string) {
	factor, i := 0, 0
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		factor = 10*factor + int(s[i]-'0')
	}
	if factor == 0 {
		factor = 1
	}
	return factor, s[i:]
}
