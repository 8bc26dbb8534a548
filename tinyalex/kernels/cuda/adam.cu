// instantiate: adam_update<T>
#include "common.cuh"

static __device__ __forceinline__ float root(float x) { return sqrtf(x); }
static __device__ __forceinline__ double root(double x) { return sqrt(x); }

// One update of Adam in one pass over memory. One thread per weight. With a1 = 1 - b1 and
// a2 = 1 - b2, which are exact where b1 and b2 near 1 would be rounded,
//
//     g = g + l2*w
//     m = m + a1*(g - m)
//     s = s + a2*(g*g - s)
//     w = w - lr*decay*w - lr * (m / c1) / (sqrt(s / c2) + eps)
//
// A square may be too large for half precision: it is stored as infinity, and w remains.
template <typename T>
__global__ void adam_update(T* __restrict__ w, T* __restrict__ mean, T* __restrict__ square,
                            const T* __restrict__ grad, int n, Wide<T> lr, Wide<T> a1, Wide<T> a2,
                            Wide<T> eps, Wide<T> l2, Wide<T> decay, Wide<T> c1, Wide<T> c2) {
  int index = thread_index();
  if (index >= n) return;
  const Wide<T> old = Wide<T>(w[index]);
  const Wide<T> g = Wide<T>(grad[index]) + l2 * old;
  Wide<T> m = Wide<T>(mean[index]), s = Wide<T>(square[index]);
  m += a1 * (g - m);
  s += a2 * (g * g - s);
  mean[index] = T(m);
  square[index] = T(s);
  w[index] = T(old - lr * decay * old - lr * (m / c1) / (root(s / c2) + eps));
}
