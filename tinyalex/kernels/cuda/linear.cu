// instantiate: bias_relu<T>, bias_relu_backward<T>
#include "common.cuh"

// y[n, o] = y[n, o] + bias[o];  with `relu`, its ReLU. One thread per element of the N * O.
template <typename T>
__global__ void bias_relu(T* __restrict__ y, const T* __restrict__ bias, int N, int O,
                          bool has_bias, bool relu) {
  int index = thread_index();
  if (index >= N * O) return;
  Wide<T> value = Wide<T>(y[index]);
  if (has_bias) value += Wide<T>(bias[index % O]);
  y[index] = T(relu && value <= 0 ? Wide<T>(0) : value);
}

// The backward pass, with ReLU:  dz = scale * dy, 0 where y <= 0;  dbias[o] = the sum of dz[n, o] over n.
// `scale` is 1, or that of the dropout that follows the ReLU.
//
// A block computes 32 columns o, so that a warp reads 32 neighbours of a row n. Each of its warps
// adds every eighth row; the first warp then adds their sums.
template <typename T>
__global__ void __launch_bounds__(BLOCK_THREADS) bias_relu_backward(const T* __restrict__ dy,
                                                            const T* __restrict__ y,
                                                            T* __restrict__ dz,
                                                            T* __restrict__ dbias, int N, int O,
                                                            Wide<T> scale) {
  __shared__ Wide<T> sums[BLOCK_THREADS];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = BLOCK_THREADS / 32;
  const int o = blockIdx.x * 32 + lane;

  Wide<T> sum = 0;
  for (int n = warp; n < N && o < O; n += warps) {
    const int index = n * O + o;
    const T grad = Wide<T>(y[index]) <= 0 ? T(0.0f) : T(scale * Wide<T>(dy[index]));
    dz[index] = grad;
    sum += Wide<T>(grad);
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (warp > 0 || o >= O) return;
  for (int other = 1; other < warps; ++other) sum += sums[other * 32 + lane];
  dbias[o] = T(sum);
}
