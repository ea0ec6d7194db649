/* pards: the C ABI, version 1. Written by hand; the single source of truth for every caller (the Python package reads it).
 *
 * A model x[t] = f(x[t-1], u[t]), t = 1..T, is solved for its whole trajectory at once; arrays are 0-based, states[i] is x[i+1].
 *
 * Rules
 *   - Every function that can fail returns a code of enum pards_code and writes a text of at most cap bytes (with its final 0) to msg.
 *     msg may be NULL when cap is 0. No function prints, exits or lets a panic through.
 *   - Arrays are C-contiguous, aligned to their element, owned by the caller, and not kept after the call that took them.
 *     A pointer to a pards_array may be NULL where the comment says "or NULL".
 *   - Objects are int64 handles. pards_release gives one reference back; a stale or foreign handle is an error, never a crash.
 *   - Any thread may call; a handle may be used by several threads at once.
 */
#ifndef PARDS_H
#define PARDS_H

#include <stdint.h>

#define PARDS_ABI 1

#ifdef __cplusplus
extern "C" {
#endif

enum pards_code {
    PARDS_OK = 0,
    PARDS_VALUE = 1,        /* an argument has a wrong value or shape */
    PARDS_TYPE = 2,         /* an argument has a wrong type */
    PARDS_MEMORY = 3,       /* the problem does not fit in memory; nothing was allocated */
    PARDS_STOPPED = 4,      /* poll asked to stop */
    PARDS_CALLBACK = 5,     /* the model's callback failed */
    PARDS_HANDLE = 6,       /* a handle is unknown, released, or of another kind */
    PARDS_DEVICE = 7,       /* the device asked for is not there */
    PARDS_BUG = 8           /* a fault inside pards */
};

enum pards_dtype { PARDS_FLOAT32 = 1, PARDS_FLOAT64 = 2, PARDS_INT64 = 3, PARDS_TEXT = 4, PARDS_INT32 = 5 };

typedef struct pards_array {
    void *data;
    int32_t dtype;          /* enum pards_dtype; text is bytes without a final 0, whole numbers of 32 bits are words on a GPU */
    int32_t device;         /* 0: the host; 1 + N: the GPU cuda:N, for what pards_solve, pards_scan and pards_device_dlpack take */
    int64_t ndim;
    const int64_t *shape;   /* ndim numbers; NULL when ndim is 0 */
} pards_array;

/* A named parameter of a cell or a setting of a method: an array, a number (0 dimensions) or a text (1 dimension). */
typedef struct pards_param {
    const char *name;
    pards_array value;
} pards_param;

/* What a cell is evaluated for, with J = df/dx and G = df/du: f, J, diag J, J v, J'v, G v, G'v. A model written by the caller is asked
 * for f and for what is made of J, over a block of steps of several sequences at once. */
enum pards_kind { PARDS_STEP = 0, PARDS_JACOBIAN = 1, PARDS_DIAGONAL = 2, PARDS_JVP = 3, PARDS_VJP = 4, PARDS_INPUT_JVP = 5, PARDS_INPUT_VJP = 6 };

typedef struct pards_request {
    int64_t kind;           /* enum pards_kind */
    int64_t sequences;      /* S: how many sequences */
    const int64_t *index;   /* which ones: (S,), positions in the batch */
    int64_t first;          /* 0-based index of the first step: u of the block is inputs[index, first : first + steps] */
    int64_t steps;          /* n: how many steps */
    int64_t dim;            /* D */
    int64_t dtype;          /* of the arrays below */
    const void *x;          /* (S, n, D): the states before each step */
    const void *y;          /* (S, n, D): f(x, u), known for every kind but PARDS_STEP */
    const void *v;          /* (S, n, D): the vectors of PARDS_JVP and PARDS_VJP */
    void *out;              /* to fill: (S, n, D), or (S, n, D, D) for PARDS_JACOBIAN; out[s, t, i, j] = df_i/dx_j */
} pards_request;

/* Returns 0, or anything else to end the solve with PARDS_CALLBACK. Called on the thread that called pards_solve. */
typedef int32_t (*pards_eval)(void *context, const pards_request *request);

typedef struct pards_progress {
    int64_t iteration;      /* of the sequence that reported last: updates made in the window in hand; steps made by the plain loop */
    int64_t window;         /* 0-based */
    int64_t windows;
    int64_t sequences;      /* solved together with it: all that are not done for a callable, one for a native cell */
    double merit;           /* of it */
} pards_progress;

/* Called on the calling thread at most every 20 ms; a result other than 0 ends the call with PARDS_STOPPED,
 * and leaves the states of sequences that were not done unspecified. */
typedef int32_t (*pards_poll)(void *context, const pards_progress *progress);

#ifndef PARDS_TYPES_ONLY

int32_t pards_abi(void);

/* PARDS_VALUE if one of the variables PARDS_NUM_THREADS and PARDS_SIMD has a value that does not do, which then does not count. */
int32_t pards_environment(char *msg, int64_t cap);

/* Writes a JSON text (version, abi, cells, methods, structures, statuses, workers, vectors, gpu, goroutines) and to *needed its length with
 * the final 0; call with cap 0 to learn the length. */
int32_t pards_describe(char *json, int64_t json_cap, int64_t *needed, char *msg, int64_t cap);

/* A cell by its registered name; the parameters are copied. */
int32_t pards_cell(const char *name, int32_t dtype, const pards_param *params, int64_t count, int64_t *cell, char *msg, int64_t cap);

/* A cell's D, and M, which is 0 for a cell without inputs and 1 for words. */
int32_t pards_cell_shape(int64_t cell, int64_t *dim, int64_t *inputs, char *msg, int64_t cap);

/* A cell that asks the caller: f is eval, called with the context of the call that uses the cell. */
int32_t pards_callable(int64_t dim, int32_t dtype, pards_eval eval, int64_t *cell, char *msg, int64_t cap);

int32_t pards_retain(int64_t handle, char *msg, int64_t cap);
int32_t pards_release(int64_t handle, char *msg, int64_t cap);
/* How many handles are alive. */
int64_t pards_handles(void);

/* f or a derivative of a native cell at n states: x (n, D), u (n, M), v (n, D), out (n, D), or (n, D, D) for PARDS_JACOBIAN; u and v or
 * NULL. PARDS_INPUT_JVP takes v (n, M), PARDS_INPUT_VJP gives out (n, M). */
int32_t pards_evaluate(int64_t cell, int32_t kind, const pards_array *x, const pards_array *u, const pards_array *v,
                       const pards_array *out, char *msg, int64_t cap);

/* Derivatives of a native cell with respect to its parameters, arrays and numbers: PARDS_TYPE for a cell of words. tangents and gradients
 * are parameters by the names and of the shapes that pards_cell takes, any of them.
 *
 * out (n, D) = df/dparams w, w the tangents, zero for a parameter that is not named; arrays of the cell's dtype, numbers float64. */
int32_t pards_param_jvp(int64_t cell, const pards_array *x, const pards_array *u, const pards_param *tangents, int64_t count,
                        const pards_array *out, char *msg, int64_t cap);
/* Adds the sum over the n states of (df/dparam)'v, v (n, D), to each of the gradients, which are float64 whatever the cell's dtype: up to
 * 128 steps are summed in that dtype, these sums in float64, in an order that depends on shapes alone. */
int32_t pards_param_vjp(int64_t cell, const pards_array *x, const pards_array *u, const pards_array *v, const pards_param *gradients,
                        int64_t count, char *msg, int64_t cap);

/* Directories of Python packages, a line each, where the GPU's compiler is looked for; once, before a GPU is first used. */
int32_t pards_search(const char *directories, char *msg, int64_t cap);

/* Memory of the GPU cuda:ordinal: a handle, which holds it until it is released, and its address in the GPU's memory. */
int32_t pards_device_alloc(int64_t ordinal, int64_t bytes, int64_t *memory, int64_t *address, char *msg, int64_t cap);
/* Copies between the host and the GPU: to the host, or to the GPU if in is not 0. What was begun on its default stream comes first. */
int32_t pards_device_copy(int64_t ordinal, void *to, const void *from, int64_t bytes, int32_t in, char *msg, int64_t cap);
/* The number of the GPU in whose memory an address is. */
int32_t pards_device_of(int64_t address, int64_t *ordinal, char *msg, int64_t cap);
/* Waits for a stream, as cudaStream_t or CUstream; 1 is the default one. */
int32_t pards_device_wait(int64_t ordinal, int64_t stream, char *msg, int64_t cap);
/* The address of a new DLManagedTensor of DLPack for an array in the memory of a handle, which it keeps until its deleter is called. */
int32_t pards_device_dlpack(int64_t memory, const pards_array *array, int64_t *managed, char *msg, int64_t cap);

#endif

typedef struct pards_scan_args {
    int64_t size;               /* sizeof(pards_scan_args) */
    const char *structure;      /* "dense", "diagonal", or another that pards_describe names; it says what the array of each is */
    const pards_array *a;       /* (B, T, ...): for "dense" (B, T, D, D), for "diagonal" (B, T, D); NULL for a structure without */
    const pards_array *b;       /* (B, T, D) */
    const pards_array *x0;      /* (B, D), or NULL: the first A is not read */
    const pards_array *out;     /* (B, T, D) */
    int64_t reverse;
    const char *device;         /* "auto", "cpu", "cuda", "cuda:N"; arrays on a GPU are scanned there */
    int64_t num_threads;        /* 0: as many as the process may use */
    pards_poll poll;            /* or NULL */
    void *context;
} pards_scan_args;

/* The columns of pards_solve_args.report, one row a sequence; PARDS_LOOPED: how many steps the plain loop made. */
enum pards_report { PARDS_ITERATIONS = 0, PARDS_STATUS = 1, PARDS_ERROR = 2, PARDS_MERIT = 3, PARDS_RESIDUAL = 4, PARDS_UPDATE = 5,
                    PARDS_RESETS = 6, PARDS_BAD_STEP = 7, PARDS_LOOPED = 8, PARDS_COLUMNS = 9 };

typedef struct pards_solve_args {
    int64_t size;               /* sizeof(pards_solve_args) */
    int64_t cell;
    const char *method;         /* a registered name, or "auto" */
    const pards_param *settings;/* of the method, or NULL */
    int64_t settings_count;
    const pards_array *x0;      /* (D) or (B, D) */
    const pards_array *inputs;  /* (T, M) or (B, T, M); words (T, 1) or (B, T, 1); NULL for an autonomous model or a callable */
    const pards_array *guess;   /* (T, D), (B, T, D), or NULL: x0 at every step */
    int64_t batch;              /* B */
    int64_t length;             /* T */
    double rtol;                /* NaN: not given */
    double atol;                /* NaN: not given */
    double merit_tol;           /* NaN: not given */
    int64_t max_iterations;     /* -1: not given */
    int64_t window;             /* 0: none; -1: windows that adapt */
    double damping;             /* from 0 to 1; -1: as much as it takes */
    int64_t clip;
    const char *nonfinite;      /* "stop", "continue", "reset" */
    const char *device;         /* "auto", "cpu", "cuda", "cuda:N" */
    int64_t num_threads;        /* 0: as many as the process may use */
    int64_t seed;
    int64_t trace;              /* 0: keep no history; 1: keep all of it; 2: that of the windows alone */
    pards_poll poll;            /* or NULL */
    void *context;              /* for poll and for a callable's eval */
    /* results */
    const pards_array *states;  /* (B, T, D), in any number of axes */
    const pards_array *report;  /* float64 (B, PARDS_COLUMNS); see enum pards_report */
    int64_t history;            /* handle, 0 without trace; released by the caller, also after PARDS_STOPPED */
    int64_t window_used;        /* W, the longest where windows adapt; 0: none */
    double seconds;
    char method_used[64];
    char device_used[64];
    char reason[512];           /* why auto chose the method, and the device if that is a GPU */
} pards_solve_args;

/* The columns of the report of pards_analyse, one row a sequence: max over t of |J[t] - A[t]|, |Jt^-1|, the Lipschitz constant of J near the
 * trajectory, the largest Lyapunov exponent a step and its standard error, the distance of the guess, the rate and the radius of Proposition 3; norms are
 * spectral, over all steps. */
enum pards_theory { PARDS_DIFFERENCE = 0, PARDS_INVERSE = 1, PARDS_LIPSCHITZ = 2, PARDS_LYAPUNOV = 3, PARDS_LYAPUNOV_ERROR = 4,
                    PARDS_START = 5, PARDS_RATE = 6, PARDS_RADIUS = 7, PARDS_THEORY_COLUMNS = 8 };

/* What a history holds: float64 (rows, B, 3): merit, residual, update, NaN after a sequence's end; int64 (B, n): updates of each window,
 * 0 after a sequence's end; int64 (B, n), where windows adapt: the steps that each took its sequence on, 0 where it was given up. */
enum pards_history_part { PARDS_TRACE = 0, PARDS_WINDOWS = 1, PARDS_ADVANCES = 2 };

/* For Python alone: the interpreter's own functions, passed by address so that the library needs no libpython. The calls below are
 * made with the GIL held, release it while pards works, and take it back to poll for signals and to call eval and progress.
 * A result of PARDS_CALLBACK or PARDS_STOPPED leaves the Python exception set. */
typedef struct pards_python {
    void *save_thread;          /* PyEval_SaveThread */
    void *restore_thread;       /* PyEval_RestoreThread */
    void *check_signals;        /* PyErr_CheckSignals */
    void *call_object;          /* PyObject_CallObject */
    void *build_value;          /* Py_BuildValue */
    void *memoryview;           /* PyMemoryView_FromMemory */
    void *dec_ref;              /* Py_DecRef */
    void *get_buffer;           /* PyObject_GetBuffer */
    void *release_buffer;       /* PyBuffer_Release */
    void *check_buffer;         /* PyObject_CheckBuffer */
    void *tuple_item;           /* PyTuple_GetItem */
} pards_python;

#ifndef PARDS_TYPES_ONLY

/* x[t] = A[t] x[t-1] + b[t]; reverse: x[t] = A[t] x[t+1] + b[t], x0 standing after the last step. */
int32_t pards_scan(const pards_scan_args *args, char *msg, int64_t cap);

int32_t pards_solve(pards_solve_args *args, char *msg, int64_t cap);

/* Writes the bytes that a solve by these args on this machine's cores would allocate beside the caller's arrays, which are not looked
 * at, and to args method_used and window_used. For a callable, what its eval needs for a Jacobian is counted, its temporaries are not. */
int32_t pards_memory(pards_solve_args *args, double *bytes, char *msg, int64_t cap);

/* What theory says of a method along trajectories, on this machine's cores. args is as for pards_solve, but states are read: the trajectories
 * (B, T, D), or iterates; its report, history, device and the fields of results are not used. report is float64 (B, PARDS_THEORY_COLUMNS).
 * decay is float64 (B, K + 1, 2): how far the guess and each of K iterates are, with A held as it is along the trajectory: the largest error
 * of a component, relative as in rtol, and the merit. */
int32_t pards_analyse(const pards_solve_args *args, const pards_array *report, const pards_array *decay, char *msg, int64_t cap);

/* shape: room for 3 numbers. */
int32_t pards_history_shape(int64_t history, int32_t part, int64_t *shape, char *msg, int64_t cap);
int32_t pards_history_copy(int64_t history, int32_t part, const pards_array *out, char *msg, int64_t cap);

/* eval(kind, sequences, index, first, steps, dim, x, y, v, out) with memoryviews, or NULL; progress(iteration, window, windows, sequences, merit), or NULL.
 * arrays: a tuple of five, C-contiguous buffers of float32 or float64 that become x0, inputs, guess, states and report of args while the call
 * lasts; what is no buffer, as None, leaves that of args; or NULL. */
int32_t pards_python_solve(const pards_python *api, void *eval, void *progress, void *arrays, pards_solve_args *args, char *msg, int64_t cap);
/* The eval to give to pards_callable for a model written in Python: it calls the eval of the pards_python_solve in progress,
 * and fails without one. */
int32_t pards_python_eval(void *context, const pards_request *request);
/* eval as for pards_python_solve. */
int32_t pards_python_analyse(const pards_python *api, void *eval, pards_solve_args *args, const pards_array *report, const pards_array *decay,
                             char *msg, int64_t cap);
/* arrays: as for pards_python_solve, of four: a, b, x0 and out. */
int32_t pards_python_scan(const pards_python *api, void *arrays, pards_scan_args *args, char *msg, int64_t cap);

/* For JAX alone: handlers of XLA's foreign function interface, which calls them with its call frame; the result is an error of XLA's, or
 * NULL. What they do is said by attributes of the call, that only the Python package knows. */
void *pards_xla_cpu(void *frame);
void *pards_xla_cuda(void *frame);
void *pards_xla_cuda_scan(void *frame); /* of scans alone: it may be recorded into a graph */

#endif

#ifdef __cplusplus
}
#endif
#endif
