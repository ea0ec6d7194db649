package par

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asked makes the first test say how many workers there are, and nothing else.
const asked = "PARDS_TEST_WORKERS"

// A process has as many workers as it may use cores, or as PARDS_NUM_THREADS says. The test runs itself: limits are read when a process starts.
func TestDefaultFollowsLimits(t *testing.T) {
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

// A quota holds: whole processes are run in a control group that has one, where the machine lets one be made.
func TestDefaultFollowsQuota(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("one core: no quota is less")
	}
	group, limit := newGroup(t)
	for _, c := range []struct {
		percent, threads, want int
	}{{40, 0, 1}, {100, 0, 1}, {150, 0, 2}, {100, 3, 3}} {
		limit(c.percent * 1000)
		command := exec.Command("sh", "-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, group, os.Args[0], "-test.run", "^TestDefaultFollowsLimits$", "-test.v")
		command.Env = append(os.Environ(), asked+"=1", "GOMAXPROCS=", "PARDS_NUM_THREADS=")
		if c.threads > 0 {
			command.Env = append(command.Env, fmt.Sprintf("PARDS_NUM_THREADS=%d", c.threads))
		}
		out, err := command.CombinedOutput()
		if want := fmt.Sprintf("workers %d\n", c.want); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%d %% of a core, %d threads asked for: %v\n%swant %s", c.percent, c.threads, err, out, want)
		}
	}
}

// newGroup makes a control group, and returns what sets its quota, microseconds of 100 ms; it skips where none can be made.
func newGroup(t *testing.T) (group string, limit func(quota int)) {
	name := fmt.Sprintf("pards-test-%d", os.Getpid())
	var causes []string
	for _, kind := range []struct{ dir, file, text string }{
		{"/sys/fs/cgroup", "cpu.max", "%d 100000"},
		{"/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "%d"},
	} {
		group := filepath.Join(kind.dir, name)
		if _, err := os.Stat(filepath.Join(kind.dir, "cgroup.procs")); err != nil {
			causes = append(causes, err.Error())
			continue
		}
		if err := os.Mkdir(group, 0o755); err != nil {
			causes = append(causes, err.Error())
			continue
		}
		t.Cleanup(func() {
			if err := os.Remove(group); err != nil {
				t.Error(err)
			}
		})
		set := func(quota int) error {
			return os.WriteFile(filepath.Join(group, kind.file), fmt.Appendf(nil, kind.text, quota), 0o644)
		}
		if err := set(100000); err != nil {
			causes = append(causes, err.Error())
			continue
		}
		return group, func(quota int) {
			if err := set(quota); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Skipf("no control group with a quota can be made: %s", strings.Join(causes, "; "))
	return "", nil
}

// The least quota of the groups on the way counts, of both versions; what is not there or not a number is no limit.
func TestQuotaReadsGroups(t *testing.T) {
	for _, c := range []struct {
		name, groups string
		files        map[string]string
		want         float64
	}{
		{"no groups", "", nil, math.Inf(1)},
		{"version 2", "0::/a/b\n", map[string]string{"a/cpu.max": "150000 100000\n", "a/b/cpu.max": "max 100000\n"}, 1.5},
		{"version 2, its own is less", "0::/a/b\n", map[string]string{"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "20000 10000\n"}, 2},
		{"the host's path", "0::/docker/1234\n", map[string]string{"cpu.max": "50000 100000\n"}, 0.5},
		{"version 1", "4:memory:/m\n3:cpu,cpuacct:/x\n0::/\n", map[string]string{"cpu,cpuacct/x/cpu.cfs_quota_us": "250000\n",
			"cpu,cpuacct/x/cpu.cfs_period_us": "100000\n", "cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 2.5},
		{"not the processor's", "4:cpuset:/x\n", map[string]string{"cpu/x/cpu.cfs_quota_us": "1000\n", "cpu/x/cpu.cfs_period_us": "100000\n"}, math.Inf(1)},
		{"not numbers", "0::/\nnothing\n", map[string]string{"cpu.max": "some more\n"}, math.Inf(1)},
	} {
		root := t.TempDir()
		for name, text := range c.files {
			file := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := quota(root, c.groups); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
