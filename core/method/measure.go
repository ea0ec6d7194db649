package method

import (
	"pards/core/internal/par"
	"pards/core/internal/simd"
	"pards/core/num"
)

// Distance is what is measured of how far a trajectory x is from another, f: of each |x - f| and |x| the largest, the size of the former by
// the scale of x, see Tolerances, and the sum of squares of x - f, in double precision. What is not a number makes them NaN.
type Distance struct{ Largest, Size, Scale, Squares float64 }

// Measure returns that of a sequence; least is atol / rtol.
func Measure[T num.Float](w *par.Worker, x, f []T, d int, least float64) Distance {
	type piece struct {
		away, scale extent
		squares     float64
	}
	rows := max(len(x)/d, 1)
	pieces := make([]piece, (rows+openRows-1)/openRows) // by shape alone, as their sums are
	w.For(len(pieces), 1, func(_ *par.Worker, i int) {
		all, room := make(extent, 2*d), make([]T, simd.ExtentRoom[T](d))
		p := piece{away: all[:d], scale: all[d:]}
		from, to := i*openRows*d, min((i+1)*openRows*d, len(x))
		p.squares = residual(p.away, x[from:to], f[from:to], room)
		largest(p.scale, x[from:to], room)
		pieces[i] = p
	})
	first := &pieces[0]
	for _, p := range pieces[1:] {
		first.away.merge(p.away)
		first.scale.merge(p.scale)
		first.squares += p.squares
	}
	return Distance{first.away.top(), Tolerances{Rtol: 1, Atol: least}.size(first.away, first.scale), first.scale.top(), first.squares}
}

// largest widens e by rows of numbers. room is for vector code, see simd.Extents.
func largest[T num.Float](e extent, rows, room []T) {
	if len(room) > 0 {
		if _, finite := simd.Extents(e, rows, nil, room); finite {
			return
		}
	}
	widen(e, rows)
}
