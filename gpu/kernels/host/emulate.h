// Runs kernels on the host: every thread of a block is a fiber, barriers and shuffles switch between them. For tests only.
//
// Blocks run in their order, one after another; those of a cooperative launch all at once, in turns.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#define PARDS_FN inline
#define __device__
#define __global__
#define __shared__ static
#define __launch_bounds__(...)
typedef unsigned long long word;

struct index3 {
    unsigned x, y, z;
};

namespace emulate {

struct barrier {
    int size = 0, here = 0;
    unsigned long turn = 0;
};

struct fiber {
    ucontext_t context; // where it begins
    jmp_buf jump;       // where it goes on: without the system calls of swapcontext
    bool begun = false, ended = false;
    index3 thread, block;
    int lane;
    struct warp* w;
    barrier* all;
    void** sharedMemory;
};

struct warp {
    barrier b;
    unsigned long long slot[32];
};

inline fiber* now;
inline jmp_buf home;
inline index3 blocks, threads;
inline std::function<void()>* body;
inline std::vector<char*> stacks; // kept from launch to launch
constexpr size_t stack_size = 128 << 10;

inline void yield() {
    if (_setjmp(now->jump) == 0) _longjmp(home, 1);
}

__attribute__((noinline)) inline void resume(fiber& t) {
    now = &t;
    if (_setjmp(home) != 0) return;
    if (t.begun) _longjmp(t.jump, 1);
    t.begun = true;
    setcontext(&t.context);
}

inline void wait(barrier& b) {
    unsigned long turn = b.turn;
    if (++b.here == b.size) {
        b.here = 0;
        b.turn++;
        return;
    }
    while (b.turn == turn) yield();
}

inline void enter() {
    (*body)();
    now->ended = true;
    barrier* leaves[] = {now->all, &now->w->b}; // those that have ended are not waited for
    for (barrier* b : leaves) {
        b->size--;
        if (b->size > 0 && b->here == b->size) {
            b->here = 0;
            b->turn++;
        }
    }
    yield();
}

// prepare gives a fiber its stack.
__attribute__((noinline)) inline void prepare(fiber& t, size_t i) {
    if (i == stacks.size()) stacks.push_back((char*)malloc(stack_size));
    getcontext(&t.context);
    t.context.uc_stack.ss_sp = stacks[i], t.context.uc_stack.ss_size = stack_size, t.context.uc_link = nullptr;
    makecontext(&t.context, enter, 0);
}

// launch runs f on a grid. together: all blocks are resident at once.
inline void launch(unsigned grid, unsigned block, bool together, size_t dynamic, std::function<void()> f) {
    blocks = {grid, 1, 1}, threads = {block, 1, 1};
    body = &f;
    for (unsigned first = 0; first < grid; first += together ? grid : 1) {
        unsigned count = together ? grid : 1;
        std::vector<fiber> fibers(count * block);
        std::vector<barrier> all(count);
        std::vector<warp> warps(count * ((block + 31) / 32));
        std::vector<std::vector<double>> memory(count, std::vector<double>(dynamic / 8 + 1));
        std::vector<void*> pointers(count);
        for (unsigned k = 0; k < count; k++) {
            all[k].size = block;
            pointers[k] = memory[k].data();
            for (auto& v : memory[k]) v = NAN;
        }
        for (unsigned i = 0; i < fibers.size(); i++) {
            fiber& t = fibers[i];
            unsigned k = i / block, id = i % block;
            t.thread = {id, 0, 0}, t.block = {first + k, 0, 0}, t.lane = id % 32;
            t.w = &warps[k * ((block + 31) / 32) + id / 32], t.all = &all[k], t.sharedMemory = &pointers[k];
            t.w->b.size++;
            prepare(t, i);
        }
        for (size_t left = fibers.size(); left > 0;)
            for (auto& t : fibers) {
                if (t.ended) continue;
                resume(t);
                if (t.ended) left--;
            }
    }
}

template <class T> T exchange(T v, int from) {
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    warp* w = now->w;
    memcpy(&w->slot[now->lane], &v, sizeof v);
    wait(w->b);
    T r;
    memcpy(&r, &w->slot[from >= 0 && from < 32 ? from : now->lane], sizeof r);
    wait(w->b);
    return r;
}

} // namespace emulate

#define threadIdx (emulate::now->thread)
#define blockIdx (emulate::now->block)
#define gridDim (emulate::blocks)
#define blockDim (emulate::threads)

inline void __syncthreads() { emulate::wait(*emulate::now->all); }
inline void __syncwarp(unsigned = ~0u) { emulate::wait(emulate::now->w->b); }
inline void __threadfence() {}
template <class T> T __shfl_up_sync(unsigned, T v, int by) { return emulate::exchange(v, emulate::now->lane - by); }
template <class T> T __shfl_down_sync(unsigned, T v, int by) { return emulate::exchange(v, emulate::now->lane + by); }
template <class T> T __shfl_sync(unsigned, T v, int from) { return emulate::exchange(v, from); }
template <class T> T __shfl_xor_sync(unsigned, T v, int mask) { return emulate::exchange(v, emulate::now->lane ^ mask); }
template <class T> T atomicAdd(T* p, T v) {
    T old = *p;
    *p += v;
    return old;
}

inline void spin() { emulate::yield(); }
inline void load_words(const word* p, word& v, word& w) { v = p[0], w = p[1]; }
inline void store_words(word* p, word v, word w) { p[0] = v, p[1] = w; }
inline word load_word(const word* p) { return *p; }
inline void store_word(word* p, word v) { *p = v; }
inline unsigned load_acquire(const unsigned* p) { return *p; }
template <int bytes> void copy_async(void* dst, const void* src) { memcpy(dst, src, bytes); }
inline void copy_commit() {}
template <int> void copy_wait() {}
inline char* dynamic_shared() { return (char*)*emulate::now->sharedMemory; }
