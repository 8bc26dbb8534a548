// instantiate: cross_entropy<T>, cross_entropy_backward<T>, find_errors<T>, weighted_mean<T>,
//              weighted_mean_backward<T>
#include "common.cuh"
#include "block_reduce.cuh"

static __device__ __forceinline__ float exponential(float x) { return expf(x); }
static __device__ __forceinline__ double exponential(double x) { return exp(x); }
static __device__ __forceinline__ float logarithm(float x) { return logf(x); }
static __device__ __forceinline__ double logarithm(double x) { return log(x); }

struct Larger {
  // NaN is larger than any number, as in NumPy.
  template <typename W> __device__ W operator()(W a, W b) const { return a > b || a != a ? a : b; }
};

// Softmax and cross-entropy of each row x[n] of logits with the class t[n]:
//
//     p[n] = softmax(x[n])    weight[n] = w[t[n]], 0 if t[n] is `ignore`
//     loss[n] = -weight[n] * log p[n, t[n]]
//
// x, p (N, C), t, loss, weight (N,), w (C,). A block computes a row, with two reductions: the
// largest logit, whose subtraction keeps exp finite, and the sum. The loss of an invalid class is
// NaN: raising an error would require the host to synchronise.
template <typename T>
__global__ void __launch_bounds__(BLOCK_THREADS) cross_entropy(const T* __restrict__ x,
                                                       const long long* __restrict__ t,
                                                       const T* __restrict__ w,
                                                       T* __restrict__ p, T* __restrict__ loss,
                                                       T* __restrict__ weight, int C,
                                                       long long ignore) {
  __shared__ Wide<T> shared[BLOCK_THREADS];
  const int n = blockIdx.x;
  const T* row = x + n * C;

  Wide<T> largest = minus_infinity();
  for (int c = threadIdx.x; c < C; c += BLOCK_THREADS) largest = Larger()(Wide<T>(row[c]), largest);
  largest = block_reduce(largest, shared, Larger());

  Wide<T> total = 0;
  for (int c = threadIdx.x; c < C; c += BLOCK_THREADS)
    total += exponential(Wide<T>(row[c]) - largest);
  total = block_reduce(total, shared, Sum());

  for (int c = threadIdx.x; c < C; c += BLOCK_THREADS)
    p[n * C + c] = T(exponential(Wide<T>(row[c]) - largest) / total);
  if (threadIdx.x == 0) {
    const long long label = t[n];
    const bool counts = label != ignore, valid = label >= 0 && label < C;
    Wide<T> share = 0, log_p = 0;
    if (counts) share = valid ? Wide<T>(w[label]) : Wide<T>(quiet_nan());
    if (counts && valid) log_p = Wide<T>(row[label]) - largest - logarithm(total);
    weight[n] = T(share);
    loss[n] = T(-share * log_p);
  }
}

// dx[n, c] = dloss[n] * weight[n] * (p[n, c] - onehot(t[n])[c]). One thread per element.
//
// With `mean`, dloss () is the gradient of weighted_mean, of which a loss gets dloss / total, or 0
// if total is 0.
template <typename T>
__global__ void cross_entropy_backward(const T* __restrict__ dloss, const T* __restrict__ p,
                                       const long long* __restrict__ t,
                                       const T* __restrict__ weight,
                                       const Wide<T>* __restrict__ total, T* __restrict__ dx,
                                       int N, int C, bool mean) {
  int index = thread_index();
  if (index >= N * C) return;
  const int n = index / C, c = index % C;
  const Wide<T> onehot = t[n] == c ? Wide<T>(1) : Wide<T>(0);
  Wide<T> upstream = Wide<T>(dloss[mean ? 0 : n]);
  if (mean) upstream = *total == 0 ? Wide<T>(0) : upstream / *total;
  dx[index] = T(upstream * Wide<T>(weight[n]) * (Wide<T>(p[index]) - onehot));
}

// wrong[n] = whether the argmax of row x[n] of logits is not class t[n]. x (N, C), t, wrong (N,).
//
// A block compares a row's logits with that of its class. As in argmax, NaN is larger than any
// number, and of equal logits the first is the largest.
template <typename T>
__global__ void __launch_bounds__(BLOCK_THREADS) find_errors(const T* __restrict__ x,
                                                     const long long* __restrict__ t,
                                                     bool* __restrict__ wrong, int C) {
  const int n = blockIdx.x;
  const T* row = x + n * C;
  const long long label = t[n];
  const bool valid = label >= 0 && label < C;
  const Wide<T> own = Wide<T>(row[valid ? label : 0]);

  bool is_larger = false;
  for (int c = threadIdx.x; c < C; c += BLOCK_THREADS) {
    const Wide<T> other = Wide<T>(row[c]);
    const bool equal = other == own || (other != other && own != own);
    is_larger |= equal ? c < label : other > own || other != other;
  }
  const bool any_is_larger = __syncthreads_or(is_larger);
  if (threadIdx.x == 0) wrong[n] = !valid || any_is_larger;
}

// total = sum of counts, y = (sum of x) / total. x, counts (N,), y, total (). One block.
template <typename T>
__global__ void __launch_bounds__(BLOCK_THREADS) weighted_mean(const T* __restrict__ x,
                                                       const T* __restrict__ counts,
                                                       T* __restrict__ y,
                                                       Wide<T>* __restrict__ total, int N) {
  __shared__ Wide<T> shared[BLOCK_THREADS];
  Wide<T> sum = 0, weight = 0;
  for (int n = threadIdx.x; n < N; n += BLOCK_THREADS) {
    sum += Wide<T>(x[n]);
    weight += Wide<T>(counts[n]);
  }
  sum = block_reduce(sum, shared, Sum());
  weight = block_reduce(weight, shared, Sum());
  if (threadIdx.x == 0) {
    *y = T(sum / weight);
    *total = weight;
  }
}

// dx[n] = dy / total, 0 if total is 0. One thread per element.
template <typename T>
__global__ void weighted_mean_backward(const T* __restrict__ dy,
                                       const Wide<T>* __restrict__ total, T* __restrict__ dx,
                                       int N) {
  int index = thread_index();
  if (index < N) dx[index] = *total == 0 ? T(0.0f) : T(Wide<T>(*dy) / *total);
}
