// Scans by the kernels' sources on the host, as a filter: cases from standard input, results to standard output. host_test.go drives it.
//
// A case is ten 64-bit integers (structure, bytes of a number, batch, steps, units, dim, x0 given, reverse, length of a chunk of the
// lowest level, of the one above it), then A, b and x0 as they stand in memory; its result is the states.
#include "emulate.h"

#include "../op_block_diagonal.cuh"
#include "../op_dense.cuh"
#include "../op_diagonal.cuh"
#include "../op_identity.cuh"
#include "../op_large.cuh"
#include "../op_permutation.cuh"
#include "../op_scaled_identity.cuh"
#include "../op_small.cuh"
#include "../op_tensor_dense.cuh"
#include "../scan.cuh"

enum structure { DIAGONAL, SCALED_IDENTITY, IDENTITY, DENSE, LARGE, PERMUTATION, SMALL, TENSOR };

struct header {
    long long structure, size, batch, steps, units, dim, given, reverse, chunk, above;
};

template <class T> std::vector<T> read(size_t n) {
    std::vector<T> v(n + 2 * pack_most<T>); // kernels may not read beyond, but an empty array must have an address
    if (n && fread(v.data(), sizeof(T), n, stdin) != n) exit(1);
    return v;
}

static std::vector<word> work(1 << 22, 0); // kept from case to case, as on the device

template <class op, bool staged, int V, int C, int J, int K> void one_pass(const header& h, const typename op::real* a, const typename op::real* b,
                                                                          const typename op::real* x0, typename op::real* out) {
    scan_args<typename op::real> g{a, b, h.given ? x0 : nullptr, out, work.data(), h.steps, (int)h.batch, (int)h.dim, 0, 1, (int)h.reverse, 0};
    g.tiles = (int)((h.steps + J * K - 1) / (J * K));
    if constexpr (staged) {
        static typename staged_scan<op, C, J, K>::shared s;
        emulate::launch(g.batch * g.tiles, C * J, false, 0, [&] { staged_scan<op, C, J, K>::run(g, s); });
    } else {
        typedef direct_scan<op, V, C, J, K> scan;
        static std::vector<typename scan::shared> s(64);
        g.strips = (g.dim + C * V - 1) / (C * V);
        const int all = g.batch * g.tiles * g.strips;
        g.resident = all <= 8; // else three blocks take turns
        emulate::launch(g.resident ? all : 3, C * J, true, scan::bytes, [&] { scan::run(g, s[blockIdx.x], dynamic_shared()); });
    }
}

// Small variants of each kind: few steps a thread, so that short sequences have several tiles and groups.
template <class op> void one_pass_any(const header& h, const typename op::real* a, const typename op::real* b, const typename op::real* x0, typename op::real* out) {
    switch (h.dim) {
    case 1: return one_pass<op, true, 1, 1, 32, 4>(h, a, b, x0, out);
    case 2: return one_pass<op, true, 1, 2, 16, 2>(h, a, b, x0, out);
    case 8: return one_pass<op, false, 8 / sizeof(typename op::real), sizeof(typename op::real), 32 / sizeof(typename op::real), 4>(h, a, b, x0, out);
    case 11: return one_pass<op, false, 1, 32, 2, 3>(h, a, b, x0, out);
    default: return one_pass<op, false, 1, 2, 16, 2>(h, a, b, x0, out);
    }
}

template <class T, int D> void small(const header& h, const T* a, const T* b, const T* x0, T* out) {
    typedef matrix_scan<small_dense<T, D>, 32, 3> scan;
    static typename scan::shared s;
    scan_args<T> g{a, b, h.given ? x0 : nullptr, out, work.data(), h.steps, (int)h.batch, D, (int)((h.steps + scan::rows - 1) / scan::rows), 1, (int)h.reverse, 0};
    emulate::launch(g.batch * g.tiles, scan::threads, false, 0, [&] { scan::run(g, s); });
}

template <class op> void levels(const header& h, const typename op::real* a, const typename op::real* b, const typename op::real* x0, typename op::real* out) {
    typedef typename op::real real;
    const size_t length = op::length((int)h.dim), sequences = h.batch * h.units;
    unsigned barrier[2] = {0, 0};
    level_args<real> g{};
    g.x0 = h.given ? x0 : nullptr, g.barrier = barrier, g.row_a = h.units * length, g.row_b = h.units * h.dim;
    g.batch = (int)h.batch, g.units = (int)h.units, g.dim = (int)h.dim, g.reverse = (int)h.reverse;
    g.at[0].a = a, g.at[0].b = b, g.at[0].x = out, g.at[0].steps = h.steps;
    std::vector<std::vector<real>> keep;
    auto room = [&](size_t n) {
        keep.emplace_back(n, NAN);
        return keep.back().data();
    };
    for (long long most : {h.chunk, h.above, h.steps}) {
        level<real>& l = g.at[g.count++];
        l.chunk = (int)std::min(most, l.steps), l.chunks = (int)((l.steps + l.chunk - 1) / l.chunk);
        if (l.chunks == 1) break;
        level<real>& up = g.at[g.count];
        const size_t n = sequences * (l.chunks - 1);
        up.a = l.p = room(n * length), up.b = l.s = room(n * h.dim), up.x = room(n * h.dim), up.steps = l.chunks - 1;
    }
    emulate::launch(2, op::team * op::teams, true, op::bytes, [&] { run_levels<op>(g, dynamic_shared()); });
    if (barrier[0] || barrier[1]) exit(2);
}

template <class T> void dense_any(const header& h, const T* a, const T* b, const T* x0, T* out) {
    switch (h.dim) {
    case 1: return levels<dense<T, 1, 32, false>>(h, a, b, x0, out);
    case 2: return levels<dense<T, 2, 32, false>>(h, a, b, x0, out);
    case 3: return levels<dense<T, 3, 32, false>>(h, a, b, x0, out);
    case 4: return levels<dense<T, 4, 32, true>>(h, a, b, x0, out);
    case 8: return levels<dense<T, 8, 32, true>>(h, a, b, x0, out);
    case 11: return levels<dense<T, 11, 32, false>>(h, a, b, x0, out);
    case 20: return levels<dense<T, 20, 32, true>>(h, a, b, x0, out);
    case 41: return levels<dense<T, 41, 128, false>>(h, a, b, x0, out);
    case 64: return levels<dense<T, 64, 128, true>>(h, a, b, x0, out);
    default: exit(3);
    }
}

// Floats whose rows come in eights go by the tensor cores where the device's do.
void tensor_any(const header& h, const float* a, const float* b, const float* x0, float* out) {
    switch (h.dim) {
    case 8: return levels<tensor_dense<8, 64, 1, 4, 8>>(h, a, b, x0, out);
    case 16: return levels<tensor_dense<16, 32, 1, 4, 2>>(h, a, b, x0, out);
    case 24: return levels<tensor_dense<24, 32, 2, 3, 1>>(h, a, b, x0, out);
    case 32: return levels<tensor_dense<32, 64, 2, 3, 1>>(h, a, b, x0, out);
    case 40: return levels<tensor_dense<40, 96, 1, 3, 1>>(h, a, b, x0, out);
    case 48: return levels<tensor_dense<48, 96, 1, 2, 1>>(h, a, b, x0, out);
    case 56: return levels<tensor_dense<56, 128, 1, 3, 1>>(h, a, b, x0, out);
    case 64: return levels<tensor_dense<64, 128, 1, 3, 1>>(h, a, b, x0, out);
    default: exit(3);
    }
}

template <class T> void run(const header& h) {
    const size_t d = h.dim * h.units, steps = h.batch * h.steps;
    const size_t lengths[] = {d, 1, 0, h.dim * h.dim * (size_t)h.units, h.dim * h.dim * (size_t)h.units, d, h.dim * h.dim * (size_t)1, h.dim * h.dim * (size_t)h.units};
    auto a = read<T>(steps * lengths[h.structure]), b = read<T>(steps * d), x0 = read<T>(h.given ? h.batch * d : 0);
    std::vector<T> out(steps * d, NAN);
    if (!out.empty()) switch (h.structure) {
        case DIAGONAL: one_pass_any<diagonal<T>>(h, a.data(), b.data(), x0.data(), out.data()); break;
        case SCALED_IDENTITY: one_pass_any<scaled_identity<T>>(h, a.data(), b.data(), x0.data(), out.data()); break;
        case IDENTITY: one_pass_any<identity<T>>(h, a.data(), b.data(), x0.data(), out.data()); break;
        case DENSE: dense_any<T>(h, a.data(), b.data(), x0.data(), out.data()); break;
        case TENSOR:
            if constexpr (sizeof(T) == 4) tensor_any(h, a.data(), b.data(), x0.data(), out.data());
            break;
        case LARGE: levels<large<T, 0, 64, false>>(h, a.data(), b.data(), x0.data(), out.data()); break;
        case SMALL:
            if (h.dim == 2) small<T, 2>(h, a.data(), b.data(), x0.data(), out.data());
            else small<T, 3>(h, a.data(), b.data(), x0.data(), out.data());
            break;
        case PERMUTATION:
            if (h.dim <= 4) levels<permutation<T, 4, 32, false>>(h, a.data(), b.data(), x0.data(), out.data());
            else levels<permutation<T, 64, 64, false>>(h, a.data(), b.data(), x0.data(), out.data());
        }
    fwrite(out.data(), sizeof(T), out.size(), stdout);
    fflush(stdout);
}

int main() {
    for (header h; fread(&h, sizeof h, 1, stdin) == 1;) h.size == 4 ? run<float>(h) : run<double>(h);
}
