// instantiate: conv2d<T>, conv2d_input_grad<T>, conv2d_weight_grad<T>
#include "common.cuh"

// Convolution as a matrix multiplication without im2col's matrix (implicit GEMM).
//
// im2col stores the patch of each output position as a column, and a GEMM reads the columns. Here
// a block copies its part of the columns from the image to shared memory, DEPTH rows at a time:
//
//                         256 columns: thread t copies column t
//                        +--------------------------------------+
//            DEPTH = 8   | columns[d][t] = x[n, c, i', j']      |
//                        +--------------------------------------+
//            DEPTH
//          +-------+     +--------------------------------------+
//          | rows  |     | warp 0: rows 0 to 7                  |   then the next DEPTH rows, until
//  64 rows | [d][r]|     | warp 1: rows 8 to 15                 |   all K = C/G*KH*KW are added
//          |       |     |   ...   lane l: columns l, l + 32,   |
//          |       |     | warp 7          ..., l + 224         |
//          +-------+     +--------------------------------------+
//           filters       sum: 8 x 8 elements of a thread, in registers
//
// For each d a thread reads 8 + 8 elements of shared memory for 64 multiply-adds. The lanes of a
// warp read the same element of `rows`, a broadcast, and neighbouring elements of `columns`. A warp
// stores 4 x 8 elements to `rows`; the padding places them in 32 different banks (for float).
//
// Traffic of a block's 256 positions in bytes, without w, for elements of s bytes and O filters of
// one group. R is the number of pixels under the windows of the positions: about C * 256 if stride
// and dilation are 1.
//
//              im2col + GEMM                          implicit GEMM
//    x         s*R      read by im2col                s*R      read
//    columns   s*256*K  written by im2col             s*256*K  read from x, for each 64 filters:
//              s*256*K  read by the GEMM, for each             KH*KW windows share a pixel, which
//                       of its tiles of filters                may still be in a cache
//    product   s*256*O  written by the GEMM
//              s*256*O  read by from_columns
//    y         s*256*O  written by from_columns       s*256*O  written
//
// The cost is an address and a test of the borders for each element that is read from x.
// `tinyalex explain conv2d` counts the sectors and the bank conflicts of each line.

constexpr int ROWS = BLOCK_THREADS / 4, COLUMNS = BLOCK_THREADS, DEPTH = 8;
constexpr int WARP_ROWS = ROWS / (BLOCK_THREADS / 32), LANE_COLUMNS = COLUMNS / 32;

template <typename W> using Sums = W[WARP_ROWS][LANE_COLUMNS];

// The row and the column of the tile that sum[r][c] of this thread is for.
static __device__ __forceinline__ int row_of(int r) { return threadIdx.x / 32 * WARP_ROWS + r; }
static __device__ __forceinline__ int column_of(int c) { return threadIdx.x % 32 + 32 * c; }

// sum[r][c] = the sum over k in [first, last) of row_element(row, k) * the k-th column element
//
// for the rows below row_count. Each call of next_element() returns the next element of column
// threadIdx.x.
template <typename W, typename RowElement, typename NextElement>
static __device__ __forceinline__ void multiply(int first, int last, int row_count,
                                                RowElement row_element, NextElement next_element,
                                                Sums<W>& sum) {
  __shared__ __align__(16) W rows[DEPTH][ROWS + 4];
  __shared__ __align__(16) W columns[DEPTH][COLUMNS];
  const int t = threadIdx.x;
  for (int r = 0; r < WARP_ROWS; ++r)
    for (int c = 0; c < LANE_COLUMNS; ++c) sum[r][c] = 0;

  for (int start = first; start < last; start += DEPTH) {
    for (int d = 0; d < DEPTH; ++d) columns[d][t] = start + d < last ? next_element() : W(0);
    // Neighbouring threads read neighbouring k, which are contiguous in w and dy.
    const int d = t % DEPTH, k = start + d;
    for (int row = t / DEPTH; row < ROWS; row += BLOCK_THREADS / DEPTH)
      rows[d][row] = k < last && row < row_count ? row_element(row, k) : W(0);
    __syncthreads();
    for (int d = 0; d < DEPTH && row_of(0) < row_count; ++d) {
      W column[LANE_COLUMNS];
      for (int c = 0; c < LANE_COLUMNS; ++c) column[c] = columns[d][column_of(c)];
      for (int r = 0; r < WARP_ROWS; ++r) {
        const W element = rows[d][row_of(r)];
        for (int c = 0; c < LANE_COLUMNS; ++c) sum[r][c] += element * column[c];
      }
    }
    __syncthreads();
  }
}

// The tile of a block. Blocks with the same columns follow each other: what one has gathered may
// still be in the L2 cache for the next.
struct Tile {
  int group, first_row, row_count, first_column, segment;
};

static __device__ __forceinline__ Tile tile_of(int block, int groups, int rows, int columns) {
  const int row_tiles = (rows + ROWS - 1) / ROWS, column_tiles = (columns + COLUMNS - 1) / COLUMNS;
  const int first_row = block % row_tiles * ROWS, outer = block / row_tiles / groups;
  return {block / row_tiles % groups, first_row, min(ROWS, rows - first_row),
          outer % column_tiles * COLUMNS, outer / column_tiles};
}

// y[n, o, i, j] = bias[o] + sum over c, u, v of w[o, c, u, v] * x[n, c, i', j']
//
// where i' = i*sh + u*dh - ph and j' = j*sw + v*dw - pw; with `relu`, its ReLU. Of the group's
// product, the rows are filters, the columns positions (n, i, j), the terms k = (c, u, v).
template <typename T>
__global__ void __launch_bounds__(BLOCK_THREADS) conv2d(
    const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ bias,
    T* __restrict__ y, int N, int C, int H, int W, int O, int KH, int KW, int OH, int OW, int sh,
    int sw, int ph, int pw, int dh, int dw, int groups, int has_bias, int relu) {
  const int channels = C / groups, K = channels * KH * KW, P = OH * OW;
  const Tile tile = tile_of(blockIdx.x, groups, O / groups, N * P);
  const int first_filter = tile.group * (O / groups) + tile.first_row;

  const int position = tile.first_column + threadIdx.x;
  const int top = position / OW % OH * sh - ph, left = position % OW * sw - pw;
  const T* map = x + (position / P * C + tile.group * channels) * H * W;
  int u = 0, v = 0;
  auto next_pixel = [&]() {
    const int row = top + u * dh, column = left + v * dw;
    const bool inside = position < N * P && row >= 0 && row < H && column >= 0 && column < W;
    const Wide<T> pixel = inside ? Wide<T>(map[row * W + column]) : 0;
    if (++v == KW) {
      v = 0;
      if (++u == KH) u = 0, map += H * W;
    }
    return pixel;
  };
  auto weight = [&](int row, int k) { return Wide<T>(w[(first_filter + row) * K + k]); };
  Sums<Wide<T>> sum;
  multiply<Wide<T>>(0, K, tile.row_count, weight, next_pixel, sum);

  Wide<T> added[WARP_ROWS];
#pragma unroll
  for (int r = 0; r < WARP_ROWS; ++r)
    added[r] = has_bias && row_of(r) < tile.row_count ? Wide<T>(bias[first_filter + row_of(r)]) : 0;
#pragma unroll
  for (int c = 0; c < LANE_COLUMNS; ++c) {
    const int position = tile.first_column + column_of(c);
    if (position >= N * P) continue;
    T* out = y + (position / P * O + first_filter) * P + position % P;
#pragma unroll
    for (int r = 0; r < WARP_ROWS; ++r) {
      const Wide<T> value = sum[r][c] + added[r];
      const T result = T(relu && value <= 0 ? Wide<T>(0) : value);
      if (row_of(r) < tile.row_count) out[row_of(r) * P] = result;
    }
  }
}

// The i for which i * stride = distance; negative if there is none.
static __device__ __forceinline__ int steps(int distance, int stride) {
  if (stride == 1) return distance;  // without a division, which takes many instructions
  return distance >= 0 && distance % stride == 0 ? distance / stride : -1;
}

// dx[n, c, h, w] = sum over o, u, v of w[o, c, u, v] * dy[n, o, i, j]
//
// where i*sh = h + ph - u*dh and j*sw = w + pw - v*dw; terms without such i and j are 0, and for
// strides above 1 most are. The rows are the channels of a group, the columns pixels (n, h, w), the
// terms k = (o, u, v).
template <typename T>
__global__ void __launch_bounds__(BLOCK_THREADS) conv2d_input_grad(
    const T* __restrict__ dy, const T* __restrict__ w, T* __restrict__ dx, int N, int C, int H,
    int W, int O, int KH, int KW, int OH, int OW, int sh, int sw, int ph, int pw, int dh, int dw,
    int groups) {
  const int channels = C / groups, filters = O / groups, offsets = KH * KW;
  const Tile tile = tile_of(blockIdx.x, groups, channels, N * H * W);

  const int pixel = tile.first_column + threadIdx.x;
  const int bottom = pixel / W % H + ph, right = pixel % W + pw;
  const T* map = dy + (pixel / (H * W) * O + tile.group * filters) * OH * OW;
  int u = 0, v = 0;
  auto next_gradient = [&]() {
    const int i = steps(bottom - u * dh, sh), j = steps(right - v * dw, sw);
    const bool inside = pixel < N * H * W && i >= 0 && i < OH && j >= 0 && j < OW;
    const Wide<T> gradient = inside ? Wide<T>(map[i * OW + j]) : 0;
    if (++v == KW) {
      v = 0;
      if (++u == KH) u = 0, map += OH * OW;
    }
    return gradient;
  };
  auto weight = [&](int row, int k) {
    const int filter = tile.group * filters + k / offsets;
    return Wide<T>(w[(filter * channels + tile.first_row + row) * offsets + k % offsets]);
  };
  Sums<Wide<T>> sum;
  multiply<Wide<T>>(0, filters * offsets, tile.row_count, weight, next_gradient, sum);

#pragma unroll
  for (int c = 0; c < LANE_COLUMNS; ++c) {
    const int pixel = tile.first_column + column_of(c);
    if (pixel >= N * H * W) continue;
    const int first_channel = tile.group * channels + tile.first_row;
    T* out = dx + (pixel / (H * W) * C + first_channel) * H * W + pixel % (H * W);
#pragma unroll
    for (int r = 0; r < WARP_ROWS; ++r)
      if (row_of(r) < tile.row_count) out[row_of(r) * H * W] = T(sum[r][c]);
  }
}

// dw[o, c, u, v] = sum over n, i, j of dy[n, o, i, j] * x[n, c, i', j']
//
// The rows are filters, the columns weights (c, u, v) of a filter, the terms positions (n, i, j).
// There are few tiles and many terms, so that the positions are divided into segments of `length`:
// parts (segments, O, C/G, KH, KW), whose sum over the first axis is dw. Atomic additions to dw
// would not need the sum, but their order, and therefore rounding, differs from run to run.
template <typename T>
__global__ void __launch_bounds__(BLOCK_THREADS) conv2d_weight_grad(
    const T* __restrict__ x, const T* __restrict__ dy, Wide<T>* __restrict__ parts, int N, int C,
    int H, int W, int O, int KH, int KW, int OH, int OW, int sh, int sw, int ph, int pw, int dh,
    int dw, int groups, int length) {
  const int channels = C / groups, K = channels * KH * KW, P = OH * OW;
  const Tile tile = tile_of(blockIdx.x, groups, O / groups, K);
  const int first_filter = tile.group * (O / groups) + tile.first_row;
  const int first = min(tile.segment * length, N * P), last = min(first + length, N * P);

  const int k = tile.first_column + threadIdx.x;
  const int top = k / KW % KH * dh - ph, left = k % KW * dw - pw;
  int i = first / OW % OH, j = first % OW;
  const T* map = x + (first / P * C + tile.group * channels + k / (KH * KW)) * H * W;
  auto next_pixel = [&]() {
    const int row = top + i * sh, column = left + j * sw;
    const bool inside = k < K && row >= 0 && row < H && column >= 0 && column < W;
    const Wide<T> pixel = inside ? Wide<T>(map[row * W + column]) : 0;
    if (++j == OW) {
      j = 0;
      if (++i == OH) i = 0, map += C * H * W;
    }
    return pixel;
  };
  auto gradient = [&](int row, int position) {
    return Wide<T>(dy[(position / P * O + first_filter + row) * P + position % P]);
  };
  Sums<Wide<T>> sum;
  multiply<Wide<T>>(first, last, tile.row_count, gradient, next_pixel, sum);

#pragma unroll
  for (int c = 0; c < LANE_COLUMNS; ++c) {
    const int k = tile.first_column + column_of(c);
    if (k >= K) continue;
    Wide<T>* out = parts + (tile.segment * O + first_filter) * K + k;
#pragma unroll
    for (int r = 0; r < WARP_ROWS; ++r)
      if (row_of(r) < tile.row_count) out[row_of(r) * K] = sum[r][c];
  }
}
