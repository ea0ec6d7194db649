// Package kernels holds the sources of the GPU's kernels, compiled when they are first needed.
package kernels

import "embed"

// Files are the sources.
//
//go:embed *.cu *.cuh
var Files embed.FS
