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

// wordsVariant is kernels/words.cu for words of some bytes, as whole numbers or, with 0, as they are to be.
func wordsVariant(whole, bytes int) variant {
	word, known := map[int]string{4: "int", 8: "int64"}[whole]
	if !known {
		word = realName(bytes)
	}
	return variant{"words.cu", []string{define("WORD", word), define("REAL", realName(bytes))}}
}

// generalVariant is kernels/general.cu for a cell, with teams of some threads.
func generalVariant(cell string, bytes, team int) variant {
	return variant{"general.cu", []string{define("REAL", realName(bytes)), define("CELL", cell+"_rows"), define("TEAM", team)}}
}
