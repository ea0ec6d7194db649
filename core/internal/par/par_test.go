package par

import (
	"sync/atomic"
	"testing"
	"time"
)

// Every index is done once, nested loops included, whatever the number of workers.
func TestForDoesEachOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 7} {
		var counts [50][20]atomic.Int32
		New(workers, nil).For(50, 1, func(w *Worker, i int) {
			w.For(20, 1, func(_ *Worker, j int) { counts[i][j].Add(1) })
		})
		for i := range counts {
			for j := range counts[i] {
				if n := counts[i][j].Load(); n != 1 {
					t.Fatalf("%d workers: (%d, %d) was done %d times", workers, i, j, n)
				}
			}
		}
	}
}

// No more goroutines work at once than the team has workers.
func TestForKeepsToTheTeam(t *testing.T) {
	w := New(3, nil)
	for range 2 { // helpers that are done are there for the next loop
		var now, most atomic.Int32
		w.For(8, 1, func(w *Worker, _ int) {
			w.For(8, 1, func(*Worker, int) {
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(2 * time.Millisecond)
				now.Add(-1)
			})
		})
		if m := most.Load(); m < 2 || m > 3 {
			t.Errorf("%d at once, want 2 or 3", m)
		}
	}
}

// A panic of a helper reaches the caller, once the others have ended.
func TestPanicReachesTheCaller(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	New(4, nil).For(100, 1, func(_ *Worker, i int) {
		if i == 57 {
			panic("here")
		}
	})
}

// The poll is called on the calling goroutine while helpers work, and stops them.
func TestPollStops(t *testing.T) {
	polls, start := 0, time.Now()
	w := New(2, func() bool { polls++; return polls == 3 })
	w.For(2, 1, func(w *Worker, _ int) {
		for !w.Stopped() && time.Since(start) < 10*time.Second {
			time.Sleep(time.Millisecond)
		}
	})
	if took := time.Since(start); polls != 3 || took > 5*time.Second {
		t.Errorf("%d polls in %v, want 3 in about %v", polls, took, 3*PollEvery)
	}
}
