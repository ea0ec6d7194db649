// Command capi is the C ABI of pards, built with -buildmode=c-shared; pards.h is its contract. Exports decode their arguments, call
// core, and encode the result.
package main

/*
#define PARDS_TYPES_ONLY
#include "pards.h"

static int32_t pards_call_poll(pards_poll poll, void *context, int64_t iteration, int64_t window, int64_t windows, int64_t sequences, double merit) {
    pards_progress p = {iteration, window, windows, sequences, merit};
    return poll(context, &p);
}
*/
import "C"

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"pards/core"
	"pards/core/cell"
	"pards/core/check"
	"pards/core/lds"
	"pards/core/method"
	"pards/core/num"
	"pards/gpu"
)

func main() {}

const abi = 1

//export pards_abi
func pards_abi() C.int32_t { return abi }

//export pards_environment
func pards_environment(msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		if err := core.Environment(); err != nil {
			return check.Of(check.Value, "", err.Error())
		}
		return nil
	})
}

//export pards_describe
func pards_describe(text *C.char, textCap C.int64_t, needed *C.int64_t, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		all, err := json.Marshal(map[string]any{"version": core.Version, "abi": abi, "workers": core.Workers(), "vectors": core.Vectors(),
			"goroutines": runtime.NumGoroutine(), "cells": cell.Entries(),
			"methods": method.Entries(), "structures": lds.Entries(), "statuses": method.Outcomes, "gpu": gpuReason()})
		if err == nil && needed != nil {
			*needed = C.int64_t(len(all) + 1)
		}
		write(text, textCap, string(all))
		return err
	})
}

//export pards_cell
func pards_cell(name *C.char, dtype C.int32_t, params *C.pards_param, count C.int64_t, out *C.int64_t, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() (err error) {
		if out == nil || name == nil {
			return check.Valuef("cell", "name or cell", "is null", "a pointer", "")
		}
		var h int64
		switch int32(dtype) {
		case float32Type:
			h, err = newCell[float32](text(name), params, count)
		case float64Type:
			h, err = newCell[float64](text(name), params, count)
		default:
			err = badDtype("cell", "dtype", int32(dtype))
		}
		*out = C.int64_t(h)
		return err
	})
}

func newCell[T num.Float](name string, params *C.pards_param, count C.int64_t) (int64, error) {
	v, err := values[T](name, params, count)
	if err != nil {
		return 0, err
	}
	c, err := cell.New(name, v)
	if err != nil {
		return 0, err
	}
	return keep(&nativeCell[T]{c, name, v, parametersOf(name, v)}), nil
}

func badDtype(fn, name string, dtype int32) error {
	return check.Typef(fn, name, fmt.Sprintf("has dtype %s (%d)", dtypeNames[dtype], dtype), "float32 (1) or float64 (2)", "")
}

//export pards_cell_shape
func pards_cell_shape(h C.int64_t, dim, inputs *C.int64_t, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		v, err := lookup[any]("cell_shape", "cell", int64(h))
		if err != nil {
			return err
		}
		c, ok := v.(shaped)
		if !ok {
			return badHandle("cell_shape", int64(h), "it is not a cell")
		}
		if dim == nil || inputs == nil {
			return check.Valuef("cell_shape", "dim or inputs", "is null", "a pointer", "")
		}
		d, m := c.shape()
		*dim, *inputs = C.int64_t(d), C.int64_t(m)
		return nil
	})
}

//export pards_callable
func pards_callable(dim C.int64_t, dtype C.int32_t, eval C.pards_eval, out *C.int64_t, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		switch {
		case out == nil || eval == nil:
			return check.Valuef("callable", "eval or cell", "is null", "a pointer", "")
		case dim < 1 || dim > 1<<31:
			return check.Valuef("callable", "dim", fmt.Sprintf("is %d", dim), "at least 1", "")
		case dtype != float32Type && dtype != float64Type:
			return badDtype("callable", "dtype", int32(dtype))
		}
		*out = C.int64_t(keep(&callerCell{int(dim), int32(dtype), eval}))
		return nil
	})
}

//export pards_retain
func pards_retain(h C.int64_t, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error { return count("retain", int64(h), 1) })
}

//export pards_release
func pards_release(h C.int64_t, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error { return count("release", int64(h), -1) })
}

//export pards_handles
func pards_handles() C.int64_t { return C.int64_t(alive()) }

//export pards_evaluate
func pards_evaluate(h C.int64_t, kind C.int32_t, x, u, v, out *C.pards_array, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		if x != nil && x.dtype == float32Type {
			return evaluate[float32](int64(h), core.Kind(kind), x, u, v, out)
		}
		return evaluate[float64](int64(h), core.Kind(kind), x, u, v, out)
	})
}

func evaluate[T num.Float](h int64, kind core.Kind, xa, ua, va, outa *C.pards_array) error {
	s := statesOf[T]("evaluate", h, xa, ua)
	along, pattern := "N D", "N D"
	switch kind {
	case core.Jacobian:
		pattern = "N D D"
	case core.InputJVP:
		along = "N M"
	case core.InputVJP:
		pattern = "N M"
	}
	var v []T
	switch kind {
	case core.JVP, core.VJP, core.InputJVP, core.InputVJP:
		v = s.get("v", va, along)
	}
	out := s.get("out", outa, pattern)
	if s.err != nil {
		return s.err
	}
	return core.Evaluate(s.cell, kind, s.x, s.u, v, out, s.dims.Len("N"))
}

// states are what a native cell is evaluated at; the first error stays.
type states[T num.Float] struct {
	fn   string
	cell cell.Cell[T]
	dims *check.Dims
	x, u []T
	err  error
}

func statesOf[T num.Float](fn string, h int64, x, u *C.pards_array) *states[T] {
	s := &states[T]{fn: fn, dims: check.NewDims(fn)}
	if x == nil {
		s.err = check.Valuef(fn, "x", "is null", "an array", "")
		return s
	}
	if s.cell, s.err = cellOf[T](fn, h, nil); s.err != nil {
		return s
	}
	if cell.IsCaller(s.cell) {
		s.err = check.Typef(fn, "cell", "is a callable", "a native cell", "call the function itself")
		return s
	}
	s.dims.Fix("D", s.cell.Dim(), "the model's dimension")
	s.dims.Fix("M", s.cell.Inputs(), "the model's inputs")
	s.x = s.get("x", x, "N D")
	if u != nil || s.cell.Inputs() > 0 {
		s.u = s.get("u", u, "N M")
	}
	if checker, ok := s.cell.(cell.Checker[T]); ok && s.err == nil {
		if bad, want := checker.CheckInputs(s.u); bad >= 0 {
			s.err = check.Valuef(fn, "u", fmt.Sprintf("holds %v", s.u[bad]), want, "")
		}
	}
	return s
}

// get returns the numbers of an array whose shape is checked against those before it.
func (s *states[T]) get(name string, a *C.pards_array, pattern string) []T {
	if s.err != nil {
		return nil
	}
	array, err := needed[T](s.fn, name, a)
	if err == nil {
		err = s.dims.Shape(name, array.Shape, pattern)
	}
	s.err = err
	return array.Data
}

//export pards_param_jvp
func pards_param_jvp(h C.int64_t, x, u *C.pards_array, tangents *C.pards_param, count C.int64_t, out *C.pards_array, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		if x != nil && x.dtype == float32Type {
			return paramJVP[float32](int64(h), x, u, tangents, count, out)
		}
		return paramJVP[float64](int64(h), x, u, tangents, count, out)
	})
}

func paramJVP[T num.Float](h int64, x, u *C.pards_array, tangents *C.pards_param, count C.int64_t, outa *C.pards_array) error {
	const fn = "param_jvp"
	s := statesOf[T](fn, h, x, u)
	out := s.get("out", outa, "N D")
	if s.err != nil {
		return s.err
	}
	native, err := lookup[*nativeCell[T]](fn, "cell", h)
	if err != nil {
		return err
	}
	given, err := values[T](fn, tangents, count)
	if err != nil {
		return err
	}
	w := make([][]T, len(native.params))
	for name, v := range given {
		i, err := slot(fn, native.params, name, v.Shape)
		if err != nil {
			return err
		}
		w[i] = v.Data
	}
	return core.ParamJVP(s.cell, s.x, s.u, w, out, s.dims.Len("N"))
}

//export pards_param_vjp
func pards_param_vjp(h C.int64_t, x, u, v *C.pards_array, gradients *C.pards_param, count C.int64_t, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		if x != nil && x.dtype == float32Type {
			return paramVJP[float32](int64(h), x, u, v, gradients, count)
		}
		return paramVJP[float64](int64(h), x, u, v, gradients, count)
	})
}

func paramVJP[T num.Float](h int64, x, u, va *C.pards_array, gradients *C.pards_param, count C.int64_t) error {
	const fn = "param_vjp"
	s := statesOf[T](fn, h, x, u)
	v := s.get("v", va, "N D")
	if s.err != nil {
		return s.err
	}
	native, err := lookup[*nativeCell[T]](fn, "cell", h)
	if err != nil {
		return err
	}
	if err := checkCount(fn, gradients, count); err != nil {
		return err
	}
	sums := make([][]float64, len(native.params))
	for i := range unsafe.Slice(gradients, count) {
		p := &unsafe.Slice(gradients, count)[i]
		array, err := view[float64](fn, text(p.name), &p.value)
		if err != nil {
			return err
		}
		at, err := slot(fn, native.params, text(p.name), array.Shape)
		if err != nil {
			return err
		}
		sums[at] = array.Data
	}
	return core.ParamVJP(s.cell, s.x, s.u, v, sums, s.dims.Len("N"))
}

//export pards_scan
func pards_scan(args *C.pards_scan_args, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		switch {
		case args == nil || args.size != C.int64_t(unsafe.Sizeof(*args)):
			return check.Valuef("scan", "args", "is null or of another size", fmt.Sprintf("size = %d", unsafe.Sizeof(*args)), "is the header of this version?")
		case args.b == nil:
			return check.Valuef("scan", "b", "is null", "an array", "")
		case args.b.dtype == float32Type:
			return scan[float32](args)
		}
		return scan[float64](args)
	})
}

func scan[T num.Float](args *C.pards_scan_args) error {
	const fn = "scan"
	b, err := neededAnywhere[T](fn, "b", args.b)
	if err != nil {
		return err
	}
	out, err := neededAnywhere[T](fn, "out", args.out)
	if err != nil {
		return err
	}
	a, err := anywhere[T](fn, "A", args.a)
	if err != nil {
		return err
	}
	x0, err := anywhere[T](fn, "x0", args.x0)
	if err != nil {
		return err
	}
	ordinal, err := deviceOf(fn, text(args.device), named{"A", args.a}, named{"b", args.b}, named{"x0", args.x0}, named{"out", args.out})
	if err != nil {
		return err
	}
	if ordinal >= 0 {
		return onDevice(fn, text(args.device), gpu.Scan(ordinal, text(args.structure), a, b, x0, out, args.reverse != 0, poller(args.poll, args.context, nil)))
	}
	return core.Scan(text(args.structure), a, b, x0, out, args.reverse != 0, int(args.num_threads), poller(args.poll, args.context, nil))
}

// poller makes a poll function of a caller's; nil for none.
func poller(poll C.pards_poll, context unsafe.Pointer, progress *method.Progress) func() bool {
	if poll == nil {
		return nil
	}
	return func() bool {
		var r method.Report
		if progress != nil {
			r = progress.Get()
		}
		return C.pards_call_poll(poll, context, C.int64_t(r.Iteration), C.int64_t(r.Window), C.int64_t(r.Windows), C.int64_t(r.Sequences), C.double(r.Merit)) != 0
	}
}

//export pards_solve
func pards_solve(args *C.pards_solve_args, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		switch {
		case args == nil || args.size != C.int64_t(unsafe.Sizeof(*args)):
			return check.Valuef("solve", "args", "is null or of another size", fmt.Sprintf("size = %d", unsafe.Sizeof(*args)), "is the header of this version?")
		case args.states == nil:
			return check.Valuef("solve", "states", "is null", "an array", "")
		case args.states.dtype == float32Type:
			return solve[float32](args)
		}
		return solve[float64](args)
	})
}

//export pards_memory
func pards_memory(args *C.pards_solve_args, bytes *C.double, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		switch {
		case args == nil || args.size != C.int64_t(unsafe.Sizeof(*args)):
			return check.Valuef("memory", "args", "is null or of another size", fmt.Sprintf("size = %d", unsafe.Sizeof(*args)), "is the header of this version?")
		case bytes == nil:
			return check.Valuef("memory", "bytes", "is null", "a pointer", "")
		}
		if c, err := lookup[shaped]("memory", "cell", int64(args.cell)); err != nil {
			return err
		} else if c.precision() == float32Type {
			return memory[float32](args, bytes)
		}
		return memory[float64](args, bytes)
	})
}

func memory[T num.Float](args *C.pards_solve_args, bytes *C.double) error {
	c, err := cellOf[T]("memory", int64(args.cell), nil)
	if err != nil {
		return err
	}
	o, err := options[T](args)
	if err != nil {
		return err
	}
	name, window, need, err := core.Memory(&core.Problem[T]{Cell: c, Batch: int(args.batch), Length: int(args.length)}, o)
	if err != nil {
		return err
	}
	*bytes, args.window_used = C.double(need), C.int64_t(window)
	write(&args.method_used[0], C.int64_t(len(args.method_used)), name)
	return nil
}

// columns is PARDS_COLUMNS.
const columns = 9

func solve[T num.Float](args *C.pards_solve_args) error {
	const fn = "solve"
	args.history, args.window_used, args.seconds = 0, 0, 0
	p, states, err := problem[T](args)
	if err != nil {
		return err
	}
	report, err := needed[float64](fn, "report", args.report)
	if err != nil {
		return err
	}
	if want := []int{p.Batch, columns}; !slices.Equal(want, report.Shape) {
		return check.Valuef(fn, "report", "has shape "+check.ShapeText(report.Shape), check.ShapeText(want), "")
	}
	o, err := options[T](args)
	if err != nil {
		return err
	}
	solution, err := solveSomewhere(args, p, o, states)
	if solution != nil {
		encode(args, solution, report.Data)
	}
	return err
}

// solveSomewhere solves on the device that a call asks for; unasked, a large problem is tried on a GPU, and what that cannot do is done here.
func solveSomewhere[T num.Float](args *C.pards_solve_args, p *core.Problem[T], o *core.Options[T], states core.Array[T]) (*core.Solution, error) {
	const fn = "solve"
	name := text(args.device)
	ordinal, err := deviceOf(fn, name, named{"x0", args.x0}, named{"inputs", args.inputs}, named{"guess", args.guess}, named{"states", args.states})
	if err != nil {
		return nil, err
	}
	if ordinal >= 0 {
		b, err := gpu.New[T](ordinal)
		if err != nil {
			return nil, onDevice(fn, name, err)
		}
		solution, err := core.Solve(b, p, o, states)
		return solution, onDevice(fn, name, err)
	}
	if name == "cpu" || p.Name == "" || !gpu.Worthwhile(p.Batch, p.Length, p.Cell.Dim()) {
		return core.Solve(core.CPU[T]{}, p, o, states)
	}
	b, err := gpu.New[T](0)
	if err != nil {
		return core.Solve(core.CPU[T]{}, p, o, states)
	}
	solution, err := core.Solve(b, p, o, states)
	why := "a GPU is there and the problem is large"
	if err != nil && solution == nil {
		why = fmt.Sprintf("%s could not: %v", b.Name(), err)
		solution, err = core.Solve(core.CPU[T]{}, p, o, states)
	}
	if solution != nil {
		solution.Reason = strings.TrimPrefix(solution.Reason+"; "+why, "; ")
	}
	return solution, err
}

// problem decodes what is to be solved, and where the states go.
func problem[T num.Float](args *C.pards_solve_args) (*core.Problem[T], core.Array[T], error) {
	const fn = "solve"
	var states core.Array[T]
	c, err := cellOf[T](fn, int64(args.cell), args.context)
	if err != nil {
		return nil, states, err
	}
	p := &core.Problem[T]{Cell: c, Batch: int(args.batch), Length: int(args.length)}
	if native, err := lookup[*nativeCell[T]](fn, "cell", int64(args.cell)); err == nil {
		p.Name, p.Params = native.name, native.values
	}
	if p.X0, err = neededAnywhere[T](fn, "x0", args.x0); err != nil {
		return nil, states, err
	}
	if p.Inputs, err = driving(fn, "inputs", args.inputs, c); err != nil {
		return nil, states, err
	}
	if p.Guess, err = anywhere[T](fn, "guess", args.guess); err != nil {
		return nil, states, err
	}
	states, err = neededAnywhere[T](fn, "states", args.states)
	return p, states, err
}

func options[T num.Float](args *C.pards_solve_args) (*core.Options[T], error) {
	settings, err := values[T]("solve", args.settings, args.settings_count)
	if err != nil {
		return nil, err
	}
	o := &core.Options[T]{Method: text(args.method), Settings: settings, Rtol: float64(args.rtol), Atol: float64(args.atol),
		MeritTol: float64(args.merit_tol), MaxIterations: int(args.max_iterations), Window: int(args.window), Damping: float64(args.damping),
		Clip: args.clip != 0, Nonfinite: text(args.nonfinite), NumThreads: int(args.num_threads), Seed: uint64(args.seed), Trace: args.trace == 1}
	if args.poll != nil {
		o.Progress = &method.Progress{}
	}
	o.Poll = poller(args.poll, args.context, o.Progress)
	return o, nil
}

// encode writes a solution to the caller's report and args.
func encode(args *C.pards_solve_args, s *core.Solution, report []float64) {
	for i, r := range s.Results {
		copy(report[i*columns:], []float64{float64(r.Iterations), float64(r.Status), r.Error, r.Merit, r.Residual, r.Update,
			float64(r.Resets), float64(r.BadStep), float64(r.Looped)})
	}
	args.window_used, args.seconds = C.int64_t(s.Window), C.double(s.Seconds)
	write(&args.method_used[0], C.int64_t(len(args.method_used)), s.Method)
	write(&args.device_used[0], C.int64_t(len(args.device_used)), s.Device)
	write(&args.reason[0], C.int64_t(len(args.reason)), s.Reason)
	if args.trace != 0 {
		args.history = C.int64_t(keep(newHistory(s.Results)))
	}
}

//export pards_history_shape
func pards_history_shape(h C.int64_t, part C.int32_t, shape *C.int64_t, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		history, err := lookup[*history]("history_shape", "history", int64(h))
		if err != nil {
			return err
		}
		s, err := history.shape(int(part))
		if err != nil {
			return err
		}
		if shape == nil {
			return check.Valuef("history_shape", "shape", "is null", "room for 3 numbers", "")
		}
		for i, n := range append(s, 0, 0, 0)[:3] {
			unsafe.Slice(shape, 3)[i] = C.int64_t(n)
		}
		return nil
	})
}

//export pards_history_copy
func pards_history_copy(h C.int64_t, part C.int32_t, out *C.pards_array, msg *C.char, cap C.int64_t) C.int32_t {
	return guard(msg, cap, func() error {
		const fn = "history_copy"
		history, err := lookup[*history](fn, "history", int64(h))
		if err != nil {
			return err
		}
		want, err := history.shape(int(part))
		if err != nil {
			return err
		}
		if out == nil {
			return check.Valuef(fn, "out", "is null", "an array", "")
		}
		dtype := int32(float64Type)
		if part != partTrace {
			dtype = int64Type
		}
		shape, total, err := shapeOf(fn, "out", out, dtype, 8)
		if err != nil {
			return err
		}
		if !slices.Equal(shape, want) {
			return check.Valuef(fn, "out", "has shape "+check.ShapeText(shape), check.ShapeText(want), "")
		}
		if part == partTrace {
			history.copyTrace(elements[float64](out.data, total))
		} else {
			history.copyWindows(int(part), elements[int64](out.data, total))
		}
		return nil
	})
}
