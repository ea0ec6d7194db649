// A = a I: as a diagonal whose entries are one number a step.
#pragma once
#include "op_diagonal.cuh"

template <class T> struct scaled_identity : diagonal<T> {
    static constexpr bool shared = true;
};
