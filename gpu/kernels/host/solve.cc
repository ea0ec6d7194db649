// The kernel of solve.cu on the host, for tests: a library for one variant, given by the same definitions.
#include "../solve.cu"

extern "C" void pards_emulate(const task* t, long dynamic_bytes) {
    emulate::launch(unsigned(t->blocks * t->groups), PARDS_THREADS, true, size_t(dynamic_bytes), [t] { solve(*t); });
}
extern "C" int pards_sizes(int what) {
    return what == 0 ? int(sizeof(task)) : what == 1 ? int(sizeof(record)) : what == 2 ? int(sizeof(report)) : int(sizeof(shared_block));
}
