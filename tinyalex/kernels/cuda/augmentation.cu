// instantiate: augment<T, unsigned char>, augment<T, float>
#include "common.cuh"

// From stored pixels to the input of the network, in one pass (section 4.1):
//
//     out[n, c, i, j] = (images[n, c, i + top[n], j + left[n]] - mean[c] + colour[n, c]) * scale
//
// and 0 outside of the image; j counts from the right where flip[n].
//
// images (N, C, H, W), mean (C, H, W) or (C, 1, 1), out (N, C, OH, OW), moves (N, 3): top, left,
// flip; colour (N, C). One thread per output. A mirrored row is still contiguous for a warp.
template <typename T, typename P>
__global__ void augment(const P* __restrict__ images, const T* __restrict__ mean,
                        T* __restrict__ out, const int* __restrict__ moves,
                        const T* __restrict__ colour, int N, int C, int H, int W, int OH, int OW,
                        int full_mean, int has_colour, Wide<T> scale) {
  int index = thread_index();
  if (index >= N * C * OH * OW) return;
  const int j = index % OW, i = index / OW % OH, map = index / (OW * OH), n = map / C, c = map % C;

  const int row = i + moves[3 * n];
  const int column = (moves[3 * n + 2] ? OW - 1 - j : j) + moves[3 * n + 1];
  Wide<T> value = 0;
  if (row >= 0 && row < H && column >= 0 && column < W) {
    const int pixel = row * W + column;
    value = Wide<T>(images[map * H * W + pixel]) - Wide<T>(mean[full_mean ? c * H * W + pixel : c]);
    if (has_colour) value += Wide<T>(colour[map]);
  }
  out[index] = T(value * scale);
}
