/* DLPack's description of an array, version 0 of its layout (https://dmlc.github.io/dlpack/latest/c_api.html). */
#ifndef PARDS_DLPACK_H
#define PARDS_DLPACK_H

#include <stdint.h>

#include "pards.h"

typedef struct dl_tensor {
    void *data;
    int32_t device_type, device_id;
    int32_t ndim;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} dl_tensor;

typedef struct dl_managed {
    dl_tensor tensor;
    void *context;
    void (*deleter)(struct dl_managed *);
} dl_managed;

/* A description of an array of elements of some bytes that gives the handle back when it is deleted; NULL without memory for it. */
dl_managed *dlpack_new(int64_t handle, const pards_array *array, int size);

#endif
