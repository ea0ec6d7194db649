// The kernels of the engine that goes through memory: any cell, any method, any D. PARDS_REAL, PARDS_CELL (a *_rows of rows.cuh),
// PARDS_TEAM (threads that share a step: 32, or the 128 of a block).
//
// An iteration: evaluate, clip (for matrices), right, a scan, finish. The host decides between iterations.
#include "rows.cuh"

typedef PARDS_REAL real;
constexpr int block = 128, own = PARDS_TEAM, together = block / own;

// How A is held: numbers a step, and what is asked of the cell. Values are those of gpu/general.go.
enum { ZERO, IDENTITY, SCALED_IDENTITY, DIAGONAL, BLOCK_DIAGONAL, DENSE };
enum { NONE, CONSTANT, FULL, DIAGONAL_OF, MEAN_DIAGONAL, BLOCKS_OF, HUTCHINSON, ROTATED };

struct window {
    const real *weight, *start, *u, *x; // start (n, D): the states before the window; x (n, W, D)
    real *next, *f, *a, *right, *scanned, *local;
    const real *basis, *signs;          // basis (n, D, D) or null; signs (probes, T, D) or null: drawn
    const int *slots, *sequence;        // the sequences at work, of those in memory; (n): index in the batch
    double* squares;                    // (n, parts)
    word* extents;                      // (n, 4, D): of the residual, of next, of the update, of x, as bits; then (n): length - first row not finite
    double* mean;                       // (parts, n, D, D)
    long long u_stride, first, steps;   // first: of the window in all steps
    unsigned long long seed;
    int n, length, d, m, k, flag, structure, derivative, size, probes, parts, locals, clip, affine, fresh, update;
    real damping; // what A is multiplied by
};

PARDS_FN void widen(word* extent, double v) {
    word bits = (word)__double_as_longlong(v) & 0x7fffffffffffffffull; // as unsigned numbers: finite < infinite < NaN
    if (*(volatile word*)extent < bits) atomicMax(extent, bits);
}
PARDS_FN word* extent_of(const window& g, int s, int kind) { return g.extents + ((long long)s * 4 + kind) * g.d; }
PARDS_FN word* bad_of(const window& g, int s) { return g.extents + (long long)g.n * 4 * g.d + s; }
PARDS_FN int sequence_of(const window& g) { return g.slots[blockIdx.y]; }
PARDS_FN int numbers_of(const window& g) {
    switch (g.structure) {
    case SCALED_IDENTITY: return 1;
    case DIAGONAL: return g.d;
    case BLOCK_DIAGONAL: return g.d / g.size * g.size * g.size + g.d % g.size * (g.d % g.size);
    case DENSE: return g.d * g.d;
    }
    return 0;
}
PARDS_FN long long row_of(const window& g, int s, int t) { return (long long)s * g.length + t; }
PARDS_FN const real* before(const window& g, int s, int t) { return t ? g.x + row_of(g, s, t - 1) * g.d : g.start + (long long)s * g.d; }

PARDS_FN word mix(word x) { // splitmix64, as in core/method/quasi.go
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}
PARDS_FN real sign(const window& g, int probe, int t, int i) {
    const long long at = (probe * g.steps + g.first + t) * g.d + i;
    if (g.signs) return g.signs[at];
    word seed = mix(g.seed);
    if (g.fresh) seed = mix(seed + g.update + 1);
    return mix(seed + at) >> 63 ? -1 : 1;
}

// a_times returns component i of A v.
PARDS_FN real a_times(const window& g, const real* a, const real* v, int i) {
    real s = 0;
    switch (g.structure) {
    case IDENTITY: return v[i];
    case SCALED_IDENTITY: return a[0] * v[i];
    case DIAGONAL: return a[i] * v[i];
    case DENSE:
        for (int k = 0; k < g.d; k++) s += a[(long long)i * g.d + k] * v[k];
        return s;
    case BLOCK_DIAGONAL: {
        const int from = i / g.size * g.size, size = g.d - from < g.size ? g.d - from : g.size;
        const real* row = a + (long long)from * g.size + (i - from) * size;
        for (int k = 0; k < size; k++) s += row[k] * v[from + k];
        return s;
    }
    }
    return 0;
}

// linearise writes A of a step from the cell's locals.
template <class cell> PARDS_FN void linearise(const window& g, const cell& c, team t, int s, int step, const real* local, const real* u) {
    real* a = g.a + row_of(g, s, step) * numbers_of(g);
    const int d = g.d;
    const bool matrices = g.derivative == FULL || g.derivative == BLOCKS_OF;
    auto put = [&](long long at, real v) {
        if (g.clip && !matrices) v = v > 1 ? 1 : v < -1 ? -1 : v;
        a[at] = g.clip && matrices ? v : v * g.damping; // clip, the kernel, damps what it clips
    };
    switch (g.derivative) {
    case CONSTANT:
        if (t.lane == 0) a[0] = g.damping;
        return;
    case FULL:
        for (int e = t.lane; e < d * d; e += t.size) put(e, c.element(local, u, e / d, e % d));
        return;
    case DIAGONAL_OF:
        for (int i = t.lane; i < d; i += t.size) put(i, c.element(local, u, i, i));
        return;
    case MEAN_DIAGONAL:
        if (t.lane == 0) {
            real sum = 0;
            for (int i = 0; i < d; i++) sum += c.element(local, u, i, i);
            put(0, sum / d);
        }
        return;
    case BLOCKS_OF:
        for (int i = t.lane; i < d; i += t.size) {
            const int from = i / g.size * g.size, size = d - from < g.size ? d - from : g.size;
            for (int k = 0; k < size; k++) put((long long)from * g.size + (i - from) * size + k, c.element(local, u, i, from + k));
        }
        return;
    case HUTCHINSON:
        for (int i = t.lane; i < d; i += t.size) {
            real sum = 0;
            for (int p = 0; p < g.probes; p++) {
                real jz = 0;
                for (int k = 0; k < d; k++) jz += c.element(local, u, i, k) * sign(g, p, step, k);
                sum += sign(g, p, step, i) * jz;
            }
            put(i, g.probes > 1 ? sum * (1 / (real)g.probes) : sum);
        }
        return;
    case ROTATED: {
        const real* q = g.basis + (long long)s * d * d;
        for (int j = t.lane; j < d; j += t.size) {
            real sum = 0;
            for (int i = 0; i < d; i++) {
                real jq = 0;
                for (int k = 0; k < d; k++) jq += c.element(local, u, i, k) * q[(long long)k * d + j];
                sum += q[(long long)i * d + j] * jq;
            }
            put(j, sum);
        }
        return;
    }
    }
}

PARDS_FN PARDS_CELL<real> cell_of(const window& g) {
    PARDS_CELL<real> c;
    c.w = g.weight, c.d = g.d, c.m = g.m, c.k = g.k, c.flag = g.flag;
    return c;
}

// steps calls f for the steps that a team has of the block's sequence, which parts blocks share: which step is whose depends on shapes alone.
template <class F> PARDS_FN void steps(const window& g, F f) {
    const team t{(int)threadIdx.x % own, own};
    const int mine = blockIdx.x * together + threadIdx.x / own, all = g.parts * together;
    for (int first = 0; first < g.length; first += all) // as often for every team: they may meet
        f(t, first + mine < g.length ? first + mine : -1);
}
PARDS_FN real* local_of(const window& g) {
    return g.local + (((long long)blockIdx.y * g.parts + blockIdx.x) * together + threadIdx.x / own) * g.locals;
}

// evaluate writes f, A if it is asked for, and the size of the residual.
extern "C" __global__ void __launch_bounds__(block) evaluate(window g, int measure) {
    const int s = sequence_of(g), d = g.d;
    const PARDS_CELL<real> c = cell_of(g);
    __shared__ double sums[block];
    double squares = 0;
    steps(g, [&](team t, int step) {
        real* local = local_of(g);
        if (step >= 0) {
            const real* u = g.u + g.sequence[s] * g.u_stride + (g.first + step) * g.m;
            real* f = g.f + row_of(g, s, step) * d;
            c.evaluate(t, before(g, s, step), u, f, local);
            t.meet();
            if (g.derivative != NONE) linearise(g, c, t, s, step, local, u);
            for (int i = t.lane; measure && i < d; i += t.size) {
                const double r = g.x[row_of(g, s, step) * d + i] - f[i];
                squares += r * r;
                widen(extent_of(g, s, 0) + i, r);
            }
        }
        t.meet();
    });
    sums[threadIdx.x] = squares;
    for (int half = block / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0 && measure) g.squares[(long long)s * g.parts + blockIdx.x] = sums[0];
}

// mean adds up the Jacobians of this block's steps.
extern "C" __global__ void __launch_bounds__(block) mean(window g) {
    const int s = sequence_of(g), d = g.d;
    const PARDS_CELL<real> c = cell_of(g);
    const team t{(int)threadIdx.x, block};
    double* sum = g.mean + ((long long)blockIdx.x * g.n + s) * d * d;
    real* local = g.local + ((long long)blockIdx.y * g.parts + blockIdx.x) * together * g.locals;
    for (int e = threadIdx.x; e < d * d; e += block) sum[e] = 0;
    for (int step = blockIdx.x; step < g.length; step += gridDim.x) {
        const real* u = g.u + g.sequence[s] * g.u_stride + (g.first + step) * g.m;
        c.evaluate(t, before(g, s, step), u, g.next + row_of(g, s, step) * d, local); // f goes where nothing stands yet
        __syncthreads();
        for (int e = threadIdx.x; e < d * d; e += block) sum[e] += (double)c.element(local, u, e / d, e % d) / g.length;
        __syncthreads();
    }
}

// add_means adds the sums of the blocks, in their order, to the first.
extern "C" __global__ void __launch_bounds__(block) add_means(window g, int count) {
    const long long all = (long long)g.n * g.d * g.d;
    for (long long e = blockIdx.x * (long long)block + threadIdx.x; e < all; e += (long long)gridDim.x * block) {
        double sum = g.mean[e];
        for (int p = 1; p < count; p++) sum += g.mean[p * all + e];
        g.mean[e] = sum;
    }
}

// clip divides each matrix by the larger of 1 and its largest singular value, then damps it; one that is not finite stays. The value is
// the root of the largest eigenvalue of A'A, whose vector a high power of A'A has in each column. scratch: 3 size^2 numbers a block.
extern "C" __global__ void __launch_bounds__(block) clip(window g, double* scratch) {
    const int size = g.structure == DENSE ? g.d : g.size, each = (g.d + size - 1) / size;
    const long long matrices = (long long)g.n * g.length * each;
    double *G = scratch + (long long)blockIdx.x * 3 * size * size, *H = G + size * size, *first = H + size * size;
    __shared__ double shared[block];
    auto sum = [&](double v, bool largest) {
        shared[threadIdx.x] = v;
        for (int half = block / 2; half > 0; half /= 2) {
            __syncthreads();
            if (threadIdx.x < half) {
                const double w = shared[threadIdx.x + half];
                shared[threadIdx.x] = !largest ? shared[threadIdx.x] + w : w > shared[threadIdx.x] || w != w ? w : shared[threadIdx.x];
            }
        }
        __syncthreads();
        const double all = shared[0];
        __syncthreads();
        return all;
    };
    for (long long m = blockIdx.x; m < matrices; m += gridDim.x) {
        const int part = (int)(m % each), n = g.d - part * size < size ? g.d - part * size : size;
        real* a = g.a + m / each * numbers_of(g) + (long long)part * size * size;
        double trace = 0;
        for (int e = threadIdx.x; e < n * n; e += block) {
            double s = 0;
            for (int k = 0; k < n; k++) s += (double)a[k * n + e / n] * a[k * n + e % n];
            G[e] = first[e] = s;
            if (e / n == e % n) trace += s;
        }
        trace = sum(trace, false);
        if (!(trace <= 1.7e308)) continue;
        if (trace > 1) { // else no singular value is above 1
            for (int round = 0; round < 40; round++) { // the power 2^40 of A'A, divided by its trace as it grows
                double top = 0;
                for (int e = threadIdx.x; e < n; e += block) top += G[e * n + e];
                const double scale = 1 / sum(top, false);
                for (int e = threadIdx.x; e < n * n; e += block) {
                    double s = 0;
                    for (int k = 0; k < n; k++) s += G[e / n * n + k] * scale * (G[k * n + e % n] * scale);
                    H[e] = s;
                }
                __syncthreads();
                double* swap = G;
                G = H, H = swap;
            }
            // trace(G A'A) / trace(G) is the largest eigenvalue, since G is the projection on its vectors
            double above = 0, below = 0;
            for (int e = threadIdx.x; e < n * n; e += block) {
                above += G[e] * first[e];
                if (e / n == e % n) below += G[e];
            }
            above = sum(above, false), below = sum(below, false);
            const double value = sqrt(above / below);
            if (value > 1)
                for (int e = threadIdx.x; e < n * n; e += block) a[e] = (real)(a[e] * (real)(1 / value));
        }
        if (g.damping != 1)
            for (int e = threadIdx.x; e < n * n; e += block) a[e] *= g.damping;
        __syncthreads();
    }
}

template <class F> PARDS_FN void elements(const window& g, F f) { // f(sequence, step, component)
    const long long all = (long long)g.length * g.d;
    for (long long e = blockIdx.x * (long long)block + threadIdx.x; e < all; e += (long long)gridDim.x * block) f(sequence_of(g), (int)(e / g.d), (int)(e % g.d));
}

// right writes what the scan adds: increments f - x, in a basis Q'(f - x); for an affine cell f - A x.
extern "C" __global__ void __launch_bounds__(block) right(window g) {
    elements(g, [&](int s, int t, int i) {
        const long long row = row_of(g, s, t);
        const real *f = g.f + row * g.d, *x = g.x + row * g.d;
        real v = f[i];
        if (g.basis) {
            const real* q = g.basis + (long long)s * g.d * g.d;
            v = 0;
            for (int k = 0; k < g.d; k++) v += (f[k] - x[k]) * q[(long long)k * g.d + i];
        } else if (!g.affine) v -= x[i];
        else if (t > 0) v -= a_times(g, g.a + row * numbers_of(g), before(g, s, t), i);
        g.right[row * g.d + i] = v;
    });
}

// finish writes the next iterate from what the scan left: x'[t] = f[t] + A[t] d[t-1].
extern "C" __global__ void __launch_bounds__(block) finish(window g) {
    elements(g, [&](int s, int t, int i) {
        const long long row = row_of(g, s, t);
        real v = g.f[row * g.d + i];
        const real *a = g.a + row * numbers_of(g), *d = g.scanned + (row - 1) * g.d;
        if (g.affine && !g.basis) v = g.scanned[row * g.d + i];
        else if (t > 0 && g.basis) {
            const real* q = g.basis + (long long)s * g.d * g.d + (long long)i * g.d;
            real sum = 0;
            for (int k = 0; k < g.d; k++) sum += q[k] * (a[k] * d[k]);
            v += sum;
        } else if (t > 0) v += a_times(g, a, d, i);
        g.next[row * g.d + i] = v;
    });
}

// measure takes the extents of the next iterate and of the update, and the first row that is not finite.
extern "C" __global__ void __launch_bounds__(block) measure(window g) {
    elements(g, [&](int s, int t, int i) {
        const long long e = row_of(g, s, t) * g.d + i;
        const real v = g.next[e];
        widen(extent_of(g, s, 1) + i, v);
        widen(extent_of(g, s, 2) + i, v - g.x[e]);
        if (v - v != 0) atomicMax(bad_of(g, s), (word)(g.length - t));
    });
}

// guess fills the iterate with a guess (T, D) of stride numbers a sequence, or with the state before the window, and takes its extent.
extern "C" __global__ void __launch_bounds__(block) guess(window g, real* x, const real* given, long long stride) {
    elements(g, [&](int s, int t, int i) {
        const real v = given ? given[g.sequence[s] * stride + (g.first + t) * g.d + i] : g.start[(long long)s * g.d + i];
        x[row_of(g, s, t) * g.d + i] = v;
        widen(extent_of(g, s, 3) + i, v);
    });
}

// reset gives NaN components of the next iterate the value of the guess, and counts them.
extern "C" __global__ void __launch_bounds__(block) reset(window g, const real* given, long long stride, word* count) {
    elements(g, [&](int s, int t, int i) {
        real* v = g.next + row_of(g, s, t) * g.d + i;
        if (*v == *v) return;
        *v = given ? given[g.sequence[s] * stride + (g.first + t) * g.d + i] : g.start[(long long)s * g.d + i];
        atomicAdd(count, (word)1);
    });
}
