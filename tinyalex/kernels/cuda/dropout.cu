// instantiate: scale_kept<T>
#include "common.cuh"

// Philox4x64-10 (Salmon et al. 2011): random numbers as a function of a counter. Ten rounds turn
// the counter (1 + block, sample, step, call) into four words of 64 bits. NumPy's Philox returns
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

// mask[i, unit] = 32 random bits < threshold: true with probability threshold / 2^32 (section 4.2).
//
// mask (samples, units). A thread computes one block of a sample: four words, which are 8 units,
// the lower half of a word first. The step is read from memory, so that a launch that is repeated
// in a CUDA graph draws another mask in another step.
extern "C" __global__ void random_mask(bool* __restrict__ mask, int samples, int units, int blocks,
                                       int first, unsigned long long threshold,
                                       unsigned long long key0, unsigned long long key1,
                                       const unsigned long long* __restrict__ step,
                                       unsigned long long call) {
  int index = thread_index();
  if (index >= samples * blocks) return;
  const int block = index % blocks, sample = index / blocks;

  unsigned long long words[4] = {1ull + block, (unsigned long long)first + sample, *step, call};
  philox(words, key0, key1);
  for (int i = 0; i < 8; ++i) {
    const int unit = 8 * block + i;
    const unsigned long long bits = words[i / 2] >> (32 * (i % 2)) & 0xffffffffull;
    if (unit < units) mask[sample * units + unit] = bits < threshold;
  }
}

// y = scale * x where the mask is true, else 0 * x. Both directions of dropout: scale is 1 / (1 - p).
template <typename T>
__global__ void scale_kept(const T* __restrict__ x, const bool* __restrict__ mask,
                           T* __restrict__ y, int n, Wide<T> scale) {
  int index = thread_index();
  if (index >= n) return;
  y[index] = T(Wide<T>(x[index]) * (mask[index] ? scale : Wide<T>(0)));
}
