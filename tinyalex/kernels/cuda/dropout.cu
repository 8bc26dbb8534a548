// instantiate: dropout<T>, scale_kept<T>, bias_relu_dropout<T>
#include "common.cuh"

// Philox4x64-10 (Salmon et al. 2011): random numbers as a function of a counter. Ten rounds turn
// the counter (1 + octet, sample, step, call) into four words of 64 bits. NumPy's Philox returns
// the same words, so a mask depends neither on the device nor on the tiles of a batch.
static __device__ void philox(unsigned long long c[4], unsigned long long k0,
                              unsigned long long k1) {
  const unsigned long long m0 = 0xD2E7470EE14C6C93ull, m1 = 0xCA5A826395121157ull;
  for (int round = 0; round < 10; ++round) {
    const unsigned long long high0 = __umul64hi(m0, c[0]), low0 = m0 * c[0];
    const unsigned long long high1 = __umul64hi(m1, c[2]), low1 = m1 * c[2];
    c[0] = high1 ^ c[1] ^ k0;
    c[1] = low1;
    c[2] = high0 ^ c[3] ^ k1;
    c[3] = low0;
    k0 += 0x9E3779B97F4A7C15ull;
    k1 += 0xBB67AE8584CAA73Bull;
  }
}

// A thread draws the 8 units of its octet: each is kept if its 32 random bits are below the
// threshold. The four 64-bit words give two units each, the lower half first. The step is read
// from memory: a launch that is repeated in a CUDA graph draws another mask in another step.
static __device__ void draw_octet(bool kept[8], int octets, int first,
                                  unsigned long long threshold, unsigned long long key0,
                                  unsigned long long key1, const unsigned long long* step,
                                  unsigned long long call) {
  const int own = thread_index();
  const unsigned long long sample = (unsigned long long)first + own / octets;
  unsigned long long words[4] = {1ull + own % octets, sample, *step, call};
  philox(words, key0, key1);
  for (int i = 0; i < 8; ++i)
    kept[i] = (words[i / 2] >> (32 * (i % 2)) & 0xffffffffull) < threshold;
}

// The index of a block's bit i in an array (samples, units), or -1 if it is beyond the units.
static __device__ int index_of_bit(int i, int samples, int units, int octets) {
  const int octet = blockIdx.x * BLOCK_THREADS + i / 8;
  const int sample = octet / octets, unit = 8 * (octet % octets) + i % 8;
  return sample < samples && unit < units ? sample * units + unit : -1;
}

// mask[i, unit] = 32 random bits < threshold: true with probability threshold / 2^32 (section 4.2);
// y = scale * x where it is true, else 0 * x.
//
// x, mask, y (samples, units). A sample has `octets` octets of units. The threads of a block
// exchange their bits, so that neighbours write neighbouring units.
template <typename T>
__global__ void __launch_bounds__(BLOCK_THREADS) dropout(const T* __restrict__ x,
                                                 bool* __restrict__ mask, T* __restrict__ y,
                                                 int samples, int units, int octets, int first,
                                                 Wide<T> scale, unsigned long long threshold,
                                                 unsigned long long key0, unsigned long long key1,
                                                 const unsigned long long* __restrict__ step,
                                                 unsigned long long call) {
  __shared__ bool kept[8 * BLOCK_THREADS];
  draw_octet(kept + 8 * threadIdx.x, octets, first, threshold, key0, key1, step, call);
  __syncthreads();

  for (int i = threadIdx.x; i < 8 * BLOCK_THREADS; i += BLOCK_THREADS) {
    const int at = index_of_bit(i, samples, units, octets);
    if (at < 0) continue;
    mask[at] = kept[i];
    y[at] = T(Wide<T>(x[at]) * (kept[i] ? scale : Wide<T>(0)));
  }
}

// y = scale * x where the mask is true, else 0 * x.
template <typename T>
__global__ void scale_kept(const T* __restrict__ x, const bool* __restrict__ mask,
                           T* __restrict__ y, int n, Wide<T> scale) {
  int index = thread_index();
  if (index >= n) return;
  y[index] = T(Wide<T>(x[index]) * (mask[index] ? scale : Wide<T>(0)));
}

// The end of a fully connected layer whose ReLU and dropout follow:
//
//     y[i] = dropout of the ReLU of y[i] + bias[i % O]
//
// The mask is that of `dropout`. It is not stored: where y is 0, no gradient passes.
template <typename T>
__global__ void __launch_bounds__(BLOCK_THREADS) bias_relu_dropout(T* __restrict__ y,
                                                           const T* __restrict__ bias, int O,
                                                           bool has_bias, int samples, int units,
                                                           int octets, int first, Wide<T> scale,
                                                           unsigned long long threshold,
                                                           unsigned long long key0,
                                                           unsigned long long key1,
                                                           const unsigned long long* step,
                                                           unsigned long long call) {
  __shared__ bool kept[8 * BLOCK_THREADS];
  draw_octet(kept + 8 * threadIdx.x, octets, first, threshold, key0, key1, step, call);
  __syncthreads();

  for (int i = threadIdx.x; i < 8 * BLOCK_THREADS; i += BLOCK_THREADS) {
    const int at = index_of_bit(i, samples, units, octets);
    if (at < 0) continue;
    Wide<T> value = Wide<T>(y[at]);
    if (has_bias) value += Wide<T>(bias[at % O]);
    y[at] = T((value <= 0 ? Wide<T>(0) : value) * (kept[i] ? scale : Wide<T>(0)));
  }
}
