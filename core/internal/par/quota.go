package par

import (
	"math"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// cores returns how many the process may use. Go's runtime follows a control group's quota too, but stays at two where that leaves one.
func cores() int {
	n := runtime.GOMAXPROCS(0)
	if os.Getenv("GOMAXPROCS") != "" {
		return n
	}
	return min(n, granted())
}

// granted is the quota when it was first asked for, in whole cores.
var granted = sync.OnceValue(func() int {
	groups, _ := os.ReadFile("/proc/self/cgroup")
	return int(math.Ceil(min(max(quota("/sys/fs/cgroup", string(groups)), 1), math.MaxInt32)))
})

// quota returns how many cores' time the control groups of a process let it use, without a limit more than there are: the least of its
// own group's and those above it. root is where groups are mounted; groups is what /proc/self/cgroup holds.
func quota(root, groups string) float64 {
	least := math.Inf(1)
	for line := range strings.Lines(groups) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		read, mounts := quotaOf2, []string{"", "unified"}
		if parts[1] != "" {
			if !slices.Contains(strings.Split(parts[1], ","), "cpu") {
				continue
			}
			read, mounts = quotaOf1, []string{"cpu", parts[1]}
		}
		for _, mount := range mounts {
			for at := path.Join("/", parts[2]); ; at = path.Dir(at) { // in a container the path may be the host's: then only "/" is there
				least = min(least, read(path.Join(root, mount, at)))
				if at == "/" {
					break
				}
			}
		}
	}
	return least
}

// quotaOf2 reads the quota of a group of version 2.
func quotaOf2(dir string) float64 { return share(strings.Fields(content(dir, "cpu.max"))) }

// quotaOf1 reads the quota of a group of version 1.
func quotaOf1(dir string) float64 {
	return share([]string{strings.TrimSpace(content(dir, "cpu.cfs_quota_us")), strings.TrimSpace(content(dir, "cpu.cfs_period_us"))})
}

func content(dir, name string) string {
	b, _ := os.ReadFile(path.Join(dir, name))
	return string(b)
}

// share returns quota / period, infinity where there is none: "max", -1, or nothing to read.
func share(numbers []string) float64 {
	if len(numbers) != 2 {
		return math.Inf(1)
	}
	used, err := strconv.ParseFloat(numbers[0], 64)
	of, err2 := strconv.ParseFloat(numbers[1], 64)
	if err != nil || err2 != nil || used <= 0 || of <= 0 {
		return math.Inf(1)
	}
	return used / of
}
