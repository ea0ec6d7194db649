// Runs kernels on the host: every thread of a block is a fiber, barriers and shuffles switch between them. For tests only.
//
// Blocks run in their order, one after another; those of a cooperative launch all at once, in turns.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#define __global__
#define __launch_bounds__(...)

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
    struct group* home;
};

struct warp {
    barrier b;
    double slot[32][6];
};

// What the threads of a block share; its memory begins as NaN.
struct group {
    barrier all, joint; // joint: of a cluster, in its first block
    std::vector<double> dynamic, fixed;
};

inline fiber* now;
inline jmp_buf scheduler;
inline index3 blocks, threads;
inline std::function<void()>* body;
inline std::vector<char*> stacks; // kept from launch to launch
constexpr size_t stack_size = 256 << 10;

inline void yield() {
    if (_setjmp(now->jump) == 0) _longjmp(scheduler, 1);
}

__attribute__((noinline)) inline void resume(fiber& t) {
    now = &t;
    if (_setjmp(scheduler) != 0) return;
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
    barrier* leaves[] = {&now->home->all, &now->w->b}; // those that have ended are not waited for
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
        std::vector<group> groups(count);
        std::vector<warp> warps(count * ((block + 31) / 32));
        for (group& g : groups) g.all.size = block, g.dynamic.assign(dynamic / 8 + 1, NAN);
        for (unsigned i = 0; i < fibers.size(); i++) {
            fiber& t = fibers[i];
            unsigned k = i / block, id = i % block;
            t.thread = {id, 0, 0}, t.block = {first + k, 0, 0}, t.lane = id % 32;
            t.w = &warps[k * ((block + 31) / 32) + id / 32], t.home = &groups[k];
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

// shared is what a block keeps in memory of a fixed size.
inline void* shared(size_t bytes) {
    std::vector<double>& fixed = now->home->fixed;
    if (fixed.empty()) fixed.assign((bytes + 7) / 8, NAN);
    return fixed.data();
}

// show shows v to the warp and returns what finds that of a lane; the warp must meet before it shows the next.
template <class T> auto show(const T& v) {
    static_assert(sizeof(T) <= sizeof warp::slot[0], "more than a slot holds");
    warp* w = now->w;
    memcpy(&w->slot[now->lane], &v, sizeof v);
    wait(w->b);
    return [w](int lane) {
        T r;
        memcpy(&r, &w->slot[lane], sizeof r);
        return r;
    };
}

// exchange shows v to the warp and returns what a lane of it shows, its own where there is no such lane.
template <class T> T exchange(T v, int from) {
    T r = show(v)(from >= 0 && from < 32 ? from : now->lane);
    wait(now->w->b);
    return r;
}

} // namespace emulate

#define threadIdx (emulate::now->thread)
#define blockIdx (emulate::now->block)
#define gridDim (emulate::blocks)
#define blockDim (emulate::threads)
