// instantiate: max_pool<T, unsigned char>, max_pool<T, int>, avg_pool<T>, avg_pool_backward<T>,
//              max_pool_backward<T, unsigned char>, max_pool_backward<T, int>
#include "common.cuh"

// y = the maximum of each window, argmax = the first kernel offset u*KW + v at which it occurs.
//
// x (maps, H, W), y and argmax (maps, OH, OW), where maps = N*C. One thread per output. NaN counts
// as the maximum; of several NaN, argmax is the last. The argmax of a window of -inf is its first
// offset inside the image. With `relu`, y is the ReLU of the maximum, and argmax is `none` where
// that is 0.
template <typename T, typename A>
__global__ void max_pool(const T* __restrict__ x, T* __restrict__ y, A* __restrict__ argmax,
                         int maps, int H, int W, int KH, int KW, int OH, int OW, int sh, int sw,
                         int ph, int pw, int dh, int dw, bool relu, int none) {
  int index = thread_index();
  if (index >= maps * OH * OW) return;
  const int j = index % OW, i = index / OW % OH, map = index / (OW * OH);
  const T* image = x + map * H * W;
  const int top = i * sh - ph, left = j * sw - pw;

  Wide<T> best = minus_infinity();
  int offset = -1;
  for (int u = 0; u < KH; ++u) {
    const int row = top + u * dh;
    if (row < 0 || row >= H) continue;
    for (int v = 0; v < KW; ++v) {
      const int column = left + v * dw;
      if (column < 0 || column >= W) continue;
      const Wide<T> value = Wide<T>(image[row * W + column]);
      if (offset < 0 || value > best || value != value) {
        offset = u * KW + v;
        if (best == best) best = value;  // once NaN, always NaN
      }
    }
  }
  if (relu && best <= 0) {
    best = 0;
    offset = none;
  }
  y[index] = T(best);
  argmax[index] = A(offset < 0 ? 0 : offset);
}

// dx[pixel] = the sum of dy over all windows whose maximum is the pixel.
//
// Windows overlap (3 x 3, stride 2, section 3.4), so a pixel can be the maximum of several. A
// gather, as col2im: one thread per pixel, no atomics, and the same bits in every run.
template <typename T, typename A>
__global__ void max_pool_backward(const T* __restrict__ dy, const A* __restrict__ argmax,
                                  T* __restrict__ dx, int maps, int H, int W, int KH, int KW,
                                  int OH, int OW, int sh, int sw, int ph, int pw, int dh, int dw) {
  int index = thread_index();
  if (index >= maps * H * W) return;
  const int w = index % W, h = index / W % H, first = index / (W * H) * OH * OW;

  Wide<T> sum = 0;
  for (int u = 0; u < KH; ++u) {
    const int down = h + ph - u * dh;
    if (down < 0 || down % sh != 0 || down / sh >= OH) continue;
    for (int v = 0; v < KW; ++v) {
      const int across = w + pw - v * dw;
      if (across < 0 || across % sw != 0 || across / sw >= OW) continue;
      const int window = first + down / sh * OW + across / sw;
      if (argmax[window] == u * KW + v) sum += Wide<T>(dy[window]);
    }
  }
  dx[index] = T(sum);
}

// y = the sum over each window / divisor. x (maps, H, W), y (maps, OH, OW), divisor (OH, OW). One
// thread per output.
template <typename T>
__global__ void avg_pool(const T* __restrict__ x, T* __restrict__ y,
                         const T* __restrict__ divisor, int maps, int H, int W, int KH, int KW,
                         int OH, int OW, int sh, int sw, int ph, int pw) {
  int index = thread_index();
  if (index >= maps * OH * OW) return;
  const int j = index % OW, i = index / OW % OH, map = index / (OW * OH);
  const T* image = x + map * H * W;
  const int top = i * sh - ph, left = j * sw - pw;

  Wide<T> sum = 0;
  for (int row = max(top, 0); row < min(top + KH, H); ++row)
    for (int column = max(left, 0); column < min(left + KW, W); ++column)
      sum += Wide<T>(image[row * W + column]);
  y[index] = T(sum / Wide<T>(divisor[index % (OH * OW)]));
}

// dx[pixel] = the sum of dy / divisor over all windows that contain the pixel. One thread per
// pixel.
template <typename T>
__global__ void avg_pool_backward(const T* __restrict__ dy, T* __restrict__ dx,
                                  const T* __restrict__ divisor, int maps, int H, int W, int KH,
                                  int KW, int OH, int OW, int sh, int sw, int ph, int pw) {
  int index = thread_index();
  if (index >= maps * H * W) return;
  const int w = index % W, h = index / W % H, first = index / (W * H) * OH * OW;

  Wide<T> sum = 0;
  for (int u = 0; u < KH; ++u) {
    const int down = h + ph - u;
    if (down < 0 || down % sh != 0 || down / sh >= OH) continue;
    for (int v = 0; v < KW; ++v) {
      const int across = w + pw - v;
      if (across < 0 || across % sw != 0 || across / sw >= OW) continue;
      const int window = down / sh * OW + across / sw;
      sum += Wide<T>(dy[first + window]) / Wide<T>(divisor[window]);
    }
  }
  dx[index] = T(sum);
}
