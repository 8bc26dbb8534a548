// instantiate: from_columns_lrn<T>, to_columns_lrn<T>
#include "common.cuh"
#include "block_reduce.cuh"

// The end of a convolution whose ReLU and response normalization (section 3.3) follow:
//
//     y[t, o, p] = ReLU of product[o, t, p] + bias[o]
//     s[t, o, p] = k + a * sum of y[t, j, p]^2 over `size` filters j around o
//     z[t, o, p] = y[t, o, p] * s[t, o, p]^-beta
//
// As from_columns, then lrn. One thread per element, which computes y in its whole window.
template <typename T>
__global__ void from_columns_lrn(const T* __restrict__ product, const T* __restrict__ bias,
                                 T* __restrict__ y, T* __restrict__ z, T* __restrict__ s,
                                 int images, int O, int P, bool has_bias, int width, int size,
                                 Wide<T> a, Wide<T> beta, Wide<T> k) {
  int index = thread_index();
  if (index >= images * O * P) return;
  const int p = index % P, o = index / P % O, t = index / (P * O), edge = o / width * width;

  Wide<T> own = 0, squares = 0;
  for (int j = max(o - size / 2, edge); j <= min(o + (size - 1) / 2, edge + width - 1); ++j) {
    Wide<T> value = Wide<T>(product[(j * images + t) * P + p]);
    if (has_bias) value += Wide<T>(bias[j]);
    value = Wide<T>(T(value <= 0 ? Wide<T>(0) : value));  // as stored in y
    squares += value * value;
    if (j == o) own = value;
  }
  const Wide<T> scale = k + a * squares;
  y[index] = T(own);
  s[index] = T(scale);
  z[index] = T(own * inverse_power(scale, beta));
}

// The backward pass, and the bias's gradient:
//
//     product[o, t, p] = dz*s^-beta - 2*a*beta * y * sum of dz[j]*z[j]/s[j];  0 where y <= 0
//     sums[i, o] = the sum of product[o, t, p] over the positions (t, p) of segment i
//
// with dz, y, z and s at [t, o, p], and at [t, j, p] for the filters j whose window contains o:
// o + low to o + high. As lrn_backward, then to_columns. A block computes one segment of one filter.
template <typename T>
__global__ void __launch_bounds__(BLOCK_THREADS) to_columns_lrn(const T* __restrict__ dz,
                                                        const T* __restrict__ y,
                                                        const T* __restrict__ z,
                                                        const T* __restrict__ s,
                                                        T* __restrict__ product,
                                                        Wide<T>* __restrict__ sums, int images,
                                                        int O, int P, int length, int width,
                                                        int size, Wide<T> a, Wide<T> beta) {
  __shared__ Wide<T> shared[BLOCK_THREADS];
  const int o = blockIdx.x % O, first = blockIdx.x / O * length, edge = o / width * width;
  const int low = max(-(size - 1) / 2, edge - o), high = min(size / 2, edge + width - 1 - o);

  Wide<T> sum = 0;
  for (int i = first + threadIdx.x; i < min(first + length, images * P); i += BLOCK_THREADS) {
    const int p = i % P, t = i / P, index = (t * O + o) * P + p;
    Wide<T> neighbours = 0;
    const unsigned last = index + high * P;  // unsigned: `other` may exceed INT_MAX after it
    for (unsigned other = index + low * P; other <= last; other += P)
      neighbours += Wide<T>(dz[other]) * Wide<T>(z[other]) / Wide<T>(s[other]);
    const Wide<T> dy = Wide<T>(dz[index]) * inverse_power(Wide<T>(s[index]), beta) -
                       2 * a * beta * Wide<T>(y[index]) * neighbours;
    const T grad = T(Wide<T>(y[index]) <= 0 ? Wide<T>(0) : dy);
    product[o * images * P + i] = grad;
    sum += Wide<T>(grad);
  }
  sum = block_reduce(sum, shared, Sum());
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}
