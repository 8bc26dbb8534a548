// instantiate: lrn<T>, lrn_backward<T>, spatial_norm<T>, spatial_norm_backward<T>
#include "numbers.cuh"

// Response normalisation across channels (section 3.3):  s[c] = k + a * sum of x[j]^2 over `size` channels,  y[c] = x[c] * s[c]^-beta.
//
// x, y, s (N, C, P), where P counts the places of a map. Windows end at the edges of each `width` channels (the paper's columns). A thread
// makes one number and sums its window anew: a running sum down the channels (add the next, take the last away) reads less, but
// cancels. Neighbouring threads have neighbouring places, so that the n reads are n runs of memory, which the cache has from the channel before.
template <typename T>
__global__ void lrn(const T* __restrict__ x, T* __restrict__ y, T* __restrict__ s, int N, int C, int P, int width, int size, Wide<T> a,
                    Wide<T> beta, Wide<T> k) {
  int at = thread_number();
  if (at >= N * C * P) return;
  const int c = at / P % C, edge = c / width * width;

  Wide<T> squares = 0;
  for (int j = max(c - size / 2, edge); j <= min(c + (size - 1) / 2, edge + width - 1); ++j) {
    const Wide<T> neighbour = Wide<T>(x[at + (j - c) * P]);
    squares += neighbour * neighbour;
  }
  const Wide<T> scale = k + a * squares;
  s[at] = T(scale);
  y[at] = T(Wide<T>(x[at]) * falloff(scale, beta));
}

// dx[c] = dy[c] * s[c]^-beta - 2*a*beta * x[c] * sum of dy[j] * y[j] / s[j] over the channels j whose window holds c: the window mirrored.
template <typename T>
__global__ void lrn_backward(const T* __restrict__ dy, const T* __restrict__ x, const T* __restrict__ y, const T* __restrict__ s,
                             T* __restrict__ dx, int N, int C, int P, int width, int size, Wide<T> a, Wide<T> beta) {
  int at = thread_number();
  if (at >= N * C * P) return;
  const int c = at / P % C, edge = c / width * width;

  Wide<T> competition = 0;
  for (int j = max(c - (size - 1) / 2, edge); j <= min(c + size / 2, edge + width - 1); ++j) {
    const int other = at + (j - c) * P;
    competition += Wide<T>(dy[other]) * Wide<T>(y[other]) / Wide<T>(s[other]);
  }
  dx[at] = T(Wide<T>(dy[at]) * falloff(Wide<T>(s[at]), beta) - 2 * a * beta * Wide<T>(x[at]) * competition);
}

// The same within a map (the 2012 code's):  s[i, j] = k + a * sum of x[u, v]^2 over size x size places,  y = x * s^-beta.
//
// x, y, s (maps, H, W). A thread makes one number.
template <typename T>
__global__ void spatial_norm(const T* __restrict__ x, T* __restrict__ y, T* __restrict__ s, int maps, int H, int W, int size, Wide<T> a,
                             Wide<T> beta, Wide<T> k) {
  int at = thread_number();
  if (at >= maps * H * W) return;
  const int w = at % W, h = at / W % H;
  const T* map = x + at / (W * H) * H * W;

  Wide<T> squares = 0;
  for (int u = max(h - size / 2, 0); u <= min(h + (size - 1) / 2, H - 1); ++u)
    for (int v = max(w - size / 2, 0); v <= min(w + (size - 1) / 2, W - 1); ++v) {
      const Wide<T> neighbour = Wide<T>(map[u * W + v]);
      squares += neighbour * neighbour;
    }
  const Wide<T> scale = k + a * squares;
  s[at] = T(scale);
  y[at] = T(Wide<T>(x[at]) * falloff(scale, beta));
}

// dx = dy * s^-beta - 2*a*beta * x * sum of dy*y/s over the places whose window holds this one.
template <typename T>
__global__ void spatial_norm_backward(const T* __restrict__ dy, const T* __restrict__ x, const T* __restrict__ y,
                                      const T* __restrict__ s, T* __restrict__ dx, int maps, int H, int W, int size, Wide<T> a,
                                      Wide<T> beta) {
  int at = thread_number();
  if (at >= maps * H * W) return;
  const int w = at % W, h = at / W % H, map = at / (W * H) * H * W;

  Wide<T> competition = 0;
  for (int u = max(h - (size - 1) / 2, 0); u <= min(h + size / 2, H - 1); ++u)
    for (int v = max(w - (size - 1) / 2, 0); v <= min(w + size / 2, W - 1); ++v) {
      const int other = map + u * W + v;
      competition += Wide<T>(dy[other]) * Wide<T>(y[other]) / Wide<T>(s[other]);
    }
  dx[at] = T(Wide<T>(dy[at]) * falloff(Wide<T>(s[at]), beta) - 2 * a * beta * Wide<T>(x[at]) * competition);
}
