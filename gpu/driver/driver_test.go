//go:build cuda

package driver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// source is a program with a kernel that doubles, one whose blocks meet, one that waits for a flag of the host, and one that faults.
var source = Source{Name: "try.cu", Options: []string{"-DFACTOR=2"}, Files: map[string]string{"try.cuh": "#define TIMES(x) (FACTOR * (x))\n", "try.cu": `
#include "try.cuh"
struct args { const float *x; float *y; int n; double shift; };
extern "C" __global__ void scale(const float *x, float *y, int n, double shift) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = TIMES(x[i]) + (float)shift;
}
extern "C" __global__ void packed(const __grid_constant__ args a) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < a.n) a.y[i] = TIMES(a.x[i]) + (float)a.shift;
}
extern "C" __global__ void meet(unsigned *arrived, unsigned *seen) {
    extern __shared__ float room[];
    room[threadIdx.x] = 1;
    if (threadIdx.x == 0) {
        atomicAdd(arrived, 1);
        while (atomicAdd(arrived, 0) < gridDim.x) {}
        seen[blockIdx.x] = (unsigned)room[0];
    }
}
extern "C" __global__ void until(volatile int *stop) { while (!*stop) {} }
extern "C" __global__ void fault(int *p) { p[threadIdx.x] = 1; }
`}}

// device opens the first device, or skips and says why.
func device(t *testing.T) *Device {
	d, err := Open(0)
	if err != nil {
		t.Skip(err)
	}
	leave, err := d.Enter()
	must(t, err)
	t.Cleanup(leave)
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func kernel(t *testing.T, d *Device, name string) *Function {
	t.Helper()
	m, err := d.Load(source, nil)
	must(t, err)
	f, err := m.Function(name)
	must(t, err)
	return f
}

func TestLaunch(t *testing.T) {
	t.Setenv("PARDS_CACHE_DIR", filepath.Join(t.TempDir(), "cache"))
	d := device(t)
	t.Logf("%+v", []any{d.Name, d.Arch, d.SMs, d.SharedMax, d.L2, d.Memory})
	start := time.Now()
	scale := kernel(t, d, "scale")
	t.Logf("compiled in %v", time.Since(start))
	const n = 1000
	x, y := make([]float32, n), make([]float32, n)
	for i := range x {
		x[i] = float32(i)
	}
	at, err := d.Alloc(4 * n)
	must(t, err)
	to, err := d.Alloc(4 * n)
	must(t, err)
	s, err := d.NewStream()
	must(t, err)
	defer s.Destroy()
	from, err := d.NewEvent()
	must(t, err)
	end, err := d.NewEvent()
	must(t, err)
	for _, launch := range []func() error{
		func() error { return scale.Launch(s, [3]int{4, 1, 1}, [3]int{256, 1, 1}, 0, at, to, int32(n), 0.5) },
		func() error {
			args := struct {
				x, y  Ptr
				n     int32
				_     int32
				shift float64
			}{at, to, n, 0, 0.5}
			return kernel(t, d, "packed").Launch(s, [3]int{4, 1, 1}, [3]int{256, 1, 1}, 0, Struct(&args))
		},
	} {
		clear(y)
		must(t, s.Zero(to, 4*n))
		must(t, s.CopyIn(at, unsafe.Pointer(&x[0]), 4*n))
		must(t, from.Record(s))
		must(t, launch())
		must(t, end.Record(s))
		must(t, s.CopyOut(unsafe.Pointer(&y[0]), to, 4*n))
		_, err = s.Wait(nil)
		must(t, err)
		for i, v := range y {
			if v != 2*float32(i)+0.5 {
				t.Fatalf("y[%d] = %v", i, v)
			}
		}
		seconds, err := end.Since(from)
		must(t, err)
		t.Logf("%.1f us", seconds*1e6)
	}
	d.Free(at)
	d.Free(to)
	if again, err := d.Alloc(4 * n); err != nil || again != to && again != at {
		t.Errorf("freed memory does not serve again: %#x, %v", again, err)
	}
}

func TestCooperative(t *testing.T) {
	d := device(t)
	meet := kernel(t, d, "meet")
	const shared = 64 << 10
	must(t, meet.Shared(shared))
	perSM, err := meet.Blocks(128, shared)
	must(t, err)
	if perSM < 1 || perSM > 4 {
		t.Fatalf("%d blocks of 64 KiB on a multiprocessor", perSM)
	}
	blocks := perSM * d.SMs
	arrived, err := d.Alloc(4 + 4*blocks)
	must(t, err)
	defer d.Free(arrived)
	var s Stream
	must(t, s.Zero(arrived, 4+4*blocks))
	must(t, meet.LaunchCooperative(s, [3]int{blocks, 1, 1}, [3]int{128, 1, 1}, shared, arrived, arrived+4))
	seen := make([]uint32, blocks)
	must(t, s.CopyOut(unsafe.Pointer(&seen[0]), arrived+4, 4*blocks))
	_, err = s.Wait(nil)
	must(t, err)
	for i, v := range seen {
		if v != 1 {
			t.Fatalf("block %d of %d did not come", i, blocks)
		}
	}
	if err := meet.LaunchCooperative(s, [3]int{16 * blocks, 1, 1}, [3]int{128, 1, 1}, shared, arrived, arrived+4); err == nil {
		t.Error("more blocks than can run at once were started together")
	}
}

// A kernel that runs on can be left waiting, and is stopped by a flag in memory that both sides see.
func TestMapped(t *testing.T) {
	d := device(t)
	host, at, err := d.Mapped(4)
	must(t, err)
	s, err := d.NewStream()
	must(t, err)
	must(t, kernel(t, d, "until").Launch(s, [3]int{1, 1, 1}, [3]int{1, 1, 1}, 0, at))
	asked := 0
	stopped, err := s.Wait(func() bool { asked++; return asked == 2 })
	if err != nil || !stopped {
		t.Fatal(stopped, err)
	}
	*(*int32)(host) = 1
	_, err = s.Wait(nil)
	must(t, err)
	d.FreeMapped(host)
}

func TestMemory(t *testing.T) {
	d := device(t)
	if _, err := d.Alloc(int(d.Memory) * 2); !errors.Is(err, ErrMemory) || !strings.Contains(err.Error(), "MiB") {
		t.Error(err)
	}
	half := d.Available() / 2
	at, err := d.Alloc(half)
	must(t, err)
	if d.Available() > half*5/4 {
		t.Errorf("%d of %d bytes are free beside half of them", d.Available(), 2*half)
	}
	d.Free(at)
	d.Trim()
	if d.Available() < 2*half-(64<<20) {
		t.Errorf("%d of %d bytes came back", d.Available(), 2*half)
	}
}

// What the disk holds is used if it is whole, this user's and nobody else's to write.
func TestCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	t.Setenv("PARDS_CACHE_DIR", dir)
	keep("key", []byte("code"))
	if got := cached("key"); string(got) != "code" {
		t.Fatalf("cached: %q", got)
	}
	file := filepath.Join(dir, "key")
	b, err := os.ReadFile(file)
	must(t, err)
	b[len(b)-1]++
	must(t, os.WriteFile(file, b, 0o600))
	if got := cached("key"); got != nil {
		t.Errorf("a damaged file counts: %q", got)
	}
	keep("key", []byte("code"))
	must(t, os.Chmod(dir, 0o777))
	if got := cached("key"); got != nil {
		t.Error("a directory that others write to counts")
	}
	must(t, os.Chmod(dir, 0o700))
	if os.Geteuid() == 0 {
		must(t, os.Chown(file, 1234, 1234))
		if got := cached("key"); got != nil {
			t.Error("another user's file counts")
		}
	}
	t.Setenv("PARDS_CACHE_DIR", "")
	keep("key", []byte("code"))
	if got := cached("key"); got != nil {
		t.Error("a cache that is switched off has something")
	}
}

func TestCompileErrors(t *testing.T) {
	if _, err := findNVRTC(); err != nil {
		t.Skip(err)
	}
	t.Setenv("PARDS_CACHE_DIR", "")
	wrong := Source{Name: "wrong.cu", Files: map[string]string{"wrong.cu": "not C"}}
	if _, err := Compile(wrong, 90, nil); err == nil || !strings.Contains(err.Error(), "wrong.cu(1)") {
		t.Error(err)
	}
	log, err := Report(source, 90)
	if err != nil || !strings.Contains(log, "registers") {
		t.Errorf("%v: %s", err, log)
	}
}

// A fault is an error, and the process goes on; the context is lost, so this is for a process of its own.
func TestFault(t *testing.T) {
	if os.Getenv("PARDS_TEST_FAULT") == "" {
		t.Skip("set PARDS_TEST_FAULT=1 and run this test alone: it loses the context")
	}
	d := device(t)
	var s Stream
	must(t, kernel(t, d, "fault").Launch(s, [3]int{1, 1, 1}, [3]int{32, 1, 1}, 0, Ptr(64)))
	if _, err := s.Wait(nil); err == nil {
		t.Error("a kernel that writes to nowhere is no error")
	} else {
		t.Log(err)
	}
}
