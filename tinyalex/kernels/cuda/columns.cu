// instantiate: im2col<T>, col2im<T>, from_columns<T>, to_columns<T>
#include "numbers.cuh"

// Patches to columns:  col[c, u, v, n, i, j] = x[n, c, i*sh + u*dh - ph, j*sw + v*dw - pw],  0 outside of x.
//
// x (N, C, H, W), col (C, KH, KW, N, OH, OW). A thread takes one position (n, i, j) of one channel and writes the KH*KW numbers that the
// window sees there. Neighbouring threads have neighbouring j: each write of a warp is one run of memory, and its reads lie side by side
// (stride 1) or a stride apart. No two threads write the same number.
template <typename T>
__global__ void im2col(const T* __restrict__ x, T* __restrict__ col, int N, int C, int H, int W, int KH, int KW, int OH, int OW,
                       int sh, int sw, int ph, int pw, int dh, int dw) {
  const int positions = N * OH * OW;
  int at = thread_number();
  if (at >= C * positions) return;
  const int c = at / positions, position = at % positions;
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

// The adjoint:  x[n, c, h, w] = the sum of all col[c, u, v, n, i, j] that im2col copies that pixel to.
//
// Written as a gather: a thread owns one pixel, asks of every tap (u, v) which position saw the pixel through it, and adds up. Scattering
// each column number to its pixel would need atomic additions, whose order, and so whose last bits, change from run to run.
template <typename T>
__global__ void col2im(const T* __restrict__ col, T* __restrict__ x, int N, int C, int H, int W, int KH, int KW, int OH, int OW,
                       int sh, int sw, int ph, int pw, int dh, int dw) {
  int at = thread_number();
  if (at >= N * C * H * W) return;
  const int w = at % W, h = at / W % H, c = at / (W * H) % C, n = at / (W * H * C);

  Wide<T> sum = 0;
  for (int u = 0; u < KH; ++u) {
    const int down = h + ph - u * dh;  // i*sh, if the tap's row u fell on this pixel at output row i
    if (down < 0 || down % sh != 0 || down / sh >= OH) continue;
    for (int v = 0; v < KW; ++v) {
      const int across = w + pw - v * dw;
      if (across < 0 || across % sw != 0 || across / sw >= OW) continue;
      sum += Wide<T>(col[((((c * KH + u) * KW + v) * N + n) * OH + down / sh) * OW + across / sw]);
    }
  }
  x[at] = T(sum);
}

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
