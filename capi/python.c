/* The side of the ABI that knows Python. The interpreter's functions come by address, so the library links no libpython. */
#include <stddef.h>
#define EXPORT __attribute__((visibility("default")))
#include "pards.h"

typedef void *object;

/* One call in progress: the saved thread state, and what may be called back. */
typedef struct session {
    const pards_python *api;
    object state, eval, progress;
    int32_t stopped; /* an exception is set: nothing more is called */
} session;

#define API(s, name, type) ((type)(s)->api->name)

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
           api->memoryview && api->dec_ref;
}

EXPORT int32_t pards_python_solve(const pards_python *api, void *eval, void *progress, pards_solve_args *args, char *msg, int64_t cap) {
    if (!usable(api, args)) return pards_solve(NULL, msg, cap);
    session s = {api, NULL, eval, progress, 0};
    args->poll = python_poll;
    args->context = &s;
    leave(&s);
    int32_t code = pards_solve(args, msg, cap);
    enter(&s);
    return code;
}

EXPORT int32_t pards_python_analyse(const pards_python *api, void *eval, pards_solve_args *args, const pards_array *report,
                                    const pards_array *decay, char *msg, int64_t cap) {
    if (!usable(api, args)) return pards_analyse(NULL, NULL, NULL, msg, cap);
    session s = {api, NULL, eval, NULL, 0};
    args->poll = python_poll;
    args->context = &s;
    leave(&s);
    int32_t code = pards_analyse(args, report, decay, msg, cap);
    enter(&s);
    return code;
}

EXPORT int32_t pards_python_scan(const pards_python *api, pards_scan_args *args, char *msg, int64_t cap) {
    if (!usable(api, args)) return pards_scan(NULL, msg, cap);
    session s = {api, NULL, NULL, NULL, 0};
    args->poll = python_poll;
    args->context = &s;
    leave(&s);
    int32_t code = pards_scan(args, msg, cap);
    enter(&s);
    return code;
}
