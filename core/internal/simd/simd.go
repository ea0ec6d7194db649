// Package simd holds the loops that vector instructions serve: elementary functions and small matrix products.
//
// The assembly is written by the program in asm, which is a module of its own: go generate runs it. It exists for AVX2 with FMA and for
// AVX-512 and is chosen when the program starts; elsewhere, and with build tag noasm, the same functions are plain Go. Results of different
// levels agree to the bounds that each function states, not to the bit; one level gives the same bits whatever stands beside a number.
package simd

//go:generate sh -c "cd asm && go run . -out ../simd_amd64.s -stubs ../stubs_amd64.go -pkg simd"

import (
	"fmt"
	"math"
	"math/bits"
	"os"
	"strings"
	"unsafe"

	"pards/core/num"
)

// kernels are the functions of one level for one type.
type kernels[T num.Float] struct {
	lanes              int // of a vector
	exp, sigmoid, tanh func(x *T, n int)
	mix                func(c, w, x, bias *T, rows, width, n, pitch int)
	gru                func(y, a, h, x, coef *T, n int)
	gruSteps           func(y, a, w, own, hidden *T, d, part, n, swap int)
	scaled             func(j, coef, w *T, parts, d, wide, n, pitch int)
	diagonal           func(x, a, b, ref, carry *T, d, n, step int)
	sum                func(x, b, ref, carry *T, d, n, step int)
	dense              func(x, a, b, ref, carry *T, d, n, step int)    // nil: there is none
	denseTwo           func(x, a, b, carry *T, deep, n, step int) bool // nil: there is none
	productTwo         func(columns, a, b *T, deep, n, step int)       // nil: there is none
	denseFour          func(x, a, b, carry *T, n, step int) bool       // nil: there is none
	extents            func(top, x, f *T, d, n int) float64            // nil: there is none
	finite             func(x *T, n int) bool
	words              func(x *T, n int, below T) bool
	prefix             func(x, a, b, carry *T, lanes *int32, count, n, step int) bool // nil: there is none
	sub                func(y, a, b *T, n int)
	addScaled          func(y, x *T, n int, s T)
	addChange          func(y, b, ref *T, n int) // nil: there is none
	dot                func(x, y *T, n int) T
	subRows            func(y, c, x *T, rows, n, pitch int)
	dotRows            func(dst, x, y *T, rows, n, pitch int)
	reach              func(along, square, w, c, x *T, rows, n, pitch int)
	mixture            func(y, mean, w, x, u, h *T, wells, rows, n, pitch int, eps, noise T)
	permute            func(y, x, u *T, index *int32, d, n int) // nil: there is none
	square             int                                      // the side of a block below; 0: there is none
	block              func(dst, src *T, count, to, from, there, here int)
	strip              func(dst, src *T, count, to, from, there, here, high, wide int)
	half               *kernels[T] // those for vectors of half the length, with the same bits; nil: there are none
}

// leveled is a level's kernels and name.
type leveled struct {
	name   string
	single kernels[float32]
	double kernels[float64]
}

// use is the level that runs: the best of this machine, or what PARDS_SIMD names.
var use, wrong = chosen(os.Getenv("PARDS_SIMD"))

func chosen(name string) (leveled, error) {
	all := levels()
	if name == "" {
		return all[0], nil
	}
	var names []string
	for _, l := range all {
		if l.name == name {
			return l, nil
		}
		names = append(names, l.name)
	}
	return all[0], fmt.Errorf("PARDS_SIMD is %q, want one of %s, which this machine has", name, strings.Join(names, ", "))
}

// Level names the level that runs: "generic", "avx2", "avx512". An error says that PARDS_SIMD names none.
func Level() (string, error) { return use.name, wrong }

// of returns the kernels of a type. A type assertion would cost more than some of them.
func of[T num.Float]() *kernels[T] {
	if num.Size[T]() == 4 {
		return (*kernels[T])(unsafe.Pointer(&use.single))
	}
	return (*kernels[T])(unsafe.Pointer(&use.double))
}

// fit returns the kernels for n numbers, the result of Padded or a multiple of it.
func fit[T num.Float](n int) *kernels[T] {
	k := of[T]()
	if n%k.lanes != 0 {
		return k.half
	}
	return k
}

// Lanes returns of how many numbers a vector is: a power of two.
func Lanes[T num.Float]() int { return of[T]().lanes }

// Least returns the least that Padded returns: up to so many numbers cost the same.
func Least[T num.Float]() int {
	if k := of[T](); k.half != nil {
		return k.half.lanes
	}
	return Lanes[T]()
}

// Padded returns n rounded up to whole vectors, or to half of one: the lengths that are asked for below.
func Padded[T num.Float](n int) int {
	l := Lanes[T]()
	if half := Least[T](); n <= half {
		l = half
	}
	return (n + l - 1) &^ (l - 1)
}

// Exp replaces each element by its exponential, to 2 ulp.
func Exp[T num.Float](x []T) {
	if len(x) > 0 {
		of[T]().exp(&x[0], len(x))
	}
}

// Sigmoid replaces each element by 1 / (1 + exp(-x)), to 3 ulp.
func Sigmoid[T num.Float](x []T) {
	if len(x) > 0 {
		of[T]().sigmoid(&x[0], len(x))
	}
}

// Tanh replaces each element by its hyperbolic tangent, to 3 ulp.
func Tanh[T num.Float](x []T) {
	if len(x) > 0 {
		of[T]().tanh(&x[0], len(x))
	}
}

// Mix writes c[r] = bias[r] + sum_k w[r, k] x[k], or with nil bias adds the sum to c[r]: w is rows by width, rows of x and c have n
// numbers and lie pitch apart, pitch a length of Padded or a multiple; numbers behind the n, up to the next vector's end, are read and
// written too.
// Sums run in the order of k.
func Mix[T num.Float](c, w, x, bias []T, rows, width, n, pitch int) {
	if rows == 0 || n == 0 {
		return
	}
	last := min(Padded[T](n), pitch)
	_ = c[:(rows-1)*pitch+last]
	var wAt, xAt, biasAt *T
	if width > 0 {
		wAt, xAt = &w[:rows*width][0], &x[:(width-1)*pitch+last][0]
	}
	if bias != nil {
		biasAt = &bias[:rows][0]
	}
	fit[T](last).mix(&c[0], wAt, xAt, biasAt, rows, width, n, pitch)
}

// GRU writes y = m + z (x - m) for r, z = sigmoid(a[0]), sigmoid(a[1]), m = tanh(a[2] + r h). Each of y, a's three, h and x has n numbers, a
// length of Padded or a multiple. With coef, of four such parts, it also writes there the derivatives of y with respect to a[0], a[1], h and a[2], and
// z to a[1].
func GRU[T num.Float](y, a, h, x, coef []T, n int) {
	if n == 0 {
		return
	}
	_, _, _, _ = y[:n], a[:3*n], h[:n], x[:n]
	var coefAt *T
	if coef != nil {
		coefAt = &coef[:4*n][0]
	}
	fit[T](n).gru(&y[0], &a[0], &h[0], &x[0], coefAt, n)
}

// GRUSteps runs a GRU of d components through n steps: y has room for n+1 rows of them, the first of which is given. Of each step, with x the
// row before, r, z, s = a[0], a[1], own + x w and q = a[2] are parts of Padded(d) numbers, a three a step, w three for a component of x; y is
// that of GRU from (r, z, q), h = s, or where swap is true from (r, z, s), h = q, and a row of hidden, d apart, in the place of x. y and
// hidden may be one; both have Padded(d) numbers to spare behind the last row.
func GRUSteps[T num.Float](y, a, w, own, hidden []T, d, n int, swap bool) {
	if d == 0 || n == 0 {
		return
	}
	part, flag := Padded[T](d), 0
	if swap {
		flag = 1
	}
	_, _, _, _, _ = y[:(n+1)*d+part], a[:3*n*part], w[:3*d*part], own[:part], hidden[:n*d+part]
	of[T]().gruSteps(&y[0], &a[0], &w[0], &own[0], &hidden[0], d, part, n, flag)
}

// ScaledParts is the most that Scaled takes.
const ScaledParts = 4

// Scaled writes j[i wide + k] = sum_g coef[g d + i] w[g d + i, k] for i, k < d: rows as in Mix, w (parts d, d), parts from 1 to ScaledParts.
func Scaled[T num.Float](j, coef, w []T, parts, d, wide, n, pitch int) {
	if d == 0 || n == 0 {
		return
	}
	last := min(Padded[T](n), pitch)
	_, _, _ = j[:((d-1)*(wide+1))*pitch+last], coef[:(parts*d-1)*pitch+last], w[:parts*d*d]
	_ = [ScaledParts]struct{}{}[parts-1]
	fit[T](last).scaled(&j[0], &coef[0], &w[0], parts, d, wide, last, pitch)
}

// Transpose writes dst[c, r] = src[r, c]: rows by cols, from and to the distances between rows of src and of dst.
func Transpose[T num.Float](dst, src []T, rows, cols, to, from int) {
	if rows == 0 || cols == 0 {
		return
	}
	end, last := (cols-1)*to+rows, (rows-1)*from+cols
	_, _ = dst[:end], src[:last]
	if rows == 1 && to == 1 || cols == 1 && from == 1 {
		copy(dst[:end], src[:last])
		return
	}
	k, high, wide := of[T](), 0, 0
	below, beside := 0, 0 // columns whose rows from high on, and rows whose columns from wide on, strips do
	if s := k.square; s > 0 {
		high, wide = rows/s*s, cols/s*s
		if to == rows { // vectors reach into the next row of dst, which is written after
			below = strips(rows-high, wide, to, end-high, s)
		}
		beside = strips(cols-wide, high, from, last-wide, s)
		if below > 0 {
			k.strip(&dst[high], &src[high*from], below/s, to, from, s*to, s, rows-high, s)
		}
		k.blocks(dst, src, high, wide, to, from)
		if beside > 0 {
			k.strip(&dst[wide*to], &src[wide], beside/s, to, from, s, s*from, s, cols-wide)
		}
	}
	for c := below; c < cols; c++ {
		first := high
		if c >= wide {
			first = beside
		}
		for r := first; r < rows; r++ {
			dst[c*to+r] = src[r*from+c]
		}
	}
}

// strips returns how many of the rows along a narrow side, pitch apart, are taken in blocks with vectors of some side that stay in the room.
func strips(narrow, along, pitch, room, side int) int {
	if narrow == 0 || along == 0 || room < side {
		return 0
	}
	return min(along, (room-side)/pitch+1) / side * side
}

// blocks transposes what whole blocks take.
func (k *kernels[T]) blocks(dst, src []T, high, wide, to, from int) {
	s := k.square
	if high < wide { // along the fewer rows, so that a line of the cache is done with soon, however far apart they are
		for r := 0; r < high; r += s {
			k.block(&dst[r], &src[r*from], wide/s, to, from, s*to, s)
		}
		return
	}
	for c := 0; c < wide; c += s {
		k.block(&dst[c*to], &src[c], high/s, to, from, s, s*from)
	}
}

// Diagonal writes x = a carry + b for n rows of len(carry) numbers, row by row from the first on, or from the last back, and after each sets
// carry to x - ref, or to x for nil ref. All are n rows; x must not overlap what is read. Of nil a all are 1.
func Diagonal[T num.Float](x, a, b, ref, carry []T, n int, back bool) {
	d := len(carry)
	if d == 0 || n == 0 {
		return
	}
	first, step := 0, d*num.Size[T]()
	if back {
		first, step = (n-1)*d, -step
	}
	_, _ = x[:n*d], b[:n*d]
	var refAt *T
	if ref != nil {
		refAt = &ref[:n*d][first]
	}
	if a == nil {
		of[T]().sum(&x[first], &b[first], refAt, &carry[0], d, n, step)
		return
	}
	of[T]().diagonal(&x[first], &a[:n*d][first], &b[first], refAt, &carry[0], d, n, step)
}

// shifts are where lanes of a vector of 32 bytes come from, in parts of 4 bytes: those of the row that is last in time, for every row, and
// for each composition those of an earlier row, with bits where there is one.
type shifts struct {
	last     [8]int32
	composed [3]struct{ from, keep [8]int32 }
}

// shiftsOf are for rows of 4, 8 and 16 bytes, forward and backward.
var shiftsOf = func() (all [3][2]shifts) {
	for i := range all {
		row := 1 << i
		for j := range 8 {
			all[i][0].last[j], all[i][1].last[j] = int32(8-row+j%row), int32(j%row)
			for k, by := 0, row; by < 8; k, by = k+1, 2*by {
				for back, from := range []int{j - by, j + by} {
					if c := &all[i][back].composed[k]; from >= 0 && from < 8 {
						c.from[j], c.keep[j] = int32(from), -1
					}
				}
			}
		}
	}
	return all
}()

// prefixNumbers is up to how many numbers Prefix writes, so that little is done again where they are not finite.
const prefixNumbers = 1 << 12

// Prefix does what Diagonal does with nil ref for the first rows, in its order, and returns how many: 0 where there is no vector code for
// len(carry), less than a vector of rows, or where x is not finite; x holds anything then, and carry is as it was. Products of the a of a
// vector are formed on the way. Where these are normal numbers or 0, a row adds at most 6 ulp of s, s = |a| s + |b|, to what the error of
// the row before becomes.
func Prefix[T num.Float](x, a, b, carry []T, n int, back bool) int {
	const vector = 32
	d, size := len(carry), num.Size[T]()
	k, lanes := of[T](), vector/size
	count := min(n*d, prefixNumbers) / lanes
	if k.prefix == nil || count == 0 || d != 1 && d != 2 && d*size != 16 {
		return 0
	}
	rows := count * lanes / d
	first, step := 0, vector
	if back {
		first, step = n*d-lanes, -step
	}
	_, _, _ = x[:n*d], a[:n*d], b[:n*d]
	var state [8]T
	for i := range lanes {
		state[i] = carry[i%d]
	}
	way, kind := 0, bits.TrailingZeros(uint(d*size/4))
	if back {
		way = 1
	}
	if !k.prefix(&x[first], &a[first], &b[first], &state[0], &shiftsOf[kind][way].last[0], 3-kind, count, step) {
		return 0
	}
	copy(carry, state[:d])
	return rows
}

// Dense does for n rows of matrices, a (n, d, d), what Diagonal does, where HasDense says so of d.
func Dense[T num.Float](x, a, b, ref, carry []T, n int, back bool) {
	d := len(carry)
	if n == 0 {
		return
	}
	first, step := 0, 1
	if back {
		first, step = n-1, -1
	}
	_, _, _ = x[:n*d], a[:n*d*d], b[:n*d]
	var refAt *T
	if ref != nil {
		refAt = &ref[:n*d][first*d]
	}
	of[T]().dense(&x[first*d], &a[first*d*d], &b[first*d], refAt, &carry[0], d, n, step)
}

// deepTwo is the most steps that denseTwo composes in a lane.
const deepTwo = 16

// composed returns how many of up to n steps of matrices of d rows make up a block that is composed, and how many of these a lane has; 0: there
// is no vector code for it, or there are too few.
func composed[T num.Float](d, n int) (block, deep int) {
	switch lanes, together := 32/num.Size[T](), 8/num.Size[T](); {
	case of[T]().denseTwo == nil:
	case d == 2:
		deep = min(n/lanes, deepTwo) / together * together
		return lanes * deep, deep
	case d == 4 && n >= 2:
		return 2, 2
	}
	return 0, 0
}

// DenseSmall does what Dense does for the first rows of matrices of two or four, in its order, and returns how many: 0 where there is no
// vector code for len(carry), or too little to do, or where x is not finite; x holds anything then, and carry is as it was. Products of the
// matrices of some steps are formed on the way. Where these are normal numbers or 0, a row adds at most 3 ulp of s, s = |a| s + |b|, to what
// the error of the row before becomes; with ref that holds of x - ref, with b - ref for b.
func DenseSmall[T num.Float](x, a, b, ref, carry []T, n int, back bool) int {
	d := len(carry)
	block, deep := composed[T](d, min(n, prefixNumbers/max(d, 1)))
	if block == 0 {
		return 0
	}
	count := min(n, prefixNumbers/d) / block
	rows, from, first, step := count*block, 0, 0, d*num.Size[T]()
	if back {
		from, first, step = n-count*block, n-1, -step
	}
	_, _, _ = x[:n*d], a[:n*d*d], b[:n*d]
	to, given := x[from*d:(from+rows)*d], b[from*d:(from+rows)*d]
	if ref != nil {
		ref = ref[from*d : (from+rows)*d]
		Sub(to, given, ref)
		b = x
	}
	var was [4]T
	copy(was[:], carry)
	k, good := of[T](), false
	if d == 2 {
		good = k.denseTwo(&x[first*d], &a[first*d*d], &b[first*d], &carry[0], deep, count, step)
	} else {
		good = k.denseFour(&x[first*d], &a[first*d*d], &b[first*d], &carry[0], count, step)
	}
	if !good {
		copy(carry, was[:])
		return 0
	}
	if ref != nil {
		k.addChange(&to[0], &given[0], &ref[0], len(to))
	}
	return rows
}

// DenseProduct does for the first rows of matrices of two what a scan does to x and the columns of p (2, 2), a x + b and a p, and returns how
// many: 0 where there is no vector code for it, or too little to do.
func DenseProduct[T num.Float](p, x, a, b []T, n int, back bool) int {
	const d = 2
	block, deep := composed[T](d, n)
	if block == 0 {
		return 0
	}
	count, first, step := n/block, 0, d*num.Size[T]()
	if back {
		first, step = n-1, -step
	}
	_, _ = a[:n*d*d], b[:n*d]
	columns := [8]T{x[0], p[0], p[1], 0, x[1], p[2], p[3]}
	of[T]().productTwo(&columns[0], &a[first*d*d], &b[first*d], deep, count, step)
	x[0], p[0], p[1], x[1], p[2], p[3] = columns[0], columns[1], columns[2], columns[4], columns[5], columns[6]
	return count * block
}

// HasDense tells whether Dense serves matrices of d rows.
func HasDense[T num.Float](d int) bool {
	k := of[T]()
	return k.dense != nil && d*num.Size[T]() >= 32
}

// ExtentRoom returns how many numbers Extents needs beside its arguments for rows of d; 0: there is no vector code for it.
func ExtentRoom[T num.Float](d int) int {
	if of[T]().extents == nil {
		return 0
	}
	room := d // rows side by side until they fill whole vectors, of 32 bytes on every level
	for room*num.Size[T]()%32 != 0 {
		room += d
	}
	return room
}

// Sub writes y = a - b, element by element.
func Sub[T num.Float](y, a, b []T) {
	if n := len(y); n > 0 {
		of[T]().sub(&y[0], &a[:n][0], &b[:n][0], n)
	}
}

// AddScaled adds s x to y, element by element.
func AddScaled[T num.Float](y []T, s T, x []T) {
	if n := len(y); n > 0 {
		of[T]().addScaled(&y[0], &x[:n][0], n, s)
	}
}

// Dot returns the sum of x y, in an order that depends on the length and the level alone.
func Dot[T num.Float](x, y []T) T {
	n := len(x)
	if n == 0 {
		return 0
	}
	return of[T]().dot(&x[0], &y[:n][0], n)
}

// SubRows writes y[r] = c[r] - x[r], a number less a row, for rows of n numbers as in Mix.
func SubRows[T num.Float](y, c, x []T, rows, n, pitch int) {
	if rows == 0 || n == 0 {
		return
	}
	last, size := rowed[T](rows, n, pitch)
	_, _, _ = y[:size], c[:rows], x[:size]
	fit[T](last).subRows(&y[0], &c[0], &x[0], rows, last, pitch)
}

// rowed returns the numbers of a row that are touched, up to the last vector's end, and of so many rows.
func rowed[T num.Float](rows, n, pitch int) (last, size int) {
	last = min(Padded[T](n), pitch)
	return last, (rows-1)*pitch + last
}

// DotRows writes dst[i] = Dot of the columns i of x and y, with its bits, for rows of n numbers as in Mix.
func DotRows[T num.Float](dst, x, y []T, rows, n, pitch int) {
	if n == 0 {
		return
	}
	if rows == 0 {
		clear(dst[:n])
		return
	}
	last, size := rowed[T](rows, n, pitch)
	_, _, _ = dst[:last], x[:size], y[:size]
	fit[T](last).dotRows(&dst[0], &x[0], &y[0], rows, last, pitch)
}

// Reach writes how far rows x are from numbers c, a row less a number y[r] = x[r] - c[r]: along = sum_r w[r] y[r] and square = sum_r y[r]^2,
// column by column, for rows of n numbers as in Mix.
func Reach[T num.Float](along, square, w, c, x []T, rows, n, pitch int) {
	if rows == 0 || n == 0 {
		clear(along[:n])
		clear(square[:n])
		return
	}
	last, size := rowed[T](rows, n, pitch)
	_, _, _, _, _ = along[:last], square[:last], w[:rows], c[:rows], x[:size]
	fit[T](last).reach(&along[0], &square[0], &w[0], &c[0], &x[0], rows, last, pitch)
}

// Mixture takes a step along the gradient of a mixture. It replaces the logarithms w, a row for each of the wells, by weights, exp(w) over the
// sum of these, and writes mean[r] = sum_k w[k] h[k, r], h being so many rows for each of the wells, and y[r] = x[r] + eps mean[r] + noise u[r];
// neither where it is nil. Rows are of n numbers as in Mix; exponentials are those of Exp.
func Mixture[T num.Float](y, mean, w, x, u, h []T, eps, noise T, wells, rows, n, pitch int) {
	if wells == 0 || rows == 0 || n == 0 {
		return
	}
	last, size := rowed[T](rows, n, pitch)
	_, _ = w[:(wells-1)*pitch+last], h[:(wells-1)*rows*pitch+size]
	var meanAt, yAt, xAt, uAt *T
	if mean != nil {
		meanAt = &mean[:size][0]
	}
	if y != nil {
		yAt, xAt, uAt = &y[:size][0], &x[:size][0], &u[:size][0]
	}
	fit[T](last).mixture(yAt, meanAt, &w[0], xAt, uAt, &h[0], wells, rows, last, pitch, eps, noise)
}

// PermuteWidth is how many numbers Permute moves at a time, and so the most that its rows may have.
const PermuteWidth = 8

// Permute writes rows of d numbers, y (n, d), for as many of the words u as there is room for PermuteWidth numbers from the row's start on, and
// returns how many, 0 where there is no vector code for it: y[t, i] = y[t-1, index[u[t], i]], the row before the first being x. index has
// rows of PermuteWidth, and u lies within them.
func Permute[T num.Float](y []T, x *[PermuteWidth]T, u []T, index []int32, d int) int {
	n := min(len(u), (len(y)-PermuteWidth)/d+1)
	if k := of[T](); k.permute != nil && len(y) >= PermuteWidth && n > 0 {
		k.permute(&y[0], &x[0], &u[0], &index[0], d, n)
		return n
	}
	return 0
}

// finiteRun is the length of what the kernels look through for numbers that are not finite, or no words, of which they take a multiple.
const finiteRun = 32

// FirstNonFinite is num.FirstNonFinite.
func FirstNonFinite[T num.Float](x []T) int {
	return first(x, of[T]().finite, num.FirstNonFinite[T])
}

// FirstNoWord returns the index of the first element that is not a whole number from 0 to less than below, -1 if there is none.
func FirstNoWord[T num.Float](x []T, below int) int {
	k, end := of[T](), T(below)
	return first(x, func(x *T, n int) bool { return k.words(x, n, end) }, func(x []T) int { return firstNoWord(x, end) })
}

// first returns what find does, which is asked for what a kernel does not take or does not find good.
func first[T num.Float](x []T, good func(x *T, n int) bool, find func(x []T) int) int {
	whole := len(x) / finiteRun * finiteRun
	if whole > 0 && !good(&x[0], whole) {
		whole = 0
	}
	if i := find(x[whole:]); i >= 0 {
		return whole + i
	}
	return -1
}

// Extents returns the sum of squares of x - f, or of x for nil f, in double precision, and widens top by the largest magnitude of each of
// its len(top) components. Where the sum is not finite it returns false and leaves top alone. room has ExtentRoom numbers.
func Extents[T num.Float](top []float64, x, f, room []T) (squares float64, finite bool) {
	n := len(x) / len(room)
	from := n * len(room)
	if n > 0 {
		var fAt *T
		if f != nil {
			fAt = &f[:from][0]
		}
		squares = of[T]().extents(&room[0], &x[0], fAt, len(room), n)
	}
	rest := func(i int) float64 {
		if f == nil {
			return float64(x[i])
		}
		return float64(x[i] - f[i])
	}
	for i := from; i < len(x); i++ {
		squares += rest(i) * rest(i)
	}
	if !(squares <= math.MaxFloat64) {
		return squares, false
	}
	d := len(top)
	for i := 0; n > 0 && i < len(room); i += d {
		for j, v := range room[i : i+d] {
			top[j] = max(top[j], float64(v))
		}
	}
	for i := from; i < len(x); i++ {
		top[(i-from)%d] = max(top[(i-from)%d], math.Abs(rest(i)))
	}
	return squares, true
}
