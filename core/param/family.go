package param

import (
	"slices"

	"pards/core/check"
	"pards/core/num"
)

// Family is a registry of things that are made from described parameters, in either precision: the cells, or the methods. E describes
// one of them, A and B are what is made for float32 and float64.
type Family[E, A, B any] struct {
	entries map[string]entry[E, A, B]
	names   []string // in order
}

type entry[E, A, B any] struct {
	about  E
	class  string // names the thing in messages
	fields []Field
	make32 func(*Reader[float32]) A
	make64 func(*Reader[float64]) B
}

// Add registers one of the family.
func (f *Family[E, A, B]) Add(name, class string, fields []Field, about E, make32 func(*Reader[float32]) A, make64 func(*Reader[float64]) B) {
	if f.entries == nil {
		f.entries = map[string]entry[E, A, B]{}
	}
	f.entries[name] = entry[E, A, B]{about, class, fields, make32, make64}
	at, _ := slices.BinarySearch(f.names, name)
	f.names = slices.Insert(f.names, at, name)
}

// Names returns the registered names in order; not to be changed.
func (f *Family[E, A, B]) Names() []string { return f.names }

// About returns the description of one of the family.
func (f *Family[E, A, B]) About(name string) (E, bool) {
	e, ok := f.entries[name]
	return e.about, ok
}

// Entries returns the descriptions in the order of their names.
func (f *Family[E, A, B]) Entries() []E {
	var all []E
	for _, name := range f.names {
		all = append(all, f.entries[name].about)
	}
	return all
}

// Make makes one of the family from its parameters: an A or a B. prepare, if not nil, binds axes that are known beforehand.
func Make[T num.Float, E, A, B any](f *Family[E, A, B], fn, arg, name string, values Values[T], prepare func(*Reader[T])) (any, error) {
	if err := check.Choice(fn, arg, name, f.names); err != nil {
		return nil, err
	}
	e := f.entries[name]
	r := Read(e.class, e.fields, values)
	if prepare != nil {
		prepare(r)
	}
	var made any
	switch r := any(r).(type) {
	case *Reader[float32]:
		made = e.make32(r)
	case *Reader[float64]:
		made = e.make64(r)
	}
	return made, r.Err()
}
