// instantiate: lrn<T>, lrn_backward<T>, spatial_norm<T>, spatial_norm_backward<T>
#include "common.cuh"

// Response normalisation across channels (section 3.3):
//
//     s[c] = k + a * sum of x[j]^2 over `size` channels j around c      y[c] = x[c] * s[c]^-beta
//
// x, y, s (N, C, P), where P is the size of a map. Windows end at the edges of groups of
// `width` channels (the paper's columns). One thread per element, which sums its whole window: a
// running sum (add the next, subtract the last) reads less, but suffers from cancellation.
template <typename T>
__global__ void lrn(const T* __restrict__ x, T* __restrict__ y, T* __restrict__ s, int N, int C,
                    int P, int width, int size, Wide<T> a, Wide<T> beta, Wide<T> k) {
  int index = thread_index();
  if (index >= N * C * P) return;
  const int c = index / P % C, edge = c / width * width;

  Wide<T> squares = 0;
  for (int j = max(c - size / 2, edge); j <= min(c + (size - 1) / 2, edge + width - 1); ++j) {
    const Wide<T> neighbour = Wide<T>(x[index + (j - c) * P]);
    squares += neighbour * neighbour;
  }
  const Wide<T> scale = k + a * squares;
  s[index] = T(scale);
  y[index] = T(Wide<T>(x[index]) * inverse_power(scale, beta));
}

// dx[c] = dy[c] * s[c]^-beta - 2*a*beta * x[c] * sum of dy[j] * y[j] / s[j]
//
// over the channels j whose window contains c, which is the mirrored window.
template <typename T>
__global__ void lrn_backward(const T* __restrict__ dy, const T* __restrict__ x,
                             const T* __restrict__ y, const T* __restrict__ s,
                             T* __restrict__ dx, int N, int C, int P, int width, int size,
                             Wide<T> a, Wide<T> beta) {
  int index = thread_index();
  if (index >= N * C * P) return;
  const int c = index / P % C, edge = c / width * width;

  Wide<T> neighbours = 0;
  for (int j = max(c - (size - 1) / 2, edge); j <= min(c + size / 2, edge + width - 1); ++j) {
    const int other = index + (j - c) * P;
    neighbours += Wide<T>(dy[other]) * Wide<T>(y[other]) / Wide<T>(s[other]);
  }
  dx[index] = T(Wide<T>(dy[index]) * inverse_power(Wide<T>(s[index]), beta) -
                2 * a * beta * Wide<T>(x[index]) * neighbours);
}

// The same within a map, as in the 2012 code:
//
//     s[i, j] = k + a * sum of x[u, v]^2 over size x size pixels around (i, j)      y = x * s^-beta
//
// x, y, s (maps, H, W). One thread per element.
template <typename T>
__global__ void spatial_norm(const T* __restrict__ x, T* __restrict__ y, T* __restrict__ s,
                             int maps, int H, int W, int size, Wide<T> a, Wide<T> beta,
                             Wide<T> k) {
  int index = thread_index();
  if (index >= maps * H * W) return;
  const int w = index % W, h = index / W % H;
  const T* map = x + index / (W * H) * H * W;

  Wide<T> squares = 0;
  for (int u = max(h - size / 2, 0); u <= min(h + (size - 1) / 2, H - 1); ++u)
    for (int v = max(w - size / 2, 0); v <= min(w + (size - 1) / 2, W - 1); ++v) {
      const Wide<T> neighbour = Wide<T>(map[u * W + v]);
      squares += neighbour * neighbour;
    }
  const Wide<T> scale = k + a * squares;
  s[index] = T(scale);
  y[index] = T(Wide<T>(x[index]) * inverse_power(scale, beta));
}

// dx = dy * s^-beta - 2*a*beta * x * sum of dy*y/s over the pixels whose window contains this one.
template <typename T>
__global__ void spatial_norm_backward(const T* __restrict__ dy, const T* __restrict__ x,
                                      const T* __restrict__ y, const T* __restrict__ s,
                                      T* __restrict__ dx, int maps, int H, int W, int size,
                                      Wide<T> a, Wide<T> beta) {
  int index = thread_index();
  if (index >= maps * H * W) return;
  const int w = index % W, h = index / W % H, map = index / (W * H) * H * W;

  Wide<T> neighbours = 0;
  for (int u = max(h - (size - 1) / 2, 0); u <= min(h + size / 2, H - 1); ++u)
    for (int v = max(w - (size - 1) / 2, 0); v <= min(w + size / 2, W - 1); ++v) {
      const int other = map + u * W + v;
      neighbours += Wide<T>(dy[other]) * Wide<T>(y[other]) / Wide<T>(s[other]);
    }
  dx[index] = T(Wide<T>(dy[index]) * inverse_power(Wide<T>(s[index]), beta) -
                2 * a * beta * Wide<T>(x[index]) * neighbours);
}
