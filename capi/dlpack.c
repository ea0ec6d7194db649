/* Memory of a GPU for other libraries. The deleter is C, as they may call it from any thread and after Python has ended. */
#include "dlpack.h"

#include <stdlib.h>

enum { cuda = 2, floating = 2 }; /* kDLCUDA, kDLFloat */

/* What is allocated at once: the handle stands in the context's place, the shape behind. */
static void delete(dl_managed *m) {
    pards_release((int64_t)(intptr_t)m->context, NULL, 0);
    free(m);
}

dl_managed *dlpack_new(int64_t handle, const pards_array *array, int size) {
    dl_managed *m = malloc(sizeof *m + 8 * (array->ndim + 1));
    if (!m) return NULL;
    int64_t *shape = (int64_t *)(m + 1);
    for (int64_t i = 0; i < array->ndim; i++) shape[i] = array->shape[i];
    dl_tensor tensor = {array->data, cuda, array->device - 1, (int32_t)array->ndim, floating, (uint8_t)(8 * size), 1, shape, NULL, 0};
    *m = (dl_managed){tensor, (void *)(intptr_t)handle, delete};
    return m;
}
