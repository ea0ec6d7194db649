package par

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A process has as many workers as it may use cores, or as PARDS_NUM_THREADS says. The test runs itself: limits are read when a process starts.
func TestDefaultFollowsLimits(t *testing.T) {
	const asked = "PARDS_TEST_WORKERS"
	if os.Getenv(asked) != "" {
		fmt.Printf("workers %d\n", Default())
		return
	}
	runtime.LockOSThread() // children get the cores of the thread that starts them
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	for _, c := range []struct {
		name, threads string
		cores         *unix.CPUSet
		want          int
	}{
		{"one core", "", &one, 1},
		{"one core, three threads", "3", &one, 3},
		{"all cores, one thread", "1", &all, 1},
	} {
		if err := unix.SchedSetaffinity(0, c.cores); err != nil {
			t.Fatal(err)
		}
		child := exec.Command(os.Args[0], "-test.run", "^TestDefaultFollowsLimits$", "-test.v")
		child.Env = append(os.Environ(), asked+"=1", "PARDS_NUM_THREADS="+c.threads, "GOMAXPROCS=")
		out, err := child.CombinedOutput()
		if restored := unix.SchedSetaffinity(0, &all); restored != nil {
			t.Fatal(restored)
		}
		if want := fmt.Sprintf("workers %d\n", c.want); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%swant %s", c.name, err, out, want)
		}
	}
}
