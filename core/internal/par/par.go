// Package par shares work among goroutines. How the work is cut is never its business: callers cut by shape alone, so the number of
// workers changes no bit of a result.
package par

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// PollEvery is the least time between two polls while the calling goroutine is inside pards.
const PollEvery = 20 * time.Millisecond

// Team is the workers of one call: the calling goroutine and helpers that start where a loop is worth it.
type Team struct {
	size    int
	spare   atomic.Int64 // helpers that may still be started
	stopped atomic.Bool
	fault   atomic.Pointer[Fault]
	poll    func() bool
	next    time.Time
	tick    *time.Ticker // of the calling goroutine, while it waits

	mu    sync.Mutex
	loops []*loop // that are done, for the next ones
}

// loop is what the workers of one loop share.
type loop struct {
	n    int
	f    func(w *Worker, i int)
	next atomic.Int64
	busy atomic.Int64  // helpers at work
	done chan struct{} // holds one once the last of them has ended
	help func()        // what a helper does, made once
}

// Fault is a panic of a helper, carried to the caller.
type Fault struct {
	Value any
	Stack []byte
}

func (f *Fault) String() string { return fmt.Sprintf("%v\n%s", f.Value, f.Stack) }

// Worker is a goroutine's place in the team.
type Worker struct {
	team   *Team
	caller bool
}

// Default returns how many workers a process may use: PARDS_NUM_THREADS, else the cores it was given, within the cgroup's limit.
func Default() int {
	if n, _ := given(); n > 0 {
		return n
	}
	return cores()
}

// Wrong returns what is wrong with PARDS_NUM_THREADS, which then does not count.
func Wrong() error {
	_, err := given()
	return err
}

func given() (int, error) {
	text := os.Getenv("PARDS_NUM_THREADS")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("PARDS_NUM_THREADS is %q, want a whole number of at least 1", text)
	}
	return n, nil
}

// New makes a team of n workers (0: Default). poll, if not nil, is called on the calling goroutine alone, and stops the team by true.
func New(n int, poll func() bool) *Worker {
	if n <= 0 {
		n = Default()
	}
	t := &Team{size: n, poll: poll, next: time.Now().Add(PollEvery)}
	t.spare.Store(int64(n - 1))
	return &Worker{team: t, caller: true}
}

// Size returns how many workers the team has.
func (w *Worker) Size() int { return w.team.size }

// Spare tells whether a loop begun now may find a helper.
func (w *Worker) Spare() bool { return w.team.spare.Load() > 0 }

// Stopped tells whether the work is to end; on the calling goroutine it polls when it is time to.
func (w *Worker) Stopped() bool {
	t := w.team
	if w.caller && t.poll != nil && !t.stopped.Load() {
		if now := time.Now(); now.After(t.next) {
			if t.poll() {
				t.stopped.Store(true)
			}
			t.next = time.Now().Add(PollEvery)
		}
	}
	return t.stopped.Load()
}

// Stop ends the work of the whole team.
func (w *Worker) Stop() { w.team.stopped.Store(true) }

// For calls f(w, i) for each i in [0, n), on as many workers as are spare; grain is how many calls are worth a helper.
// Each i is done once; calls not begun when the team is stopped are left out. It may be called within f.
func (w *Worker) For(n, grain int, f func(w *Worker, i int)) {
	helpers := 0
	for helpers+1 < n/max(grain, 1) && w.team.acquire() {
		helpers++
	}
	if helpers == 0 {
		for i := 0; i < n && !w.Stopped(); i++ {
			f(w, i)
		}
		return
	}
	l := w.team.take()
	l.n, l.f = n, f
	l.next.Store(0)
	l.busy.Store(int64(helpers))
	for range helpers {
		go l.help()
	}
	l.own(w)
	w.wait(l.done)
	w.team.put(l)
	if f := w.team.fault.Load(); f != nil {
		panic(f)
	}
}

// take returns a loop whose helpers have ended.
func (t *Team) take() *loop {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last := len(t.loops) - 1; last >= 0 {
		l := t.loops[last]
		t.loops = t.loops[:last]
		return l
	}
	l := &loop{done: make(chan struct{}, 1)}
	helper := &Worker{team: t}
	l.help = func() {
		defer func() {
			t.spare.Add(1)
			if l.busy.Add(-1) == 0 {
				l.done <- struct{}{}
			}
		}()
		defer t.catch()
		l.run(helper)
	}
	return l
}

func (t *Team) put(l *loop) {
	l.f = nil
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loops = append(t.loops, l)
}

func (l *loop) run(w *Worker) {
	for i := int(l.next.Add(1)) - 1; i < l.n && !w.Stopped(); i = int(l.next.Add(1)) - 1 {
		l.f(w, i)
	}
}

// own is run for who began the loop. A panic waits for the helpers too: they write into the same buffers.
func (l *loop) own(w *Worker) {
	defer func() {
		if v := recover(); v != nil {
			w.Stop()
			<-l.done
			panic(v)
		}
	}()
	l.run(w)
}

// wait blocks until done, polling meanwhile.
func (w *Worker) wait(done chan struct{}) {
	if !w.caller || w.team.poll == nil {
		<-done
		return
	}
	t := w.team
	if t.tick == nil {
		t.tick = time.NewTicker(PollEvery)
	} else {
		t.tick.Reset(PollEvery)
	}
	defer t.tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-t.tick.C:
			w.Stopped()
		}
	}
}

func (t *Team) acquire() bool {
	for {
		n := t.spare.Load()
		if n <= 0 {
			return false
		}
		if t.spare.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// catch turns a helper's panic into a fault that the caller raises again.
func (t *Team) catch() {
	if v := recover(); v != nil {
		f, ok := v.(*Fault)
		if !ok {
			buf := make([]byte, 16<<10)
			f = &Fault{v, buf[:runtime.Stack(buf, false)]}
		}
		t.fault.CompareAndSwap(nil, f)
		t.stopped.Store(true)
	}
}
