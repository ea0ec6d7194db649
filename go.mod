module pards

go 1.26

require (
	github.com/go-python/gopy v0.4.10
	gonum.org/v1/gonum v0.17.0
)
