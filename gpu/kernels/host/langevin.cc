// Chains of langevin.cu on the host, for tests: some updates of one window, from the caller's coordinates to the caller's coordinates.
#include <algorithm>

#include "emulate.h"

using std::min;
template <class T> T atomicMin(T* p, T v) { T old = *p; *p = min(*p, v); return old; }
template <class T> T atomicMax(T* p, T v) { T old = *p; *p = std::max(*p, v); return old; }

inline long long __double_as_longlong(double v) { return same_bits<long long>(v); }

#include "../langevin.cu"

// basis: which table; noise (batch, steps, dim), guess (steps, dim) for all sequences, start (batch, dim) as the caller has them. Returns
// states (batch, steps, dim) after some updates, the sum of squares of their residual (batch), and (batch, 3, dim): the largest |x|, last
// |dx| and |residual|.
extern "C" void pards_chains(const real* tables, const real* log_weights, int basis, const real* noise, const real* guess, const real* start, int batch,
                             int steps, double step_size, double damping, int turn, int updates, real* states, double* squares, double* extents) {
    std::vector<real> at_start(batch * pad), at_guess((size_t)steps * pad), at_noise((size_t)batch * steps * pad), z(3 * at_noise.size()),
        residual(at_noise.size());
    int tiles = (steps + shape::rows - 1) / shape::rows, slot = batch * (2 + components + 3 * dim);
    std::vector<word> carry((size_t)(tiles / group + 1) * batch * pad * words_of<real>), told((size_t)tiles * batch * pad * told_words);
    std::vector<double> tile_squares(tiles * batch), report(slot);
    std::vector<float> weights(tiles * batch * components);
    std::vector<int> active(batch, 1), last(batch, -1), bad(batch, steps);
    unsigned ticket = 0, ended = 0;
    int halt = 0;
    pieces in{tables, &basis, turn, {{{start, dim, 0}, at_start.data(), batch, 1}, {{guess, 0, dim}, at_guess.data(), steps, steps},
                                     {{noise, (long)steps * dim, dim}, at_noise.data(), (long)batch * steps, steps}}};
    int blocks = 0;
    for (const piece& p : in.of) blocks += int((p.count + shape::rows - 1) / shape::rows);
    emulate::launch(blocks, shape::threads, false, memory::turning, [&] { langevin_enter(in); });
    solve s{tables, log_weights, &basis, {at_noise.data(), (long)steps * pad, pad}, {at_guess.data(), 0, pad}, {at_start.data(), pad, 0},
            z.data(), residual.data(), told.data(), carry.data(), tile_squares.data(), weights.data(), active.data(), last.data(), bad.data(), &ticket, &ended,
            &halt, report.data(), states, (long)steps * dim, batch, steps, tiles, (real)step_size, (real)std::sqrt(2 * step_size),
            (real)(1 - damping), -1, -1, 0, 1 << 30, turn};
    for (int k = 0; k <= updates; k++) {
        std::fill(report.begin(), report.end(), 0.0);
        emulate::launch(batch * tiles, shape::threads, false, memory::bytes, [&] { langevin_step(s, k, k + 1, 0); });
        if (turn) emulate::launch(leave_all * batch * tiles, shape::threads, false, memory::turning, [&] { langevin_leave(s, k, 0, 1); });
        else emulate::launch(batch * tiles, shape::threads, false, 0, [&] { langevin_copy(s); });
    }
    for (int b = 0; b < batch; b++) {
        squares[b] = report[b * (2 + components)];
        for (int i = 0; i < 3 * dim; i++) {
            word w = same_bits<word>(report[batch * (2 + components) + b * 3 * dim + i]);
            extents[b * 3 * dim + i] = sizeof(real) == 8 ? same_bits<double>(w) : same_bits<float>((unsigned)w);
        }
    }
}
