package main

/*
#define PARDS_TYPES_ONLY
#include "xla.h"
*/
import "C"

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unsafe"

	"pards/core"
	"pards/core/cell"
	"pards/core/method"
	"pards/core/num"
	"pards/core/param"
	"pards/gpu"
)

func init() {
	xlaCalls["solve"] = either(xlaSolve[float32], xlaSolve[float64])
	xlaCalls["tangent"] = either(xlaTangent[float32], xlaTangent[float64])
}

// either chooses by the dtype of the first result.
func either(f32, f64 func(*xlaCall) error) func(*xlaCall) error {
	return func(x *xlaCall) error {
		if x.result(0).dtype == float32Type {
			return f32(x)
		}
		return f64(x)
	}
}

// xlaGiven is what a call gives to a native cell, which it makes of its arguments. These are named by the attribute operands: arrays of a
// batch, where one sequence, alone on the first axis, stands for all; seed; and cell_ and method_ with the name of a parameter or a setting,
// of which those that no program changes are attributes.
type xlaGiven[T num.Float] struct {
	arrays           map[string]core.Array[T]
	params, settings param.Values[T]
	seed             uint64
	states           core.Array[T] // (B, T, D), to write to
}

// xlaSolve solves: of x0 (B, D), inputs (B, T, M) and guess (B, T, D), of which there may be neither. Further results are merit, residual
// and error (B, 3), and iterations and status (B, 2). A failure is a status, also of numbers that are not finite, which a traced program
// cannot see coming.
func xlaSolve[T num.Float](x *xlaCall) error {
	s, err := xlaGivenOf[T](x)
	if err != nil {
		return err
	}
	batch := s.states.Shape[0]
	if !s.finite() { // of a training that overflowed, say; shapes were looked at while JAX traced
		return s.write(x, make([]method.Result, batch), slices.Repeat([]bool{true}, batch))
	}
	model, err := cell.New(x.text("cell"), s.params)
	if err != nil {
		return err
	}
	p := &core.Problem[T]{Cell: model, Name: x.text("cell"), Params: s.params, X0: s.arrays["x0"], Inputs: s.arrays["inputs"], Guess: s.arrays["guess"],
		Batch: batch, Length: s.states.Shape[1]}
	bad := cleaned(p)
	solution, err := s.solve(x, p)
	if err != nil {
		return err
	}
	return s.write(x, solution.Results, bad)
}

// xlaTangent is core.Tangent on the host: of states (B, T, D), inputs (B, T, M) and b (B, T, D).
func xlaTangent[T num.Float](x *xlaCall) error {
	s, err := xlaGivenOf[T](x)
	if err != nil {
		return err
	}
	if !s.finite() {
		return give(x, 0, 0, slices.Repeat([]T{T(math.NaN())}, len(s.states.Data)))
	}
	model, err := cell.New(x.text("cell"), s.params)
	if err != nil {
		return err
	}
	return core.Tangent(model, s.arrays["states"], s.arrays["inputs"], s.arrays["b"], s.states, x.whole("transposed") != 0)
}

// solve solves where XLA has the arrays.
func (s *xlaGiven[T]) solve(x *xlaCall, p *core.Problem[T]) (*core.Solution, error) {
	ordinal, stream, ok := x.onGPU()
	if !ok {
		return core.Solve(core.CPU[T]{}, p, s.options(x), s.states)
	}
	name := fmt.Sprintf("cuda:%d", ordinal)
	backend, err := gpu.NewOn[T](ordinal, stream)
	if err != nil {
		return nil, onDevice("solve", name, err)
	}
	solution, err := core.Solve(backend, p, s.options(x), s.states)
	return solution, onDevice("solve", name, err)
}

// options reads those that are given.
func (s *xlaGiven[T]) options(x *xlaCall) *core.Options[T] {
	o := core.Defaults[T]()
	o.Method, o.Settings, o.Seed, o.Nonfinite = strings.Clone(x.text("method")), s.settings, s.seed, strings.Clone(x.text("nonfinite"))
	o.Damping, o.Clip, o.Window = x.number("damping"), x.whole("clip") != 0, x.whole("window")
	o.MaxIterations = x.whole("max_iterations")
	for name, to := range map[string]*float64{"rtol": &o.Rtol, "atol": &o.Atol, "merit_tol": &o.MeritTol} {
		if v := x.number(name); v >= 0 { // else it is not given
			*to = v
		}
	}
	return &o
}

func xlaGivenOf[T num.Float](x *xlaCall) (*xlaGiven[T], error) {
	const fn = "solve"
	s := &xlaGiven[T]{map[string]core.Array[T]{}, param.Values[T]{}, param.Values[T]{}, 0, core.Array[T]{}}
	var err error
	if s.states, err = neededAnywhere[T](fn, "states", x.result(0)); err != nil {
		return nil, err
	}
	for i, name := range strings.Fields(x.text("operands")) {
		array, err := neededAnywhere[T](fn, name, x.argument(i))
		if err != nil {
			return nil, err
		}
		if len(array.Shape) > 1 && array.Shape[0] == 1 && s.states.Shape[0] != 1 && !strings.Contains(name, "_") {
			array.Shape = array.Shape[1:]
		}
		group, key, belongs := strings.Cut(name, "_")
		if !belongs && name != "seed" {
			s.arrays[name] = array
			continue
		}
		v, err := onHost(x, array)
		if err != nil {
			return nil, err
		}
		switch {
		case name == "seed":
			s.seed = uint64(v.Data[0])
		case group == "cell":
			s.params[key] = v
		default:
			s.settings[key] = v
		}
	}
	for i := range x.c.attribute[:x.c.attributes] {
		a := &x.c.attribute[i]
		group, key, belongs := strings.Cut(xlaText(a.name), "_")
		v := param.Value[T]{Number: float64(a.number), Data: []T{T(a.number)}, Text: strings.Clone(xlaText(a.text)), IsText: a.text.at != nil}
		if belongs && group == "cell" {
			s.params[key] = v
		} else if belongs && group == "method" {
			s.settings[key] = v
		}
	}
	return s, nil
}

// onHost copies a parameter, from a GPU where it is there: a cell is made on the host.
func onHost[T num.Float](x *xlaCall, a core.Array[T]) (v param.Value[T], err error) {
	v.Shape, v.Data = a.Shape, slices.Clone(a.Data)
	if ordinal, stream, ok := x.onGPU(); ok {
		v.Data = make([]T, a.Count())
		err = gpu.CopyOn(ordinal, stream, uintptr(pointer(v.Data)), a.Device, len(v.Data)*num.Size[T](), false)
	}
	if len(a.Shape) == 0 && len(v.Data) == 1 {
		v.Number = float64(v.Data[0])
	}
	return v, err
}

// finite tells whether all parameters are.
func (s *xlaGiven[T]) finite() bool {
	for _, v := range s.params {
		if num.FirstNonFinite(v.Data) >= 0 {
			return false
		}
	}
	return true
}

// cleaned puts zeros into a copy of what is not finite of a problem on the host, and says which sequences that spoils; nil for none.
func cleaned[T num.Float](p *core.Problem[T]) (bad []bool) {
	for i, a := range []*core.Array[T]{&p.X0, &p.Inputs, &p.Guess} {
		if num.FirstNonFinite(a.Data) < 0 {
			continue
		}
		if bad == nil {
			bad = make([]bool, p.Batch)
		}
		a.Data = slices.Clone(a.Data)
		size := len(a.Data) / p.Batch
		if axes := []int{2, 3, 3}[i]; len(a.Shape) < axes { // shared
			size = 0
		}
		for i := range bad {
			part := a.Data
			if size > 0 {
				part = a.Data[i*size : (i+1)*size]
			}
			bad[i] = bad[i] || num.FirstNonFinite(part) >= 0
		}
		for i, v := range a.Data {
			if v-v != 0 {
				a.Data[i] = 0
			}
		}
	}
	return bad
}

// write writes what became of the sequences; those that are bad get NaN for states.
func (s *xlaGiven[T]) write(x *xlaCall, results []method.Result, bad []bool) error {
	nan := math.NaN()
	size := s.states.Shape[1] * s.states.Shape[2]
	measures, counts := make([]T, 0, 3*len(results)), make([]int32, 0, 2*len(results))
	for i, r := range results {
		if bad != nil && bad[i] {
			r = method.Result{Status: method.Nonfinite, Merit: math.Inf(1), Residual: nan, Error: nan}
			none := slices.Repeat([]T{T(nan)}, size)
			if err := give(x, 0, i*size, none); err != nil {
				return err
			}
		}
		measures = append(measures, T(r.Merit), T(r.Residual), T(r.Error))
		counts = append(counts, int32(r.Iterations), int32(r.Status))
	}
	if err := give(x, 1, 0, measures); err != nil {
		return err
	}
	return give(x, 2, 0, counts)
}

// give writes numbers to a result from an offset on, wherever that is.
func give[E any](x *xlaCall, result, offset int, from []E) error {
	var e E
	size := int(unsafe.Sizeof(e))
	to := unsafe.Add(x.result(result).data, offset*size)
	if ordinal, stream, ok := x.onGPU(); ok {
		return gpu.CopyOn(ordinal, stream, uintptr(to), uintptr(pointer(from)), len(from)*size, true)
	}
	copy(elements[E](to, len(from)), from)
	return nil
}
