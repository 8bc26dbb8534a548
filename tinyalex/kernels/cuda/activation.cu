// instantiate: relu<T>, relu_backward<T>
#include "common.cuh"

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
