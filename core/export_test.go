package core

import (
	"testing"
	"time"
)

// SetClock has pilots read another clock until the test ends.
func SetClock(t *testing.T, clock func() time.Time) {
	now = clock
	t.Cleanup(func() { now = time.Now })
}
