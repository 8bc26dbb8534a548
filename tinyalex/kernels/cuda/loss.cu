// instantiate: cross_entropy<T>, cross_entropy_backward<T>
#include "numbers.cuh"

static __device__ __forceinline__ float power_of_e(float x) { return expf(x); }
static __device__ __forceinline__ double power_of_e(double x) { return exp(x); }
static __device__ __forceinline__ float logarithm(float x) { return logf(x); }
static __device__ __forceinline__ double logarithm(double x) { return log(x); }

struct Larger {
  // NaN wins, as in NumPy: a comparison with it is false.
  template <typename W> __device__ W operator()(W a, W b) const { return a > b || a != a ? a : b; }
};
struct Sum {
  template <typename W> __device__ W operator()(W a, W b) const { return a + b; }
};

// All BLOCK threads of a block bring a number, and all get the combination of all of them.
//
// Halving: threads 0..127 take in the numbers of 128..255, then 0..63 those of 64..127, and so on. The barrier after each halving makes
// the numbers written before it visible to who reads them after it; the one at the end keeps `shared` from being used again too early.
template <typename W, typename Combine>
__device__ W over_block(W mine, W* shared, Combine combine) {
  const int t = threadIdx.x;
  shared[t] = mine;
  __syncthreads();
  for (int half = BLOCK / 2; half > 0; half /= 2) {
    if (t < half) shared[t] = combine(shared[t], shared[t + half]);
    __syncthreads();
  }
  const W all = shared[0];
  __syncthreads();
  return all;
}

// Softmax and cross-entropy of each row x[n] of logits with the class t[n]:
//
//     p[n] = softmax(x[n])      weight[n] = w[t[n]], 0 if t[n] is `ignore`      loss[n] = -weight[n] * log p[n, t[n]]
//
// x, p (N, C), t, loss, weight (N,), w (C,). A block takes a row: its threads stride along the classes, side by side, and meet
// twice, for the largest logit (taken out, so that exp stays in range) and for the sum. Thread 0 writes the loss. A class that does not
// exist makes it NaN: to look at the labels beforehand, the host would have to wait for the device.
template <typename T>
__global__ void __launch_bounds__(BLOCK) cross_entropy(const T* __restrict__ x, const long long* __restrict__ t, const T* __restrict__ w,
                                                         T* __restrict__ p, T* __restrict__ loss, T* __restrict__ weight, int C,
                                                         long long ignore) {
  __shared__ Wide<T> shared[BLOCK];
  const int n = blockIdx.x;
  const T* row = x + n * C;

  Wide<T> largest = minus_infinity();
  for (int c = threadIdx.x; c < C; c += BLOCK) largest = Larger()(Wide<T>(row[c]), largest);
  largest = over_block(largest, shared, Larger());

  Wide<T> total = 0;
  for (int c = threadIdx.x; c < C; c += BLOCK) total += power_of_e(Wide<T>(row[c]) - largest);
  total = over_block(total, shared, Sum());

  for (int c = threadIdx.x; c < C; c += BLOCK) p[n * C + c] = T(power_of_e(Wide<T>(row[c]) - largest) / total);
  if (threadIdx.x == 0) {
    const long long label = t[n];
    const bool counts = label != ignore, exists = label >= 0 && label < C;
    const Wide<T> share = !counts ? Wide<T>(0) : exists ? Wide<T>(w[label]) : Wide<T>(not_a_number());
    const Wide<T> log_p = counts && exists ? Wide<T>(row[label]) - largest - logarithm(total) : Wide<T>(0);
    weight[n] = T(share);
    loss[n] = T(-share * log_p);
  }
}

// dx[n, c] = dloss[n] * weight[n] * (p[n, c] - (1 if c is t[n], else 0)). A thread makes one number.
template <typename T>
__global__ void cross_entropy_backward(const T* __restrict__ dloss, const T* __restrict__ p, const long long* __restrict__ t,
                                       const T* __restrict__ weight, T* __restrict__ dx, int N, int C) {
  int at = thread_number();
  if (at >= N * C) return;
  const int n = at / C, c = at % C;
  const Wide<T> onehot = t[n] == c ? Wide<T>(1) : Wide<T>(0);
  dx[at] = T(Wide<T>(dloss[n]) * Wide<T>(weight[n]) * (Wide<T>(p[at]) - onehot));
}
