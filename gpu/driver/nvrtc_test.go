package driver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ebitengine/purego"
)

// fake is a compiler that tells its version and compiles nothing.
const fake = `
int nvrtcVersion(int *major, int *minor) { *major = MAJOR; *minor = 77; return 0; }
int nvrtcCreateProgram(void) { return 1; }
int nvrtcCompileProgram(void) { return 1; }
int nvrtcGetProgramLogSize(void) { return 1; }
int nvrtcGetProgramLog(void) { return 1; }
int nvrtcGetCUBINSize(void) { return 1; }
int nvrtcGetCUBIN(void) { return 1; }
int nvrtcDestroyProgram(void) { return 1; }
`

// fakes makes compilers of some versions, in a directory of Python packages.
func fakes(t *testing.T, majors ...string) (directory string) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler to make a library with: ", err)
	}
	directory = t.TempDir()
	lib := filepath.Join(directory, "nvidia", "fake", "lib")
	if err := os.MkdirAll(lib, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, major := range majors {
		path := filepath.Join(lib, "libnvrtc.so."+major)
		build := exec.Command(cc, "-shared", "-fPIC", "-DMAJOR="+major, "-x", "c", "-o", path, "-")
		build.Stdin = strings.NewReader(fake)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		t.Cleanup(func() { // out of the process, where the search would find it
			if library, err := purego.Dlopen(path, purego.RTLD_NOW); err == nil {
				for range 2 {
					_ = purego.Dlclose(library)
				}
			}
		})
	}
	return directory
}

// search runs findNVRTC for a driver, as if it were the first time.
func search(t *testing.T, driver int, directory string) (*nvrtc, error) {
	found, directories, before := compiler.found, compiler.search, compiler.driver
	t.Cleanup(func() { compiler.found, compiler.search, compiler.driver = found, directories, before })
	compiler.found = nil
	Search([]string{directory})
	compileFor(driver)
	return findNVRTC()
}

// A driver for CUDA 12 does not run the code of a compiler of CUDA 13, which is passed over though it comes first.
func TestCompilerFitsDriver(t *testing.T) {
	c, err := search(t, 12, fakes(t, "13", "12"))
	if err != nil || c.major != 12 {
		t.Fatalf("found %+v, %v; want one of CUDA 12", c, err)
	}
}

// Where no compiler fits, the error tells each that was tried, and what to install.
func TestNoCompilerFits(t *testing.T) {
	path := filepath.Join(fakes(t, "13"), "nvidia", "fake", "lib", "libnvrtc.so.13")
	t.Setenv("PARDS_NVRTC", path)
	_, err := search(t, 12, "")
	for _, want := range []string{"pip install nvidia-cuda-nvrtc-cu12", path, "of CUDA 13.77", "a driver for CUDA 12"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not tell %q", err, want)
		}
	}
}

// slow is a compiler that waits until it is let go, and counts.
func slow(t *testing.T) (begun chan bool, let chan bool) {
	begun, let = make(chan bool, 9), make(chan bool)
	found := compiler.found
	t.Cleanup(func() { compiler.found = found })
	t.Setenv("PARDS_CACHE_DIR", "")
	compiler.found = &nvrtc{
		create: func(*uintptr, *byte, *byte, int32, **byte, **byte) int32 { return 0 },
		compileAll: func(uintptr, int32, **byte) int32 {
			begun <- true
			<-let
			return 0
		},
		logSize: func(uintptr, *uintptr) int32 { return 1 },
		size:    func(_ uintptr, n *uintptr) int32 { *n = 1; return 0 },
		code:    func(_ uintptr, at *byte) int32 { *at = 'c'; return 0 },
		destroy: func(*uintptr) int32 { return 0 },
	}
	return begun, let
}

// Who is asked to stop does not wait for the compiler, and two who want the same wait for one compilation.
func TestCompileStopsAndIsShared(t *testing.T) {
	begun, let := slow(t)
	s := Source{Name: "slow.cu"}
	if _, err := Compile(s, 90, func() bool { return true }); err != ErrStopped {
		t.Fatalf("%v, want %v", err, ErrStopped)
	}
	done := make(chan string)
	for range 2 {
		go func() {
			code, err := Compile(s, 90, nil)
			done <- fmt.Sprint(string(code), err)
		}()
	}
	time.Sleep(5 * askingFor) // both wait by then, or the count below is more than one
	close(let)
	for range 2 {
		if got := <-done; got != "c<nil>" {
			t.Errorf("got %s", got)
		}
	}
	if len(begun) != 1 {
		t.Errorf("compiled %d times, want once", len(begun))
	}
}
