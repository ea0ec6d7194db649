// Products of a warp by the tensor cores: rows x steps by steps x 8. Lane (g, q) = (lane / 4, lane % 4) holds of the first factor (g, q), and
// for float (g + 8, q), (g, q + 4), (g + 8, q + 4); of the second (q, g) and (q + 4, g); of the sum (g, 2q), (g, 2q + 1), and rows g + 8.
// host/emulate.h has the same for the host.
#pragma once
#include "portable.cuh"

#ifdef __CUDACC__
PARDS_FN void tensor_product(float (&c)[4], const float (&a)[4], const float (&b)[2]) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])),
          "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
}
PARDS_FN void tensor_product(double (&c)[2], const double (&a)[1], const double (&b)[1]) {
    asm("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
        : "+d"(c[0]), "+d"(c[1]) : "d"(a[0]), "d"(b[0]));
}
#endif

// How many steps are added up by the tensor cores, which cut sums off where float rounds: the error of longer ones grows with their length.
constexpr int together = 16;

// The nearest tf32, 11 bits of the 24. Integer operations: the device's own conversion runs at an eighth of their rate.
PARDS_FN float leading(float v) { return __uint_as_float((__float_as_uint(v) + 0x1000u) & 0xffffe000u); }
