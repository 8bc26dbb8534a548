// instantiate: relu<T>, relu_backward<T>
#include "numbers.cuh"

// y = max(0, x). A NaN stays one: !(x <= 0) is true of it. y may be x, so neither is __restrict__.
template <typename T>
__global__ void relu(const T* x, T* y, int n) {
  int at = thread_number();
  if (at >= n) return;
  const Wide<T> number = Wide<T>(x[at]);
  y[at] = T(number <= 0 ? Wide<T>(0) : number);
}

// dx = dy where x was positive, which y shows as well, else 0.
template <typename T>
__global__ void relu_backward(const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ dx, int n) {
  int at = thread_number();
  if (at >= n) return;
  dx[at] = Wide<T>(y[at]) <= 0 ? T(0.0f) : dy[at];
}
