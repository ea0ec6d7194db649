//go:build cuda && linux && amd64

#include "shim.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
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

/* Runs on a thread of the driver's, which may neither call the driver nor wait. */
static void CUDA_CB put_on_list(void *of) {
    shim_lent *lent = of;
    lent->next = __atomic_load_n(lent->gone, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(lent->gone, &lent->next, lent, 1, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
    }
}

shim_lent *shim_take(shim_lent **gone) { return __atomic_exchange_n(gone, NULL, __ATOMIC_ACQUIRE); }

CUresult shim_lend(uintptr_t stream, shim_lent **gone, uintptr_t at) {
    CUstreamCaptureStatus status;
    CUgraph graph = NULL;
    CUuserObject object;
    shim_lent *lent = malloc(sizeof *lent);
    if (!lent) return CUDA_ERROR_OUT_OF_MEMORY;
    *lent = (shim_lent){NULL, gone, at};
    CUresult rc = cuStreamGetCaptureInfo((CUstream)stream, &status, NULL, &graph, NULL, NULL);
    if (!rc) rc = cuUserObjectCreate(&object, lent, put_on_list, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC);
    if (rc) {
        put_on_list(lent);
        return rc;
    }
    rc = cuGraphRetainUserObject(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE);
    if (rc) cuUserObjectRelease(object, 1);
    return rc;
}
