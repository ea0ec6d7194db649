// Langevin dynamics on a mixture of Gaussians, methods with a diagonal A: one kernel an iteration, all in the coordinates z = Q'x.
//
// A block takes a tile of steps of one sequence. It evaluates the gradients h_k = -P_k (z - m_k), products over the tile but for the one
// component whose precision is diagonal in the basis and for those that weigh nothing, weighs them, has f and A in shared memory, and scans
// the increments down its columns.
// The last block to end adds up what the tiles left, in their order, and decides which sequences go on: kernels that were queued behind
// see that and end at once.
//
// The plan passes PARDS_REAL, PARDS_DIM (the states' numbers), PARDS_PAD (their pitch here, a multiple of 16), PARDS_DOWN (warps down a
// tile), PARDS_COMPONENTS, PARDS_DENSE (components that need a product; they come first), PARDS_A.
#include "products.cuh"

enum { a_zero, a_identity, a_scaled, a_diagonal };

// Why queued kernels stop: all sequences are done; the host is to look.
enum { halt_no, halt_done, halt_ask };

using real = PARDS_REAL;
constexpr int dim = PARDS_DIM, pad = PARDS_PAD, components = PARDS_COMPONENTS, dense = PARDS_DENSE;
using shape = tile<real, pad, PARDS_DOWN>;
using fr = shape::fr;

// The mixture in one basis: matrices are pad x pad, vectors pad long, zeros beyond dim.
struct mixture {
    const real *into, *out_of;       // Q and Q'
    const real *precisions;          // Q'P_k Q
    const real *diagonals, *means;   // of Q'P_k Q; Q'm_k
    const real *pulls, *scales;      // (k, j): Q'P_k (m_j - m_k), and what half the square along it is divided by, see weightless
    PARDS_FN mixture(const real* tables, int basis) {
        constexpr int pairs = components * components, size = (2 + components) * pad * pad + (2 * components + pairs) * pad + (pairs + 3) / 4 * 4;
        into = tables + (long)basis * size;
        out_of = into + pad * pad, precisions = out_of + pad * pad;
        diagonals = precisions + components * pad * pad, means = diagonals + components * pad;
        pulls = means + components * pad, scales = pulls + pairs * pad;
    }
};

// Rows of numbers that lie sequence by sequence and step by step, a stride of 0 repeating what is there.
struct rows {
    const real* data;
    long sequence, step;
    PARDS_FN const real* at(int b, int t) const { return data + b * sequence + t * step; }
};

// What a solve keeps on the device. Iterate k of a sequence is z[k % 3]; iterate 0 may be shared, or one row repeated.
struct solve {
    const real* tables;
    const real* log_weights;
    int* basis;                      // the table in use
    rows noise, guess, start;        // u, iterate 0, and the states before the window's first step, in coordinates
    real* z;                         // (3, batch, steps, pad)
    real* residual;                  // (batch, steps, pad): f - x of the last iterate evaluated, where coordinates are not the caller's
    word *told, *carry;              // (tiles, batch, pad, 2) maps of tiles; (groups, batch, pad) states at the ends of groups
    double* squares;                 // (tiles, batch)
    float* weights;                  // (tiles, batch, components)
    int *active, *last, *bad;        // (batch): goes on; the iterate it stands at; the first row of its successor that is not finite
    unsigned *ticket, *ended;        // of the blocks of a launch
    int* halt;                       // not 0 when queued kernels are to do nothing: one of the reasons below
    // Of each launch that is queued, by its slot: (batch, 2 + components) of squares, 2 + the bad row or 1 for none, mean weights; then
    // (batch, 3, dim) bits of the largest |x|, |x - previous x| and |f - x|, all zero before.
    double* report;
    real* states;                    // (batch, ., dim), by states_sequence
    long states_sequence;
    int batch, steps, tiles;
    real step_size, noise_scale, keep; // keep: 1 - damping
    double merit, floor;             // half the squares at or under which a sequence is done; under which the host is to look; negative: none
    int clip, cap, turn; // turn: coordinates are not the caller's
    PARDS_FN double* reported(int slot) const { return report + (long)slot * batch * (2 + components + 3 * dim); }
    PARDS_FN unsigned long long* extents(int slot, int b) const {
        return (unsigned long long*)(reported(slot) + (long)batch * (2 + components)) + (long)b * 3 * dim;
    }
};

// Shared memory; what only turns rows needs no more than z and f. f lies where products keep slices of matrices. vector is the mean, the
// diagonal and the pull of the component in hand; sums are of rows, one from each warp across; parts, of the scan, lie where those and
// logits were.
struct memory {
    static constexpr int tile = shape::rows * shape::pitch, large = tile > shape::slices ? tile : shape::slices, warps = shape::threads / 32;
    static constexpr int weighing = (3 * pad + (shape::across > 1 ? shape::across * shape::rows : 0)) * sizeof(real) + components * shape::rows * 4;
    static constexpr int scanning = 3 * shape::threads * sizeof(real), either = ((weighing > scanning ? weighing : scanning) + 15) / 16 * 16;
    static constexpr int turning = (tile + shape::pitch + large) * sizeof(real);
    static constexpr int bytes = turning + tile * sizeof(real) + either + warps * (8 + components * 4) + 16;
    real *z, *f, *a, *vector, *sums, *parts;
    double* squares;
    float *logits, *means;
    int* shared;
    PARDS_FN memory(char* at) {
        z = (real*)at, f = z + tile + shape::pitch, a = f + large, parts = vector = a + tile, sums = vector + 3 * pad;
        logits = (float*)(shape::across > 1 ? sums + shape::across * shape::rows : sums);
        squares = (double*)((char*)parts + either);
        shared = (int*)(squares + warps), means = (float*)(shared + 4);
    }
};

PARDS_FN float exponential(float v) { return expf(v); }
PARDS_FN double exponential(double v) { return exp(v); }

// Adds up a number of each row over the lanes and warps across a tile: v[i] is a lane's part on entry, the sum on return.
PARDS_FN void sum_rows(real (&v)[shape::own_rows], real* sums, const place<shape>& at) {
    PARDS_UNROLL for (int i = 0; i < shape::own_rows; i++) {
        v[i] += __shfl_xor_sync(~0u, v[i], 1);
        v[i] += __shfl_xor_sync(~0u, v[i], 2);
    }
    if (shape::across == 1) return;
    __syncthreads(); // earlier sums have been read
    real* own = sums + at.warp % shape::across * shape::rows;
    PARDS_UNROLL for (int i = 0; i < shape::own_rows; i++)
        if (at.q == 0) own[at.own_row(i)] = v[i];
    __syncthreads();
    PARDS_UNROLL for (int i = 0; i < shape::own_rows; i++) {
        v[i] = 0;
        for (int w = 0; w < shape::across; w++) v[i] += sums[w * shape::rows + at.own_row(i)];
    }
}

#define PARDS_EACH                                    \
    PARDS_UNROLL for (int m = 0; m < shape::mt; m++)  \
    PARDS_UNROLL for (int n = 0; n < shape::nt; n++)  \
    PARDS_UNROLL for (int e = 0; e < fr::c; e++)

// v' (z - m) of each row of a lane, where v(m, n, e) is what belongs to a number of z.
template <class values> PARDS_FN void along(real (&q)[shape::own_rows], values v, const memory& mem, const place<shape>& at) {
    PARDS_UNROLL for (int i = 0; i < shape::own_rows; i++) q[i] = 0;
    PARDS_EACH {
        int c = at.column_of(n, e);
        q[m * shape::halves + e / 2] += v(m, n, e) * (mem.z[at.row_of(m, e) * shape::pitch + c] - mem.vector[c]);
    }
    sum_rows(q, mem.sums, at);
}

// What the mixture is at the states before a tile's steps: g = sum_k w_k h_k and s = sum_k w_k ((h_k - g)^2 - diag P_k), of the components so
// far. Far from all of them h_k^2 - g^2 would be rounding, and that of one square alone where the other is fused with a sum. total is the sum
// of the weights relative to the largest, whose logit is top.
struct local {
    shape::sum g, s;
    real top[shape::own_rows], total[shape::own_rows];

    // Adds a component of which y = P (z - m) is known.
    PARDS_FN void add(bool first, int k, real log_weight, const shape::sum& y, const memory& mem, const place<shape>& at) {
        real q[shape::own_rows], share[shape::own_rows];
        along(q, [&](int m, int n, int e) { return y[m][n][e]; }, mem, at);
        PARDS_UNROLL for (int i = 0; i < shape::own_rows; i++) {
            real logit = log_weight - q[i] / 2, larger = first || logit > top[i] ? logit : top[i], weight = exponential(logit - larger);
            if (at.q == 0 && at.warp % shape::across == 0) mem.logits[k * shape::rows + at.own_row(i)] = (float)logit;
            total[i] = first ? weight : total[i] * exponential(top[i] - larger) + weight;
            share[i] = weight / total[i]; // of this component in those so far
            top[i] = larger;
        }
        PARDS_EACH {
            int i = m * shape::halves + e / 2;
            real h = -y[m][n][e], p = mem.vector[pad + at.column_of(n, e)], off = first ? real(0) : h - g[m][n][e];
            if (first || share[i] == 1) g[m][n][e] = h, s[m][n][e] = -p; // those before weigh nothing
            else if (share[i] != 0) g[m][n][e] += share[i] * off, s[m][n][e] += share[i] * ((1 - share[i]) * off * off - p - s[m][n][e]);
        }
    }
};

// Components are weighed beside one that is known first, which leaves most tiles with no other: where the basis is that of one, this one,
// whose precision is diagonal there; else that which weighed most in the tile at the iterate before.
constexpr bool own_basis = dense > 0 && dense < components;

PARDS_FN int heaviest(const solve& s, int b, int tile) {
    const float* weights = s.weights + ((long)tile * s.batch + b) * components;
    int most = 0;
    for (int k = 1; k < components; k++) most = weights[k] > weights[most] ? k : most;
    return most;
}

// The component at place i: one that is diagonal in its own basis comes last, since nothing is known of others while products are made;
// one that needs a product like the others comes first.
PARDS_FN int component(int i, int most) { return own_basis ? (i < dense ? i + (i >= most) : most) : i == 0 ? most : i - (i <= most); }

// Brings what is told of a component by vectors to shared memory; no thread reads it before the next barrier.
PARDS_FN void take_vectors(const mixture& mix, int k, int most, const memory& mem) {
    __syncthreads(); // those of the component before are read
    for (int c = threadIdx.x; c < pad; c += shape::threads) {
        mem.vector[c] = mix.means[k * pad + c], mem.vector[pad + c] = mix.diagonals[k * pad + c];
        mem.vector[2 * pad + c] = mix.pulls[(k * components + most) * pad + c];
    }
}

// y = P (z - m) of a component whose precision is diagonal.
PARDS_FN void scaled(shape::sum& y, const memory& mem, const place<shape>& at) {
    PARDS_EACH {
        int c = at.column_of(n, e);
        y[m][n][e] = mem.vector[pad + c] * (mem.z[at.row_of(m, e) * shape::pitch + c] - mem.vector[c]);
    }
}

// Tells whether a component weighs nothing, in the numbers in use, in all rows of a tile beside one whose logits are known. With
// v = m_j - m_k, Cauchy and Schwarz have (v'P_k (z - m_k))^2 <= v'P_k v (z - m_k)'P_k (z - m_k): a bound of the logit for one product of
// vectors, which is near where wells lie apart. e^-104 is 0 in float, e^-746 in double; the rest is for what rounding does to both sides.
PARDS_FN bool weightless(real log_weight, real scale, const real (&beside)[shape::own_rows], int count, const memory& mem, const place<shape>& at) {
    constexpr real nothing = sizeof(real) == 8 ? 766 : 124, rounding = sizeof(real) == 8 ? 6e-14 : 3e-5;
    real q[shape::own_rows];
    along(q, [&](int, int n, int e) { return mem.vector[2 * pad + at.column_of(n, e)]; }, mem, at);
    bool all = scale > 0;
    PARDS_UNROLL for (int i = 0; i < shape::own_rows; i++) {
        real most = log_weight - q[i] * scale * q[i];
        all = all && (at.own_row(i) >= count || (is_finite(q[i]) && most + nothing + rounding * absolute(beside[i]) < beside[i]));
    }
    return __syncthreads_and(all);
}

PARDS_FN void weigh(local& l, const solve& s, const mixture& mix, int basis, int b, int tile, int count, const memory& mem, const place<shape>& at) {
    int most = own_basis ? basis : heaviest(s, b, tile);
    real beside[shape::own_rows];
    if (own_basis) {
        take_vectors(mix, most, most, mem);
        copy_wait<0>();
        __syncthreads();
        shape::sum y;
        scaled(y, mem, at);
        along(beside, [&](int m, int n, int e) { return y[m][n][e]; }, mem, at);
        PARDS_UNROLL for (int i = 0; i < shape::own_rows; i++) beside[i] = s.log_weights[most] - beside[i] / 2;
    }
    bool first = true;
    PARDS_UNROLL for (int i = 0; i < components; i++) {
        int k = component(i, most);
        take_vectors(mix, k, most, mem);
        shape::sum y;
        if (i < dense) {
            if (own_basis || i > 0) {
                __syncthreads();
                if (weightless(s.log_weights[k], mix.scales[k * components + most], own_basis ? beside : l.top, count, mem, at)) {
                    PARDS_UNROLL for (int j = 0; j < shape::own_rows; j++)
                        if (at.q == 0 && at.warp % shape::across == 0) mem.logits[k * shape::rows + at.own_row(j)] = __uint_as_float(0xff800000u);
                    continue;
                }
            }
            product<shape>(y, mem.z, mem.vector, mix.precisions + (long)k * pad * pad, mem.f);
        } else {
            copy_wait<0>();
            __syncthreads();
            scaled(y, mem, at);
        }
        l.add(first, k, s.log_weights[k], y, mem, at);
        first = false;
    }
}

// The sum of squares and of the weights of a tile, in an order that the shape fixes.
PARDS_FN void leave(const solve& s, const local& l, double squares, int b, int tile, int count, const memory& mem, const place<shape>& at) {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    PARDS_UNROLL for (int d = 16; d > 0; d /= 2) squares += __shfl_xor_sync(~0u, squares, d);
    if (lane == 0) mem.squares[warp] = squares;
    if (warp % shape::across == 0) {
        for (int k = 0; k < components; k++) {
            float w = 0;
            PARDS_UNROLL for (int i = 0; i < shape::own_rows; i++) {
                int row = at.own_row(i);
                if (at.q == 0 && row < count) w += expf(mem.logits[k * shape::rows + row] - (float)l.top[i]) / (float)l.total[i];
            }
            PARDS_UNROLL for (int d = 16; d > 0; d /= 2) w += __shfl_xor_sync(~0u, w, d);
            if (lane == 0) mem.means[warp / shape::across * components + k] = w;
        }
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        squares = 0;
        for (int w = 0; w < memory::warps; w++) squares += mem.squares[w];
        s.squares[(long)tile * s.batch + b] = squares;
    }
    for (int k = threadIdx.x; k < components; k += shape::threads) {
        float w = 0;
        for (int d = 0; d < PARDS_DOWN; d++) w += mem.means[d * components + k];
        s.weights[((long)tile * s.batch + b) * components + k] = w;
    }
}

// A tile tells the map of each of its columns, d -> factor d + sum, each number beside the launch's flag, and folds those of the tiles before
// it in its group; the state at the group's beginning comes from the last tile of the group before. So a chain has a link for a group.
constexpr int group = 8, told_words = 2 * words_of<real>;

PARDS_FN word* told_by(const solve& s, int b, int tile, int column) {
    return s.told + (((long)tile * s.batch + b) * pad + column) * told_words;
}
PARDS_FN word* carry_of(const solve& s, int b, int which, int column) {
    return s.carry + (((long)which * s.batch + b) * pad + column) * words_of<real>;
}

PARDS_FN void tell(word* to, float factor, float sum, unsigned flag) {
    store_words(to, flagged(__float_as_uint(factor), flag), flagged(__float_as_uint(sum), flag));
}
PARDS_FN void tell(word* to, double factor, double sum, unsigned flag) { publish(to, factor, flag), publish(to + 2, sum, flag); }

// The map of `count` tiles that follow one another, fewer than a group, whose words are a stride apart: all are on their way at once.
PARDS_FN void fold(const word* from, long stride, int count, unsigned flag, real& factor, real& sum) {
    word w[group - 1][told_words];
    bool all;
    do {
        all = true;
        PARDS_UNROLL for (int j = 0; j < group - 1; j++) {
            if (j >= count) continue;
            PARDS_UNROLL for (int i = 0; i < told_words; i += 2) load_words(from + j * stride + i, w[j][i], w[j][i + 1]);
        }
        PARDS_UNROLL for (int j = 0; j < group - 1; j++) {
            if (j >= count) continue;
            PARDS_UNROLL for (int i = 0; i < told_words; i++) all = all && has(w[j][i], flag);
        }
        if (!all) spin();
    } while (!all);
    PARDS_UNROLL for (int j = 0; j < group - 1; j++) {
        if (j >= count) continue;
        real f = unflagged<real>(w[j]);
        sum = f * sum + unflagged<real>(w[j] + words_of<real>), factor *= f;
    }
}

// The state before a tile's first step, a thread for each column, whose map over the tile this is.
PARDS_FN real carry_in(const solve& s, int b, int tile, int column, unsigned flag, real factor, real sum) {
    int place = tile % group, own = tile / group;
    bool last = tile + 1 == s.tiles;
    if (place < group - 1 && !last) tell(told_by(s, b, tile, column), factor, sum, flag);
    real before = 1, carry = 0, at = 0;
    if (place > 0) fold(told_by(s, b, tile - place, column), (long)s.batch * pad * told_words, place, flag, before, carry);
    if (own > 0) receive<1>(carry_of(s, b, own - 1, column), &at, flag);
    carry += before * at;
    if (place == group - 1 && !last) publish(carry_of(s, b, own, column), factor * carry + sum, flag);
    return carry;
}

// The increment before a thread's part of its column.
PARDS_FN real enter_part(const solve& s, unsigned flag, int b, int tile, int first, int length, const memory& mem) {
    int column = threadIdx.x % pad;
    real *f = mem.f + column, *a = mem.a + column, *z = mem.z + shape::pitch + column;
    real factor = 1, sum = 0;
#pragma unroll 4
    for (int t = first; t < first + length; t++) {
        real at = a[t * shape::pitch];
        factor *= at, sum = at * sum + (f[t * shape::pitch] - z[t * shape::pitch]);
    }
    real *factors = mem.parts, *sums = factors + shape::threads, *carries = sums + shape::threads;
    factors[threadIdx.x] = factor, sums[threadIdx.x] = sum;
    __syncthreads();
    if (first == 0) {
        factor = 1, sum = 0;
        PARDS_UNROLL for (int p = 0; p < shape::parts; p++) sum = factors[p * pad + column] * sum + sums[p * pad + column], factor *= factors[p * pad + column];
        real carry = carry_in(s, b, tile, column, flag, factor, sum);
        PARDS_UNROLL for (int p = 0; p < shape::parts; p++) {
            carries[p * pad + column] = carry;
            carry = factors[p * pad + column] * carry + sums[p * pad + column];
        }
    }
    __syncthreads();
    return carries[threadIdx.x];
}

// Scans the increments d[t] = a[t] d[t-1] + (f[t] - z[t]) down the columns of a tile and writes z'[t] = f[t] + a[t] d[t-1]. A thread has a
// part of a column. Without an A nothing comes from above: not even what is not finite.
PARDS_FN void scan(const solve& s, int k, unsigned flag, int b, int tile, int count, const memory& mem) {
    constexpr int n = shape::part_rows;
    int column = threadIdx.x % pad, part = threadIdx.x / pad, first = part * n, length = min(n, count - first);
    real *f = mem.f + column, *a = mem.a + column, *z = mem.z + shape::pitch + column;
    real* to = s.z + (((long)((k + 1) % 3) * s.batch + b) * s.steps + (long)tile * shape::rows) * pad + column;
    real d = PARDS_A == a_zero ? real(0) : enter_part(s, flag, b, tile, first, length, mem);
    int bad = length;
#pragma unroll 4
    for (int t = first; t < first + length; t++) {
        real ft = f[t * shape::pitch], ad = PARDS_A == a_zero ? real(0) : a[t * shape::pitch] * d, next = ft + ad;
        d = ad + (ft - z[t * shape::pitch]);
        to[(long)t * pad] = next;
        if (!is_finite(next)) bad = min(bad, t - first);
    }
    if (bad < length) atomicMin(s.bad + b, tile * shape::rows + first + bad);
}

// Decides for each sequence, a warp for each in turn, whether it goes on from iterate k.
PARDS_FN void decide(const solve& s, int k, int slot, const memory& mem) {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    if (threadIdx.x < 2) mem.shared[threadIdx.x] = 0; // sequences that go on; that the host is to look at
    __syncthreads();
    for (int b = warp; b < s.batch; b += memory::warps) {
        if (!s.active[b]) continue;
        double squares = 0, *report = s.reported(slot) + (long)b * (2 + components);
        for (int t = lane; t < s.tiles; t += 32) squares += load_fresh(s.squares + (long)t * s.batch + b);
        PARDS_UNROLL for (int d = 16; d > 0; d /= 2) squares += __shfl_xor_sync(~0u, squares, d);
        for (int c = 0; c < components; c++) {
            double w = 0;
            for (int t = lane; t < s.tiles; t += 32) w += load_fresh(s.weights + ((long)t * s.batch + b) * components + c);
            PARDS_UNROLL for (int d = 16; d > 0; d /= 2) w += __shfl_xor_sync(~0u, w, d);
            if (lane == 0) report[2 + c] = w / s.steps;
        }
        if (lane > 0) continue;
        int bad = load_fresh(s.bad + b);
        report[0] = squares, report[1] = bad < s.steps ? 2 + bad : 1;
        s.bad[b] = s.steps, s.last[b] = k;
        if (squares / 2 <= s.merit || k >= s.cap) {
            s.active[b] = 0;
        } else {
            atomicAdd(mem.shared, 1);
            if (bad < s.steps || squares / 2 <= s.floor) atomicAdd(mem.shared + 1, 1);
        }
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        *s.halt = s.merit < 0 ? halt_no : mem.shared[1] ? halt_ask : mem.shared[0] ? halt_no : halt_done; // under 0: the host decides
        *s.ticket = 0, *s.ended = 0;
    }
}

PARDS_FN rows iterate(const solve& s, int k) {
    return k == 0 ? s.guess : rows{s.z + (long)(k % 3) * s.batch * s.steps * pad, (long)s.steps * pad, pad};
}

// Begins to bring a tile's rows to shared memory, zeros where there are none.
PARDS_FN void bring(real* dst, const rows& from, int b, int first, int count) {
    if (from.step == pad) return gather_rows<pad, shape::threads, shape::rows>(dst, shape::pitch, from.at(b, first), count);
    gather<pad, shape::threads>(dst, shape::pitch, shape::rows, [&](int r) { return r < count ? from.at(b, first + r) : nullptr; });
}

enum { leave_iterate, leave_update, leave_residual, leave_all };

PARDS_FN unsigned long long bits_of(float v) { return __float_as_uint(v); }
PARDS_FN unsigned long long bits_of(double v) { return (unsigned long long)__double_as_longlong(v); }

// Widens an extent by the largest of a tile's numbers in each column; bits of numbers that are not negative order as they do, NaN on top.
// tops is shared memory for a number of each column from each warp down.
PARDS_FN void widen(const shape::sum& y, int count, unsigned long long* extent, real* tops, const place<shape>& at) {
    __syncthreads(); // tops may be in use
    PARDS_UNROLL for (int n = 0; n < shape::nt; n++) {
        PARDS_UNROLL for (int j = 0; j < 2; j++) {
            real v = 0;
            PARDS_UNROLL for (int m = 0; m < shape::mt; m++) {
                PARDS_UNROLL for (int e = j; e < fr::c; e += 2)
                    if (at.row_of(m, e) < count) v = largest(v, absolute(y[m][n][e]));
            }
            PARDS_UNROLL for (int d = 4; d < 32; d *= 2) v = largest(v, __shfl_xor_sync(~0u, v, d));
            if (at.g == 0) tops[at.warp / shape::across * pad + at.column_of(n, j)] = v;
        }
    }
    __syncthreads();
    for (int c = threadIdx.x; c < dim; c += shape::threads) {
        real v = tops[c];
        PARDS_UNROLL for (int w = 1; w < PARDS_DOWN; w++) v = largest(v, tops[w * pad + c]);
        atomicMax(extent + c, bits_of(v));
    }
}

// Measures iterate k along a tile, in the caller's coordinates: the iterate, its last update and, if it is given, its residual. The iterate is in
// shared memory.
PARDS_FN void measure(const solve& s, const rows& before, const shape::sum* residual, int k, int slot, int b, int first, int count, const memory& mem,
                      const place<shape>& at) {
    unsigned long long* extent = s.extents(slot, b);
    shape::sum y;
    if (residual) widen(*residual, count, extent + leave_residual * dim, mem.parts, at);
    PARDS_EACH y[m][n][e] = mem.z[(1 + at.row_of(m, e)) * shape::pitch + at.column_of(n, e)];
    widen(y, count, extent + leave_iterate * dim, mem.parts, at);
    if (k == 0 || !residual) return; // a tile that has settled has neither
    PARDS_EACH {
        int r = at.row_of(m, e), c = at.column_of(n, e);
        if (e % 2 || r >= count) continue;
        pack<real, 2> v = *(const pack<real, 2>*)(before.at(b, first + r) + c);
        y[m][n][e] -= v.v[0], y[m][n][e + 1] -= v.v[1];
    }
    widen(y, count, extent + leave_update * dim, mem.parts, at);
}

// Tells whether a tile of iterate k is that of k - 1 and k - 2 and stays so: k updates make the first k rows exact, bit by bit where A is constant,
// and three iterates have the same memory. What it told of itself before holds, and no increment comes out of it.
PARDS_FN bool settled(const solve& s, int k, int b, int tile) {
    return PARDS_A <= a_identity && (tile + 1) * shape::rows + 2 <= k && load_fresh(s.squares + (long)tile * s.batch + b) == 0;
}

PARDS_FN void pass_zero(const solve& s, int b, int tile, int column, unsigned flag) {
    if (tile + 1 == s.tiles) return;
    if (tile % group < group - 1) tell(told_by(s, b, tile, column), real(0), real(0), flag);
    else publish(carry_of(s, b, tile / group, column), real(0), flag);
}

// Blocks that a multiprocessor is to hold: 16 warps hide what each waits for, and have 128 registers a thread. Doubles take two each.
// What only turns rows waits for memory most of the time, and does with fewer registers.
constexpr int at_once = sizeof(real) == 8 || shape::threads > 512 ? 1 : 512 / shape::threads;
constexpr int turning_at_once = at_once == 4 ? 5 : at_once;

// One iteration: evaluates iterate k and writes its successor.
extern "C" __global__ void __launch_bounds__(shape::threads, at_once) langevin_step(solve s, int k, unsigned flag, int slot) {
    int halt = load_fresh(s.halt), basis = *s.basis;
    if (halt) return;
    memory mem(dynamic_shared());
    place<shape> at;
    if (threadIdx.x == 0) mem.shared[0] = atomicAdd(s.ticket, 1u);
    __syncthreads();
    int ticket = mem.shared[0], b = ticket % s.batch, tile = ticket / s.batch, first = tile * shape::rows, count = min(shape::rows, s.steps - first);
    if (s.active[b] && !settled(s, k, b, tile)) {
        rows z = iterate(s, k);
        gather<pad, shape::threads>(mem.z, shape::pitch, 1, [&](int) { return first == 0 ? s.start.at(b, 0) : z.at(b, first - 1); });
        bring(mem.z + shape::pitch, z, b, first, count);
        gather_rows<pad, shape::threads, shape::rows>(mem.a, shape::pitch, s.noise.at(b, first), count);
        copy_commit();
        local l;
        weigh(l, s, mixture(s.tables, basis), basis, b, tile, count, mem, at);
        __syncthreads(); // mem.f, where matrices were, takes f
        real* residual = s.residual + ((long)b * s.steps + first) * pad;
        real mean[shape::own_rows] = {}, part[shape::own_rows] = {};
        PARDS_EACH {
            int i = m * shape::halves + e / 2, r = at.row_of(m, e), c = at.column_of(n, e);
            real g = l.g[m][n][e], a = 1 + s.step_size * l.s[m][n][e];
            const real* z = mem.z + r * shape::pitch + c;
            real f = z[0] + s.step_size * g + s.noise_scale * mem.a[r * shape::pitch + c], d = f - z[shape::pitch];
            mem.f[r * shape::pitch + c] = f;
            l.g[m][n][e] = d, l.s[m][n][e] = a;
            if (c < dim) mean[i] += a;
            part[i] += d * d;
        }
        double squares = 0;
        PARDS_UNROLL for (int i = 0; i < shape::own_rows; i++)
            if (at.own_row(i) < count) squares += part[i];
        if (PARDS_A == a_scaled) sum_rows(mean, mem.sums, at);
        PARDS_EACH {
            int i = m * shape::halves + e / 2, r = at.row_of(m, e), c = at.column_of(n, e);
            real a = PARDS_A == a_zero ? real(0) : PARDS_A == a_identity ? real(1) : PARDS_A == a_scaled ? mean[i] / dim : l.s[m][n][e];
            if (s.clip && PARDS_A >= a_scaled) a = a > 1 ? real(1) : a < -1 ? real(-1) : a;
            mem.a[r * shape::pitch + c] = first + r == 0 ? real(0) : a * s.keep; // the first step of a window reads no A
            if (s.turn && e % 2 == 0 && r < count) *(pack<real, 2>*)(residual + (long)r * pad + c) = {{l.g[m][n][e], l.g[m][n][e + 1]}};
        }
        leave(s, l, squares, b, tile, count, mem, at);
        if (!s.turn) {
            measure(s, iterate(s, k - (k > 0)), &l.g, k, slot, b, first, count, mem, at);
            __syncthreads(); // what measures is read, where scans put their parts
        }
        scan(s, k, flag, b, tile, count, mem);
    } else if (s.active[b]) {
        if (PARDS_A == a_identity && threadIdx.x < pad) pass_zero(s, b, tile, threadIdx.x, flag);
        if (!s.turn) {
            bring(mem.z + shape::pitch, iterate(s, k), b, first, count);
            copy_commit();
            copy_wait<0>();
            __syncthreads();
            measure(s, iterate(s, k), nullptr, k, slot, b, first, count, mem, at);
        }
    }
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) mem.shared[0] = atomicAdd(s.ended, 1u) + 1 == (unsigned)(s.batch * s.tiles);
    __syncthreads();
    if (mem.shared[0]) {
        __threadfence();
        __syncthreads();
        decide(s, k, slot, mem);
    }
}

// Rows to bring into coordinates: count of them, steps a sequence, from the caller's arrays (pitch dim) to arrays here.
struct piece {
    rows from;
    real* to;
    long count, steps;
};
struct pieces {
    const real* tables;
    const int* basis;
    int turn; // 0: only copied
    piece of[3];
};

// Begins to bring rows of a piece to shared memory, unit numbers at a time; the rest of their pitch is zero, and rows beyond its last.
template <int unit> PARDS_FN void take(real* dst, const piece& in, long first) {
    constexpr int units = pad / unit;
    const long sequence = first / in.steps;
    const unsigned steps = (unsigned)in.steps, step = (unsigned)(first % in.steps), count = (unsigned)min((long)shape::rows, in.count - first);
    for (int i = threadIdx.x; i < shape::rows * units; i += shape::threads) {
        unsigned r = i / units, c = i % units * unit, t = step + r;
        real* to = dst + r * shape::pitch + c;
        if (r < count && c < dim) {
            copy_async<unit * sizeof(real)>(to, in.from.data + (sequence + t / steps) * in.from.sequence + t % steps * in.from.step + c);
        } else {
            PARDS_UNROLL for (int k = 0; k < unit; k++) to[k] = 0;
        }
    }
    copy_commit();
}

extern "C" __global__ void __launch_bounds__(shape::threads, turning_at_once) langevin_enter(pieces p) {
    place<shape> at;
    memory mem(dynamic_shared());
    long tile = blockIdx.x;
    int i = 0;
    for (; i < 2 && tile >= (p.of[i].count + shape::rows - 1) / shape::rows; i++) tile -= (p.of[i].count + shape::rows - 1) / shape::rows;
    piece in = p.of[0];
    if (i == 1) in = p.of[1];
    if (i == 2) in = p.of[2];
    long first = tile * shape::rows;
    constexpr int most = pack_most<real>;
    if (dim % most == 0 && (unsigned long long)in.from.data % 16 == 0 && in.from.sequence % most == 0 && in.from.step % most == 0) take<most>(mem.z, in, first);
    else take<1>(mem.z, in, first);
    shape::sum y;
    if (p.turn) { // waits for the rows with the matrix
        product<shape>(y, mem.z, (const real*)nullptr, mixture(p.tables, *p.basis).into, mem.f);
    } else {
        copy_wait<0>();
        __syncthreads();
        PARDS_EACH y[m][n][e] = mem.z[at.row_of(m, e) * shape::pitch + at.column_of(n, e)];
    }
    PARDS_EACH {
        long row = first + at.row_of(m, e);
        if (e % 2 == 0 && row < in.count) *(pack<real, 2>*)(in.to + row * pad + at.column_of(n, e)) = {{y[m][n][e], y[m][n][e + 1]}};
    }
}

// Copies each sequence's last iterate into the states, where the coordinates are the caller's.
extern "C" __global__ void __launch_bounds__(shape::threads, turning_at_once) langevin_copy(solve s) {
    int b = blockIdx.x / s.tiles, tile = blockIdx.x % s.tiles, last = s.last[b], first = tile * shape::rows, count = min(shape::rows, s.steps - first);
    if (last < 0) return;
    rows from = iterate(s, last);
    real* to = s.states + b * s.states_sequence + (long)first * dim;
    for (int i = threadIdx.x; i < count * dim; i += shape::threads) to[i] = from.at(b, first + i / dim)[i % dim];
}

// Brings iterates k out of the coordinates, into the states, and measures them, their last update and their residual there; those of
// sequences that were evaluated at k. A block does one of the three for a tile. all: the guess too where a sequence goes on from it.
extern "C" __global__ void __launch_bounds__(shape::threads, turning_at_once) langevin_leave(solve s, int k, int slot, int all) {
    int what = blockIdx.x % leave_all, b = blockIdx.x / leave_all % s.batch, tile = blockIdx.x / leave_all / s.batch;
    int last = s.last[b], active = s.active[b], basis = *s.basis; // all on their way at once
    if (last != k || (k == 0 && (what == leave_update || (active && !all)))) return;
    int first = tile * shape::rows, count = min(shape::rows, s.steps - first);
    place<shape> at;
    memory mem(dynamic_shared());
    const real* out_of = mixture(s.tables, basis).out_of;
    bring(mem.z, what == leave_residual ? rows{s.residual, (long)s.steps * pad, pad} : iterate(s, k), b, first, count);
    if (what == leave_update) bring(mem.f, iterate(s, k - 1), b, first, count);
    copy_commit();
    if (what == leave_update) { // a product waits for them with the matrix
        copy_wait<0>();
        __syncthreads();
        for (int i = threadIdx.x; i < memory::tile; i += shape::threads) mem.z[i] -= mem.f[i];
        __syncthreads();
    }
    shape::sum y;
    product<shape>(y, mem.z, (const real*)nullptr, out_of, mem.f);
    if (what == leave_iterate) {
        real* states = s.states + b * s.states_sequence + (long)first * dim;
        PARDS_EACH {
            int r = at.row_of(m, e), c = at.column_of(n, e);
            if (r < count && c < dim) states[(long)r * dim + c] = y[m][n][e];
        }
    }
    widen(y, count, s.extents(slot, b) + what * dim, mem.f, at);
}

// Gives what is NaN in iterates k the value of the guess, where found has a 1 for the sequence, and puts there how many they were, and the
// first row that still is not finite. Coordinates are the caller's.
extern "C" __global__ void __launch_bounds__(256) langevin_reset(solve s, int k, int* found) {
    int b = blockIdx.y, *mine = found + 3 * b, count = 0, bad = s.steps;
    if (!mine[0]) return;
    real* z = s.z + ((long)(k % 3) * s.batch + b) * s.steps * pad;
    for (long e = blockIdx.x * 256l + threadIdx.x; e < (long)s.steps * pad; e += gridDim.x * 256l) {
        int t = (int)(e / pad), c = (int)(e % pad);
        if (is_finite(z[e])) continue;
        if (z[e] != z[e]) z[e] = s.guess.at(b, t)[c], count += c < dim; // the rest of a row too, which products take in
        if (!is_finite(z[e])) bad = min(bad, t);
    }
    if (count) atomicAdd(mine + 1, count);
    if (bad < s.steps) atomicMin(mine + 2, bad);
}

// What the choice of a basis looks at: the caller's guess and first states, and the mixture in its own coordinates.
struct sample {
    const real *tables, *log_weights;
    rows guess, start;
    float* weights; // (samples, components)
    unsigned* ended;
    int* basis;
    int batch, steps;
};

// Chooses the basis of the component that weighs most along the guess, by samples spread over it, a block each.
extern "C" __global__ void __launch_bounds__(256) langevin_choose(sample s) {
    constexpr int threads = 256;
    static_assert(pad <= threads, "a thread for each number");
    __shared__ real x[pad], part[threads / 32];
    __shared__ real logits[components];
    __shared__ int last;
    int i = threadIdx.x, b = blockIdx.x % s.batch, t = (int)((long)blockIdx.x * s.steps / gridDim.x);
    mixture mix(s.tables, components); // the last table is that of the caller's coordinates
    const real* row = t == 0 ? s.start.at(b, 0) : s.guess.at(b, t - 1);
    for (int k = 0; k < components; k++) {
        __syncthreads();
        if (i < pad) x[i] = (i < dim ? row[i] : real(0)) - mix.means[k * pad + i];
        __syncthreads();
        real q = 0;
        if (i < dim) {
            const real* p = mix.precisions + (long)k * pad * pad + i;
#pragma unroll 8
            for (int j = 0; j < dim; j++) q += p[j * pad] * x[j];
            q *= x[i];
        }
        PARDS_UNROLL for (int d = 16; d > 0; d /= 2) q += __shfl_xor_sync(~0u, q, d);
        if (i % 32 == 0) part[i / 32] = q;
        __syncthreads();
        if (i == 0) {
            q = 0;
            for (int w = 0; w < threads / 32; w++) q += part[w];
            logits[k] = s.log_weights[k] - q / 2;
        }
    }
    if (i == 0) {
        real top = logits[0], total = 0;
        for (int k = 1; k < components; k++) top = logits[k] > top ? logits[k] : top;
        for (int k = 0; k < components; k++) total += exponential(logits[k] - top);
        for (int k = 0; k < components; k++) s.weights[blockIdx.x * components + k] = (float)(exponential(logits[k] - top) / total);
        __threadfence();
        last = atomicAdd(s.ended, 1u) + 1 == gridDim.x;
        if (last) {
            __threadfence();
            float best = -1;
            for (int k = 0; k < components; k++) {
                float w = 0;
                for (int j = 0; j < (int)gridDim.x; j++) w += load_fresh(s.weights + j * components + k);
                if (w > best) best = w, *s.basis = k;
            }
            *s.ended = 0;
        }
    }
}
