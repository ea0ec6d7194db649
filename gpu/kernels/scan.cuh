// The scan of structures whose map over many steps fits in registers (op_diagonal.cuh and its kin, small matrices), in one pass over
// memory.
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
    typedef typename op::state state;
    typedef typename op::map map;
    static constexpr int threads = C * J, warps = (threads + 31) / 32, words = op::numbers * words_of<real>;
    static constexpr int state_words = op::parts * words_of<real>;

    struct shared {
        map totals[2][warps][C][V], whole[2][C][V];
        state carry[C][V];
        word ticket[2];
    };

    shared& s;
    int tid, c, j;

    PARDS_FN chain(shared& s, int tid) : s(s), tid(tid), c(tid % C), j(tid / C) {}

    // take has a ticket, whose upper half is the number of this run, ready after the next barrier.
    PARDS_FN void take(const scan_args<real>& g, int slot = 0) {
        if (tid == 0) s.ticket[slot] = g.resident ? load_word(g.work) + blockIdx.x : atomicAdd(g.work, (word)1);
    }

    // taken is the number that comes with the first ticket.
    PARDS_FN unsigned taken(const scan_args<real>& g) const {
        if (g.resident) return blockIdx.x;
        __syncthreads();
        return (unsigned)s.ticket[0];
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

    // The threads that speak for the block: the last over time, one for each component.
    PARDS_FN bool speaks() const { return j == J - 1; }

    // up composes with each map those of the lanes before it in the warp, of the same components.
    PARDS_FN void up(map (&m)[V]) {
#pragma unroll
        for (int below = C; below < 32; below *= 2) {
#pragma unroll
            for (int v = 0; v < V; v++) {
                map before = from_lane(m[v], below);
                if (tid % 32 >= below) m[v] = op::compose(m[v], before);
            }
        }
    }

    // sum composes the totals of the warps before a warp.
    PARDS_FN void sum(map (&all)[V], int buffer, int end) {
#pragma unroll
        for (int v = 0; v < V; v++) all[v] = end > 0 ? s.totals[buffer][0][c][v] : op::none();
#pragma unroll 2
        for (int w = 1; w < end; w++) {
#pragma unroll
            for (int v = 0; v < V; v++) all[v] = op::compose(s.totals[buffer][w][c][v], all[v]);
        }
    }

    // fold replaces the map of each thread by that of the threads before it over time; those who speak get that of all in total.
    PARDS_FN void fold(map (&m)[V], map (&total)[V], int buffer) {
        const int lane = tid % 32, warp = tid / 32;
        up(m);
        map before[V];
        if (lane >= 32 - C)
#pragma unroll
            for (int v = 0; v < V; v++) s.totals[buffer][warp][c][v] = m[v];
        __syncthreads();
        sum(before, buffer, warp);
#pragma unroll
        for (int v = 0; v < V; v++) {
            total[v] = op::compose(m[v], before[v]);
            if (C < 32) {
                map up = from_lane(m[v], C);
                m[v] = lane >= C ? op::compose(up, before[v]) : before[v];
            } else m[v] = before[v];
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
        return g.work + work_head + lines * (g.tiles + groups) * C * V * words + ((line * clans + clan) * C * V + c * V) * state_words;
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

    // before composes count maps that stand side by side from `at` on, for those who speak: thread j takes that of number j.
    PARDS_FN void before(const word* at, int count, unsigned flag, map (&all)[V], int buffer) {
        map mine[V];
#pragma unroll
        for (int v = 0; v < V; v++) mine[v] = op::none();
        if (j < count) {
            real n[V * op::numbers];
            receive<V * op::numbers>(at + (word)j * C * V * words, n, flag);
#pragma unroll
            for (int v = 0; v < V; v++)
#pragma unroll
                for (int i = 0; i < op::numbers; i++) op::number(mine[v], i) = n[v * op::numbers + i];
        }
        __syncwarp();
        up(mine);
        if (tid % 32 >= 32 - C)
#pragma unroll
            for (int v = 0; v < V; v++) s.totals[buffer][tid / 32][c][v] = mine[v];
        __syncthreads();
        if (speaks()) sum(all, buffer, warps);
    }

    // tell announces the map of a tile, before anything is waited for.
    PARDS_FN void tell(const scan_args<real>& g, int line, int tile, unsigned flag, const map (&m)[V]) {
        if (speaks() && tile % J < J - 1 && tile != g.tiles - 1) announce(of_tile(g, line, tile), m, flag);
    }

    // carry returns the state before this tile, which has been told of, for each thread that of its components. m is the map of the tile.
    PARDS_FN void carry(const scan_args<real>& g, int line, int tile, unsigned flag, const map (&m)[V], state (&x)[V], const state (&start)[V]) {
        const int group = tile / J, tiles = tile % J, clan = group / J, groups = group % J;
        const bool last = tile == g.tiles - 1, ends_group = tiles == J - 1 && !last, ends_clan = ends_group && groups == J - 1;
        map all[V], above[V];
#pragma unroll
        for (int v = 0; v < V; v++) all[v] = above[v] = op::none();
        if (tiles > 0) before(of_tile(g, line, tile - tiles), tiles, flag, all, 1);
        if (speaks() && ends_group && !ends_clan) {
            map whole[V];
#pragma unroll
            for (int v = 0; v < V; v++) whole[v] = op::compose(m[v], all[v]);
            announce(of_group(g, line, group), whole, flag);
        }
        if (groups > 0) before(of_group(g, line, group - groups), groups, flag, above, tiles > 0 ? 0 : 1);
        if (speaks()) {
#pragma unroll
            for (int v = 0; v < V; v++) {
                x[v] = start[v];
                all[v] = op::compose(all[v], above[v]); // before the state arrives
            }
            if (clan > 0) {
                real n[V * op::parts];
                receive<V * op::parts>(of_clan(g, line, clan), n, flag);
#pragma unroll
                for (int v = 0; v < V; v++)
#pragma unroll
                    for (int i = 0; i < op::parts; i++) op::part(x[v], i) = n[v * op::parts + i];
            }
#pragma unroll
            for (int v = 0; v < V; v++) {
                x[v] = op::apply(all[v], x[v]);
                if (ends_clan) {
                    state end = op::apply(m[v], x[v]);
#pragma unroll
                    for (int i = 0; i < op::parts; i++)
                        publish(of_clan(g, line, clan + 1) + v * state_words + i * words_of<real>, op::part(end, i), flag);
                }
                s.carry[c][v] = x[v];
            }
        }
        __syncthreads();
#pragma unroll
        for (int v = 0; v < V; v++) x[v] = s.carry[c][v];
    }
};

// Any D. Each thread moves packs of V components from and to memory, C of them side by side; V divides D, C*V need not. A block works on
// two tiles: the next is summed up and told of as soon as it is in shared memory, and then the one before it, in registers, is carried on
// and written. So who folds the maps of the tiles before his finds them there.
template <class op, int V, int C, int J, int K> struct direct_scan {
    typedef typename op::real real;
    typedef typename op::state state;
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

    static PARDS_FN place find(const scan_args<real>& g, unsigned n, int c, int j) {
        const int lines = g.batch * g.strips;
        place p;
        p.tile = n / lines, p.line = n % lines, p.at = (p.line % g.strips * C + c) * V, p.there = p.at < g.dim;
        p.first = (long long)p.tile * J * K + j * K;
        p.row = (long long)(p.line / g.strips) * g.steps + (g.reverse ? g.steps - 1 - p.first : p.first);
        return p;
    }

    // A thread reads what it has copied, and no other's: slot k is at k * threads + tid.
    struct slots {
        packed* b;
        char* a;
        PARDS_FN explicit slots(char* memory) : b((packed*)memory), a((char*)(b + threads * K)) {}
    };

    // fetch begins to copy what the thread will work on.
    static PARDS_FN void fetch(const scan_args<real>& g, const place& p, int tid, slots to) {
        const real* from = g.b + p.row * g.dim + p.at;
        const long long step = g.reverse ? -(long long)g.dim : g.dim;
        const real* from_a = op::shared ? g.a + p.row : g.a + p.row * g.dim + p.at;
        const long long step_a = op::shared ? (g.reverse ? -1 : 1) : step;
        if (p.there)
#pragma unroll
            for (int k = 0; k < K; k++) {
                if (p.first + k >= g.steps) break;
                copy_async<sizeof(packed)>(to.b + k * threads + tid, from + k * step);
                if constexpr (op::reads > 0) copy_async<a_bytes>(to.a + (k * threads + tid) * a_bytes, from_a + k * step_a);
            }
        copy_commit();
    }

    // look has step k of a tile: a step that is not there changes nothing; the first is not read without a state before it.
    static PARDS_FN void look(const scan_args<real>& g, const place& p, int tid, slots from, int k, real (&av)[V], real (&bv)[V]) {
        const bool in = p.there && p.first + k < g.steps;
        const packed b = from.b[k * threads + tid];
        packed a;
        if constexpr (op::shared) a.v[0] = ((const real*)from.a)[k * threads + tid];
        else if constexpr (op::reads > 0) a = ((const packed*)from.a)[k * threads + tid];
#pragma unroll
        for (int v = 0; v < V; v++) {
            bv[v] = in ? b.v[v] : 0;
            av[v] = !in ? 1 : op::reads == 0 || (p.first + k == 0 && !g.x0) ? 0 : a.v[op::shared ? 0 : v];
        }
    }

    static PARDS_FN void run(const scan_args<real>& g, shared& s, char* memory) {
        line_type l(s.line, threadIdx.x);
        const slots mine(memory);
        const unsigned all = (unsigned)(g.batch * g.strips * g.tiles);
        const long long step = g.reverse ? -(long long)g.dim : g.dim;
        l.take(g);
        unsigned n = l.taken(g), flag = 0, held = all;
        if (n < all) fetch(g, find(g, n, l.c, l.j), l.tid, mine);
        real av[K][V] = {}, bv[K][V] = {}; // of the tile that is held
        map before[V] = {};                // the thread's steps in it
        for (int turn = 1;; turn++) {
            const place here = find(g, n, l.c, l.j);
            map m[V], sum[V];
            if (n < all) {
                if (!g.resident) l.take(g, turn % 2);
                copy_wait<0>();
#pragma unroll
                for (int v = 0; v < V; v++) m[v] = op::none();
#pragma unroll
                for (int k = 0; k < K; k++) {
                    real a[V], b[V];
                    look(g, here, l.tid, mine, k, a, b);
#pragma unroll
                    for (int v = 0; v < V; v++) m[v] = op::then(m[v], a[v], b[v]);
                }
                l.fold(m, sum, 0);
                flag = (unsigned)(l.s.ticket[g.resident ? 0 : turn % 2] >> 32) + 1;
                l.tell(g, here.line, here.tile, flag, sum);
                if (l.speaks())
#pragma unroll
                    for (int v = 0; v < V; v++) s.line.whole[turn % 2][l.c][v] = sum[v];
            }
            if (held < all) {
                const place p = find(g, held, l.c, l.j);
                state start[V], x[V];
#pragma unroll
                for (int v = 0; v < V; v++) start[v] = g.x0 && p.there ? g.x0[(long long)(p.line / g.strips) * g.dim + p.at + v] : 0;
                l.carry(g, p.line, p.tile, flag, s.line.whole[(turn + 1) % 2][l.c], x, start);
                real* out = g.out + p.row * g.dim + p.at;
#pragma unroll
                for (int v = 0; v < V; v++) x[v] = op::apply(before[v], x[v]);
#pragma unroll
                for (int k = 0; k < K; k++) {
                    packed y;
#pragma unroll
                    for (int v = 0; v < V; v++) y.v[v] = x[v] = op::step(av[k][v], x[v], bv[k][v]);
                    if (p.there && p.first + k < g.steps) *(packed*)(out + k * step) = y;
                }
            } else __syncthreads(); // before what the block shares is written again
            if (n >= all) break;
#pragma unroll
            for (int k = 0; k < K; k++) look(g, here, l.tid, mine, k, av[k], bv[k]);
#pragma unroll
            for (int v = 0; v < V; v++) before[v] = m[v];
            held = n;
            n = g.resident ? all : (unsigned)l.s.ticket[turn % 2];
            if (n < all) fetch(g, find(g, n, l.c, l.j), l.tid, mine);
        }
        l.done(g, flag);
    }
};

// Tiles that lie in one piece in memory go through shared memory, so that accesses to global memory are wide and side by side whatever D
// is. Element e stands at e + e / 32 there, which keeps most accesses of a warp in different banks.
template <class real, int threads> struct tile_copy {
    static constexpr int most = pack_most<real>;
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
    template <int wide> static PARDS_FN void out(real* to, const real* from, int n) {
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
};

// The steps of a block that takes one tile: count of them from first on, whose numbers begin at row of all.
struct portion {
    int tile, line, count;
    long long first, row;
};
template <int rows, class real, class line_type> PARDS_FN portion portion_of(const scan_args<real>& g, line_type& l) {
    l.take(g);
    const int lines = g.batch, n = (int)l.taken(g), tile = n / lines;
    const long long first = (long long)tile * rows;
    const int count = g.steps - first < rows ? (int)(g.steps - first) : rows;
    return {tile, n % lines, count, first, n % lines * g.steps + (g.reverse ? g.steps - first - count : first)};
}

// The state before a thread's first step, whose steps do m: what the block has done is told to the others, and theirs is waited for.
template <class op, class line_type, class map, class state>
PARDS_FN void start_of(const scan_args<typename op::real>& g, line_type& l, const portion& p, unsigned run, map (&m)[1], state (&x)[1], const state (&start)[1]) {
    map total[1];
    l.fold(m, total, 0);
    l.tell(g, p.line, p.tile, run, total);
    l.carry(g, p.line, p.tile, run, total, x, start);
    x[0] = op::apply(m[0], x[0]);
}

// D = C, few components.
template <class op, int C, int J, int K> struct staged_scan {
    typedef typename op::real real;
    typedef typename op::map map;
    typedef chain<op, 1, C, J> line_type;
    typedef tile_copy<real, C * J> copy;
    static constexpr int threads = C * J, rows = J * K;
    static constexpr int wide = rows * C, narrow = op::reads == 0 ? 32 : op::shared ? rows : wide;
    struct shared {
        typename line_type::shared line;
        real a[narrow + narrow / 32], b[wide + wide / 32];
    };

    static PARDS_FN void run(const scan_args<real>& g, shared& s) {
        line_type l(s.line, threadIdx.x);
        const portion p = portion_of<rows>(g, l);
        const int count = p.count;
        copy::template in<wide>(s.b, g.b + p.row * C, count * C);
        if constexpr (op::reads > 0) copy::template in<narrow>(s.a, g.a + (op::shared ? p.row : p.row * C), op::shared ? count : count * C);
        __syncthreads();
        real a[K], b[K], start[1] = {g.x0 ? g.x0[p.line * C + l.c] : 0}, x[1];
        map m[1] = {op::none()};
#pragma unroll
        for (int k = 0; k < K; k++) {
            const int t = l.j * K + k, at = g.reverse ? count - 1 - t : t;
            const bool in = t < count;
            b[k] = in ? s.b[copy::pad(at * C + l.c)] : 0;
            a[k] = !in ? 1 : op::reads == 0 ? 0 : s.a[copy::pad(op::shared ? at : at * C + l.c)];
            if (p.first + t == 0 && !g.x0) a[k] = 0;
            m[0] = op::then(m[0], a[k], b[k]);
        }
        const unsigned run = (unsigned)(l.s.ticket[0] >> 32) + 1;
        start_of<op>(g, l, p, run, m, x, start);
#pragma unroll
        for (int k = 0; k < K; k++) {
            const int t = l.j * K + k, at = g.reverse ? count - 1 - t : t;
            x[0] = op::step(a[k], x[0], b[k]);
            if (t < count) s.b[copy::pad(at * C + l.c)] = x[0];
        }
        __syncthreads();
        copy::template out<wide>(g.out + p.row * C, s.b, count * C);
        l.done(g, run);
    }
};

// Matrices of a few rows: a thread holds the map of K steps, and reads their numbers from shared memory.
template <class op, int J, int K> struct matrix_scan {
    typedef typename op::real real;
    typedef typename op::state state;
    typedef typename op::map map;
    typedef chain<op, 1, 1, J> line_type;
    typedef tile_copy<real, J> copy;
    static constexpr int threads = J, rows = J * K, D = op::parts, wide = rows * D, square = wide * D;
    struct shared {
        typename line_type::shared line;
        real a[square + square / 32], b[wide + wide / 32];
    };

    static PARDS_FN void run(const scan_args<real>& g, shared& s) {
        line_type l(s.line, threadIdx.x);
        const portion p = portion_of<rows>(g, l);
        const int count = p.count;
        copy::template in<square>(s.a, g.a + p.row * D * D, count * D * D);
        copy::template in<wide>(s.b, g.b + p.row * D, count * D);
        __syncthreads();
        state start[1], x[1];
#pragma unroll
        for (int i = 0; i < D; i++) start[0].v[i] = g.x0 ? g.x0[p.line * D + i] : 0;
        map m[1] = {op::none()};
        auto number = [&](int t, bool matrix, int e) { // of step t of the tile, in the direction of the scan
            const int at = g.reverse ? count - 1 - t : t;
            return matrix ? s.a[copy::pad(at * D * D + e)] : s.b[copy::pad(at * D + e)];
        };
#pragma unroll 1
        for (int t = l.j * K; t < l.j * K + K && t < count; t++) m[0] = op::then(m[0], number, t, p.first + t == 0 && !g.x0);
        const unsigned run = (unsigned)(l.s.ticket[0] >> 32) + 1;
        start_of<op>(g, l, p, run, m, x, start);
#pragma unroll 1
        for (int t = l.j * K; t < l.j * K + K && t < count; t++) {
            x[0] = op::step(x[0], number, t, p.first + t == 0 && !g.x0);
            const int at = g.reverse ? count - 1 - t : t;
#pragma unroll
            for (int i = 0; i < D; i++) s.b[copy::pad(at * D + i)] = x[0].v[i];
        }
        __syncthreads();
        copy::template out<wide>(g.out + p.row * D, s.b, count * D);
        l.done(g, run);
    }
};
