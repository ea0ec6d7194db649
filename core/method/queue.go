package method

import (
	"sync"
	"sync/atomic"
	"time"

	"pards/core/internal/par"
)

// queue passes on what workers finish in any order, one after another in the order of their numbers. A place is free for number i once
// i - len(ready) was passed on.
type queue struct {
	mu     sync.Mutex
	ready  []bool // of each place: what has it waits to be passed on
	passed atomic.Int64
}

// reset begins anew with some places.
func (q *queue) reset(places int) {
	if cap(q.ready) < places {
		q.ready = make([]bool, places)
	}
	q.ready = q.ready[:places]
	clear(q.ready)
	q.passed.Store(0)
}

// nap is how long a worker sleeps that finds no place, which happens where one is held up.
const nap = 20 * time.Microsecond

// wait returns when the place of i is free; false: the work was stopped before.
func (q *queue) wait(w *par.Worker, i int) bool {
	for int64(i-len(q.ready)) >= q.passed.Load() {
		if w.Stopped() {
			return false
		}
		time.Sleep(nap)
	}
	return true
}

// put hands i in, and calls take for it and for those behind it, as far as they are there and all before them were taken; else whoever takes
// those before goes on with i.
func (q *queue) put(i int, take func(i int)) {
	q.mu.Lock()
	q.ready[i%len(q.ready)] = true
	q.mu.Unlock()
	for {
		q.mu.Lock()
		at := int(q.passed.Load())
		place := at % len(q.ready)
		there := q.ready[place]
		q.ready[place] = false // until at is passed on no other number has its place, and so one worker has at
		q.mu.Unlock()
		if !there {
			return
		}
		take(at)
		q.passed.Store(int64(at + 1))
	}
}
