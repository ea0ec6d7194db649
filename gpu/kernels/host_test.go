package kernels_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"pards/core/lds"
	"pards/core/lds/ldstest"
	"pards/core/num"
)

// hostProgram builds a program of the host folder with the system's compiler.
func hostProgram(t *testing.T, name string) string {
	compiler := ""
	for _, c := range []string{os.Getenv("CXX"), "c++", "g++", "clang++"} {
		if path, err := exec.LookPath(c); err == nil {
			compiler = path
			break
		}
	}
	if compiler == "" {
		t.Skip("no C++ compiler on PATH (c++, g++, clang++, or $CXX): the kernels' sources are not checked on the host")
	}
	for _, pattern := range []string{"*.cuh", "host/*"} { // what the compiler reads must be read here too, or go test takes an old result
		files, _ := filepath.Glob(pattern)
		for _, f := range files {
			if _, err := os.ReadFile(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	program := filepath.Join(t.TempDir(), name)
	build := exec.Command(compiler, "-std=c++17", "-O1", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-o", program, filepath.Join("host", name+".cpp"))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// scanner is host/scan.cpp at work.
type scanner struct {
	in  io.Writer
	out io.Reader
}

func startScanner(t *testing.T) scanner {
	cmd := exec.Command(hostProgram(t, "scan"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return scanner{in, out}
}

// The structures of host/scan.cpp.
const (
	diagonal = iota
	scaledIdentity
	identity
	dense
	large
	permutation
	small  // dense, of 2 or 3 rows, in one pass
	tensor // dense, by the tensor cores
)

var kinds = map[string]int{"diagonal": diagonal, "scaled_identity": scaledIdentity, "identity": identity, "dense": dense, "permutation": permutation}

// scan runs one case: units recurrences of dimension d side by side.
func scan[T num.Float](s scanner, kind int, a, b, x0, out []T, batch, steps, units, d int, reverse bool, chunk, above int) error {
	var m bytes.Buffer
	given, back := 0, 0
	if x0 != nil {
		given = 1
	}
	if reverse {
		back = 1
	}
	for _, v := range []int{kind, num.Size[T](), batch, steps, units, d, given, back, chunk, above} {
		binary.Write(&m, binary.NativeEndian, int64(v))
	}
	for _, v := range [][]T{a, b, x0} {
		binary.Write(&m, binary.NativeEndian, v)
	}
	if _, err := s.in.Write(m.Bytes()); err != nil {
		return err
	}
	return binary.Read(s.out, binary.NativeEndian, out)
}

// table is the scanner that ldstest wants.
func table[T num.Float](s scanner) ldstest.Scanner[T] {
	return func(structure lds.Structure[T], a, b, x0, out []T, batch, steps, d int, reverse bool) error {
		kind, ok := kinds[structure.Name()]
		switch {
		case structure.Name() == "zero":
			copy(out, b) // no kernel
			return nil
		case structure.Name() == "block_diagonal":
			return blocks(s, structure, a, b, x0, out, batch, steps, d, reverse)
		case kind == dense && (d == 2 || d == 3) && steps%2 == 1: // of which both kernels are held to the table
			kind = small
		case !ok:
			return fmt.Errorf("no kernel for structure %s", structure.Name())
		}
		return scan(s, kind, a, b, x0, out, batch, steps, 1, d, reverse, 16, 4)
	}
}

// blocks scans the whole blocks side by side; a smaller last one is left to the dense kernel, whose columns it is taken from.
func blocks[T num.Float](s scanner, structure lds.Structure[T], a, b, x0, out []T, batch, steps, d int, reverse bool) error {
	size := structure.(lds.BlockDiagonal[T]).Size
	n, length := d/size, structure.Len(d)
	for _, part := range []struct{ units, size, at, from int }{{n, size, 0, 0}, {1, d % size, n * size * size, n * size}} {
		if part.units*part.size == 0 {
			continue
		}
		wa, wb := part.units*part.size*part.size, part.units*part.size
		var x []T
		if x0 != nil {
			x = cut(x0, d, part.from, wb)
		}
		got := make([]T, batch*steps*wb)
		if err := scan(s, dense, cut(a, length, part.at, wa), cut(b, d, part.from, wb), x, got, batch, steps, part.units, part.size, reverse, 16, 4); err != nil {
			return err
		}
		for i, v := range got {
			out[i/wb*d+part.from+i%wb] = v
		}
	}
	return nil
}

// cut takes some columns of rows.
func cut[T any](x []T, row, from, width int) []T {
	y := make([]T, 0, len(x)/row*width)
	for i := 0; i < len(x); i += row {
		y = append(y, x[i+from:i+from+width]...)
	}
	return y
}

// The scans' sources, built for the host, pass the table that the CPU's scans pass.
func TestScansOnTheHost(t *testing.T) {
	s := startScanner(t)
	t.Run("float32", func(t *testing.T) { ldstest.Run(t, table[float32](s)) })
	t.Run("float64", func(t *testing.T) { ldstest.Run(t, table[float64](s)) })
	t.Run("large", func(t *testing.T) { largeDense(t, s) })
}

// largeDense holds the kernels to the plain loop in the dimensions that the table leaves out, those of the tensor cores among them.
func largeDense(t *testing.T, s scanner) {
	for _, c := range []struct{ kind, d, block int }{{dense, 20, 20}, {dense, 41, 41}, {dense, 64, 64}, {large, 70, 70}, {tensor, 8, 8}, {tensor, 24, 8},
		{tensor, 16, 16}, {tensor, 24, 24}, {tensor, 32, 32}, {tensor, 40, 40}, {tensor, 64, 64}} {
		for _, steps := range []int{1, 7, 50} {
			for bits := range 4 {
				start, reverse := bits&1 > 0, bits&2 > 0
				rng := rand.New(rand.NewPCG(9, uint64(c.d*steps+bits)))
				structure := lds.Structure[float32](lds.Dense[float32]{})
				if c.block < c.d {
					structure = lds.BlockDiagonal[float32]{Size: c.block}
				}
				a := ldstest.Matrices(rng, structure, 2*steps, c.d)
				b, x0 := ldstest.Matrices(rng, lds.Structure[float32](lds.Diagonal[float32]{}), 2*steps, c.d), []float32(nil)
				if start {
					x0 = ldstest.Matrices(rng, lds.Structure[float32](lds.Diagonal[float32]{}), 2, c.d)
				}
				out := make([]float32, 2*steps*c.d)
				chunk, above := 7, 3
				if c.kind == large {
					chunk = steps
				}
				if err := scan(s, c.kind, a, b, x0, out, 2, steps, c.d/c.block, c.block, reverse, chunk, above); err != nil {
					t.Fatal(err)
				}
				for i := range 2 {
					n, length := steps*c.d, steps*structure.Len(c.d)
					var from []float32
					if start {
						from = x0[i*c.d : (i+1)*c.d]
					}
					want := ldstest.Loop(structure, a[i*length:(i+1)*length], b[i*n:(i+1)*n], from, steps, c.d, reverse)
					for k, v := range want {
						// D + 2 roundings a step of numbers of order 1, passed on unamplified
						if got := float64(out[i*n+k]); !(got-v < 1.2e-7*float64((c.d+2)*steps) && v-got < 1.2e-7*float64((c.d+2)*steps)) {
							t.Fatalf("D=%d T=%d x0=%v reverse=%v: %v at step %d, want %v", c.d, steps, start, reverse, got, k/c.d, v)
						}
					}
				}
			}
		}
	}
}
