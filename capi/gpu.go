package main

import "pards/gpu"

// gpuReason says why there is no GPU, "" if there is one.
func gpuReason() string {
	if err := gpu.Open(); err != nil {
		return err.Error()
	}
	return ""
}
