// The solver of solve.cu.
#pragma once
#include "summary.cuh"
#include PARDS_CELL_FILE

using real = PARDS_REAL;
using unit = PARDS_SUMMARY::unit;
constexpr int D = PARDS_DIM, M = PARDS_INPUTS, warps = PARDS_THREADS / 32, numbers = PARDS_SUMMARY::numbers;
constexpr int row_bytes = PARDS_VECTOR;
constexpr bool has_derivative = PARDS_DERIVATIVE != 0;

#define PARDS_NAN (__longlong_as_double(0x7ff8000000000000ll))
#define PARDS_INFINITY (__longlong_as_double(0x7ff0000000000000ll))

enum status_code { converged, at_floor, max_iterations, nonfinite, interrupted };
enum policy_code { policy_stop, policy_continue, policy_reset };

// What a block tells the others of an iterate.
struct record {
    unit total[numbers];
    real value[D];      // what the last row would become if nothing came in
    real extent[3 * D]; // of the iterate, of the update that led to it, of the residual
    double squares;     // of the residual, summed
    int raw, bad;       // first row that is not finite, before and after NaN were reset
    int resets, stop;
};

constexpr int staged_records = sizeof(record) <= 256 ? 32 : 8;

// What became of a sequence.
struct report {
    double error, merit, residual, update;
    int status, iterations, resets, bad_step, trace_rows, unused;
};

struct task_head {
    const real *x0, *u, *guess; // guess may be null
    real *states, *work;
    const int* members; // null: all
    const real* signs;  // null: drawn
    const PARDS_CELL::number* weights; // null: in numbers
    record* records;             // two for each block
    unsigned* counters;          // one for each group, and one more; zero at the start
    report* reports;
    int* windows;
    double* trace; // null: none
    const volatile int* stop;
    long long x0_stride, u_stride, guess_stride, trace_capacity;
    unsigned long long seed;
    double merit_tol, rtol, scale_floor, eps, keep; // merit_tol NaN: by rtol; keep: A is multiplied by it
    int members_count, steps, window, groups, blocks, chunk, cap, policy, clip, probes, fresh, unused;
};
struct task : task_head {
    PARDS_CELL::number numbers[PARDS_NUMBERS > 0 ? PARDS_NUMBERS : 1];
};

// What a block knows of the sequence in hand; the same in all blocks of the group.
struct control {
    int k, count, finite, settled, done, status, kept; // kept: 0 where the last iterate was rejected
    double last[3], merit, error, residual, update;    // update NaN before the first
    report result;
};

// Whether numbers that a thread seldom needs lie in shared memory, which leaves registers to the matrices.
constexpr bool roomy = 4 * D * sizeof(real) <= 128;
constexpr int columns = roomy ? PARDS_THREADS : 1;

struct shared_block {
    unit total[2][warps][numbers];
    real extent[warps][3 * D];
    double squares[warps];
    int raw[warps], bad[warps], resets[warps];
    record staged[staged_records];
    real found[roomy ? 3 * D : 1][columns], last[roomy ? D : 1][columns];
    real into[D], out[D];                             // what comes into the block, and what comes out of it
    real carry[warps][2][D], row[warps + 1][D];       // what comes into each warp and out of it, and the iterate's row before it
    real value[D], ended[D]; // of the last thread: value, and e of its warp's total
    control now;
    alignas(16) PARDS_CELL::number weights[PARDS_CELL::numbers];
};

constexpr int no_row = 0x7fffffff;

template <int N>
PARDS_FN void copy_row(const real* from, real* to) {
#ifdef PARDS_DEVICE
    constexpr int bytes = N * int(sizeof(real));
    if constexpr (row_bytes >= 16 && bytes % 16 == 0) {
        PARDS_UNROLL
        for (int i = 0; i < bytes / 16; i++) reinterpret_cast<uint4*>(to)[i] = reinterpret_cast<const uint4*>(from)[i];
    } else if constexpr (row_bytes >= 8 && bytes % 8 == 0) {
        PARDS_UNROLL
        for (int i = 0; i < bytes / 8; i++) reinterpret_cast<uint2*>(to)[i] = reinterpret_cast<const uint2*>(from)[i];
    } else
#endif
    {
        PARDS_UNROLL
        for (int i = 0; i < N; i++) to[i] = from[i];
    }
}

// Where PARDS_RESIDENT is set the iterates and inputs of a block's steps lie in shared memory for the whole window, those of a thread
// together: two iterates, the row before the chunk, the inputs. Threads are apart by an odd number of accesses, so that none wait for a bank.
constexpr bool resident = PARDS_RESIDENT;

PARDS_FN constexpr int stride_of(int numbers, int row) {
    int access = 16 / int(sizeof(real));
    while (row % access != 0) access /= 2;
    return ((numbers + access - 1) / access | 1) * access;
}

// A counter gives a random word, as in core/method/quasi.go.
PARDS_FN unsigned long long mix(unsigned long long x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

// What a thread finds in its chunk.
struct findings {
    real own[roomy ? 1 : 3 * D], (*found)[columns]; // extents of the iterate, of the update, of the residual
    double squares;
    int raw, bad, resets;

    PARDS_FN real& at(int n) { return roomy ? found[n][roomy ? threadIdx.x : 0] : own[roomy ? 0 : n]; }
    PARDS_FN void widen(int n, real v) { at(n) = largest(at(n), absolute(v)); }

    PARDS_FN void clear() {
        PARDS_UNROLL
        for (int n = 0; n < 3 * D; n++) at(n) = 0;
        squares = 0;
        raw = bad = no_row;
        resets = 0;
    }

    // r is a row of residuals. Squares are summed in double precision, those of a row in single where none can overflow or vanish.
    PARDS_FN void add(const real* r) {
        real s = 0, any = 0;
        PARDS_UNROLL
        for (int i = 0; i < D; i++) {
            widen(2 * D + i, r[i]);
            s += r[i] * r[i];
            any = largest(any, absolute(r[i]));
        }
        if (sizeof(real) == 4 && !(s > real(1e-30) && s < real(1e30)) && any != real(0)) {
            double wide = 0;
            PARDS_UNROLL
            for (int i = 0; i < D; i++) wide += double(r[i]) * double(r[i]);
            squares += wide;
            return;
        }
        squares += double(s);
    }
};

template <class cell_type, class summary, bool probed>
struct solver {
    using point = typename cell_type::point;
    using linear = typename cell_type::linear;
    using drive = typename cell_type::drive;
    using matrix = typename summary::matrix;
    static constexpr bool affine = cell_type::affine, dense = numbers == D * D + D && D > 1;

    const task& t;
    shared_block& shared;
    cell_type cell;
    int tid, lane, warp, block, group, sequence_index;
    unsigned turn;   // barriers of the group passed, times its blocks
    int parity;      // of the records in use
    int joined;      // which of two holds what the warps do together
    const real *u, *guess, *start;
    real *states, *work;
    int first, steps; // of the window in hand
    int lo, hi;       // the thread's chunk of it
    int here, active; // threads of this block, blocks of the group, that have one
    int block_first, block_rows; // the steps of this block
    real *kept, *kept_before, *kept_inputs; // of the thread, where iterates are resident
    int row_stride, input_stride;
    real in[D], before[D]; // what comes into the chunk, and the next iterate's row before it; last_row is that at its end
    real ending[roomy ? 1 : D];

    PARDS_FN solver(const task& t, shared_block& shared) : t(t), shared(shared), turn(0), parity(0) {
        tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
        group = blockIdx.x / t.blocks, block = blockIdx.x % t.blocks;
        set_weights();
    }

    PARDS_FN void set_weights() {
        for (int i = tid; i < cell_type::numbers; i += PARDS_THREADS) shared.weights[i] = PARDS_NUMBERS > 0 ? t.numbers[PARDS_NUMBERS > 0 ? i : 0] : t.weights[i];
        block_barrier();
        cell.w = cell.given = shared.weights;
#ifdef PARDS_DEVICE
        if constexpr (PARDS_NUMBERS > 0 && D < 8) {
            unsigned long long parameter;
            asm("mov.b64 %0, solve_param_0;" : "=l"(parameter));
            cell.given = reinterpret_cast<const typename cell_type::number*>(parameter + sizeof(task_head));
        }
#endif
    }

    PARDS_FN real& last_row(int i) { return roomy ? shared.last[i][roomy ? tid : 0] : ending[roomy ? 0 : i]; }

    PARDS_FN real* iterate(int k) const { return (k & 1 ? states : work) + (long long)first * D; }

    PARDS_FN real* mine(int k) const { return kept + (k & 1) * row_stride * PARDS_THREADS; }

    // A row of iterate k, within the chunk.
    PARDS_FN void read(int k, int row, real* y) const {
        if constexpr (resident)
            copy_row<D>(mine(k) + (row - lo) * D, y);
        else
            copy_row<D>(iterate(k) + (long long)row * D, y);
    }
    PARDS_FN void write(int k, int row, const real* y) const {
        if constexpr (resident)
            copy_row<D>(y, mine(k) + (row - lo) * D);
        else
            copy_row<D>(y, iterate(k) + (long long)row * D);
    }
    PARDS_FN void read_inputs(int row, real* v) const {
        if constexpr (M == 0) return;
        if constexpr (resident)
            copy_row<M>(kept_inputs + (row - lo) * M, v);
        else
            copy_row<M>(u + (long long)(first + row) * M, v);
    }

    // Copies rows of N numbers of this block's steps between memory, where they lie one after another, and the threads' shared memory.
    template <int N, bool in>
    PARDS_FN void move(real* __restrict__ memory, real* __restrict__ thread0, int stride) const {
        unsigned long long inverse = 0xffffffffu / unsigned(t.chunk) + 1ull; // exact for rows times chunk below 2^32
        memory += ((long long)first + block_first) * N;
        PARDS_FOURS
        for (int row = tid; row < block_rows; row += PARDS_THREADS) {
            int thread = int(row * inverse >> 32);
            real* here = thread0 + thread * stride + (row - thread * t.chunk) * N;
            real* there = memory + (long long)row * N;
            real y[N];
            copy_row<N>(in ? there : here, y);
            copy_row<N>(y, in ? here : there);
        }
    }

    // The state before the window's first step, or a row of the window's guess.
    PARDS_FN void start_row(real* x) const {
        PARDS_UNROLL
        for (int i = 0; i < D; i++) x[i] = start[i];
    }
    PARDS_FN void guess_row(int row, real* x) const {
        if (guess)
            copy_row<D>(guess + (long long)(first + row) * D, x);
        else
            start_row(x);
    }

    // A at a point, clipped and damped. k: updates made so far.
    PARDS_FN void linearise(const point& p, int row, int k, matrix& A) const {
        if constexpr (probed) {
            real a[D];
            estimate(p, row, k, a);
            summary::set(a, A);
        } else if constexpr (has_derivative) {
            summary::of(cell, p, A);
        } else if constexpr (numbers > D) {
            A.a[0] = 1;
        }
        if (t.clip) summary::clip(A);
        if (t.keep != 1) summary::scale(A, real(t.keep));
    }

    // Hutchinson's estimate of the diagonal: the mean of z (J z) over probes z of +-1.
    PARDS_FN void estimate(const point& p, int row, int k, real* a) const {
        PARDS_UNROLL
        for (int i = 0; i < D; i++) a[i] = 0;
        unsigned long long seed = mix(t.seed);
        if (t.fresh) seed = mix(seed + (unsigned long long)k + 1);
        PARDS_LOOP
        for (int probe = 0; probe < t.probes; probe++) {
            real z[D], Jz[D];
            linear l;
            long long at = ((long long)probe * t.steps + first + row) * D;
            PARDS_UNROLL
            for (int i = 0; i < D; i++) z[i] = t.signs ? t.signs[at + i] : mix(seed + (unsigned long long)(at + i)) >> 63 ? real(-1) : real(1);
            cell.before(z, l);
            cell.jvp(p, z, l.h, Jz);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) a[i] += z[i] * Jz[i];
        }
        if (t.probes > 1) {
            PARDS_UNROLL
            for (int i = 0; i < D; i++) a[i] *= real(1) / real(t.probes);
        }
    }

    // Gives NaN the guess's value where that is the policy; counts them.
    PARDS_FN int reset(int row, real* y) const {
        int n = 0;
        PARDS_UNROLL
        for (int i = 0; i < D; i++) n += y[i] != y[i];
        if (n == 0) return 0;
        real g[D];
        guess_row(row, g);
        PARDS_UNROLL
        for (int i = 0; i < D; i++) y[i] = y[i] != y[i] ? g[i] : y[i];
        return n;
    }

    // y = f + A c, or b + A c for an affine cell: a row of the next iterate. x: the old iterate's row before, next: the new one's; l and m
    // are what is linear in them.
    PARDS_FN void update(const real* x, const real* next, const real* c, const drive& v, const linear& l,
                         const linear& m, int row, int k, real* y) const {
        point p;
        if constexpr (summary::from_start) { // f - A x = 0
            permute<D>(v.p, c, y);
            return;
        } else {
            real f[D];
            cell.template at<has_derivative>(x, l, v, f, p);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) y[i] = f[i];
            if (row == 0) return; // the first A is never read
            if constexpr (dense) {
                linear h;
                real Ac[D];
                if constexpr (affine) {
                    real Ax[D];
                    cell.jvp(p, x, l.h, Ax);
                    PARDS_UNROLL
                    for (int i = 0; i < D; i++) y[i] -= real(t.keep) * Ax[i];
                    cell.before(c, h);
                } else if constexpr (cell_type::uses_linear) {
                    constexpr int size = sizeof(h.h) / sizeof(real);
                    PARDS_UNROLL
                    for (int i = 0; i < size; i++) h.h[i] = m.h[i] - l.h[i];
                }
                cell.jvp(p, c, h.h, Ac);
                PARDS_UNROLL
                for (int i = 0; i < D; i++) y[i] += real(t.keep) * Ac[i];
            } else {
                matrix A;
                linearise(p, row, k, A);
                if constexpr (affine) {
                    real Ax[D];
                    zero(Ax);
                    summary::product(A, x, Ax);
                    PARDS_UNROLL
                    for (int i = 0; i < D; i++) y[i] -= Ax[i];
                }
                summary::product(A, c, y);
            }
        }
    }

    PARDS_FN static void zero(real* x) {
        PARDS_UNROLL
        for (int i = 0; i < D; i++) x[i] = 0;
    }

    // Walks through the chunk: makes iterate k from k - 1 (the guess for k = 0), evaluates along it, and leaves what the chunk does.
    PARDS_FN void walk(int k, summary& s, real* value, findings& found) {
        real x[D], next[D], c[D]; // the rows before: of the old iterate, of the new, and what comes in
        rows_before(k, x, next, c);
        PARDS_LOOP
        for (int row = lo; row < hi; row++) {
            real driven[M > 0 ? M : 1];
            drive v;
            read_inputs(row, driven);
            cell.prepare(driven, v);
            linear l, m;
            bool makes = k > 0 && row < hi - 1;
            if (makes)
                cell.before(x, l, next, m);
            else
                cell.before(next, m);
            real y[D], old[D];
            if (k == 0) {
                if (resident && guess)
                    read(0, row, y);
                else
                    guess_row(row, y);
            } else {
                read(k - 1, row, old);
                if (!makes) {
                    PARDS_UNROLL
                    for (int i = 0; i < D; i++) y[i] = last_row(i);
                } else {
                    update(x, next, c, v, l, m, row, k - 1, y);
                }
                PARDS_UNROLL
                for (int i = 0; i < D; i++) c[i] = affine ? y[i] : y[i] - old[i];
                if (t.policy == policy_reset) {
                    if (found.raw == no_row && !finite_row(y)) found.raw = row;
                    found.resets += reset(row, y);
                }
                PARDS_UNROLL
                for (int i = 0; i < D; i++) found.widen(D + i, y[i] - old[i]);
            }
            write(k, row, y);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) found.widen(i, y[i]);
            take(next, y, v, m, row, k, s, value, found);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) x[i] = old[i], next[i] = y[i];
        }
        if (k > 0) first_bad_row(k, found);
    }

    // The rows before the chunk.
    PARDS_FN void rows_before(int k, real* x, real* next, real* c) const {
        PARDS_UNROLL
        for (int i = 0; i < D; i++) c[i] = in[i];
        if (lo == 0) {
            start_row(x);
            start_row(next);
        } else if (k == 0) {
            guess_row(lo - 1, next);
        } else {
            copy_row<D>(resident ? kept_before : iterate(k - 1) + (long long)(lo - 1) * D, x);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) next[i] = before[i];
            if (t.policy == policy_reset) reset(lo - 1, next);
        }
        if constexpr (resident) copy_row<D>(next, kept_before);
    }

    // Takes in one step: f and A at the row before (next), against the row y. A last row that is not finite counts as zero, so that a good
    // row can follow a bad one.
    PARDS_FN void take(const real* next, const real* y, const drive& v, const linear& m, int row, int k, summary& s,
                       real* value, findings& found) const {
        real f[D], r[D], Ae[D];
        point p;
        cell.template at<has_derivative>(next, m, v, f, p);
        PARDS_UNROLL
        for (int i = 0; i < D; i++) r[i] = y[i] - f[i];
        found.add(r);
        matrix A;
        linearise(p, row, k, A);
        bool last = row == hi - 1;
        if constexpr (affine && !summary::from_start) {
            zero(r);
            if (row > 0) summary::product(A, next, r);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) r[i] = f[i] - r[i];
        } else {
            PARDS_UNROLL
            for (int i = 0; i < D; i++) r[i] = last && !is_finite(y[i]) ? f[i] : f[i] - y[i];
        }
        zero(Ae);
        if (row == lo)
            s.begin(A, r, row == 0);
        else
            s.extend(A, r, Ae);
        if (affine || !last) return;
        PARDS_UNROLL
        for (int i = 0; i < D; i++) value[i] = f[i] + Ae[i];
    }

    PARDS_FN static bool finite_row(const real* y) {
        bool all = true;
        PARDS_UNROLL
        for (int i = 0; i < D; i++) all = all && is_finite(y[i]);
        return all;
    }

    PARDS_FN void first_bad_row(int k, findings& found) const {
        real scale[D];
        PARDS_UNROLL
        for (int i = 0; i < D; i++) scale[i] = found.at(i);
        if (!finite_row(scale)) {
            PARDS_LOOP
            for (int row = lo; row < hi && found.bad == no_row; row++) {
                real y[D];
                read(k, row, y);
                if (!finite_row(y)) found.bad = row;
            }
        }
        if (t.policy != policy_reset) found.raw = found.bad;
    }

    // The warp's findings go to shared memory.
    PARDS_FN void gather(findings& f) {
        PARDS_UNROLL
        for (int n = 0; n < 3 * D; n++) {
            real v = warp_largest(f.at(n));
            if (lane == 0) shared.extent[warp][n] = v;
        }
        double squares = warp_sum(f.squares);
        int raw = warp_least(f.raw), bad = warp_least(f.bad), resets = warp_sum(f.resets);
        if (lane == 0) shared.squares[warp] = squares, shared.raw[warp] = raw, shared.bad[warp] = bad, shared.resets[warp] = resets;
    }

    PARDS_FN record* records(int of) const { return t.records + (2 * group + of) * (long long)t.blocks; }

    // Puts the totals of the warps one after another, as a warp's lanes do theirs: each becomes that of all steps from the block's first on.
    PARDS_FN void join() {
        int used = (here + 31) / 32;
        joined = 0;
        PARDS_LOOP
        for (int by = 1; by < used; by <<= 1, joined ^= 1) {
            for (int n = tid; n < used * numbers; n += PARDS_THREADS) {
                int w = n / numbers, j = n % numbers;
                const unit* now = shared.total[joined][w];
                shared.total[joined ^ 1][w][j] = w < by ? now[j] : summary::composed(now, shared.total[joined][w - by], j);
            }
            block_barrier();
        }
    }

    // The block's record, of the findings and totals of its warps. Warp 0 takes the totals, warp 1 adds up.
    PARDS_FN void publish(record* to, int stop) {
        int used = (here + 31) / 32;
        if (warp == 0 && here > 0) {
            const unit* all = shared.total[joined][used - 1];
            for (int n = lane; n < numbers; n += 32) to->total[n] = all[n];
            if constexpr (!affine) {
                constexpr int e = numbers - D;
                if (lane < D) to->value[lane] = shared.value[lane] + (all[e + lane] - shared.ended[lane]);
            }
        }
        if (warp == 1) {
            for (int n = lane; n < 3 * D; n += 32) {
                real v = shared.extent[0][n];
                PARDS_LOOP
                for (int w = 1; w < warps; w++) v = largest(v, shared.extent[w][n]);
                to->extent[n] = v;
            }
            if (lane == 0) {
                double squares = shared.squares[0];
                int raw = shared.raw[0], bad = shared.bad[0], resets = shared.resets[0];
                PARDS_LOOP
                for (int w = 1; w < warps; w++) {
                    squares += shared.squares[w];
                    raw = min(raw, shared.raw[w]), bad = min(bad, shared.bad[w]), resets += shared.resets[w];
                }
                to->squares = squares, to->raw = raw, to->bad = bad, to->resets = resets;
                to->stop = stop;
            }
        }
    }

    // One iteration: walk, compose, exchange, fold, decide. Leaves what comes into the chunk and the rows of the next iterate that threads
    // share: f + A d, as everywhere, which is what the last row would become if nothing came in, and what comes in adds to it.
    PARDS_FN void sweep(int k) {
        summary s;
        int stop = block == 0 && tid == 32 ? *t.stop : 0;
        findings found;
        found.found = shared.found;
        real value[D], own[D];
        found.clear();
        zero(value);
        zero(own);
        if (lo < hi) {
            walk(k, s, value, found);
            if constexpr (!affine) s.ends(own);
        }
        s.scan(lane);
        bool final = tid == here - 1;
        if (tid < here && (lane == 31 || final)) s.store(shared.total[0][warp]);
        if constexpr (!affine) {
            real e[D];
            s.ends(e);
            PARDS_UNROLL
            for (int i = 0; i < D; i++) {
                if (final) shared.value[i] = value[i] + (e[i] - own[i]), shared.ended[i] = e[i];
            }
        }
        gather(found);
        block_barrier();
        join();
        publish(t.blocks == 1 ? shared.staged : records(parity) + block, stop);
        group_barrier<PARDS_CLUSTER>(t.counters + group, t.blocks, turn);
        fold();
        share(s, value, own);
        parity ^= 1;
    }

    PARDS_FN void share(const summary& s, const real* value, const real* own) {
        bool final = tid == here - 1;
        real out[D], c[D], last[D];
        zero(out);
        PARDS_UNROLL
        for (int i = 0; i < D; i++) c[i] = in[i] = shared.carry[warp][0][i];
        if (lo < hi) s.apply(c, out);
        PARDS_UNROLL
        for (int i = 0; i < D; i++) {
            if (lane == 31 || final) out[i] = shared.carry[warp][1][i];
            last[i] = affine ? out[i] : value[i] + (out[i] - own[i]);
            if (final) last[i] = shared.row[warps][i];
            last_row(i) = last[i];
            if (lane == 31 && warp + 1 < warps) shared.row[warp + 1][i] = last[i];
        }
        block_barrier();
        PARDS_UNROLL
        for (int i = 0; i < D; i++) {
            real c = from_below(out[i], 1), y = from_below(last[i], 1);
            in[i] = lane == 0 ? in[i] : c;
            before[i] = lane == 0 ? shared.row[warp][i] : y;
        }
    }

    // Folds the records of all blocks: warp 0 follows what comes in through the blocks before and through the warps of this one, warp 1
    // adds up the findings and decides.
    PARDS_FN void fold() {
        real c = 0, y = 0, extent[(3 * D + 31) / 32];
        double squares = 0;
        int raw = no_row, bad = no_row, resets = 0, stop = 0;
        PARDS_UNROLL
        for (int n = 0; n < (3 * D + 31) / 32; n++) extent[n] = 0;
        if (summary::from_start && lane < D) c = start[lane];
        int component = lane < D ? lane : 0;
        PARDS_LOOP
        for (int from = 0; from < active; from += staged_records) {
            int n = min(active - from, staged_records);
            if (t.blocks > 1) stage(from, n);
            if (warp == 0) {
                PARDS_LOOP
                for (int b = from; b < min(from + n, block); b++) c = follow(shared.staged[b - from], c, component, y);
                if (block >= from && block < from + n) {
                    if (lane < D) shared.row[0][lane] = y;
                    real end = follow(shared.staged[block - from], c, component, y);
                    if (lane < D) shared.out[lane] = end, shared.row[warps][lane] = y;
                }
            } else if (warp == 1) {
                PARDS_LOOP
                for (int b = 0; b < n; b++) {
                    const record& r = shared.staged[b];
                    PARDS_UNROLL
                    for (int j = 0; j < (3 * D + 31) / 32; j++) {
                        if (lane + 32 * j < 3 * D) extent[j] = largest(extent[j], r.extent[lane + 32 * j]);
                    }
                    squares += r.squares, raw = min(raw, r.raw), bad = min(bad, r.bad), resets += r.resets, stop |= r.stop;
                }
            }
            if (t.blocks > 1) block_barrier();
        }
        if (warp == 0) {
            if (lane < D) shared.into[lane] = c;
        } else if (warp == 1) {
            decide(extent, squares, raw, bad, resets, stop);
        }
        block_barrier();
        if (warp * 32 < here) pass(component);
    }

    // What comes into the warp and out of it.
    PARDS_FN void pass(int component) {
        real c = shared.into[component], end = summary::passed(shared.total[joined][warp], c, component);
        if (warp > 0) c = summary::passed(shared.total[joined][warp - 1], c, component);
        if (lane < D) shared.carry[warp][0][lane] = c, shared.carry[warp][1][lane] = (warp + 1) * 32 < here ? end : shared.out[lane];
        warp_barrier();
    }

    // What comes out of a block, and the iterate's row at its end.
    PARDS_FN real follow(const record& r, real c, int component, real& y) const {
        real out = summary::passed(r.total, c, component);
        if constexpr (affine)
            y = out;
        else
            y = r.value[component] + (out - r.total[numbers - D + component]);
        return out;
    }

    PARDS_FN void stage(int from, int n) {
        constexpr int words = sizeof(record) / 8;
        const unsigned long long* source = reinterpret_cast<const unsigned long long*>(records(parity) + from);
        unsigned long long* target = reinterpret_cast<unsigned long long*>(shared.staged);
        PARDS_LOOP
        for (int i = tid; i < n * words; i += PARDS_THREADS) target[i] = source[i];
        block_barrier();
    }

    // The largest of what the lanes below D hold, in lane 0.
    PARDS_FN static double over_components(double v) {
        constexpr int half = D > 16 ? 16 : D > 8 ? 8 : D > 4 ? 4 : D > 2 ? 2 : D > 1 ? 1 : 0;
        PARDS_UNROLL
        for (int by = half; by; by >>= 1) v = largest(v, from_other(v, by));
        return v;
    }

    // The largest over components of |v[d]| / (floor + |x[d]|), in lane 0: lane d holds v and x; 0 / 0 counts as 0.
    PARDS_FN double size(double v, double x) const { return over_components(lane < D && v != 0 ? v / (t.scale_floor + x) : 0.0); }

    // What a warp decides of an iterate: whether the update that led to it is accepted, and if so whether the iterate is the one to return.
    // Lane i of extent holds number i, that is those of the iterate, then of the update, then of the residual.
    PARDS_FN void decide(const real* extent, double squares, int raw, int bad, int resets, int stop) {
        real number[3];
        PARDS_UNROLL
        for (int j = 0; j < 3; j++) {
            int n = (lane < D ? lane : 0) + j * D;
            real v = 0;
            PARDS_UNROLL
            for (int q = 0; q < (3 * D + 31) / 32; q++) {
                real w = from_lane(extent[q], n & 31);
                v = n / 32 == q ? w : v;
            }
            number[j] = lane < D ? v : real(0);
        }
        double moved = size(number[1], number[0]), residual = size(number[2], number[0]);
        double update = over_components(number[1]), top = over_components(number[2]);
        if (lane == 0) {
            accept(moved, update, raw, bad, resets);
            if (!shared.now.done) test(squares, residual, top);
            if (stop && !shared.now.done) shared.now.done = 1, shared.now.status = interrupted;
        }
    }

    PARDS_FN void accept(double moved, double update, int raw, int bad, int resets) {
        control& n = shared.now;
        if (n.k < 0) { // the guess
            n.k = 0;
            return;
        }
        if (raw != no_row) {
            if (n.result.bad_step < 0) n.result.bad_step = first + raw;
            if (t.policy == policy_stop) {
                n.done = 1, n.status = nonfinite, n.kept = 0;
                return;
            }
        }
        n.result.resets += resets;
        n.finite = bad == no_row;
        n.k++;
        n.last[0] = n.last[1], n.last[1] = n.last[2], n.last[2] = moved;
        n.count++;
        n.update = update;
    }

    // The distance to the trajectory after the last update, see core/method/estimate.go.
    PARDS_FN double distance() const {
        const control& n = shared.now;
        double a = n.last[0], b = n.last[1], c = n.last[2];
        if (n.count > 0 && c == 0) return 0;
        if (n.count < 2) return PARDS_NAN;
        double q = n.count == 2 ? c / b : largest(b / a, c / b);
        if (q < 1) return n.count == 2 ? c / (1 - q) : c * q / (1 - q);
        return PARDS_INFINITY;
    }

    PARDS_FN void test(double squares, double residual, double top) {
        control& n = shared.now;
        n.merit = squares / 2;
        if (!(n.merit <= 1.7976931348623157e308)) n.merit = PARDS_INFINITY;
        n.residual = top;
        if (t.trace && block == 0 && n.result.trace_rows < t.trace_capacity) {
            double* row = t.trace + (sequence_index * t.trace_capacity + n.result.trace_rows) * 3;
            row[0] = n.merit, row[1] = top, row[2] = n.update;
        }
        n.result.trace_rows++;
        bool before = n.settled, by_merit = t.merit_tol == t.merit_tol;
        n.error = distance();
        n.settled = residual <= 16 * t.eps;
        bool estimated = n.error <= t.rtol && (n.settled || residual <= 10 * t.rtol);
        int most = t.cap >= 0 ? t.cap : by_merit ? steps : min(steps + 1, 1000);
        n.done = 1;
        if (!by_merit && top == 0) {
            n.status = converged, n.error = 0;
        } else if (by_merit ? n.merit <= t.merit_tol * steps / t.steps : estimated) {
            n.status = converged;
        } else if (n.error == PARDS_INFINITY && before && n.settled) {
            n.status = at_floor, n.error = n.last[2];
        } else if (n.k >= most) {
            n.status = n.finite ? max_iterations : nonfinite;
        } else {
            n.done = 0;
        }
    }

    PARDS_FN void sequence(int i) {
        sequence_index = i;
        long long member = t.members ? t.members[i] : i;
        start = t.x0 + member * t.x0_stride;
        u = t.u + member * t.u_stride;
        guess = t.guess ? t.guess + member * t.guess_stride : nullptr;
        states = t.states + member * t.steps * D;
        work = t.work + (long long)i * t.steps * D;
        if (tid == 0) {
            report& r = shared.now.result;
            r.error = r.merit = 0, r.residual = -PARDS_INFINITY, r.update = PARDS_NAN;
            r.status = r.iterations = r.resets = r.trace_rows = r.unused = 0, r.bad_step = -1;
        }
        int windows = (t.steps + t.window - 1) / t.window;
        if (block == 0) {
            for (int w = tid; w < windows; w += PARDS_THREADS) t.windows[(long long)i * windows + w] = 0;
        }
        PARDS_LOOP
        for (first = 0; first < t.steps; first += t.window)
            if (!window()) break;
        if (block == 0 && tid == 0) t.reports[i] = shared.now.result;
        block_barrier();
    }

    // Solves one window; tells whether the next follows.
    PARDS_FN bool window() {
        steps = min(t.window, t.steps - first);
        int chunks = (steps + t.chunk - 1) / t.chunk, each = (chunks + t.blocks - 1) / t.blocks;
        active = (chunks + each - 1) / each;
        here = max(0, min(each, chunks - block * each));
        lo = hi = 0;
        if (tid < here) lo = (block * each + tid) * t.chunk, hi = min(lo + t.chunk, steps);
        if (tid == 0) {
            control& n = shared.now;
            n.k = -1, n.count = 0, n.finite = 1, n.settled = 0, n.done = 0, n.status = converged, n.kept = 1;
            n.last[0] = n.last[1] = n.last[2] = 0, n.update = PARDS_NAN;
        }
        zero(in);
        block_first = block * each * t.chunk, block_rows = max(0, min(each * t.chunk, steps - block_first));
        if constexpr (resident) settle_in();
        block_barrier();
        int k = 0;
        PARDS_LOOP
        for (; !(k > 0 && shared.now.done); k++) sweep(k);
        return close();
    }

    // Takes the block's inputs and guess into shared memory.
    PARDS_FN void settle_in() {
        row_stride = stride_of(t.chunk * D, D), input_stride = M > 0 ? stride_of(t.chunk * M, M) : 0;
        real* all = dynamic_shared<real>();
        int before_stride = stride_of(D, D);
        kept = all + tid * row_stride, all += 2 * row_stride * PARDS_THREADS;
        kept_before = all + tid * before_stride;
        kept_inputs = all + before_stride * PARDS_THREADS + tid * input_stride;
        if constexpr (M > 0) move<M, true>(const_cast<real*>(u), kept_inputs - tid * input_stride, input_stride);
        if (guess) move<D, true>(const_cast<real*>(guess), kept - tid * row_stride, row_stride);
    }

    // Files the window in the result, and brings the iterate to states.
    PARDS_FN bool close() {
        int k = shared.now.k, status = shared.now.status;
        start = (resident ? states + (long long)first * D : iterate(k)) + (long long)(steps - 1) * D;
        if constexpr (resident) {
            move<D, false>(states, mine(k) - tid * row_stride, row_stride);
        } else if (!(k & 1)) {
            constexpr int access = row_bytes % (D * int(sizeof(real))) == 0 ? D : D * int(sizeof(real)) % row_bytes == 0 ? row_bytes / int(sizeof(real)) : 1;
            long long at = ((long long)first + block_first) * D;
            PARDS_FOURS
            for (int n = tid; n < block_rows * D / access; n += PARDS_THREADS) {
                real y[access];
                copy_row<access>(work + at + n * access, y);
                copy_row<access>(y, states + at + n * access);
            }
        }
        block_barrier();
        if (tid == 0) file();
        bool good = status == converged || status == at_floor;
        if (!good && status != interrupted) fill(first + steps);
        if (resident && good && first + steps < t.steps)
            group_barrier<PARDS_CLUSTER>(t.counters + group, t.blocks, turn); // the next window starts from what another block has written
        else
            block_barrier();
        return good;
    }

    PARDS_FN void file() {
        control& n = shared.now;
        report& r = n.result;
        r.status = max(r.status, n.status);
        r.iterations += n.k;
        r.merit += n.merit;
        r.error += n.error;
        r.residual = largest(r.residual, n.residual);
        r.update = first == 0 ? n.update : largest(r.update, n.update);
        if (block == 0) t.windows[(long long)sequence_index * ((t.steps + t.window - 1) / t.window) + first / t.window] = n.k;
    }

    // The guess stands where no window got.
    PARDS_FN void fill(int from) {
        const real* x0 = t.x0 + (t.members ? t.members[sequence_index] : sequence_index) * t.x0_stride;
        PARDS_LOOP
        for (int row = from + block * PARDS_THREADS + tid; row < t.steps; row += t.blocks * PARDS_THREADS) {
            for (int i = 0; i < D; i++) states[(long long)row * D + i] = guess ? guess[(long long)row * D + i] : x0[i];
        }
    }
};
