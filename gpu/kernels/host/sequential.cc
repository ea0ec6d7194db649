// The kernel of sequential.cu on the host, for tests: a library for one variant, given by the same definitions.
#include "../sequential.cu"

extern "C" void pards_emulate(const loop* t) {
    emulate::launch(unsigned(t->members_count), 32, false, 0, [t] { sequential(*t); });
}
