//go:build cuda

package gpu

import (
	"math"
	"unsafe"

	"pards/core/cell"
	"pards/core/param"
)

// pointer is the address of the first of some numbers.
func pointer[E any](x []E) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(x)) }

// components returns K of a mixture.
func (r *remote[T]) components() int {
	if r.Given.Name == "langevin" {
		return r.Given.Params["means"].Shape[0]
	}
	return 0
}

// weights returns the numbers of the cell as rows.cuh wants them, and its flag.
func (r *remote[T]) weights() (w []T, flag bool) {
	name, values, d := r.Given.Name, r.Given.Params, r.Problem.Dim
	read := param.Read(name, fieldsOf(name), values)
	add := func(names ...string) {
		for _, n := range names {
			w = append(w, values[n].Data...)
		}
	}
	switch name {
	case "linear":
		add("A", "B")
		if bias, ok := values["bias"]; ok {
			return append(w, bias.Data...), false
		}
		return append(w, make([]T, d)...), false
	case "elman", "lstm":
		add("weight_ih", "weight_hh", "bias")
	case "gru":
		add("weight_ih", "weight_hh", "bias", "bias_n")
		return w, read.Bool("exchanged", false)
	case "langevin":
		add("means", "precisions", "log_weights")
		eps := read.Number("step_size", 0)
		return append(w, T(eps), T(math.Sqrt(2*eps))), len(values["precisions"].Shape) == 2
	case "group_word":
		return indices(values["permutations"], d), false
	case "lorenz96":
		return []T{T(read.Number("forcing", 8)), T(read.Number("step", 0.01))}, false
	}
	return w, false
}

// fieldsOf returns the parameters of a cell.
func fieldsOf(name string) []param.Field {
	for _, e := range cell.Entries() {
		if e.Name == name {
			return e.Fields
		}
	}
	return nil
}
