// Products of rows with a square matrix by the tensor cores: float in three passes of tf32, which keep the error of float; double as it is.
//
// A block holds a tile of rows in shared memory and streams the matrix through it in slices. Warps stand in a grid over the tile, each
// over warp_rows x warp_columns numbers of the product, which its lanes hold as the tensor cores lay them out.
#pragma once
#include "memory.cuh"
#include "tensor.cuh"

// What a product of a warp takes: rows x steps by steps x 8, and how many numbers of each a lane holds.
template <class real> struct fragment;
template <> struct fragment<float> { static constexpr int rows = 16, steps = 8, a = 4, b = 2, c = 4; };
template <> struct fragment<double> { static constexpr int rows = 8, steps = 4, a = 1, b = 1, c = 2; };

// A load past caches that may be stale.
template <class T> PARDS_FN T load_fresh(const T* p) { return *(const volatile T*)p; }

template <class real, int dim, int down> struct tile {
    using fr = fragment<real>;
    static constexpr int warp_rows = 32, warp_columns = dim % 32 || sizeof(real) == 8 ? 16 : 32;
    static constexpr int across = dim / warp_columns, threads = 32 * across * down, rows = warp_rows * down;
    static constexpr int parts = threads / dim, part_rows = rows / parts; // a thread for each column of each part of the rows
    static constexpr int mt = warp_rows / fr::rows, nt = warp_columns / 8, halves = fr::c / 2, own_rows = mt * halves;
    // Rows of the matrix that are in shared memory at a time: as few as leave room for two blocks.
    static constexpr int slice = dim % 32 || sizeof(real) == 8 || (dim > 128 && down == 1) ? 16 : 32;
    // Pitches keep the lanes of a warp in different banks, and rows at 16 bytes.
    static constexpr int pitch = dim + 4, matrix_pitch = dim + 8;
    static constexpr int slices = 2 * slice * matrix_pitch; // numbers of the slice in use and the next
    using sum = real[mt][nt][fr::c];
};

// Where a lane stands in its block's tile.
template <class shape> struct place {
    int warp, g, q, row, column; // row and column of the first number
    PARDS_FN place() {
        int lane = threadIdx.x % 32;
        warp = threadIdx.x / 32, g = lane / 4, q = lane % 4;
        row = warp / shape::across * shape::warp_rows + g;
        column = warp % shape::across * shape::warp_columns + 2 * q;
    }
    PARDS_FN int row_of(int m, int e) const { return row + m * shape::fr::rows + 8 * (e / 2); }
    PARDS_FN int own_row(int i) const { return row_of(i / shape::halves, i % shape::halves * 2); }
    PARDS_FN int column_of(int n, int e) const { return column + 8 * n + e % 2; }
};

// Begins to copy rows of dim numbers to shared memory, 16 bytes at a time; from(i) says where row i lies, null for zeros.
template <int dim, int threads, class real, class source> PARDS_FN void gather(real* dst, int pitch, int rows, source from) {
    constexpr int unit = pack_most<real>, units = dim / unit;
    for (int i = threadIdx.x; i < rows * units; i += threads) {
        int r = i / units, c = i % units * unit;
        const real* src = from(r);
        real* to = dst + r * pitch + c;
        if (src) {
            copy_async<16>(to, src + c);
        } else {
            PARDS_UNROLL for (int k = 0; k < unit; k++) to[k] = 0;
        }
    }
}

// The same for rows that lie one after another, of which `there` are there and the others zeros: nothing but constants is added to addresses.
template <int dim, int threads, int rows, class real> PARDS_FN void gather_rows(real* dst, int pitch, const real* from, int there) {
    constexpr int unit = pack_most<real>, units = dim / unit, count = rows * units;
    PARDS_UNROLL for (int k = 0; k < (count + threads - 1) / threads; k++) {
        int i = threadIdx.x + k * threads, r = i / units;
        if (count % threads != 0 && i >= count) break;
        real* to = dst + r * pitch + i % units * unit;
        if (r < there) {
            copy_async<16>(to, from + (long)i * unit);
        } else {
            PARDS_UNROLL for (int e = 0; e < unit; e++) to[e] = 0;
        }
    }
}

template <class shape> PARDS_FN void clear(typename shape::sum& sum) {
    PARDS_UNROLL for (int m = 0; m < shape::mt; m++)
        PARDS_UNROLL for (int n = 0; n < shape::nt; n++)
            PARDS_UNROLL for (int e = 0; e < shape::fr::c; e++) sum[m][n][e] = 0;
}

template <class shape> PARDS_FN void add(typename shape::sum& sum, const typename shape::sum& part) {
    PARDS_UNROLL for (int m = 0; m < shape::mt; m++)
        PARDS_UNROLL for (int n = 0; n < shape::nt; n++)
            PARDS_UNROLL for (int e = 0; e < shape::fr::c; e++) sum[m][n][e] += part[m][n][e];
}

// A lane's numbers of the first factor, less the shift of their columns.
template <class shape, class real> PARDS_FN void factor(real (&a)[shape::mt][shape::fr::a], const real* rows, const real* shift) {
    using fr = typename shape::fr;
    PARDS_UNROLL for (int m = 0; m < shape::mt; m++) {
        PARDS_UNROLL for (int i = 0; i < fr::a; i++) a[m][i] = rows[(m * fr::rows + 8 * (i % 2)) * shape::pitch + 4 * (i / 2)];
    }
    if (!shift) return;
    PARDS_UNROLL for (int i = 0; i < (fr::a + 1) / 2; i++) {
        real v = shift[4 * i];
        PARDS_UNROLL for (int m = 0; m < shape::mt; m++) {
            a[m][2 * i] -= v;
            if constexpr (fr::a > 1) a[m][2 * i + 1] -= v;
        }
    }
}

template <class shape> PARDS_FN void multiply(typename shape::sum& c, const float (&a)[shape::mt][4], const float* b0, int k, int pitch) {
    float high[shape::mt][4], low[shape::mt][4];
    PARDS_UNROLL for (int m = 0; m < shape::mt; m++) {
        PARDS_UNROLL for (int i = 0; i < 4; i++) high[m][i] = leading(a[m][i]), low[m][i] = a[m][i] - high[m][i];
    }
    float bh[shape::nt][2], bl[shape::nt][2];
    PARDS_UNROLL for (int n = 0; n < shape::nt; n++) {
        PARDS_UNROLL for (int i = 0; i < 2; i++) {
            float v = b0[(k + 4 * i) * pitch + 8 * n];
            bh[n][i] = leading(v), bl[n][i] = v - bh[n][i];
        }
    }
    auto pass = [&](const float (&x)[shape::mt][4], const float (&y)[shape::nt][2]) { // products that do not wait for each other
        PARDS_UNROLL for (int n = 0; n < shape::nt; n++) {
            PARDS_UNROLL for (int m = 0; m < shape::mt; m++) tensor_product(c[m][n], x[m], y[n]);
        }
    };
    pass(low, bh), pass(high, bl), pass(high, bh);
}

template <class shape> PARDS_FN void multiply(typename shape::sum& c, const double (&a)[shape::mt][1], const double* b0, int k, int pitch) {
    PARDS_UNROLL for (int n = 0; n < shape::nt; n++) {
        double b[1] = {b0[k * pitch + 8 * n]};
        PARDS_UNROLL for (int m = 0; m < shape::mt; m++) tensor_product(c[m][n], a[m], b);
    }
}

// sum = (rows - shift) matrix, all threads of a block together; rows are in shared memory by shape::pitch, shift in shared memory or null.
template <class shape, class real>
PARDS_FN void product(typename shape::sum& sum, const real* rows, const real* shift, const real* matrix, real* slices) {
    using fr = typename shape::fr;
    constexpr int dim = shape::pitch - 4, length = shape::slice, count = dim / length;
    constexpr bool rounded = sizeof(real) == 8;
    place<shape> at;
    auto fetch = [&](int s) {
        if (s < count)
            gather_rows<dim, shape::threads, length>(slices + s % 2 * length * shape::matrix_pitch, shape::matrix_pitch, matrix + (long)s * length * dim, length);
        copy_commit();
    };
    clear<shape>(sum);
    fetch(0);
    for (int s = 0; s < count; s++) {
        fetch(s + 1);
        copy_wait<1>();
        __syncthreads();
        const real* b = slices + s % 2 * length * shape::matrix_pitch + at.q * shape::matrix_pitch + at.column - 2 * at.q + at.g;
        PARDS_LOOP for (int from = 0; from < length; from += together) {
            typename shape::sum part;
            if (!rounded) clear<shape>(part);
            PARDS_UNROLL for (int k = from; k < from + together; k += fr::steps) {
                real a[shape::mt][fr::a];
                factor<shape>(a, rows + at.row * shape::pitch + s * length + k + at.q, shift ? shift + s * length + k + at.q : nullptr);
                multiply<shape>(rounded ? sum : part, a, b, k, shape::matrix_pitch);
            }
            if (!rounded) add<shape>(sum, part);
        }
        __syncthreads();
    }
}
