// instantiate: im2col<T>, col2im<T>, from_columns<T>, to_columns<T>
#include "common.cuh"
#include "block_reduce.cuh"

// Patches to columns:  col[c, u, v, n, i, j] = x[n, c, i*sh + u*dh - ph, j*sw + v*dw - pw]
//
// x (N, C, H, W), 0 outside; col (C, KH, KW, N, OH, OW). A thread copies one window of a channel.
// Neighbouring threads have neighbouring j: writes of a warp are contiguous, reads a stride apart.
template <typename T>
__global__ void im2col(const T* __restrict__ x, T* __restrict__ col, int N, int C, int H, int W,
                       int KH, int KW, int OH, int OW, int sh, int sw, int ph, int pw, int dh,
                       int dw) {
  const int positions = N * OH * OW;
  int index = thread_index();
  if (index >= C * positions) return;
  const int c = index / positions, position = index % positions;
  const int j = position % OW, i = position / OW % OH, n = position / (OW * OH);

  const T* image = x + (n * C + c) * H * W;
  T* out = col + c * KH * KW * positions + position;
  for (int u = 0; u < KH; ++u) {
    const int row = i * sh + u * dh - ph;
    for (int v = 0; v < KW; ++v) {
      const int column = j * sw + v * dw - pw;
      const bool inside = row >= 0 && row < H && column >= 0 && column < W;
      *out = inside ? image[row * W + column] : T(0.0f);
      out += positions;
    }
  }
}

// The adjoint:  x[n, c, h, w] = the sum of the col elements that im2col copies that pixel to.
//
// A gather: a thread computes one pixel, from the position whose window has it at each kernel
// offset (u, v). A scatter would need atomic additions, whose order, and therefore rounding,
// differs from run to run.
template <typename T>
__global__ void col2im(const T* __restrict__ col, T* __restrict__ x, int N, int C, int H, int W,
                       int KH, int KW, int OH, int OW, int sh, int sw, int ph, int pw, int dh,
                       int dw) {
  int index = thread_index();
  if (index >= N * C * H * W) return;
  const int w = index % W, h = index / W % H, c = index / (W * H) % C, n = index / (W * H * C);

  Wide<T> sum = 0;
  for (int u = 0; u < KH; ++u) {
    const int down = h + ph - u * dh;  // i*sh, if a window has this pixel at offset u
    if (down < 0 || down % sh != 0 || down / sh >= OH) continue;
    for (int v = 0; v < KW; ++v) {
      const int across = w + pw - v * dw;
      if (across < 0 || across % sw != 0 || across / sw >= OW) continue;
      const int channel = ((c * KH + u) * KW + v) * N + n;
      sum += Wide<T>(col[(channel * OH + down / sh) * OW + across / sw]);
    }
  }
  x[index] = T(sum);
}

// The end of a convolution: from w @ col (O, T, P) to the layout of activations (T, O, P),
//
//     y[t, o, p] = product[o, t, p] + bias[o]
//
// with `relu`, its ReLU. P is the number of positions of a map. One thread per element; reads and
// writes are contiguous.
template <typename T>
__global__ void from_columns(const T* __restrict__ product, const T* __restrict__ bias,
                             T* __restrict__ y, int images, int O, int P, int has_bias, int relu) {
  int index = thread_index();
  if (index >= images * O * P) return;
  const int p = index % P, o = index / P % O, t = index / (P * O);
  Wide<T> value = Wide<T>(product[(o * images + t) * P + p]);
  if (has_bias) value += Wide<T>(bias[o]);
  y[index] = T(relu && value <= 0 ? Wide<T>(0) : value);
}

// The adjoint, and the bias's gradient:
//
//     product[o, t, p] = dy[t, o, p];  with `relu`, 0 where y <= 0
//     sums[s, o] = the sum of product[o, t, p] over the positions (t, p) of segment s
//
// A block computes one segment of one filter, `length` positions. Reads and writes are contiguous.
template <typename T>
__global__ void __launch_bounds__(BLOCK_THREADS) to_columns(const T* __restrict__ dy,
                                                    const T* __restrict__ y,
                                                    T* __restrict__ product,
                                                    Wide<T>* __restrict__ sums, int images, int O,
                                                    int P, int length, bool relu) {
  __shared__ Wide<T> shared[BLOCK_THREADS];
  const int o = blockIdx.x % O, first = blockIdx.x / O * length;

  Wide<T> sum = 0;
  for (int i = first + threadIdx.x; i < min(first + length, images * P); i += BLOCK_THREADS) {
    const int p = i % P, t = i / P, source = (t * O + o) * P + p;
    const T grad = relu && Wide<T>(y[source]) <= 0 ? T(0.0f) : dy[source];
    product[o * images * P + i] = grad;
    sum += Wide<T>(grad);
  }
  sum = block_reduce(sum, shared, Sum());
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}
