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

/* Memory that a graph had which is gone, in a list of such. */
typedef struct shim_lent shim_lent;
struct shim_lent {
    shim_lent *next, **gone;
    uintptr_t at;
};

/* Gives memory to the graph that the stream records: it is put on the list once the graph, its copies and what runs of them are gone, or
 * if this fails. */
CUresult shim_lend(uintptr_t stream, shim_lent **gone, uintptr_t at);

/* Empties a list, and returns what was on it. */
shim_lent *shim_take(shim_lent **gone);
#endif
