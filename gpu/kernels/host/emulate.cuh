// A cooperative launch on the host, for tests: every thread of every block is a fiber, and gives way at barriers, exchanges and spins.
// The functions are those of group.cuh.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#define __global__
#define __launch_bounds__(...)
#define PARDS_CONSTANT_PARAMETER
#define PARDS_SHARED(type, name) type& name = *static_cast<type*>(emulated::shared(sizeof(type)))
using std::max;
using std::min;

inline double __longlong_as_double(long long v) {
    double d;
    std::memcpy(&d, &v, 8);
    return d;
}

namespace emulated {

struct index {
    unsigned x, y, z;
};

struct meeting {
    unsigned come = 0, times = 0;
};

struct block {
    std::vector<char> shared;
    meeting all;
    std::vector<meeting> warps;
    std::vector<uint64_t> slots; // one for each thread
};

inline std::vector<block> blocks;
// Contexts begin the fibers; from then on jumps change between them, which need no call of the system.
struct fiber {
    ucontext_t begin;
    jmp_buf at;
    bool begun = false, finished = false;
};

inline std::vector<fiber> fibers;
inline jmp_buf scheduler;
inline size_t running;
inline unsigned threads;
inline index thread_index, block_index;
inline std::function<void()> body;

inline void yield() {
    if (_setjmp(fibers[running].at) == 0) _longjmp(scheduler, 1);
}

inline void meet(meeting& m, unsigned of) {
    unsigned time = m.times;
    if (++m.come == of) {
        m.come = 0, m.times++;
        return;
    }
    while (m.times == time) yield();
}

inline block& here() { return blocks[block_index.x]; }

inline void* shared(size_t bytes) {
    if (here().shared.empty()) here().shared.assign(bytes, char(0xcd));
    return here().shared.data();
}

inline std::vector<std::vector<double>> dynamics; // of each block
inline size_t dynamic_bytes = 0;

inline void meet_warp() { meet(here().warps[thread_index.x / 32], 32); }

// Every lane shows v; the result is that of a lane of the same warp.
template <class T>
T exchange(T v, int lane) {
    static_assert(sizeof(T) <= 8, "one slot");
    unsigned base = thread_index.x / 32 * 32;
    std::memcpy(&here().slots[thread_index.x], &v, sizeof v);
    meet_warp();
    std::memcpy(&v, &here().slots[base + lane], sizeof v);
    meet_warp();
    return v;
}

inline void start() {
    body();
    fibers[running].finished = true;
    _longjmp(scheduler, 1);
}

// Gives every fiber its turn until all are done.
inline void turns() {
    static size_t i, left; // jumps do not keep locals
    do {
        for (i = left = 0; i < fibers.size(); i++) {
            if (fibers[i].finished) continue;
            left++;
            running = i, block_index.x = unsigned(i / threads), thread_index.x = unsigned(i % threads);
            if (_setjmp(scheduler) != 0) continue;
            if (fibers[i].begun) _longjmp(fibers[i].at, 1);
            fibers[i].begun = true;
            setcontext(&fibers[i].begin);
        }
    } while (left > 0);
}

// Runs body in blocks times threads fibers.
inline void launch(unsigned grid, unsigned block_threads, std::function<void()> what) {
    constexpr size_t stack = 1 << 18;
    threads = block_threads, body = std::move(what);
    size_t n = size_t(grid) * threads;
    blocks.assign(grid, block());
    dynamics.assign(grid, std::vector<double>(dynamic_bytes / 8 + 1));
    for (block& b : blocks) b.warps.resize(threads / 32), b.slots.resize(threads);
    fibers = std::vector<fiber>(n);
    std::unique_ptr<char[]> stacks(new char[n * stack]);
    for (size_t i = 0; i < n; i++) {
        ucontext_t& c = fibers[i].begin;
        getcontext(&c);
        c.uc_stack.ss_sp = stacks.get() + i * stack, c.uc_stack.ss_size = stack, c.uc_link = nullptr;
        makecontext(&c, start, 0);
    }
    turns();
}

} // namespace emulated

#define threadIdx emulated::thread_index
#define blockIdx emulated::block_index

template <class T>
T* dynamic_shared() { return reinterpret_cast<T*>(emulated::dynamics[blockIdx.x].data()); }

template <class T>
T from_below(T v, int by) {
    int lane = threadIdx.x % 32;
    return emulated::exchange(v, lane >= by ? lane - by : lane);
}
template <class T>
T from_lane(T v, int lane) { return emulated::exchange(v, lane); }
template <class T>
T from_other(T v, int mask) { return emulated::exchange(v, int(threadIdx.x % 32) ^ mask); }
inline float warp_largest(float v) {
    for (int by = 16; by; by >>= 1) v = largest(v, from_other(v, by));
    return v;
}
inline int warp_least(int v) {
    for (int by = 16; by; by >>= 1) v = min(v, from_other(v, by));
    return v;
}
inline void block_barrier() { emulated::meet(emulated::here().all, emulated::threads); }
inline void warp_barrier() { emulated::meet_warp(); }

template <int>
void group_barrier(unsigned* counter, unsigned blocks, unsigned& turn) {
    block_barrier();
    turn += blocks;
    if (threadIdx.x == 0 && blocks > 1) {
        ++*counter;
        while (int(*counter - turn) < 0) emulated::yield();
    }
    block_barrier();
}

inline void leave(unsigned* counters, unsigned groups) {
    if (threadIdx.x == 0 && ++counters[groups] == emulated::blocks.size()) std::fill(counters, counters + groups + 1, 0u);
}

template <class T>
void copy_behind(T* shared, const T* from) { *shared = *from; }
inline void close_copies() {}
inline void wait_copies_but_last() {}
