// Words as the kernels of cells take them: numbers of PARDS_REAL that are 0, 1, ... limit - 1. They come as PARDS_WORD, whole numbers or
// PARDS_REAL. One that is none becomes 0, and wrong 1.
typedef long long int64; // a name of one word, as PARDS_WORD has to be

extern "C" __global__ void words(const PARDS_WORD* given, PARDS_REAL* out, long long count, long long limit, int* wrong) {
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
        PARDS_WORD w = given[i];
        bool is = w >= PARDS_WORD(0) && w < PARDS_WORD(limit) && PARDS_WORD((long long)w) == w;
        out[i] = is ? PARDS_REAL(w) : PARDS_REAL(0);
        if (!is) *wrong = 1;
    }
}
