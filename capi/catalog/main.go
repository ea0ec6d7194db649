// Command catalog writes the Python face of the registries: methods and statuses in python/pards/_catalog.py, cells and structures in
// _catalog_cells.py and _catalog_structures.py, as typed classes. Run it in the root of the repository, after a change to a registry:
//
//	go run ./capi/catalog
//
// With -check it writes nothing, and fails when a file is not what it would write.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"pards/core/cell"
	"pards/core/lds"
	"pards/core/method"
	"pards/core/param"
)

const (
	folder = "python/pards"
	width  = 113 // of docstrings and texts, without indent and quotes: the formatter allows 120
)

var files = map[string]func() string{"_catalog.py": methods, "_catalog_cells.py": cells, "_catalog_structures.py": structures}

func main() {
	check := flag.Bool("check", false, "fail when a file is out of date")
	flag.Parse()
	for name, text := range files {
		file := filepath.Join(folder, name)
		if !*check {
			fail(os.WriteFile(file, []byte(text()), 0o644))
		} else if have, err := os.ReadFile(file); err != nil || string(have) != text() {
			fail(fmt.Errorf("%s is out of date; run: go run ./capi/catalog", file))
		}
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "catalog:", err)
		os.Exit(1)
	}
}

// writer builds Python text in the layout of `ruff format`.
type writer struct{ strings.Builder }

func (w *writer) line(indent int, format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != "" {
		w.WriteString(strings.Repeat("    ", indent) + text)
	}
	w.WriteByte('\n')
}

// head writes what a file starts with: its docstring, its imports and the names it shows.
func head(doc string, imports []string, shown []string) *writer {
	w := &writer{}
	w.line(0, `"""%s, written by capi/catalog from the core's registries; not to be edited."""`, doc)
	w.line(0, "")
	w.line(0, "from __future__ import annotations")
	w.line(0, "")
	for _, l := range imports {
		w.line(0, "%s", l)
	}
	w.line(0, "")
	w.line(0, "__all__ = [")
	capitals := func(i int) bool { return shown[i] == strings.ToUpper(shown[i]) }
	sort.Slice(shown, func(i, j int) bool { // as ruff does
		return capitals(i) && !capitals(j) || capitals(i) == capitals(j) && shown[i] < shown[j]
	})
	for _, class := range shown {
		w.line(1, "%s,", quoted(class))
	}
	w.line(0, "]")
	return w
}

func cells() string {
	var classes []string
	for _, e := range cell.Entries() {
		classes = append(classes, e.Class)
	}
	w := head("Cells", []string{"from collections.abc import Mapping", "from typing import ClassVar", "",
		"from numpy.typing import ArrayLike", "", "from ._array import Array", "from ._cell import Cell"}, classes)
	for _, e := range cell.Entries() {
		w.cell(e)
	}
	return w.String()
}

func structures() string {
	var classes []string
	for _, e := range lds.Entries() {
		classes = append(classes, e.Class)
	}
	w := head("Structures of A[t]", []string{"from collections.abc import Mapping", "from dataclasses import dataclass", "from typing import ClassVar", "",
		"from numpy.typing import ArrayLike", "", "from ._structure import Structure"}, classes)
	byName := map[string]string{}
	for _, e := range lds.Entries() {
		w.structure(e)
		byName[e.Name] = e.Class
	}
	w.mapping("STRUCTURES", "Structure", byName)
	return w.String()
}

func methods() string {
	var classes []string
	byName := map[string]string{}
	for _, e := range method.Entries() {
		classes = append(classes, e.Class)
		byName[e.Name] = e.Class
	}
	w := head("Methods and statuses", []string{"from collections.abc import Mapping", "from dataclasses import dataclass",
		"from typing import ClassVar, Literal", "", "from numpy.typing import ArrayLike", "", "from ._method import Method, Status"}, classes)
	for _, e := range method.Entries() {
		w.method(e)
	}
	w.mapping("METHODS", "Method", byName)
	w.line(0, "# The index of a status is its number in the reports of the library.")
	w.line(0, "STATUSES = (")
	for _, o := range method.Outcomes {
		w.status(o)
	}
	w.line(0, ")")
	return w.String()
}

// mapping writes a table of classes by name.
func (w *writer) mapping(table, base string, classes map[string]string) {
	var names []string
	for name := range classes {
		names = append(names, name)
	}
	sort.Strings(names)
	w.line(0, "")
	w.line(0, "")
	w.line(0, "%s: Mapping[str, type[%s]] = {", table, base)
	for _, name := range names {
		w.line(1, "%s: %s,", quoted(name), classes[name])
	}
	w.line(0, "}")
}

func (w *writer) structure(e lds.Entry) {
	w.line(0, "")
	w.line(0, "")
	if e.Array == "" {
		w.line(0, "@dataclass(frozen=True)")
	} else { // arrays have no truth value to compare by
		w.line(0, "@dataclass(frozen=True, eq=False)")
	}
	w.line(0, "class %s(Structure):", e.Class)
	w.docstring(e.Doc, nil)
	w.line(1, "name: ClassVar[str] = %s", quoted(e.Name))
	if e.Array == "" {
		return
	}
	w.line(1, "axes: ClassVar[int] = %d", e.Axes)
	if e.Whole {
		w.line(1, "whole: ClassVar[bool] = True")
	}
	w.line(0, "")
	w.line(1, "%s: ArrayLike", e.Array)
}

func (w *writer) cell(e cell.Entry) {
	w.line(0, "")
	w.line(0, "")
	w.line(0, "class %s(Cell):", e.Class)
	w.docstring(e.Doc, e.Fields)
	w.line(1, "name: ClassVar[str] = %s", quoted(e.Name))
	if e.Words {
		w.line(1, "words: ClassVar[bool] = True")
	}
	w.line(1, "fields: ClassVar[Mapping[str, str]] = {")
	for _, f := range e.Fields {
		kind := string(f.Kind)
		if f.Kind == param.Array {
			kind = f.Shape
		}
		w.line(2, "%s: %s,", quoted(f.Name), quoted(kind))
	}
	w.line(1, "}")
	for _, f := range e.Fields {
		if f.Name != "dim" { // every cell has that
			w.line(1, "%s: %s", f.Name, optional(f, kept(f)))
		}
	}
	w.line(0, "")
	w.line(1, "def __init__(")
	w.line(2, "self,")
	for _, f := range e.Fields {
		w.line(2, "%s: %s%s,", f.Name, optional(f, given(f)), assigned(f))
	}
	w.line(1, ") -> None:")
	w.line(2, "self._set(")
	for _, f := range e.Fields {
		w.line(3, "%s=%s,", f.Name, f.Name)
	}
	w.line(2, ")")
}

func (w *writer) method(e method.Entry) {
	var arrays []string
	for _, f := range e.Fields {
		if f.Kind == param.Array {
			arrays = append(arrays, quoted(f.Name)+",")
		}
	}
	w.line(0, "")
	w.line(0, "")
	if arrays == nil {
		w.line(0, "@dataclass(frozen=True)")
	} else { // arrays have no truth value to compare by
		w.line(0, "@dataclass(frozen=True, eq=False)")
	}
	w.line(0, "class %s(Method):", e.Class)
	w.docstring(e.Doc, e.Fields)
	w.line(1, "name: ClassVar[str] = %s", quoted(e.Name))
	w.line(1, "structure: ClassVar[str] = %s", quoted(e.Structure))
	w.line(1, "derivative: ClassVar[str] = %s", quoted(e.Derivative))
	if arrays != nil {
		w.line(1, "arrays: ClassVar[tuple[str, ...]] = (%s)", strings.Join(arrays, " "))
	}
	for i, f := range e.Fields {
		if i == 0 {
			w.line(0, "")
		}
		w.line(1, "%s: %s%s", f.Name, optional(f, given(f)), assigned(f))
	}
}

func (w *writer) status(o method.Outcome) {
	success := "False"
	if o.Success {
		success = "True"
	}
	w.line(1, "Status(")
	w.line(2, "%s,", quoted(o.Name))
	w.line(2, "%s,", success)
	w.text(2, "", o.Advice)
	if len(o.Own) > 0 {
		w.line(2, "{")
		for _, name := range slices.Sorted(maps.Keys(o.Own)) {
			w.text(3, quoted(name)+": ", o.Own[name])
		}
		w.line(2, "},")
	}
	w.line(1, "),")
}

// text writes a string over as many lines as it takes, the first behind a label.
func (w *writer) text(indent int, label, text string) {
	pieces := wrapped(text, width-4*indent-len(label))
	for i, p := range pieces {
		end := ","
		if i < len(pieces)-1 {
			p, end = p+" ", ""
		}
		w.line(indent, "%s%s%s", label, quoted(p), end)
		label = ""
	}
}

// docstring writes the paragraphs of a registry's text and its parameters.
func (w *writer) docstring(doc string, fields []param.Field) {
	var paragraphs [][]string
	for _, p := range strings.Split(doc, "\n\n") {
		var lines []string
		for _, part := range strings.SplitAfter(p, ":\n") { // a formula stands on its own lines
			lines = append(lines, wrapped(part, width)...)
		}
		paragraphs = append(paragraphs, lines)
	}
	if len(fields) > 0 {
		args := []string{"Args:"}
		for _, f := range fields {
			for i, l := range wrapped(f.Name+": "+described(f), width-8) {
				if i > 0 {
					l = "    " + l
				}
				args = append(args, "    "+l)
			}
		}
		paragraphs = append(paragraphs, args)
	}
	end := ""
	if len(paragraphs) == 1 && len(paragraphs[0]) == 1 {
		end = `"""`
	}
	for i, p := range paragraphs {
		for j, l := range p {
			switch {
			case i+j == 0:
				w.line(1, `"""%s%s`, l, end)
			case j == 0:
				w.line(0, "")
				fallthrough
			default:
				w.line(1, "%s", l)
			}
		}
	}
	if end == "" {
		w.line(1, `"""`)
	}
	w.line(0, "")
}

// described is a parameter's line in a docstring.
func described(f param.Field) string {
	if f.Kind != param.Array {
		return f.Doc + "."
	}
	var shapes []string
	for _, s := range strings.Split(f.Shape, "|") {
		axes := strings.Fields(s)
		shape := "(" + strings.Join(axes, ", ") + ")"
		if len(axes) == 1 {
			shape = "(" + axes[0] + ",)"
		}
		shapes = append(shapes, shape)
	}
	return strings.Join(shapes, " or ") + ", " + f.Doc + "."
}

// given is the Python type of a parameter as it is given, kept as a cell keeps it.
func given(f param.Field) string {
	switch {
	case f.Kind == param.Array:
		return "ArrayLike"
	case len(f.Choices) > 0:
		var choices []string
		for _, c := range f.Choices {
			choices = append(choices, quoted(c))
		}
		return "Literal[" + strings.Join(choices, ", ") + "]"
	}
	return string(f.Kind)
}

func kept(f param.Field) string {
	if f.Kind == param.Array {
		return "Array"
	}
	return given(f)
}

func optional(f param.Field, kind string) string {
	if f.Default == "None" {
		return kind + " | None"
	}
	return kind
}

func assigned(f param.Field) string {
	if f.Default == "" {
		return ""
	}
	return " = " + f.Default
}

// quoted writes a string as `ruff format` does: in double quotes unless that costs more escapes.
func quoted(s string) string {
	s = strings.ReplaceAll(s, `\`, `\\`)
	if strings.Contains(s, `"`) && !strings.Contains(s, "'") {
		return "'" + s + "'"
	}
	return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
}

// wrapped breaks a paragraph into lines.
func wrapped(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
