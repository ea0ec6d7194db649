/* Handlers of XLA's foreign function interface: a call is decoded here, and run in xla.go. */
#include "xla.h"

#define EXPORT __attribute__((visibility("default")))

enum { message = 4096 };

/* xla.go's; not part of the ABI. */
int32_t xla_run(xla_call *call, char *msg, int64_t cap);

static xla_error *failed(const xla_frame *f, int32_t code, const char *text) {
    int32_t kind = code == PARDS_VALUE || code == PARDS_TYPE ? xla_invalid_argument : code == PARDS_MEMORY ? xla_resource_exhausted : xla_internal;
    xla_new_error e = {sizeof e, NULL, text, kind};
    return f->api->error_create(&e);
}

/* XLA takes a handler whose version it knows. All that is used here is in every version of that major number, so it gets its own. */
static int asked_for_metadata(const xla_frame *f, uint32_t traits) {
    for (xla_extension *e = f->extensions; e; e = e->next) {
        if (e->kind != xla_metadata) continue;
        xla_metadata_request *r = (xla_metadata_request *)e;
        r->answer->version.major = 0;
        r->answer->version.minor = f->api ? f->api->version.minor : 1;
        r->answer->traits = traits;
        return 1;
    }
    return 0;
}

static int32_t dtype_of(int32_t dtype) {
    return dtype == xla_float32 ? PARDS_FLOAT32 : dtype == xla_float64 ? PARDS_FLOAT64 : dtype == xla_int64 ? PARDS_INT64 : 0; /* 0: int32 */
}

static int take_buffers(xla_call *c, const xla_buffers *from) {
    if (c->arrays + from->count > xla_most) return 0;
    for (int64_t i = 0; i < from->count; i++) {
        const xla_buffer *b = from->at[i];
        c->array[c->arrays++] = (pards_array){b->data, dtype_of(b->dtype), c->device, b->ndim, b->shape};
    }
    return 1;
}

static int take_attributes(xla_call *c, const xla_attributes *from) {
    if (from->count > xla_most) return 0;
    for (c->attributes = 0; c->attributes < from->count; c->attributes++) {
        xla_attribute *a = &c->attribute[c->attributes];
        const void *at = from->at[c->attributes];
        *a = (xla_attribute){*from->names[c->attributes], {NULL, 0}, 0, 0};
        if (from->kinds[c->attributes] == xla_is_text) {
            a->text = *(const xla_text *)at;
        } else if (from->kinds[c->attributes] == xla_is_scalar) {
            const xla_scalar *s = at;
            switch (s->dtype) {
            case xla_bool: a->whole = *(const uint8_t *)s->at != 0, a->number = a->whole; break;
            case xla_int32: a->whole = *(const int32_t *)s->at, a->number = a->whole; break;
            case xla_int64: a->whole = *(const int64_t *)s->at, a->number = a->whole; break;
            case xla_float32: a->number = *(const float *)s->at; break;
            case xla_float64: a->number = *(const double *)s->at; break;
            default: return 0;
            }
        } else {
            return 0;
        }
    }
    return 1;
}

static xla_error *take_stream(xla_call *c, const xla_frame *f) {
    xla_get_stream s = {sizeof s, NULL, f->context, NULL};
    xla_get_ordinal o = {sizeof o, NULL, f->context, 0};
    xla_error *e = f->api->stream_get(&s);
    if (!e) e = f->api->ordinal_get(&o);
    c->stream = s.stream;
    c->device = 1 + o.ordinal;
    return e;
}

static xla_error *handle(const xla_frame *f, int on_gpu, uint32_t traits) {
    if (!f || asked_for_metadata(f, traits)) return NULL;
    xla_call c;
    c.device = 0, c.stream = NULL, c.arrays = 0;
    xla_error *e = on_gpu ? take_stream(&c, f) : NULL;
    if (e) return e;
    if (!take_buffers(&c, &f->arguments) || (c.arguments = c.arrays, !take_buffers(&c, &f->results)) || !take_attributes(&c, &f->attributes))
        return failed(f, PARDS_BUG, "pards: bug: a call by XLA has too many arrays or an attribute of another kind than is known");
    char text[message];
    int32_t code = xla_run(&c, text, sizeof text);
    return code ? failed(f, code, text) : NULL;
}

EXPORT void *pards_xla_cpu(void *frame) { return handle(frame, 0, 0); }
EXPORT void *pards_xla_cuda(void *frame) { return handle(frame, 1, 0); }
EXPORT void *pards_xla_cuda_scan(void *frame) { return handle(frame, 1, xla_recordable); }
