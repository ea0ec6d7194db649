// The kernel of wide.cu on the host, for tests: a library for one variant, given by the same definitions.
#include "../wide.cu"

extern "C" void pards_emulate(const loop* t, int sequences) {
    emulate::launch(unsigned(sequences * blocks), threads, blocks > 1, 0, [t] { wide(*t); });
}
