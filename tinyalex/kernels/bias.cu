// instantiate: from_columns<T>, to_columns<T>
#include "numbers.cuh"

// The end of a convolution: the product w @ col has its filters outside, (O, T, P), the layer's output its images, (T, O, P).
//
//     y[t, o, p] = product[o, t, p] + bias[o]           and 0 where that is negative, if it is to be rectified
//
// P counts the positions of a map. A thread moves one number; both sides keep the order of positions, so that reads and writes are runs.
template <typename T>
__global__ void from_columns(const T* __restrict__ product, const T* __restrict__ bias, T* __restrict__ y, int images, int O, int P,
                             int biased, int rectified) {
  int at = thread_number();
  if (at >= images * O * P) return;
  const int p = at % P, o = at / P % O, t = at / (P * O);
  Wide<T> number = Wide<T>(product[(o * images + t) * P + p]);
  if (biased) number += Wide<T>(bias[o]);
  y[at] = T(rectified && number <= 0 ? Wide<T>(0) : number);
}

// And the way back:  product[o, t, p] = dy[t, o, p],  where y, if it was rectified, is positive or NaN, else 0.
template <typename T>
__global__ void to_columns(const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ product, int images, int O, int P,
                           int rectified) {
  int at = thread_number();
  if (at >= images * O * P) return;
  const int p = at % P, t = at / P % images, o = at / (P * images);
  const int from = (t * O + o) * P + p;
  product[at] = rectified && Wide<T>(y[from]) <= 0 ? T(0.0f) : dy[from];
}
