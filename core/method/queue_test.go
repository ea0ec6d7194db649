package method

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"pards/core/internal/par"
)

// What comes in any order is passed on in order, once each, by one worker at a time, and no place is taken before it is free.
func TestQueueKeepsOrder(t *testing.T) {
	for _, places := range []int{1, 2, 7} {
		for _, workers := range []int{1, 4} {
			const n = 300
			q, held := &queue{}, make([]atomic.Int64, places)
			q.reset(places)
			var busy atomic.Int64
			next := 0
			par.New(workers, nil).For(n, 1, func(w *par.Worker, i int) {
				if !q.wait(w, i) {
					t.Error("stopped")
				}
				if !held[i%places].CompareAndSwap(0, int64(i+1)) {
					t.Errorf("%d places: that of %d is taken", places, i)
				}
				if rand.IntN(8) == 0 {
					time.Sleep(time.Duration(rand.IntN(50)) * time.Microsecond)
				}
				q.put(i, func(i int) {
					if busy.Add(1) != 1 || i != next || held[i%places].Load() != int64(i+1) {
						t.Errorf("%d places, %d workers: %d comes, want %d, by one worker", places, workers, i, next)
					}
					next++
					held[i%places].Store(0)
					busy.Add(-1)
				})
			})
			if next != n {
				t.Errorf("%d places, %d workers: %d were passed on, want %d", places, workers, next, n)
			}
		}
	}
}

// Who waits for a place that will never be free is let go when the work stops.
func TestQueueStops(t *testing.T) {
	w := par.New(1, nil)
	go func() { time.Sleep(5 * time.Millisecond); w.Stop() }()
	var q queue
	q.reset(2)
	if q.wait(w, 2) {
		t.Error("the place of 2 is free before 0 was passed on")
	}
}
