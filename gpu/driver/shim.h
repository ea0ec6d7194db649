#ifndef PARDS_SHIM_H
#define PARDS_SHIM_H
#include <cuda.h>
#include <stddef.h>
#include <stdint.h>

/* Loads libcuda.so.1 and fills the slots; returns 0, or a CUresult, or -1 with a text where there is no driver. */
int shim_load(char *text, size_t cap);

/* Launches with n arguments that lie at the offsets of packed; cooperative: all blocks at once. */
CUresult shim_launch(CUfunction f, const unsigned *grid, const unsigned *block, unsigned shared, uintptr_t stream, void *packed,
                      const int *offsets, int n, int cooperative);
#endif
