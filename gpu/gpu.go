// Package gpu is the place of a core.Backend on CUDA. There is none in this version: Open says so.
package gpu

import "errors"

// Open returns why the GPU cannot be used.
func Open() error { return errors.New("this build of pards has no CUDA backend") }
