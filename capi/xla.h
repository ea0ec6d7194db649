/* What XLA's foreign function interface passes to a handler, version 0 of its ABI, as far as it is used here. Field for field this is the
 * layout that jaxlib documents in include/xla/ffi/api/c_api.h, which is the same from 0.6.0 to 0.12.0; every struct begins with its size.
 *
 * Below it, what the handlers here make of a call. */
#ifndef PARDS_XLA_H
#define PARDS_XLA_H

#include <stddef.h>
#include <stdint.h>

#include "pards.h"

/* The list of extensions of a call: the one wanted asks for the handler's version instead of running it. */
enum { xla_metadata = 1 };
typedef struct xla_extension {
    size_t size;
    int32_t kind;
    struct xla_extension *next;
} xla_extension;

typedef struct xla_version {
    size_t size;
    xla_extension *extensions;
    int32_t major, minor;
} xla_version;

/* Traits: the calls of a handler may be recorded into a graph, to be run whenever that is. */
enum { xla_recordable = 1 };

typedef struct xla_metadata_request {
    xla_extension extension;
    struct {
        size_t size;
        xla_version version;
        uint32_t traits;
    } *answer;
} xla_metadata_request;

typedef struct xla_buffer {
    size_t size;
    xla_extension *extensions;
    int32_t dtype; /* enum xla_dtype */
    void *data;
    int64_t ndim, *shape;
} xla_buffer;

enum xla_dtype { xla_bool = 1, xla_int32 = 4, xla_int64 = 5, xla_float32 = 11, xla_float64 = 12 };

/* Arguments and results alike: all are buffers. */
typedef struct xla_buffers {
    size_t size;
    xla_extension *extensions;
    int64_t count;
    int32_t *kinds;
    xla_buffer **at;
} xla_buffers;

typedef struct xla_text {
    const char *at;
    size_t length;
} xla_text;

typedef struct xla_scalar {
    int32_t dtype;
    const void *at;
} xla_scalar;

/* Attributes, sorted by name; each is an xla_scalar or an xla_text as its kind tells. */
enum { xla_is_scalar = 3, xla_is_text = 4 };
typedef struct xla_attributes {
    size_t size;
    xla_extension *extensions;
    int64_t count;
    int32_t *kinds;
    xla_text **names;
    void **at;
} xla_attributes;

typedef struct xla_error xla_error;
typedef struct xla_context xla_context;

enum { xla_invalid_argument = 3, xla_resource_exhausted = 8, xla_internal = 13 };
typedef struct xla_new_error {
    size_t size;
    xla_extension *extensions;
    const char *text;
    int32_t code;
} xla_new_error;

typedef struct xla_old_error {
    size_t size;
    xla_extension *extensions;
    xla_error *error;
} xla_old_error;

typedef struct xla_get_stream {
    size_t size;
    xla_extension *extensions;
    xla_context *context;
    void *stream; /* a CUstream */
} xla_get_stream;

typedef struct xla_get_ordinal {
    size_t size;
    xla_extension *extensions;
    xla_context *context;
    int32_t ordinal;
} xla_get_ordinal;

/* XLA's own functions; those in between are not called here. */
typedef struct xla_api {
    size_t size;
    xla_extension *extensions;
    xla_version version;
    const void *internal;
    xla_error *(*error_create)(xla_new_error *);
    void *error_text;
    void (*error_destroy)(xla_old_error *);
    void *handler_register;
    xla_error *(*stream_get)(xla_get_stream *);
    void *unused[12];
    xla_error *(*ordinal_get)(xla_get_ordinal *);
} xla_api;

typedef struct xla_frame {
    size_t size;
    xla_extension *extensions;
    const xla_api *api;
    xla_context *context;
    int32_t stage;
    xla_buffers arguments, results;
    xla_attributes attributes;
} xla_frame;

/* A call, decoded: the arrays are the arguments and, behind them, the results. */
enum { xla_most = 48 };

/* A value of an attribute: a text, or a number both as it is and cut to a whole one. */
typedef struct xla_attribute {
    xla_text name, text;
    int64_t whole;
    double number;
} xla_attribute;

typedef struct xla_call {
    int32_t device; /* 0: the host; 1 + N: the GPU cuda:N */
    void *stream;   /* on a GPU: what is begun belongs there */
    int64_t arguments, arrays, attributes;
    pards_array array[xla_most];
    xla_attribute attribute[xla_most];
} xla_call;

#endif
