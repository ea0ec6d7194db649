// Memory that blocks share, copies that run by themselves, packs of numbers. host/emulate.h defines the same names for the host, before
// this is read.
#pragma once

#ifdef __CUDACC__

#ifndef PARDS_FN
#define PARDS_FN __device__ __forceinline__
#endif
typedef unsigned long long word;

// Loads and stores that other blocks see, 64 bits at a time: never torn, never from a stale cache, in no order among each other.
PARDS_FN void load_words(const word* p, word& v, word& w) {
    asm volatile("ld.relaxed.gpu.global.v2.u64 {%0, %1}, [%2];" : "=l"(v), "=l"(w) : "l"(p) : "memory");
}
PARDS_FN void store_words(word* p, word v, word w) { asm volatile("st.relaxed.gpu.global.v2.u64 [%0], {%1, %2};" ::"l"(p), "l"(v), "l"(w) : "memory"); }
PARDS_FN word load_word(const word* p) {
    word v;
    asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
    return v;
}
PARDS_FN void store_word(word* p, word v) { asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory"); }
PARDS_FN unsigned load_acquire(const unsigned* p) {
    unsigned v;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
}
// Whoever acquires the sum sees what the thread, and those it met at a barrier before, wrote.
PARDS_FN void add_release(unsigned* p, unsigned v) { asm volatile("red.release.gpu.global.add.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory"); }

// Copies from global to shared memory that run while the thread goes on; 4, 8 or 16 bytes.
template <int bytes> PARDS_FN void copy_async(void* dst, const void* src) {
    unsigned to = (unsigned)__cvta_generic_to_shared(dst);
    if constexpr (bytes == 16) asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(src) : "memory");
    else asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(to), "l"(src), "n"(bytes) : "memory");
}
PARDS_FN void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int pending> PARDS_FN void copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory"); }

// spin waits between two looks: looking all the time takes from others what they need to get ready.
PARDS_FN void spin() { __nanosleep(100); }
PARDS_FN char* dynamic_shared() {
    extern __shared__ __align__(16) char memory[];
    return memory;
}

#endif

// A vector that moves in one access.
template <class real, int n> struct alignas(sizeof(real) * n) pack { real v[n]; };

template <class real> constexpr int pack_most = 16 / sizeof(real);

// A number beside a flag in words of 64 bits, so that who reads the flag has the number: a float takes one word, a double two.
template <class real> constexpr int words_of = sizeof(real) / 4;

union bits32 {
    float f;
    unsigned u;
};
union bits64 {
    double f;
    unsigned u[2];
};

PARDS_FN word flagged(unsigned v, unsigned flag) { return (word)flag << 32 | v; }
PARDS_FN bool has(word w, unsigned flag) { return (unsigned)(w >> 32) == flag; }

PARDS_FN void publish(word* p, float v, unsigned flag) {
    bits32 b;
    b.f = v;
    store_word(p, flagged(b.u, flag));
}
PARDS_FN void publish(word* p, double v, unsigned flag) {
    bits64 b;
    b.f = v;
    store_words(p, flagged(b.u[0], flag), flagged(b.u[1], flag));
}

template <class real> PARDS_FN real unflagged(const word* w) {
    if constexpr (sizeof(real) == 4) {
        bits32 b;
        b.u = (unsigned)w[0];
        return b.f;
    } else {
        bits64 b;
        b.u[0] = (unsigned)w[0], b.u[1] = (unsigned)w[1];
        return b.f;
    }
}

// receive reads count published numbers, all in flight at once, until each has its flag.
template <int count, class real> PARDS_FN void receive(const word* p, real* to, unsigned flag) {
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
