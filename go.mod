module pards

go 1.26

require (
	github.com/ebitengine/purego v0.11.3
	github.com/go-python/gopy v0.4.10
	golang.org/x/sync v0.12.0
	golang.org/x/sys v0.30.0
	gonum.org/v1/gonum v0.17.0
	gorgonia.org/cu v0.9.6
)

require (
	github.com/google/uuid v1.1.1 // indirect
	github.com/pkg/errors v0.9.1 // indirect
)
