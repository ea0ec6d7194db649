// Models of any dimension at one step, a team of threads each: for the engine that evaluates f and A into memory. The numbers of a model
// (weight) and what it keeps of a step (local) lie in global memory. Weights stand as in the cell_*.cuh of the same name.
//
// evaluate writes f and the locals; element is J[i, k] from them.
#pragma once
#include "memory.cuh"

struct team {
    int lane, size;
    PARDS_FN void meet() const {
        if (size > 32) __syncthreads();
        else __syncwarp();
    }
};

template <class T> PARDS_FN T logistic(T v) { return 1 / (1 + exp(-v)); }

// product writes row i of W x + y for rows of n numbers.
template <class T> PARDS_FN T product(const T* W, const T* x, int i, int n, T y) {
    const T* row = W + (long long)i * n;
    for (int k = 0; k < n; k++) y += row[k] * x[k];
    return y;
}

template <class real> struct model {
    typedef real T;
    const real* w;
    int d, m, k; // k: components, permutations
    bool flag;   // exchanged; diagonal precisions
};

// J = sum_g diag(coef[g]) W_g + diag(self), the W_g one below the other.
template <class T> PARDS_FN T gates_element(const T* W, const T* local, int gates, int d, int i, int k) {
    T s = i == k ? local[gates * d + i] : 0;
    for (int g = 0; g < gates; g++) s += local[g * d + i] * W[((long long)g * d + i) * d + k];
    return s;
}

template <class T> struct linear_rows : model<T> { // A, B, bias
    PARDS_FN void evaluate(team t, const T* x, const T* u, T* f, T*) const {
        const int d = this->d, m = this->m;
        const T *B = this->w + (long long)d * d, *bias = B + (long long)d * m;
        for (int i = t.lane; i < d; i += t.size) f[i] = product(this->w, x, i, d, bias[i]) + product(B, u, i, m, T(0));
    }
    PARDS_FN T element(const T*, const T*, int i, int k) const { return this->w[(long long)i * this->d + k]; }
};

template <class T> struct elman_rows : model<T> { // weight_ih, weight_hh, bias
    PARDS_FN const T* through() const { return this->w + (long long)this->d * this->m; }
    PARDS_FN void evaluate(team t, const T* x, const T* u, T* f, T* local) const {
        const int d = this->d, m = this->m;
        const T* bias = through() + (long long)d * d;
        for (int i = t.lane; i < d; i += t.size) {
            const T y = tanh(product(through(), x, i, d, bias[i]) + product(this->w, u, i, m, T(0)));
            f[i] = y, local[i] = 1 - y * y, local[d + i] = 0;
        }
    }
    PARDS_FN T element(const T* local, const T*, int i, int k) const { return gates_element(through(), local, 1, this->d, i, k); }
};

template <class T> struct gru_rows : model<T> { // weight_ih, weight_hh, bias, bias_n
    PARDS_FN const T* hidden() const { return this->w + 3ll * this->d * this->m; }
    PARDS_FN const T* through() const { return this->flag ? this->w : hidden(); }
    PARDS_FN void evaluate(team t, const T* x, const T* u, T* f, T* local) const {
        const int d = this->d, m = this->m;
        const bool exchanged = this->flag;
        const T *b = hidden() + 3ll * d * d, *bn = b + 3 * d, *in = exchanged ? x : u, *hid = exchanged ? u : x;
        for (int i = t.lane; i < d; i += t.size) {
            const T r = logistic(product(this->w, in, i, m, b[i]) + product(hidden(), hid, i, d, T(0)));
            const T z = logistic(product(this->w, in, d + i, m, b[d + i]) + product(hidden(), hid, d + i, d, T(0)));
            const T held = product(hidden(), hid, 2 * d + i, d, T(0)) + bn[i];
            const T n = tanh(product(this->w, in, 2 * d + i, m, b[2 * d + i]) + r * held), last = hid[i] - n;
            const T dn = (1 - z) * (1 - n * n);
            f[i] = n + z * last;
            local[i] = dn * r * (1 - r) * held;
            local[d + i] = z * (1 - z) * last;
            local[2 * d + i] = exchanged ? dn : dn * r;
            local[3 * d + i] = exchanged ? T(0) : z;
        }
    }
    PARDS_FN T element(const T* local, const T*, int i, int k) const { return gates_element(through(), local, 3, this->d, i, k); }
};

template <class T> struct lstm_rows : model<T> { // weight_ih (4H, M), weight_hh (4H, H), bias (4H); the state is (h, c)
    PARDS_FN const T* through() const { return this->w + 4ll * (this->d / 2) * this->m; }
    // local: top (4H), low (4H), hc (H), f (H): J = [sum top_g W_g, diag hc; sum low_g W_g, diag f].
    PARDS_FN void evaluate(team t, const T* x, const T* u, T* y, T* local) const {
        const int h = this->d / 2, m = this->m;
        const T* b = through() + 4ll * h * h;
        for (int j = t.lane; j < h; j += t.size) {
            T g[4];
            for (int q = 0; q < 4; q++) g[q] = product(this->w, u, q * h + j, m, b[q * h + j]) + product(through(), x, q * h + j, h, T(0));
            const T i = logistic(g[0]), f = logistic(g[1]), cand = tanh(g[2]), o = logistic(g[3]), cell = x[h + j];
            const T c = f * cell + i * cand, v = tanh(c), s = o * (1 - v * v);
            y[j] = o * v, y[h + j] = c;
            T *top = local + j, *low = local + 4 * h + j;
            low[0] = i * (1 - i) * cand, low[h] = f * (1 - f) * cell, low[2 * h] = i * (1 - cand * cand), low[3 * h] = 0;
            for (int q = 0; q < 3; q++) top[q * h] = s * low[q * h];
            top[3 * h] = o * (1 - o) * v;
            local[8 * h + j] = s * f, local[9 * h + j] = f;
        }
    }
    PARDS_FN T element(const T* local, const T*, int i, int k) const {
        const int h = this->d / 2, j = i % h;
        if (k >= h) return k - h != j ? T(0) : local[(i < h ? 8 : 9) * h + j];
        T s = 0;
        for (int q = 0; q < 4; q++) s += local[(i < h ? 0 : 4 * h) + q * h + j] * through()[((long long)q * h + j) * h + k];
        return s;
    }
};

template <class T> struct langevin_rows : model<T> { // means, precisions, log_weights, step size, noise
    PARDS_FN const T* precision(int c) const {
        const long long d = this->d;
        return this->w + this->k * d + c * (this->flag ? d : d * d);
    }
    // local: weights (K), h (K, D), g (D).
    PARDS_FN void evaluate(team t, const T* x, const T* u, T* f, T* local) const {
        const int d = this->d, K = this->k;
        const T* log_weight = precision(K);
        T *weight = local, *h = local + K, *g = h + (long long)K * d;
        for (int c = 0; c < K; c++)
            for (int i = t.lane; i < d; i += t.size) {
                const T *mean = this->w + (long long)c * d, *P = precision(c);
                T s = 0;
                if (this->flag) s = P[i] * (mean[i] - x[i]);
                else
                    for (int k = 0; k < d; k++) s += P[(long long)i * d + k] * (mean[k] - x[k]);
                h[(long long)c * d + i] = s;
            }
        t.meet();
        if (t.lane == 0) {
            T top = 0, sum = 0;
            for (int c = 0; c < K; c++) {
                const T* mean = this->w + (long long)c * d;
                T q = 0;
                for (int i = 0; i < d; i++) q += h[(long long)c * d + i] * (mean[i] - x[i]);
                weight[c] = log_weight[c] - q / 2;
                top = c == 0 || weight[c] > top || top != top ? weight[c] : top;
            }
            for (int c = 0; c < K; c++) sum += weight[c] = exp(weight[c] - top);
            for (int c = 0; c < K; c++) weight[c] /= sum;
        }
        t.meet();
        for (int i = t.lane; i < d; i += t.size) {
            T s = 0;
            for (int c = 0; c < K; c++) s += weight[c] * h[(long long)c * d + i];
            g[i] = s;
            f[i] = x[i] + log_weight[K] * s + log_weight[K + 1] * u[i];
        }
    }
    PARDS_FN T element(const T* local, const T*, int i, int k) const {
        const int d = this->d, K = this->k;
        const T *weight = local, *h = local + K, *g = h + (long long)K * d;
        T s = 0;
        for (int c = 0; c < K; c++) { // of differences: h h' - g g' is rounding where one component has all the weight
            const T P = !this->flag ? precision(c)[(long long)i * d + k] : i == k ? precision(c)[i] : T(0);
            if (weight[c] != 0) s += weight[c] * ((h[(long long)c * d + i] - g[i]) * (h[(long long)c * d + k] - g[k]) - P);
        }
        s *= precision(K)[K];
        return i == k ? 1 + s : s;
    }
};

template <class T> struct group_word_rows : model<T> { // permutations (G, D) as indices
    PARDS_FN const T* index(const T* u) const { return this->w + (long long)u[0] * this->d; }
    PARDS_FN void evaluate(team t, const T* x, const T* u, T* f, T*) const {
        for (int i = t.lane; i < this->d; i += t.size) f[i] = x[(int)index(u)[i]];
    }
    PARDS_FN T element(const T*, const T* u, int i, int k) const { return (int)index(u)[i] == k ? 1 : 0; }
};

template <class T> struct lorenz96_rows : model<T> { // forcing, step
    // local: the states of the four stages (4, D), a slope (D), and J with two matrices to make it in (3, D, D), column by column.
    PARDS_FN void evaluate(team t, const T* x, const T*, T* f, T* local) const {
        const int d = this->d;
        const T offset[4] = {0, T(0.5), T(0.5), 1}, weight[4] = {T(1. / 6), T(1. / 3), T(1. / 3), T(1. / 6)}, h = this->w[1];
        T *slope = local + 4 * d, *J = slope + d, *state = J + (long long)d * d, *change = state + (long long)d * d;
        for (int s = 0; s < 4; s++) {
            T* at = local + s * d;
            for (int i = t.lane; i < d; i += t.size) at[i] = s ? x[i] + h * offset[s] * slope[i] : x[i];
            t.meet();
            for (int i = t.lane; i < d; i += t.size) {
                slope[i] = (at[(i + 1) % d] - at[(i + d - 2) % d]) * at[(i + d - 1) % d] - at[i] + this->w[0];
                f[i] = (s ? f[i] : x[i]) + h * weight[s] * slope[i];
            }
            for (int k = t.lane; k < d; k += t.size) { // a column belongs to a thread
                T *out = J + (long long)k * d, *v = state + (long long)k * d, *dv = change + (long long)k * d;
                for (int i = 0; i < d; i++) v[i] = (i == k) + (s ? h * offset[s] * dv[i] : T(0));
                for (int i = 0; i < d; i++) {
                    const int next = (i + 1) % d, before = (i + d - 1) % d, two = (i + d - 2) % d;
                    dv[i] = (v[next] - v[two]) * at[before] + (at[next] - at[two]) * v[before] - v[i];
                    out[i] = (s ? out[i] : T(i == k)) + h * weight[s] * dv[i];
                }
            }
            t.meet();
        }
    }
    PARDS_FN T element(const T* local, const T*, int i, int k) const { return local[5 * this->d + (long long)k * this->d + i]; }
};
