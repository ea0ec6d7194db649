// exp, tanh and the logistic function. float64 takes the library's. float32 takes the hardware's 2^x and 1/x, with the argument's rounding
// put right: what is left is the error of those two instructions (PTX manual: about 2 and 1 ulp) and a few roundings.
#pragma once
#include "portable.cuh"

#ifdef PARDS_DEVICE
PARDS_FN float power_of_two(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
PARDS_FN float reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
PARDS_FN float fused_multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
#else
PARDS_FN float power_of_two(float x) { return std::exp2(x); }
PARDS_FN float reciprocal(float x) { return 1 / x; }
PARDS_FN float fused_multiply_add(float a, float b, float c) { return std::fma(a, b, c); }
using std::exp;
using std::tanh;
#endif

// e^x for x in [-87, 87]; what lies outside is taken for the bound.
PARDS_FN float bounded_exponential(float x) {
    x = smallest(largest(x, -87.0f), 87.0f);
    float t = x * 1.44269504f;
    float low = fused_multiply_add(x, 1.44269504f, -t) * 0.693147181f; // what rounding took from t
    low = fused_multiply_add(x, 1.925963033e-8f * 0.693147181f, low);
    float y = power_of_two(t);
    return fused_multiply_add(y, low, y);
}

PARDS_FN float exponential(float x) { return x < -87.0f ? 0.0f : bounded_exponential(x); } // of arguments up to 87
PARDS_FN double exponential(double x) { return exp(x); }

// The logistic function and tanh: the rounding of x log2(e) moves them by x f'(x) eps, a quarter of eps at most, and is left.
PARDS_FN float sigmoid(float x) { return reciprocal(1 + power_of_two(-1.44269504f * x)); }
PARDS_FN double sigmoid(double x) { return 1 / (1 + exp(-x)); }

PARDS_FN float hyperbolic(float x) {
    float t = x * x, p = 0.016458756f; // minimax on |x| <= 0.55, relative error 3.5e-8
    p = fused_multiply_add(p, t, -0.052684143f);
    p = fused_multiply_add(p, t, 0.13320942f);
    p = fused_multiply_add(p, t, -0.33332957f);
    float near = fused_multiply_add(p * t, x, x);
    float far = fused_multiply_add(-2.0f, reciprocal(1 + power_of_two(2.88539008f * x)), 1.0f);
    return t < 0.3025f ? near : far;
}
PARDS_FN double hyperbolic(double x) { return tanh(x); }
