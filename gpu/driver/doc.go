// Package driver is the CUDA driver and its compiler as the rest of pards uses them: devices, memory, streams, modules compiled from
// source at run time and kept on disk. It knows no mathematics.
//
// # The lazy shim
//
// gorgonia.org/cu calls cuInit when it is loaded and ends the process where that fails, and it links libcuda. Neither would do in a
// library that Python imports on machines without a GPU. So every cu* function that cu refers to is defined here (slots_amd64.S, made by
// package slots) as a jump through a slot. Slots begin at a function that reports CUDA_ERROR_NO_DEVICE, cuInit's at one that reports
// success; the first Open loads libcuda.so.1, fills them and calls the real cuInit. The -lcuda that cu asks for is met by an empty
// archive. Without the build tag cuda there is only Open, which says so.
package driver
