package gpu

import "sort"

// block is the threads of a block of kernels/general.cu.
const block = 128

// rowsOf returns, by the name of a cell, how many numbers its form in kernels/rows.cuh keeps of a step in dimension d with k components.
var rowsOf = map[string]func(d, k int) int{
	"linear":     func(d, k int) int { return 0 },
	"elman":      func(d, k int) int { return 2 * d },
	"gru":        func(d, k int) int { return 4 * d },
	"lstm":       func(d, k int) int { return 5 * d },
	"langevin":   func(d, k int) int { return k + k*d + d },
	"group_word": func(d, k int) int { return 0 },
	"lorenz96":   func(d, k int) int { return 5*d + 3*d*d },
}

// rowNames are the cells of rowsOf.
func rowNames() (names []string) {
	for name := range rowsOf {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// generalVariant is kernels/general.cu for a cell, with teams of some threads.
func generalVariant(cell string, bytes, team int) variant {
	return variant{"general.cu", []string{define("REAL", realName(bytes)), define("CELL", cell+"_rows"), define("TEAM", team)}}
}
