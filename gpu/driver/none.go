//go:build !cuda

package driver

import "errors"

// Open returns why no device can be used.
func Open(int) (*Device, error) {
	return nil, errors.New("this build of pards has no CUDA backend: it was built without the tag cuda")
}

// Device is what Open returns in a build with the tag cuda.
type Device struct{}
