// The kernel of inputs.cu on the host, for tests.
#include "../inputs.cu"

extern "C" void pards_emulate(const task* t, int blocks) {
    emulate::launch(unsigned(blocks), threads, false, 0, [t] { inputs(*t); });
}
