package method

import (
	"reflect"
	"testing"
)

// What a method did that failed stands before what the next one did, on a device too, where that begins anew.
func TestAfter(t *testing.T) {
	failed := Result{Status: Nonfinite, Iterations: 3, Windows: []int{2, 1}, Trace: []Row{{Merit: 9}, {Merit: 8}}, Resets: 1, BadStep: 7}
	next := Result{Iterations: 2, Windows: []int{2}, Advances: []int{10}, Trace: []Row{{Merit: 1}}, BadStep: -1, Done: 10}
	want := Result{Iterations: 5, Windows: []int{2, 1, 2}, Advances: []int{0, 0, 10}, Trace: []Row{{Merit: 9}, {Merit: 8}, {Merit: 1}}, Resets: 1, BadStep: -1, Done: 10}
	if got := next.After(failed); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := next.After(Result{}); !reflect.DeepEqual(got, next) {
		t.Errorf("after nothing: %+v", got)
	}
}
