package main

import (
	"fmt"
	"sync"
	_ "unsafe" // for linkname

	"github.com/go-python/gopy/gopyh"

	"pards/core/check"
)

// handles guards gopy's registry, which counts references but takes any number for a handle of any kind, and panics when one is given
// back too often. Here every object is registered with one reference and its kind, and looked up before it is touched.
var handles sync.Mutex

const handleKind = "pards"

// gopyTrace makes gopy's registry print to standard output; an environment variable sets it, and a library does not print.
//
//go:linkname gopyTrace github.com/go-python/gopy/gopyh.trace
var gopyTrace bool

func init() { gopyTrace = false }

// keep registers an object and returns a handle with one reference.
func keep(v any) int64 {
	handles.Lock()
	defer handles.Unlock()
	h := gopyh.Register(handleKind, v)
	gopyh.IncRef(h)
	return int64(h)
}

// lookup returns the object behind a handle, which must be a V.
func lookup[V any](fn, kind string, h int64) (v V, err error) {
	object, err := gopyh.VarFromHandleTry(gopyh.CGoHandle(h), handleKind)
	if err != nil {
		return v, badHandle(fn, h, "it was never given out, or has been released")
	}
	v, ok := object.(V)
	if !ok {
		return v, badHandle(fn, h, "it is not a "+kind)
	}
	return v, nil
}

func badHandle(fn string, h int64, why string) error {
	return &check.Error{Kind: check.Handle, Func: fn, Arg: "handle", Came: fmt.Sprintf("is %d", h), Why: why}
}

// closer is an object that holds more than Go's memory.
type closer interface{ close() }

// count adds a reference (by +1) or gives one back (by -1); an object without any is closed.
func count(fn string, h int64, by int) error {
	object, gone, err := counted(fn, h, by)
	if c, ok := object.(closer); ok && gone {
		c.close()
	}
	return err
}

func counted(fn string, h int64, by int) (object any, gone bool, err error) {
	handles.Lock()
	defer handles.Unlock()
	if object, err = lookup[any](fn, "object", h); err != nil {
		return nil, false, err
	}
	if by > 0 {
		gopyh.IncRef(gopyh.CGoHandle(h))
		return object, false, nil
	}
	gopyh.DecRef(gopyh.CGoHandle(h))
	_, missing := lookup[any](fn, "object", h)
	return object, missing != nil, nil
}

// alive returns how many handles there are.
func alive() int { return gopyh.NumHandles() }
