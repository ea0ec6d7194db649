package driver

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"
	"time"

	"golang.org/x/sync/singleflight"
)

// Source is a program for the device: the file Name of Files is compiled with the others to include, by options such as "-DDIM=8".
type Source struct {
	Name    string
	Files   map[string]string
	Options []string
}

// key names what a source becomes on an architecture: the hash of all that has a say in it.
func (s Source) key(arch int) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d\x00%s\x00%q\x00", arch, s.Name, s.Options)
	var names []string
	for name := range s.Files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(h, "%s\x00%d\x00%s", name, len(s.Files[name]), s.Files[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// askingFor is how often who waits is asked whether to stop.
const askingFor = 20 * time.Millisecond

// ErrStopped is what Compile and Load return when they were asked to stop.
var ErrStopped = errors.New("interrupted")

// compilations are those under way, by key.
var compilations singleflight.Group

// Compile returns the machine code of a source for an architecture such as 90, from the disk where it has been made before. Who asks for
// the same while it is made waits for that. As soon as poll (which may be nil) returns true it returns ErrStopped; the compiler goes on,
// and what it makes is kept for the next call.
func Compile(s Source, arch int, poll func() bool) ([]byte, error) {
	compiler, err := findNVRTC()
	if err != nil {
		return nil, err
	}
	key := s.key(arch) + "-" + compiler.version
	if cubin := cached(key); cubin != nil {
		return cubin, nil
	}
	made := compilations.DoChan(key, func() (any, error) { return compileAndKeep(compiler, key, s, arch) })
	tick := time.NewTicker(askingFor)
	defer tick.Stop()
	for {
		select {
		case r := <-made:
			cubin, _ := r.Val.([]byte)
			return cubin, r.Err
		case <-tick.C:
			if poll != nil && poll() {
				return nil, ErrStopped
			}
		}
	}
}

func compileAndKeep(compiler *nvrtc, key string, s Source, arch int) ([]byte, error) {
	cubin, _, err := compiler.compile(s, arch)
	if err == nil {
		keep(key, cubin)
	}
	return cubin, err
}

// Report compiles a source anew and returns the compiler's log, which tells registers, stack and spills of each kernel.
func Report(s Source, arch int) (log string, err error) {
	compiler, err := findNVRTC()
	if err != nil {
		return "", err
	}
	s.Options = append(append([]string{}, s.Options...), "--ptxas-options=-v")
	_, log, err = compiler.compile(s, arch)
	return log, err
}
