// instantiate: max_pool<T, unsigned char>, max_pool<T, int>, max_pool_backward<T, unsigned char>, max_pool_backward<T, int>, avg_pool<T>, avg_pool_backward<T>
#include "numbers.cuh"

// y[n, c, i, j] = the largest number in the window at (i, j); argmax = the tap u*KW + v that it was found at first.
//
// x (maps, H, W), y and argmax (maps, OH, OW), where maps = N*C. A thread makes one output. NaN counts as largest, the last of them
// winning; a window of nothing but -inf has the first tap inside of the image as its winner.
template <typename T, typename A>
__global__ void max_pool(const T* __restrict__ x, T* __restrict__ y, A* __restrict__ argmax, int maps, int H, int W, int KH, int KW,
                         int OH, int OW, int sh, int sw, int ph, int pw, int dh, int dw) {
  int at = thread_number();
  if (at >= maps * OH * OW) return;
  const int j = at % OW, i = at / OW % OH, map = at / (OW * OH);
  const T* image = x + map * H * W;
  const int top = i * sh - ph, left = j * sw - pw;

  Wide<T> best = minus_infinity();
  int winner = -1;
  for (int u = 0; u < KH; ++u) {
    const int row = top + u * dh;
    if (row < 0 || row >= H) continue;
    for (int v = 0; v < KW; ++v) {
      const int column = left + v * dw;
      if (column < 0 || column >= W) continue;
      const Wide<T> number = Wide<T>(image[row * W + column]);
      if (winner < 0 || number > best || number != number) {
        winner = u * KW + v;
        if (best == best) best = number;  // once NaN, always NaN
      }
    }
  }
  y[at] = T(best);
  argmax[at] = A(winner < 0 ? 0 : winner);
}

// dx[pixel] = the sum of dy over all windows whose winner the pixel was. Windows overlap (3 x 3, stride 2, section 3.4), so a pixel can
// win several: as in col2im a thread owns a pixel and looks for the windows, which needs no atomics and gives the same bits every time.
template <typename T, typename A>
__global__ void max_pool_backward(const T* __restrict__ dy, const A* __restrict__ argmax, T* __restrict__ dx, int maps, int H, int W,
                                  int KH, int KW, int OH, int OW, int sh, int sw, int ph, int pw, int dh, int dw) {
  int at = thread_number();
  if (at >= maps * H * W) return;
  const int w = at % W, h = at / W % H, first = at / (W * H) * OH * OW;

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
  dx[at] = T(sum);
}

// y[n, c, i, j] = the sum over the window / divisor[i, j]. x (maps, H, W), y (maps, OH, OW), divisor (OH, OW). A thread an output.
template <typename T>
__global__ void avg_pool(const T* __restrict__ x, T* __restrict__ y, const T* __restrict__ divisor, int maps, int H, int W, int KH,
                         int KW, int OH, int OW, int sh, int sw, int ph, int pw) {
  int at = thread_number();
  if (at >= maps * OH * OW) return;
  const int j = at % OW, i = at / OW % OH, map = at / (OW * OH);
  const T* image = x + map * H * W;
  const int top = i * sh - ph, left = j * sw - pw;

  Wide<T> sum = 0;
  for (int row = max(top, 0); row < min(top + KH, H); ++row)
    for (int column = max(left, 0); column < min(left + KW, W); ++column) sum += Wide<T>(image[row * W + column]);
  y[at] = T(sum / Wide<T>(divisor[at % (OH * OW)]));
}

// dx[pixel] = the sum of dy / divisor over all windows that hold the pixel. A thread a pixel.
template <typename T>
__global__ void avg_pool_backward(const T* __restrict__ dy, T* __restrict__ dx, const T* __restrict__ divisor, int maps, int H, int W,
                                  int KH, int KW, int OH, int OW, int sh, int sw, int ph, int pw) {
  int at = thread_number();
  if (at >= maps * H * W) return;
  const int w = at % W, h = at / W % H, first = at / (W * H) * OH * OW;

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
  dx[at] = T(sum);
}
