// instantiate: adam_update<T>
#include "common.cuh"
#include "array_lists.cuh"

static __device__ __forceinline__ float root(float x) { return sqrtf(x); }
static __device__ __forceinline__ double root(double x) { return sqrt(x); }

// One update of Adam in one pass over memory. With a1 = 1 - b1 and a2 = 1 - b2, which are exact
// where b1 and b2 near 1 would be rounded,
//
//     g = g + l2*w
//     m = m + a1*(g - m)
//     s = s + a2*(g*g - s)
//     w = w - lr*decay*w - lr * (m / c1) / (sqrt(s / c2) + eps)
//
// options (arrays, 8): lr, a1, a2, eps, l2, decay, c1, c2 of each array. One thread per weight of
// the n in all arrays. A square may be too large for half precision: it is stored as infinity, and
// w remains.
template <typename T>
__global__ void adam_update(Arrays<T> weights, Arrays<T> means, Arrays<T> squares,
                            Arrays<const T> grads, const Wide<T>* __restrict__ options, int n) {
  int index = thread_index();
  if (index >= n) return;
  const int array = weights.find(index);
  T *w = weights.of[array] + index, *mean = means.of[array] + index;
  T* square = squares.of[array] + index;
  options += 8 * array;
  const Wide<T> lr = options[0], a1 = options[1], a2 = options[2], eps = options[3];
  const Wide<T> l2 = options[4], decay = options[5], c1 = options[6], c2 = options[7];

  const Wide<T> old = Wide<T>(*w);
  const Wide<T> g = Wide<T>(grads.of[array][index]) + l2 * old;
  Wide<T> m = Wide<T>(*mean), s = Wide<T>(*square);
  m += a1 * (g - m);
  s += a2 * (g * g - s);
  *mean = T(m);
  *square = T(s);
  *w = T(old - lr * decay * old - lr * (m / c1) / (root(s / c2) + eps));
}
