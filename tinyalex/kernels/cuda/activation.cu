// instantiate: relu<T>, relu_backward<T>, map_sums<T>
#include "common.cuh"
#include "reduction.cuh"

// y = max(0, x). NaN remains NaN. y may be x, so neither is __restrict__.
template <typename T>
__global__ void relu(const T* x, T* y, int n) {
  int index = thread_index();
  if (index >= n) return;
  const Wide<T> value = Wide<T>(x[index]);
  y[index] = T(value <= 0 ? Wide<T>(0) : value);
}

// dx = dy where y > 0 or y is NaN, else 0, where y is the output of a ReLU.
template <typename T>
__global__ void relu_backward(const T* __restrict__ dy, const T* __restrict__ y,
                              T* __restrict__ dx, int n) {
  int index = thread_index();
  if (index >= n) return;
  dx[index] = Wide<T>(y[index]) <= 0 ? T(0.0f) : dy[index];
}

// dz = relu_backward(dy, y), and the sum of each of its maps, sums[c, n], for a bias's gradient.
//
// dy, y, dz (N, C, P), sums (C, N). A block computes one map. Without `relu`, dz is not written, and
// the sums are those of dy.
template <typename T>
__global__ void __launch_bounds__(BLOCK_THREADS) map_sums(const T* __restrict__ dy,
                                                  const T* __restrict__ y, T* __restrict__ dz,
                                                  Wide<T>* __restrict__ sums, int N, int C, int P,
                                                  bool relu) {
  __shared__ Wide<T> shared[BLOCK_THREADS];
  const int map = blockIdx.x;
  Wide<T> sum = 0;
  for (int i = map * P + threadIdx.x; i < (map + 1) * P; i += BLOCK_THREADS) {
    const T grad = relu && Wide<T>(y[i]) <= 0 ? T(0.0f) : dy[i];
    if (relu) dz[i] = grad;
    sum += Wide<T>(grad);
  }
  sum = block_reduce(sum, shared, Sum());
  if (threadIdx.x == 0) sums[map % C * N + map / C] = sum;
}
