package main

/*
#define PARDS_TYPES_ONLY
#include "pards.h"

static int32_t pards_call_eval(pards_eval eval, void *context, int64_t kind, int64_t sequences, const int64_t *index, int64_t first,
                               int64_t steps, int64_t dim, int64_t dtype, const void *x, const void *y, const void *v, void *out) {
    pards_request r = {kind, sequences, index, first, steps, dim, dtype, x, y, v, out};
    return eval(context, &r);
}
*/
import "C"

import (
	"fmt"
	"slices"
	"unsafe"

	"pards/core"
	"pards/core/cell"
	"pards/core/check"
	"pards/core/num"
	"pards/core/param"
)

// nativeCell and callerCell are what cell handles stand for.
type nativeCell[T num.Float] struct {
	cell   cell.Cell[T]
	name   string
	values param.Values[T]
	params []parameter // what it may have derivatives with respect to
}

// parameter is one of a cell's that vary continuously.
type parameter struct {
	name  string
	shape []int
	given bool // or a number, which has a default
}

// parametersOf lists the parameters of a cell in the order of their slots.
func parametersOf[T num.Float](name string, values param.Values[T]) []parameter {
	var all []parameter
	for _, f := range cell.Continuous(name) {
		v, ok := values[f.Name]
		all = append(all, parameter{f.Name, v.Shape, ok || f.Kind == param.Number})
	}
	return all
}

// slot finds a parameter by its name and checks the shape of its tangent or gradient.
func slot(fn string, params []parameter, name string, shape []int) (int, error) {
	var names []string
	for i, p := range params {
		if p.given && p.name == name {
			if !slices.Equal(p.shape, shape) {
				return 0, check.Valuef(fn, name, "has shape "+check.ShapeText(shape), check.ShapeText(p.shape), "as the parameter has")
			}
			return i, nil
		}
		if p.given {
			names = append(names, p.name)
		}
	}
	return 0, check.Choice(fn, "parameter", name, names)
}

type callerCell struct {
	dim   int
	dtype int32
	eval  C.pards_eval
}

// shaped is either of them.
type shaped interface {
	shape() (dim, inputs int)
	precision() int32 // enum pards_dtype
}

func (c *nativeCell[T]) precision() int32 { return dtypeOf[T]() }

func (c *callerCell) precision() int32 { return c.dtype }

func (c *nativeCell[T]) shape() (dim, inputs int) { return c.cell.Dim(), c.cell.Inputs() }

func (c *callerCell) shape() (dim, inputs int) { return c.dim, 0 }

// callback is a model evaluated by the caller's function, within one call of an export.
type callback[T num.Float] struct {
	dim     int
	eval    C.pards_eval
	context unsafe.Pointer
}

// Calls marks the cell as a cell.Caller.
func (*callback[T]) Calls() {}

// Dim returns D.
func (c *callback[T]) Dim() int { return c.dim }

// Inputs returns 0: the caller has its own.
func (c *callback[T]) Inputs() int { return 0 }

// Step asks for f.
func (c *callback[T]) Step(b cell.Block[T]) error { return c.ask(core.Step, b, b.Y, nil) }

// Jacobian asks for df/dx.
func (c *callback[T]) Jacobian(b cell.Block[T], j []T) error { return c.ask(core.Jacobian, b, j, nil) }

// Diagonal asks for the diagonal of df/dx.
func (c *callback[T]) Diagonal(b cell.Block[T], d []T) error { return c.ask(core.Diagonal, b, d, nil) }

// JVP asks for J v.
func (c *callback[T]) JVP(b cell.Block[T], p, v []T) error { return c.ask(core.JVP, b, p, v) }

// VJP asks for J'v.
func (c *callback[T]) VJP(b cell.Block[T], p, v []T) error { return c.ask(core.VJP, b, p, v) }

func (c *callback[T]) ask(kind core.Kind, b cell.Block[T], out, v []T) error {
	if b.N == 0 {
		return nil
	}
	y := b.Y
	if kind == core.Step {
		y = nil
	}
	rc := C.pards_call_eval(c.eval, c.context, C.int64_t(kind), C.int64_t(len(b.Sequences)), (*C.int64_t)(pointer(b.Sequences)),
		C.int64_t(b.First), C.int64_t(b.N/len(b.Sequences)), C.int64_t(c.dim), C.int64_t(dtypeOf[T]()),
		pointer(b.X), pointer(y), pointer(v), pointer(out))
	if rc != 0 {
		return check.Of(check.Callback, "solve", fmt.Sprintf("the model's callback returned %d", rc))
	}
	return nil
}

func pointer[E any](s []E) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

// cellOf returns the cell behind a handle; context is for a callback.
func cellOf[T num.Float](fn string, h int64, context unsafe.Pointer) (cell.Cell[T], error) {
	v, err := lookup[any](fn, "cell", h)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case *nativeCell[T]:
		return v.cell, nil
	case *callerCell:
		if v.dtype == dtypeOf[T]() {
			return &callback[T]{v.dim, v.eval, context}, nil
		}
	case *nativeCell[float32], *nativeCell[float64]:
	default:
		return nil, badHandle(fn, h, "it is not a cell")
	}
	return nil, check.Typef(fn, "cell", "is of the other dtype", num.Name[T](), "the states decide")
}
