// instantiate: augment<T, unsigned char>, augment<T, float>
#include "numbers.cuh"

// From stored pixels to what the network sees, in one pass (section 4.1):
//
//     out[n, c, i, j] = (images[n, c, i + top[n], j + left[n]] - mean[c] + colour[n, c]) * scale,   0 outside of the image,
//                       with j counted from the right where flip[n]
//
// images (N, C, H, W), mean (C, H, W) or (C, 1, 1), out (N, C, OH, OW), moves (N, 3): top, left, flip; colour (N, C). A thread makes one
// number. A mirrored row is read backwards, which is still one run of memory for the warp.
template <typename T, typename P>
__global__ void augment(const P* __restrict__ images, const T* __restrict__ mean, T* __restrict__ out, const int* __restrict__ moves,
                        const T* __restrict__ colour, int N, int C, int H, int W, int OH, int OW, int whole_mean, int coloured,
                        Wide<T> scale) {
  int at = thread_number();
  if (at >= N * C * OH * OW) return;
  const int j = at % OW, i = at / OW % OH, map = at / (OW * OH), n = map / C, c = map % C;

  const int row = i + moves[3 * n], column = (moves[3 * n + 2] ? OW - 1 - j : j) + moves[3 * n + 1];
  Wide<T> number = 0;
  if (row >= 0 && row < H && column >= 0 && column < W) {
    const int pixel = row * W + column;
    number = Wide<T>(images[map * H * W + pixel]) - Wide<T>(mean[whole_mean ? c * H * W + pixel : c]);
    if (coloured) number += Wide<T>(colour[map]);
  }
  out[at] = T(number * scale);
}
