// The scan of structures that act on each component alone (op_diagonal.cuh and its kin), in one pass over memory.
//
// Hierarchy. A thread holds K consecutive steps of V components and the map that they make up. A block (C lanes over components, J
// over time) holds a tile: J*K steps of C*V components. The tiles of the same components of a sequence are a chain. J tiles are a
// group, J groups a clan: each tile folds the maps of the tiles before it in its group, and of the groups before it in its clan, in their
// order, and the state at a clan's end is passed on from clan to clan. So every number comes out of the same operations in every run,
// however the blocks are scheduled.
//
// Blocks take their tiles from a counter, time going slowest, so that whatever a tile waits for has been begun; where all tiles have a
// block that is resident, a block's number is its tile.
#pragma once
#include "memory.cuh"

template <class real> struct scan_args {
    const real *a, *b, *x0; // x0 may be null: then the first a is not read
    real* out;
    word* work; // see below
    long long steps;
    int batch, dim, tiles, strips; // strips: how many chains cover the components of a sequence
    int reverse, resident;         // resident: there is a block for every tile, all at once
};

// The work area is words that begin as zero and are left ready for the next scan, of whatever shape and type:
// [0] run number << 32 | tickets taken; [1] blocks that have ended; from [work_head] on values beside the run number as flag.
constexpr int work_head = 16;

template <class op, int V, int C, int J> struct chain {
    typedef typename op::real real;
    typedef typename op::map map;
    static constexpr int threads = C * J, warps = (threads + 31) / 32, words = op::numbers * words_of<real>;

    struct shared {
        map totals[2][warps][C][V];
        real carry[C][V];
        word ticket;
    };

    shared& s;
    int tid, c, j;

    PARDS_FN chain(shared& s, int tid) : s(s), tid(tid), c(tid % C), j(tid / C) {}

    // take has a ticket, whose upper half is the number of this run, ready after the next barrier.
    PARDS_FN void take(const scan_args<real>& g) {
        if (tid == 0) s.ticket = g.resident ? load_word(g.work) + blockIdx.x : atomicAdd(g.work, (word)1);
    }

    // done makes the work area ready for the next run once all blocks have ended.
    PARDS_FN void done(const scan_args<real>& g, unsigned run) {
        if (tid != 0) return;
        if (atomicAdd(g.work + 1, (word)1) != gridDim.x - 1) return;
        g.work[1] = 0;
        g.work[0] = (word)run << 32;
    }

    static PARDS_FN map from_lane(map m, int below) {
        map r;
        for (int i = 0; i < op::numbers; i++) op::number(r, i) = __shfl_up_sync(~0u, op::number(m, i), below);
        return r;
    }

    // fold replaces the map of each thread by that of the threads before it over time, and writes that of all to total.
    PARDS_FN void fold(map (&m)[V], map (&total)[V], int buffer) {
        const int lane = tid % 32, warp = tid / 32;
#pragma unroll
        for (int v = 0; v < V; v++) {
#pragma unroll
            for (int below = C; below < 32; below *= 2) {
                map before = from_lane(m[v], below);
                if (lane >= below) m[v] = op::compose(m[v], before);
            }
            if (lane >= 32 - C) s.totals[buffer][warp][c][v] = m[v];
            if (C < 32) {
                map before = from_lane(m[v], C);
                m[v] = lane >= C ? before : op::none();
            } else m[v] = op::none();
        }
        __syncthreads();
#pragma unroll
        for (int v = 0; v < V; v++) {
            map sum = s.totals[buffer][0][c][v], mine = op::none();
#pragma unroll 4
            for (int w = 1; w < warps; w++) {
                if (w == warp) mine = sum;
                sum = op::compose(s.totals[buffer][w][c][v], sum);
            }
            if (warp > 0) m[v] = C < 32 ? op::compose(m[v], mine) : mine;
            total[v] = sum;
        }
    }

    // The work area of a chain: the maps of its tiles, those of its groups, the states at the beginning of its clans.
    PARDS_FN word* of_tile(const scan_args<real>& g, int line, int tile) const {
        return g.work + work_head + (((word)line * g.tiles + tile) * C * V + c * V) * words;
    }
    PARDS_FN word* of_group(const scan_args<real>& g, int line, int group) const {
        const word lines = (word)g.batch * g.strips, groups = (g.tiles + J - 1) / J;
        return g.work + work_head + ((lines * g.tiles + line * groups + group) * C * V + c * V) * words;
    }
    PARDS_FN word* of_clan(const scan_args<real>& g, int line, int clan) const {
        const word lines = (word)g.batch * g.strips, groups = (g.tiles + J - 1) / J, clans = (groups + J - 1) / J;
        return g.work + work_head + lines * (g.tiles + groups) * C * V * words + ((line * clans + clan) * C * V + c * V) * words_of<real>;
    }

    // gather reads count flagged numbers, all in flight at once, until each has its flag.
    template <int count> static PARDS_FN void gather(const word* p, real* to, unsigned flag) {
        constexpr int n = count * words_of<real>;
        word w[n];
        bool all;
        do {
            all = true;
            if constexpr (n % 2 == 0) {
#pragma unroll
                for (int i = 0; i < n; i += 2) load_words(p + i, w[i], w[i + 1]);
            } else {
#pragma unroll
                for (int i = 0; i < n; i++) w[i] = load_word(p + i);
            }
#pragma unroll
            for (int i = 0; i < n; i++) all = all && has(w[i], flag);
            if (!all) spin();
        } while (!all);
#pragma unroll
        for (int i = 0; i < count; i++) to[i] = unflagged<real>(w + i * words_of<real>);
    }

    // announce publishes a map for each component.
    static PARDS_FN void announce(word* to, const map (&m)[V], unsigned flag) {
#pragma unroll
        for (int v = 0; v < V; v++) {
            map one = m[v];
#pragma unroll
            for (int i = 0; i < op::numbers; i++) publish(to + (v * op::numbers + i) * words_of<real>, op::number(one, i), flag);
        }
    }

    // before folds count maps that stand side by side from `at` on: thread j takes that of number j.
    PARDS_FN void before(const word* at, int count, unsigned flag, map (&all)[V], int buffer) {
        map mine[V];
#pragma unroll
        for (int v = 0; v < V; v++) mine[v] = op::none();
        if (j < count) {
            real n[V * op::numbers];
            gather<V * op::numbers>(at + (word)j * C * V * words, n, flag);
#pragma unroll
            for (int v = 0; v < V; v++)
#pragma unroll
                for (int i = 0; i < op::numbers; i++) op::number(mine[v], i) = n[v * op::numbers + i];
        }
        fold(mine, all, buffer);
    }

    // carry returns the state before this tile, for each thread that of its components. m is the map of the tile.
    PARDS_FN void carry(const scan_args<real>& g, int line, int tile, unsigned flag, const map (&m)[V], real (&x)[V], const real (&start)[V]) {
        const int group = tile / J, tiles = tile % J, clan = group / J, groups = group % J;
        const bool last = tile == g.tiles - 1, ends_group = tiles == J - 1 && !last, ends_clan = ends_group && groups == J - 1;
        if (j == 0 && tiles < J - 1 && !last) announce(of_tile(g, line, tile), m, flag);
        map all[V], above[V];
#pragma unroll
        for (int v = 0; v < V; v++) all[v] = above[v] = op::none();
        if (tiles > 0) before(of_tile(g, line, tile - tiles), tiles, flag, all, 1);
        if (j == 0 && ends_group && !ends_clan) {
            map whole[V];
#pragma unroll
            for (int v = 0; v < V; v++) whole[v] = op::compose(m[v], all[v]);
            announce(of_group(g, line, group), whole, flag);
        }
        if (groups > 0) before(of_group(g, line, group - groups), groups, flag, above, tiles > 0 ? 0 : 1);
        if (j == 0) {
#pragma unroll
            for (int v = 0; v < V; v++) {
                x[v] = start[v];
                all[v] = op::compose(all[v], above[v]); // before the state arrives
            }
            if (clan > 0) gather<V>(of_clan(g, line, clan), x, flag);
#pragma unroll
            for (int v = 0; v < V; v++) {
                x[v] = op::apply(all[v], x[v]);
                if (ends_clan) publish(of_clan(g, line, clan + 1) + v * words_of<real>, op::apply(m[v], x[v]), flag);
                s.carry[c][v] = x[v];
            }
        }
        __syncthreads();
#pragma unroll
        for (int v = 0; v < V; v++) x[v] = s.carry[c][v];
    }
};

// Any D. Each thread moves packs of V components from and to memory, C of them side by side; V divides D, C*V need not. While a block
// works on a tile, which it holds in registers, its next one is on its way into shared memory.
template <class op, int V, int C, int J, int K> struct direct_scan {
    typedef typename op::real real;
    typedef typename op::map map;
    typedef chain<op, V, C, J> line_type;
    typedef pack<real, V> packed;
    static constexpr int threads = C * J, a_bytes = op::reads == 0 ? 0 : op::shared ? sizeof(real) : sizeof(packed);
    static constexpr int bytes = threads * K * (a_bytes + sizeof(packed)); // of dynamic shared memory
    struct shared {
        typename line_type::shared line;
    };

    // place is where a thread's steps of a tile are.
    struct place {
        int line, tile, at;
        bool there;
        long long first, row; // in the direction of the scan; in memory
    };

    static PARDS_FN place find(const scan_args<real>& g, int n, int c, int j) {
        const int lines = g.batch * g.strips;
        place p;
        p.tile = n / lines, p.line = n % lines, p.at = (p.line % g.strips * C + c) * V, p.there = p.at < g.dim;
        p.first = (long long)p.tile * J * K + j * K;
        p.row = (long long)(p.line / g.strips) * g.steps + (g.reverse ? g.steps - 1 - p.first : p.first);
        return p;
    }

    // fetch begins to copy what the thread will work on; its own slots are k * threads + tid.
    static PARDS_FN void fetch(const scan_args<real>& g, const place& p, int tid, packed* b, char* a) {
        const real* from = g.b + p.row * g.dim + p.at;
        const long long step = g.reverse ? -(long long)g.dim : g.dim;
        const real* from_a = op::shared ? g.a + p.row : g.a + p.row * g.dim + p.at;
        const long long step_a = op::shared ? (g.reverse ? -1 : 1) : step;
        if (p.there)
#pragma unroll
            for (int k = 0; k < K; k++) {
                if (p.first + k >= g.steps) break;
                copy_async<sizeof(packed)>(b + k * threads + tid, from + k * step);
                if constexpr (op::reads > 0) copy_async<a_bytes>(a + (k * threads + tid) * a_bytes, from_a + k * step_a);
            }
        copy_commit();
    }

    static PARDS_FN void run(const scan_args<real>& g, shared& s, char* memory) {
        line_type l(s.line, threadIdx.x);
        packed* sb = (packed*)memory;
        char* sa = memory + threads * K * sizeof(packed);
        const unsigned all = (unsigned)(g.batch * g.strips * g.tiles);
        const long long step = g.reverse ? -(long long)g.dim : g.dim;
        l.take(g);
        if (!g.resident) __syncthreads();
        unsigned n = g.resident ? blockIdx.x : (unsigned)l.s.ticket, run = 0;
        if (!g.resident) run = (unsigned)(l.s.ticket >> 32) + 1;
        if (n < all) fetch(g, find(g, n, l.c, l.j), l.tid, sb, sa);
        if (!g.resident) __syncthreads(); // before the ticket is written again
        while (n < all) {
            const place p = find(g, n, l.c, l.j);
            if (!g.resident) l.take(g);
            real av[K][V], bv[K][V], start[V], x[V];
            map m[V], total[V];
#pragma unroll
            for (int v = 0; v < V; v++) start[v] = g.x0 && p.there ? g.x0[(long long)(p.line / g.strips) * g.dim + p.at + v] : 0, m[v] = op::none();
            copy_wait<0>();
#pragma unroll
            for (int k = 0; k < K; k++) {
                const bool in = p.there && p.first + k < g.steps;
                const packed b = sb[k * threads + l.tid];
                packed a;
                if constexpr (op::shared) a.v[0] = ((const real*)sa)[k * threads + l.tid];
                else if constexpr (op::reads > 0) a = ((const packed*)sa)[k * threads + l.tid];
#pragma unroll
                for (int v = 0; v < V; v++) { // a step that is not there changes nothing; the first is not read without a state before it
                    bv[k][v] = in ? b.v[v] : 0;
                    av[k][v] = !in ? 1 : op::reads == 0 || (p.first + k == 0 && !g.x0) ? 0 : a.v[op::shared ? 0 : v];
                    m[v] = op::then(m[v], av[k][v], bv[k][v]);
                }
            }
            l.fold(m, total, 0);
            if (g.resident) run = (unsigned)(l.s.ticket >> 32) + 1, n = all;
            else n = (unsigned)l.s.ticket;
            if (n < all) fetch(g, find(g, n, l.c, l.j), l.tid, sb, sa);
            l.carry(g, p.line, p.tile, run, total, x, start);
            real* out = g.out + p.row * g.dim + p.at;
#pragma unroll
            for (int v = 0; v < V; v++) x[v] = op::apply(m[v], x[v]);
#pragma unroll
            for (int k = 0; k < K; k++) {
                packed y;
#pragma unroll
                for (int v = 0; v < V; v++) y.v[v] = x[v] = op::step(av[k][v], x[v], bv[k][v]);
                if (p.there && p.first + k < g.steps) *(packed*)(out + k * step) = y;
            }
        }
        l.done(g, run);
    }
};

// D = C, few components: a tile lies in one piece in memory and goes through shared memory, so that accesses to global memory are wide
// and side by side whatever D is. Element e stands at e + e / 32 there, which keeps most accesses of a warp in different banks.
template <class op, int C, int J, int K> struct staged_scan {
    typedef typename op::real real;
    typedef typename op::map map;
    typedef chain<op, 1, C, J> line_type;
    static constexpr int threads = C * J, rows = J * K, most = pack_most<real>;
    static constexpr int wide = rows * C, narrow = op::reads == 0 ? 32 : op::shared ? rows : wide;
    struct shared {
        typename line_type::shared line;
        real a[narrow + narrow / 32], b[wide + wide / 32];
    };

    static PARDS_FN int pad(int e) { return e + e / 32; }

    // in copies n of at most `full` elements to shared memory, in packs where a whole tile is aligned.
    template <int full> static PARDS_FN void in(real* to, const real* from, int n) {
        constexpr int packs = full % (most * threads) == 0 ? full / most / threads : 0;
        if (packs > 0 && n == full && (word)from % 16 == 0) {
            pack<real, most> p[packs > 0 ? packs : 1];
#pragma unroll
            for (int i = 0; i < packs; i++) p[i] = ((const pack<real, most>*)from)[i * threads + threadIdx.x];
#pragma unroll
            for (int i = 0; i < packs; i++)
#pragma unroll
                for (int k = 0; k < most; k++) to[pad((i * threads + threadIdx.x) * most + k)] = p[i].v[k];
            return;
        }
        for (int e = threadIdx.x; e < n; e += threads) to[pad(e)] = from[e];
    }
    static PARDS_FN void out(real* to, const real* from, int n) {
        if (wide % (most * threads) == 0 && n == wide && (word)to % 16 == 0) {
#pragma unroll
            for (int i = 0; i < wide / most / threads; i++) {
                pack<real, most> p;
#pragma unroll
                for (int k = 0; k < most; k++) p.v[k] = from[pad((i * threads + threadIdx.x) * most + k)];
                ((pack<real, most>*)to)[i * threads + threadIdx.x] = p;
            }
            return;
        }
        for (int e = threadIdx.x; e < n; e += threads) to[e] = from[pad(e)];
    }

    static PARDS_FN void run(const scan_args<real>& g, shared& s) {
        line_type l(s.line, threadIdx.x);
        l.take(g);
        if (!g.resident) __syncthreads();
        const int lines = g.batch, n = g.resident ? blockIdx.x : (int)(unsigned)l.s.ticket, tile = n / lines, line = n % lines;
        const long long first = (long long)tile * rows;
        const int count = g.steps - first < rows ? (int)(g.steps - first) : rows;
        const long long row = line * g.steps + (g.reverse ? g.steps - first - count : first);
        in<wide>(s.b, g.b + row * C, count * C);
        if constexpr (op::reads > 0) in<narrow>(s.a, g.a + (op::shared ? row : row * C), op::shared ? count : count * C);
        __syncthreads();
        real a[K], b[K], start[1] = {g.x0 ? g.x0[line * C + l.c] : 0}, x[1];
        map m[1] = {op::none()}, total[1];
#pragma unroll
        for (int k = 0; k < K; k++) {
            const int t = l.j * K + k, at = g.reverse ? count - 1 - t : t;
            const bool in = t < count;
            b[k] = in ? s.b[pad(at * C + l.c)] : 0;
            a[k] = !in ? 1 : op::reads == 0 ? 0 : s.a[pad(op::shared ? at : at * C + l.c)];
            if (first + t == 0 && !g.x0) a[k] = 0;
            m[0] = op::then(m[0], a[k], b[k]);
        }
        l.fold(m, total, 0);
        const unsigned run = (unsigned)(l.s.ticket >> 32) + 1;
        l.carry(g, line, tile, run, total, x, start);
        x[0] = op::apply(m[0], x[0]);
#pragma unroll
        for (int k = 0; k < K; k++) {
            const int t = l.j * K + k, at = g.reverse ? count - 1 - t : t;
            x[0] = op::step(a[k], x[0], b[k]);
            if (t < count) s.b[pad(at * C + l.c)] = x[0];
        }
        __syncthreads();
        out(g.out + row * C, s.b, count * C);
        l.done(g, run);
    }
};
