// Package param describes the parameters of cells and the settings of methods, and reads them. One description serves the check of
// arguments, the C ABI and the Python classes made from the registries.
package param

import (
	"fmt"
	"math"

	"pards/core/check"
	"pards/core/internal/simd"
	"pards/core/num"
)

// Kind says what a parameter holds.
type Kind string

// The kinds of parameters.
const (
	Array  Kind = "array"
	Number Kind = "float"
	Int    Kind = "int"
	Bool   Kind = "bool"
	Text   Kind = "str"
)

// Field describes one parameter.
type Field struct {
	Name    string
	Kind    Kind
	Shape   string   // of an array: axes apart by spaces, "3D M"; alternatives apart by "|"
	Default string   // as Python writes it; empty: required
	Choices []string // of a text
	Doc     string
}

// Value is what came: an array of numbers, or a text. A number is an array without axes, kept in double precision.
type Value[T num.Float] struct {
	Shape  []int
	Data   []T
	Number float64
	Text   string
	IsText bool
}

// Values are named parameters as a caller gave them.
type Values[T num.Float] map[string]Value[T]

// Reader checks and hands out the values of one call; the first error stays.
type Reader[T num.Float] struct {
	fn     string
	fields []Field
	values Values[T]
	dims   *check.Dims
	err    error
}

// Read starts reading values described by fields; unknown names and missing ones are errors.
func Read[T num.Float](fn string, fields []Field, values Values[T]) *Reader[T] {
	r := &Reader[T]{fn: fn, fields: fields, values: values, dims: check.NewDims(fn)}
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
		if _, ok := values[f.Name]; !ok && f.Default == "" {
			r.fail(check.Valuef(fn, f.Name, "is missing", shapeWanted(f), fmt.Sprintf("give %s(%s=...)", fn, f.Name)))
		}
	}
	for name := range values {
		r.fail(check.Choice(fn, "parameter", name, names))
	}
	return r
}

// Err returns the first error.
func (r *Reader[T]) Err() error { return r.err }

// Len returns the length of an axis bound by the arrays read so far.
func (r *Reader[T]) Len(axis string) int { return r.dims.Len(axis) }

// Fail records an error unless there is one.
func (r *Reader[T]) Fail(arg, came, want, why string) {
	r.fail(check.Valuef(r.fn, arg, came, want, why))
}

func (r *Reader[T]) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Array returns an array, nil if it was not given. Its shape is checked against the description and its numbers must be finite.
func (r *Reader[T]) Array(name string) []T {
	return r.ArrayOf(name, r.field(name, Array).Shape)
}

// ArrayOf is Array for a parameter of several possible shapes: the caller chose the pattern by the number of axes.
func (r *Reader[T]) ArrayOf(name, pattern string) []T {
	v, ok := r.values[name]
	if !ok || r.err != nil {
		return nil
	}
	if v.IsText {
		r.fail(check.Typef(r.fn, name, fmt.Sprintf("is the text %q", v.Text), "an array "+pattern, ""))
		return nil
	}
	if err := r.dims.Shape(name, v.Shape, pattern); err != nil {
		r.fail(err)
		return nil
	}
	if i := simd.FirstNonFinite(v.Data); i >= 0 {
		r.Fail(name, fmt.Sprintf("holds %v at %s", v.Data[i], check.ShapeText(Unravel(i, v.Shape))), "finite numbers", "")
	}
	return v.Data
}

// Axes returns the number of axes of an array that was given, -1 if it was not.
func (r *Reader[T]) Axes(name string) int {
	if v, ok := r.values[name]; ok && !v.IsText {
		return len(v.Shape)
	}
	return -1
}

// Number returns a finite number, or fallback if it was not given.
func (r *Reader[T]) Number(name string, fallback float64) float64 {
	v, ok := r.values[name]
	if !ok {
		return fallback
	}
	if v.IsText || len(v.Shape) > 0 {
		r.fail(check.Typef(r.fn, name, "is not a number", "one number", ""))
		return fallback
	}
	if math.IsNaN(v.Number) || math.IsInf(v.Number, 0) {
		r.Fail(name, fmt.Sprintf("is %v", v.Number), "a finite number", "")
		return fallback
	}
	return v.Number
}

// Int returns a whole number of at least least.
func (r *Reader[T]) Int(name string, fallback, least int) int {
	v := r.Number(name, float64(fallback))
	if v != math.Trunc(v) || v < float64(least) || v > 1<<53 {
		r.Fail(name, fmt.Sprintf("is %v", v), fmt.Sprintf("a whole number of at least %d", least), "")
		return fallback
	}
	return int(v)
}

// Bool returns a truth value, 0 or 1, or fallback if it was not given.
func (r *Reader[T]) Bool(name string, fallback bool) bool {
	if _, ok := r.values[name]; !ok {
		return fallback
	}
	v := r.Number(name, 0)
	if v != 0 && v != 1 {
		r.Fail(name, fmt.Sprintf("is %v", v), "True or False", "")
	}
	return v == 1
}

// Text returns one of the field's choices.
func (r *Reader[T]) Text(name, fallback string) string {
	v, ok := r.values[name]
	if !ok {
		return fallback
	}
	f := r.field(name, Text)
	if !v.IsText {
		r.fail(check.Typef(r.fn, name, "is not a text", fmt.Sprintf("one of %v", f.Choices), ""))
		return fallback
	}
	r.fail(check.Choice(r.fn, name, v.Text, f.Choices))
	return v.Text
}

// field finds a description; asking for one that is not there is a bug.
func (r *Reader[T]) field(name string, kind Kind) Field {
	for _, f := range r.fields {
		if f.Name == name && f.Kind == kind {
			return f
		}
	}
	panic("pards: bug: " + r.fn + " has no " + string(kind) + " " + name)
}

func shapeWanted(f Field) string {
	if f.Kind == Array {
		return "an array of shape (" + f.Shape + ")"
	}
	return "a value of kind " + string(f.Kind)
}

// Unravel turns a flat index into one index an axis.
func Unravel(i int, shape []int) []int {
	at := make([]int, len(shape))
	for k := len(shape) - 1; k >= 0; k-- {
		at[k], i = i%shape[k], i/shape[k]
	}
	return at
}

// Fix binds an axis to a length known beforehand; by says why.
func (r *Reader[T]) Fix(axis string, n int, by string) { r.dims.Fix(axis, n, by) }
