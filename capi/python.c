/* The side of the ABI that knows Python. The interpreter's functions come by address, so the library links no libpython. */
#include <stddef.h>
#include <stdio.h>
#define EXPORT __attribute__((visibility("default")))
#include "pards.h"

typedef void *object;

/* Python's Py_buffer, which its stable ABI fixes. */
typedef struct buffer {
    void *data;
    object owner;
    intptr_t bytes, itemsize;
    int readonly, ndim;
    const char *format;
    const int64_t *shape;
    void *strides, *suboffsets, *internal;
} buffer;

enum { MOST = 5 }; /* arrays of a call */

/* One call in progress: the saved thread state, what may be called back, and the arrays that are lent to it. */
typedef struct session {
    const pards_python *api;
    object state, eval, progress;
    int32_t stopped; /* an exception is set: nothing more is called */
    int lent;
    buffer buffers[MOST];
    pards_array arrays[MOST];
} session;

#define API(s, name, type) ((type)(s)->api->name)

/* Gives back what was borrowed. */
static void give_back(session *s) {
    while (s->lent) API(s, release_buffer, void (*)(buffer *))(&s->buffers[--s->lent]);
}

/* Points fields to the arrays that a tuple of n holds; what has no buffer leaves its field. A code, with the exception left set. */
static int32_t borrow(session *s, object tuple, int n, const pards_array **const fields[], char *msg, int64_t cap) {
    for (int i = 0; tuple && i < n; i++) {
        object from = API(s, tuple_item, object(*)(object, intptr_t))(tuple, i);
        if (from && !API(s, check_buffer, int (*)(object))(from)) continue;
        buffer *b = &s->buffers[s->lent];
        const int flags = 0x3c; /* PyBUF_C_CONTIGUOUS | PyBUF_FORMAT */
        if (!from || API(s, get_buffer, int (*)(object, buffer *, int))(from, b, flags)) {
            give_back(s);
            if (msg && cap > 0) snprintf(msg, (size_t)cap, "an array did not lend its buffer");
            return PARDS_CALLBACK;
        }
        char format = b->format && !b->format[1] ? b->format[0] : 0;
        int32_t dtype = format == 'f' ? PARDS_FLOAT32 : format == 'd' ? PARDS_FLOAT64 : 0;
        s->arrays[s->lent] = (pards_array){b->data, dtype, 0, b->ndim, b->shape};
        *fields[i] = &s->arrays[s->lent++];
    }
    return PARDS_OK;
}

static void leave(session *s) { s->state = API(s, save_thread, object(*)(void))(); }
static void enter(session *s) { API(s, restore_thread, void (*)(object))(s->state); }

/* Calls a Python object with a tuple that it takes over; 0, or 1 with the exception left set. */
static int32_t call(session *s, object callable, object tuple) {
    object result = tuple ? API(s, call_object, object(*)(object, object))(callable, tuple) : NULL;
    void (*dec_ref)(object) = API(s, dec_ref, void (*)(object));
    if (tuple) dec_ref(tuple);
    if (!result) return 1;
    dec_ref(result);
    return 0;
}

/* A memoryview of bytes, writable by flag 0x200 (PyBUF_WRITE) and read-only by 0x100 (PyBUF_READ); None for NULL. */
static object view(session *s, const void *data, int64_t bytes, int flag) {
    if (!data) return API(s, build_value, object(*)(const char *, ...))("");
    return API(s, memoryview, object(*)(const char *, intptr_t, int))(data, bytes, flag);
}

/* The eval of a callable made for Python; its context is the session of the call in progress. */
EXPORT int32_t pards_python_eval(void *context, const pards_request *r) {
    session *s = context;
    if (!s || !r || !s->eval || s->stopped) return 1;
    int64_t row = r->dim * (r->dtype == PARDS_FLOAT32 ? 4 : 8), bytes = r->sequences * r->steps * row;
    enter(s);
    object tuple = API(s, build_value, object(*)(const char *, ...))(
        "(LLNLLLNNNN)", (long long)r->kind, (long long)r->sequences, view(s, r->index, 8 * r->sequences, 0x100), (long long)r->first,
        (long long)r->steps, (long long)r->dim, view(s, r->x, bytes, 0x100), view(s, r->y, bytes, 0x100), view(s, r->v, bytes, 0x100),
        view(s, r->out, r->kind == PARDS_JACOBIAN ? bytes * r->dim : bytes, 0x200));
    int32_t failed = call(s, s->eval, tuple);
    leave(s);
    return failed;
}

static int32_t python_poll(void *context, const pards_progress *p) {
    session *s = context;
    enter(s);
    int32_t stop = API(s, check_signals, int (*)(void))() != 0;
    if (!stop && s->progress && p->windows > 0)
        stop = call(s, s->progress,
                    API(s, build_value, object(*)(const char *, ...))("(LLLLd)", (long long)p->iteration, (long long)p->window,
                                                                       (long long)p->windows, (long long)p->sequences, p->merit));
    leave(s);
    s->stopped = stop;
    return stop;
}

/* Whether a call from Python can begin; if not, pards_solve, pards_analyse or pards_scan says what is wrong with args. */
static int usable(const pards_python *api, const void *args) {
    return args && api && api->save_thread && api->restore_thread && api->check_signals && api->call_object && api->build_value &&
           api->memoryview && api->dec_ref && api->get_buffer && api->release_buffer && api->check_buffer && api->tuple_item;
}

EXPORT int32_t pards_python_solve(const pards_python *api, void *eval, void *progress, void *arrays, pards_solve_args *args, char *msg,
                                  int64_t cap) {
    if (!usable(api, args)) return pards_solve(NULL, msg, cap);
    session s = {.api = api, .eval = eval, .progress = progress};
    const pards_array **const fields[] = {&args->x0, &args->inputs, &args->guess, &args->states, &args->report};
    int32_t code = borrow(&s, arrays, 5, fields, msg, cap);
    if (code) return code;
    args->poll = python_poll;
    args->context = &s;
    leave(&s);
    code = pards_solve(args, msg, cap);
    enter(&s);
    give_back(&s);
    return code;
}

EXPORT int32_t pards_python_analyse(const pards_python *api, void *eval, pards_solve_args *args, const pards_array *report,
                                    const pards_array *decay, char *msg, int64_t cap) {
    if (!usable(api, args)) return pards_analyse(NULL, NULL, NULL, msg, cap);
    session s = {.api = api, .eval = eval};
    args->poll = python_poll;
    args->context = &s;
    leave(&s);
    int32_t code = pards_analyse(args, report, decay, msg, cap);
    enter(&s);
    return code;
}

EXPORT int32_t pards_python_scan(const pards_python *api, void *arrays, pards_scan_args *args, char *msg, int64_t cap) {
    if (!usable(api, args)) return pards_scan(NULL, msg, cap);
    session s = {.api = api};
    const pards_array **const fields[] = {&args->a, &args->b, &args->x0, &args->out};
    int32_t code = borrow(&s, arrays, 4, fields, msg, cap);
    if (code) return code;
    args->poll = python_poll;
    args->context = &s;
    leave(&s);
    code = pards_scan(args, msg, cap);
    enter(&s);
    give_back(&s);
    return code;
}
