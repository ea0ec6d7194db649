package gpu

import (
	"fmt"
	"math"
	"slices"

	"pards/core/num"
	"pards/core/param"
)

// form is a cell as the kernels for small states know it: cell_<name>.cuh and sequential.cuh.
type form[T num.Float] struct {
	file, solve, lanes string   // where the cell is, its type in a fused solve, its type in lanes
	numbers            []T      // its weights as solve keeps them
	flat               []T      // as lanes read them
	words              []uint64 // in place of either: permutations, four bits an index
	affine             bool
}

// The largest states and weights that the register forms take: rows are unrolled, and weights lie in shared memory.
const (
	mostInputs     = 32
	mostComponents = 64 // numbers of the gradients of a mixture's components, K D
	mostWeights    = 4608
	mostWords      = 2048
)

// formOf returns the form of a registered cell with D components and M inputs; false for one that has none.
func formOf[T num.Float](name string, v param.Values[T], d, m int) (form[T], bool) {
	if m > mostInputs && name != "group_word" {
		return form[T]{}, false
	}
	var f form[T]
	switch name {
	case "gru":
		f = gruForm(v, d, m)
	case "linear":
		f = linearForm(v["A"].Data, v["B"].Data, v["bias"].Data, d, m)
	case "elman":
		f = elmanForm(v["weight_ih"].Data, v["weight_hh"].Data, v["bias"].Data, d, m)
	case "lstm":
		f = lstmForm(v["weight_ih"].Data, v["weight_hh"].Data, v["bias"].Data, d, m)
	case "lorenz96":
		f = lorenzForm[T](v, d)
	case "langevin":
		if f = langevinForm(v, d); len(v["log_weights"].Data)*d > mostComponents {
			return f, false
		}
	case "group_word":
		f = wordForm(v["permutations"], d)
		return f, d <= 16 && len(f.words) <= mostWords
	default:
		return f, false
	}
	return f, len(f.numbers)*num.Size[T]() <= mostWeights
}

// pad appends a vector, filled up with zeros to a multiple of 16 bytes.
func pad[T num.Float](to []T, v ...T) []T {
	to = append(to, v...)
	for len(to)*num.Size[T]()%16 != 0 {
		to = append(to, 0)
	}
	return to
}

// padColumns appends the columns of a matrix with n of them, each padded.
func padColumns[T num.Float](to, a []T, n int) []T {
	to = slices.Grow(to, len(a)+n*16/num.Size[T]())
	for j := range n {
		for i := j; i < len(a); i += n {
			to = append(to, a[i])
		}
		to = pad(to)
	}
	return to
}

// gatesForm is what cell_gates.cuh reads: the matrix of the state (G D, D) by columns, its diagonals, the matrix of the inputs by columns,
// the bias (G D).
func gatesForm[T num.Float](own, in, bias []T, d, m int) []T {
	to := padColumns(nil, own, d)
	for i := range len(own) / d {
		to = append(to, own[i*d+i%d])
	}
	to = pad(to)
	if m > 0 {
		to = padColumns(to, in, m)
	}
	return pad(to, bias...)
}

func gruForm[T num.Float](v param.Values[T], d, m int) form[T] {
	own, in, exchanged := v["weight_hh"].Data, v["weight_ih"].Data, v["exchanged"].Number != 0
	if exchanged {
		own, in = in, own
	}
	f := form[T]{file: "cell_gru.cuh", solve: fmt.Sprintf("gru<real,%d,%d,%t>", d, m, exchanged), lanes: fmt.Sprintf("gru_lanes<real,%d,%d,%t>", d, m, exchanged)}
	f.numbers = pad(gatesForm(own, in, v["bias"].Data, d, m), v["bias_n"].Data...)
	for _, k := range []string{"weight_ih", "weight_hh", "bias", "bias_n"} {
		f.flat = append(f.flat, v[k].Data...)
	}
	return f
}

func linearForm[T num.Float](a, b, bias []T, d, m int) form[T] {
	if bias == nil {
		bias = make([]T, d)
	}
	f := form[T]{file: "cell_linear.cuh", solve: fmt.Sprintf("linear_cell<real,%d,%d>", d, m), lanes: fmt.Sprintf("linear_lanes<real,%d,%d,false>", d, m), affine: true}
	f.numbers = gatesForm(a, b, bias, d, m)
	f.flat = append(append(append(f.flat, a...), b...), bias...)
	return f
}

func elmanForm[T num.Float](ih, hh, bias []T, d, m int) form[T] {
	f := form[T]{file: "cell_elman.cuh", solve: fmt.Sprintf("elman<real,%d,%d>", d, m), lanes: fmt.Sprintf("linear_lanes<real,%d,%d,true>", d, m)}
	f.numbers = gatesForm(hh, ih, bias, d, m)
	f.flat = append(append(append(f.flat, ih...), hh...), bias...)
	return f
}

func lstmForm[T num.Float](ih, hh, bias []T, d, m int) form[T] {
	kind := fmt.Sprintf("<real,%d,%d>", d, m)
	f := form[T]{file: "cell_lstm.cuh", solve: "lstm" + kind, lanes: "lstm_lanes" + kind}
	f.numbers = gatesForm(hh, ih, bias, d/2, m)
	f.flat = append(append(append(f.flat, ih...), hh...), bias...)
	return f
}

func lorenzForm[T num.Float](v param.Values[T], d int) form[T] {
	f := form[T]{file: "cell_lorenz96.cuh", solve: fmt.Sprintf("lorenz96<real,%d>", d), lanes: fmt.Sprintf("lorenz96_lanes<real,%d>", d)}
	f.flat = []T{8, T(0.01)} // as core/cell/lorenz.go has them
	for i, name := range []string{"forcing", "step"} {
		if given, ok := v[name]; ok {
			f.flat[i] = T(given.Number)
		}
	}
	f.numbers = pad(nil, f.flat...)
	return f
}

func langevinForm[T num.Float](v param.Values[T], d int) form[T] {
	means, p, weights, eps := v["means"].Data, v["precisions"], v["log_weights"].Data, v["step_size"].Number
	diagonal, k := len(p.Shape) == 2, len(weights)
	kind := fmt.Sprintf("<real,%d,%d,%t>", d, k, diagonal)
	f := form[T]{file: "cell_langevin.cuh", solve: "langevin" + kind, lanes: "langevin_lanes" + kind}
	steps := []T{T(eps), T(math.Sqrt(2 * eps))}
	for i := range k {
		f.numbers = pad(f.numbers, means[i*d:(i+1)*d]...)
	}
	for i := range k {
		row := make([]T, d)
		for j := range row {
			if diagonal {
				row[j] = p.Data[i*d+j]
			} else {
				row[j] = p.Data[(i*d+j)*d+j]
			}
		}
		f.numbers = pad(f.numbers, row...)
	}
	f.numbers = pad(pad(f.numbers, weights...), steps...)
	for i := 0; i < k && !diagonal; i++ {
		f.numbers = padColumns(f.numbers, p.Data[i*d*d:(i+1)*d*d], d)
	}
	f.flat = append(append(append(append(f.flat, means...), p.Data...), weights...), steps...)
	return f
}

func wordForm[T num.Float](p param.Value[T], d int) form[T] {
	f := form[T]{file: "cell_group_word.cuh", affine: true}
	per := d
	if len(p.Shape) == 3 {
		per = d * d
	}
	for g := 0; g < len(p.Data) && d <= 16; g += per {
		word := uint64(0)
		for i := range d {
			index := 0
			if per == d {
				index = int(p.Data[g+i])
			} else {
				for j, v := range p.Data[g+i*d : g+(i+1)*d] {
					if v == 1 {
						index = j
					}
				}
			}
			word |= uint64(index) << (4 * i)
		}
		f.words = append(f.words, word)
	}
	f.solve, f.lanes = fmt.Sprintf("group_word<real,%d,%d>", d, len(f.words)), fmt.Sprintf("group_word_lanes<real,%d>", d)
	return f
}

// loopVariant is the kernel of the plain loop, kernels/sequential.cu.
func loopVariant[T num.Float](f form[T], d, m int) variant {
	return variant{"sequential.cu", []string{define("REAL", realName(num.Size[T]())), define("DIM", d), define("INPUTS", m), define("CELL", f.lanes)}}
}
