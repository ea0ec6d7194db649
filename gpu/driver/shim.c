//go:build cuda && linux && amd64

#include "shim.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* slots_amd64.S */
extern __attribute__((visibility("hidden"))) void *shim_slots[];
extern __attribute__((visibility("hidden"))) const char shim_names[];

__attribute__((visibility("hidden"))) CUresult shim_no_device(void) { return CUDA_ERROR_NO_DEVICE; }
__attribute__((visibility("hidden"))) CUresult shim_not_yet(void) { return CUDA_SUCCESS; }

int shim_load(char *text, size_t cap) {
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(text, cap, "%s", dlerror());
        return -1;
    }
    int i = 0; /* filled before the driver starts, for its own words where it does not */
    for (const char *name = shim_names; *name; name += strlen(name) + 1, i++) {
        void *found = dlsym(library, name);
        if (found) shim_slots[i] = found; /* what an older driver lacks keeps reporting an error */
    }
    return dlsym(library, "cuInit") ? cuInit(0) : CUDA_ERROR_NOT_FOUND;
}

enum { most = 64 };

CUresult shim_launch(CUfunction f, const unsigned *grid, const unsigned *block, unsigned shared, uintptr_t stream, void *packed,
                      const int *offsets, int n, int cooperative) {
    void *arguments[most];
    if (n > most) return CUDA_ERROR_INVALID_VALUE;
    for (int i = 0; i < n; i++) arguments[i] = (char *)packed + offsets[i];
    if (cooperative)
        return cuLaunchCooperativeKernel(f, grid[0], grid[1], grid[2], block[0], block[1], block[2], shared, (CUstream)stream, arguments);
    return cuLaunchKernel(f, grid[0], grid[1], grid[2], block[0], block[1], block[2], shared, (CUstream)stream, arguments, 0);
}
