//go:build fuzz

package main

import (
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// FuzzExports makes hostile calls of every export: go test -tags fuzz ./capi -fuzz FuzzExports.
func FuzzExports(f *testing.F) {
	h := newHostile()
	for seed := range uint64(16) {
		f.Add(bytes(rand.New(rand.NewPCG(seed, 0))))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := h.Run(data[:min(len(data), 1<<13)]); err != nil {
			t.Fatal(err)
		}
	})
}

// TestHostileCalls makes as many calls as PARDS_FUZZ says, 300000 without, and wants some of each export to be right, so that
// those that are not have only one fault.
func TestHostileCalls(t *testing.T) {
	want := 300_000
	if s := os.Getenv("PARDS_FUZZ"); s != "" {
		var err error
		if want, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	h, calls := newHostile(), 0
	for seed := uint64(0); calls < want; seed++ {
		data := bytes(rand.New(rand.NewPCG(seed, 1)))
		if err := h.Run(data); err != nil {
			t.Fatalf("%v, on\n[]byte(%q)", err, data)
		}
		calls = 0
		for _, n := range h.Calls {
			calls += n
		}
	}
	for name := range exports {
		t.Logf("%-20s %8d calls, %8d of them right", name, h.Calls[name], h.Right[name])
		if device := strings.HasPrefix(name, "pards_device_"); h.Right[name] == 0 && (!device || gpuReason() == "") {
			t.Errorf("no call of %s was right", name)
		} else if h.Right[name] > 0 && device && gpuReason() != "" {
			t.Errorf("%s found a GPU where there is none: %s", name, gpuReason())
		}
	}
	t.Logf("%d calls", calls)
}

// TestEveryExportIsFuzzed compares the table with the header.
func TestEveryExportIsFuzzed(t *testing.T) {
	header, err := os.ReadFile("pards.h")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^int(?:32|64)_t (pards_\w+)\(`).FindAllStringSubmatch(string(header), -1)
	for _, d := range declared {
		if exports[d[1]] == nil || !slices.Contains(order, d[1]) {
			t.Errorf("%s is not fuzzed", d[1])
		}
	}
	if len(exports) != len(declared) {
		t.Errorf("%d functions are fuzzed, %d declared", len(exports), len(declared))
	}
}

func bytes(r *rand.Rand) []byte {
	data := make([]byte, 3000)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}
