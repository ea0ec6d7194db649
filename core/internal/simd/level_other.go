//go:build !amd64 || noasm

package simd

func levels() []leveled { return []leveled{plain} }
