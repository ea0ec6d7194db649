// Package num holds what every numerical package of pards shares: the element types and their limits.
package num

import (
	"math"
	"unsafe"
)

// Float is the constraint of every element type: computation is in float32 or float64 throughout, never mixed.
type Float interface{ float32 | float64 }

// Eps returns the distance from 1 to the next number of type T.
func Eps[T Float]() float64 {
	if Size[T]() == 4 {
		return 0x1p-23
	}
	return 0x1p-52
}

// Size returns the bytes of one T.
func Size[T Float]() int {
	var z T
	return int(unsafe.Sizeof(z))
}

// Name returns NumPy's name of T.
func Name[T Float]() string {
	if Size[T]() == 4 {
		return "float32"
	}
	return "float64"
}

// MaxInteger is the largest n for which every integer of size up to n is a T. Words and permutation indices travel as T.
func MaxInteger[T Float]() int {
	if Size[T]() == 4 {
		return 1 << 24
	}
	return 1 << 53
}

// IsFinite tells whether v is neither infinite nor NaN.
func IsFinite[T Float](v T) bool { return v-v == 0 }

// FirstNonFinite returns the index of the first element that is not finite, -1 if there is none.
func FirstNonFinite[T Float](x []T) int {
	const run = 8
	first := len(x) / run * run                   // of those that are looked at one by one
	for v := x[:first]; len(v) > 0; v = v[run:] { // differences that are 0, or else NaN, and do not wait for each other
		if ((v[0]-v[0])+(v[1]-v[1]))+((v[2]-v[2])+(v[3]-v[3]))+((v[4]-v[4])+(v[5]-v[5]))+((v[6]-v[6])+(v[7]-v[7])) != 0 {
			first -= len(v)
			break
		}
	}
	for i := first; i < len(x); i++ {
		if x[i]-x[i] != 0 {
			return i
		}
	}
	return -1
}

// Max returns the larger of two numbers, and NaN if either is: an overflow must not hide behind a maximum.
func Max(a, b float64) float64 {
	if a > b || math.IsNaN(a) {
		return a
	}
	return b
}

// Wide returns x in double precision, itself if it is that.
func Wide[T Float](x []T) []float64 {
	if same, ok := any(x).([]float64); ok {
		return same
	}
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}
