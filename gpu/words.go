//go:build cuda

package gpu

import (
	"unsafe"

	"pards/core"
	"pards/core/cell"
	"pards/core/num"
	"pards/gpu/driver"
)

const wordThreads = 256

// takeInputs finds the inputs on the device or brings them there. Words that are there have been seen by nobody: a kernel, which takeWords
// launches, looks at them on the way, and checkWords tells what it saw.
func (w *work[T]) takeInputs() (err error) {
	given := w.Given.Inputs
	if _, are := w.Problem.Cell.(cell.Checker[T]); !are || given.Device == 0 {
		w.u, err = w.in(w.Problem.U, given.Device)
		return err
	}
	count := given.Count()
	if w.u, err = w.alloc(count * num.Size[T]()); err != nil {
		return err
	}
	f, err := function(w.device, wordsVariant(given.Whole, num.Size[T]()), "words", w.Poll)
	if err != nil {
		return err
	}
	if w.seen, err = takeDesk(w.device, w.stream, 0, 4); err != nil {
		return err
	}
	*w.wrong() = 0
	blocks := min((count+wordThreads-1)/wordThreads, 8*w.device.SMs)
	w.wordsTaken = func() error {
		return f.Launch(w.stream, [3]int{blocks, 1, 1}, [3]int{wordThreads, 1, 1}, 0, driver.Ptr(given.Device), w.u, int64(count),
			int64(w.Given.Params["permutations"].Shape[0]), w.seen.at+deskHead)
	}
	return nil
}

// takeWords has words taken that are still to be: by an engine's first kernel, and not long before it, while the device would wait.
func (w *work[T]) takeWords() error {
	take := w.wordsTaken
	if w.wordsTaken = nil; take == nil {
		return nil
	}
	return take()
}

// wrong is what the kernel of words writes to.
func (w *work[T]) wrong() *int32 { return (*int32)(unsafe.Add(w.seen.host, deskHead)) }

// checkWords is the error of inputs that are not all words, once the stream is done.
func (w *work[T]) checkWords() error {
	if w.seen == nil {
		return nil
	}
	bad := *w.wrong() != 0
	w.seen.giveBack()
	if w.seen = nil; !bad {
		return nil
	}
	u, err := numbersOf[T](w, w.Given.Inputs)
	if err != nil {
		return err
	}
	return w.Given.CheckInputs(u, 0)
}

// numbersOf brings an array on the device back, whole numbers as those of T.
func numbersOf[T num.Float](w *work[T], a core.Array[T]) ([]T, error) {
	u := make([]T, a.Count())
	switch at := driver.Ptr(a.Device); a.Whole {
	case 4:
		return u, downloadWhole[T, int32](w, u, at)
	case 8:
		return u, downloadWhole[T, int64](w, u, at)
	default:
		return u, download(w, u, at)
	}
}

func downloadWhole[T num.Float, I int32 | int64](w *work[T], u []T, at driver.Ptr) error {
	given := make([]I, len(u))
	err := download(w, given, at)
	for i, v := range given {
		u[i] = T(v)
	}
	return err
}
