package driver

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// nvrtc is the run-time compiler, a library that comes with the CUDA toolkit, with PyPI's nvidia-cuda-nvrtc, and so with JAX and PyTorch.
type nvrtc struct {
	version string
	major   int

	create     func(program *uintptr, source, name *byte, headers int32, contents, names **byte) int32
	compileAll func(program uintptr, count int32, options **byte) int32
	logSize    func(program uintptr, size *uintptr) int32
	log        func(program uintptr, log *byte) int32
	size       func(program uintptr, size *uintptr) int32
	code       func(program uintptr, code *byte) int32
	destroy    func(program *uintptr) int32
}

var compiler struct {
	sync.Mutex
	found  *nvrtc
	search []string
	driver int // the major version of the driver's CUDA, 0 if there is none
}

// compileFor says which code the driver runs: that of compilers of its major version and of older ones.
// https://docs.nvidia.com/deploy/cuda-compatibility/
func compileFor(driver int) {
	compiler.Lock()
	defer compiler.Unlock()
	compiler.driver = driver
}

// Search names directories of Python packages, in which nvidia/*/lib may hold the compiler.
func Search(directories []string) {
	compiler.Lock()
	defer compiler.Unlock()
	compiler.search = directories
}

// Newest first: a driver runs the code of an older compiler, and an older compiler may not know the device.
var nvrtcNames = []string{"libnvrtc.so.13", "libnvrtc.so.12"}

const noNVRTC = "no CUDA run-time compiler (NVRTC 12 or 13): pip install nvidia-cuda-nvrtc-cu12, or install the CUDA toolkit; PARDS_NVRTC may name the library"

// findNVRTC loads the compiler; one that was not found is looked for again the next time.
func findNVRTC() (*nvrtc, error) {
	compiler.Lock()
	defer compiler.Unlock()
	if compiler.found != nil {
		return compiler.found, nil
	}
	var tried []string
	for _, path := range candidates() {
		library, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
		if err != nil {
			tried = append(tried, path)
			continue
		}
		c, err := bind(library)
		if err == nil {
			err = c.fits(compiler.driver)
		}
		if err == nil {
			compiler.found = c
			return c, nil
		}
		_ = purego.Dlclose(library)
		tried = append(tried, fmt.Sprintf("%s (%v)", path, err))
	}
	return nil, fmt.Errorf("%s; tried %s", noNVRTC, strings.Join(tried, ", "))
}

// candidates lists where the compiler may be: what the user names, what the process has loaded, the Python packages, the system.
func candidates() (paths []string) {
	if named := os.Getenv("PARDS_NVRTC"); named != "" {
		return []string{named}
	}
	maps, _ := os.ReadFile("/proc/self/maps")
	for line := range strings.Lines(string(maps)) {
		if at := strings.Index(line, "/"); at >= 0 && strings.Contains(line, "/libnvrtc.so.") {
			paths = append(paths, strings.TrimSpace(line[at:]))
			break
		}
	}
	for _, name := range nvrtcNames {
		for _, place := range compiler.search {
			found, _ := filepath.Glob(filepath.Join(place, "nvidia", "*", "lib", name))
			paths = append(paths, found...)
		}
		paths = append(paths, name)
		for _, root := range []string{os.Getenv("CUDA_HOME"), os.Getenv("CUDA_PATH"), "/usr/local/cuda"} {
			if root != "" {
				paths = append(paths, filepath.Join(root, "lib64", name))
			}
		}
	}
	return paths
}

// bind finds the compiler's functions.
func bind(library uintptr) (*nvrtc, error) {
	c := &nvrtc{}
	var version func(major, minor *int32) int32
	for name, to := range map[string]any{"nvrtcVersion": &version, "nvrtcCreateProgram": &c.create, "nvrtcCompileProgram": &c.compileAll,
		"nvrtcGetProgramLogSize": &c.logSize, "nvrtcGetProgramLog": &c.log, "nvrtcGetCUBINSize": &c.size, "nvrtcGetCUBIN": &c.code,
		"nvrtcDestroyProgram": &c.destroy} {
		symbol, err := purego.Dlsym(library, name)
		if err != nil {
			return nil, err
		}
		purego.RegisterFunc(to, symbol)
	}
	var major, minor int32
	if rc := version(&major, &minor); rc != 0 {
		return nil, fmt.Errorf("nvrtcVersion returned %d", rc)
	}
	c.version, c.major = fmt.Sprintf("%d.%d", major, minor), int(major)
	return c, nil
}

// fits returns why a compiler is not the one to use with a driver.
func (c *nvrtc) fits(driver int) error {
	if c.major < 12 {
		return fmt.Errorf("of CUDA %s, want 12 or 13", c.version)
	}
	if driver != 0 && c.major > driver {
		return fmt.Errorf("of CUDA %s, whose code a driver for CUDA %d does not run", c.version, driver)
	}
	return nil
}

// compile runs the compiler; the log holds its warnings and what options ask it to tell.
func (c *nvrtc) compile(s Source, arch int) (cubin []byte, log string, err error) {
	var names, contents []*byte
	for name, text := range s.Files {
		if name != s.Name {
			names, contents = append(names, cString(name)), append(contents, cString(text))
		}
	}
	var program uintptr
	if rc := c.create(&program, cString(s.Files[s.Name]), cString(s.Name), int32(len(names)), unsafe.SliceData(contents), unsafe.SliceData(names)); rc != 0 {
		return nil, "", fmt.Errorf("pards: bug: nvrtcCreateProgram of %s returned %d", s.Name, rc)
	}
	defer c.destroy(&program)
	var options []*byte
	for _, option := range append([]string{"--std=c++17", fmt.Sprintf("-arch=sm_%d", arch)}, s.Options...) {
		options = append(options, cString(option))
	}
	rc := c.compileAll(program, int32(len(options)), unsafe.SliceData(options))
	log = strings.TrimSuffix(text(program, c.logSize, c.log), "\x00")
	if rc != 0 {
		return nil, log, fmt.Errorf("NVRTC %s does not compile %s with %v for sm_%d (%d):\n%s", c.version, s.Name, s.Options, arch, rc, log)
	}
	return []byte(text(program, c.size, c.code)), log, nil
}

// text reads one of a program's results; a log ends with a 0.
func text(program uintptr, size func(uintptr, *uintptr) int32, read func(uintptr, *byte) int32) string {
	var n uintptr
	if size(program, &n) != 0 || n == 0 {
		return ""
	}
	b := make([]byte, n)
	if read(program, &b[0]) != 0 {
		return ""
	}
	return string(b)
}

// cString is a text with a final 0.
func cString(s string) *byte { return unsafe.SliceData(append([]byte(s), 0)) }
