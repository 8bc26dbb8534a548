// instantiate: from_columns<T>, to_columns<T>
#include "numbers.cuh"

// The end of a convolution: the product w @ col has its filters outside, (O, T, P), the layer's output its images, (T, O, P).
//
//     y[t, o, p] = product[o, t, p] + bias[o]
//
// P counts the positions of a map. A thread moves one number; both sides keep the order of positions, so that reads and writes are runs.
template <typename T>
__global__ void from_columns(const T* __restrict__ product, const T* __restrict__ bias, T* __restrict__ y, int images, int O, int P,
                             int biased) {
  int at = thread_number();
  if (at >= images * O * P) return;
  const int p = at % P, o = at / P % O, t = at / (P * O);
  const Wide<T> number = Wide<T>(product[(o * images + t) * P + p]);
  y[at] = T(biased ? number + Wide<T>(bias[o]) : number);
}

// And the way back:  product[o, t, p] = dy[t, o, p].
template <typename T>
__global__ void to_columns(const T* __restrict__ dy, T* __restrict__ product, int images, int O, int P) {
  int at = thread_number();
  if (at >= images * O * P) return;
  const int p = at % P, t = at / P % images, o = at / (P * images);
  product[at] = dy[(t * O + o) * P + p];
}
