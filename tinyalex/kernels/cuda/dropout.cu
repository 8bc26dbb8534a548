// instantiate: dropout<T>, scale_kept<T>
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

// mask[i, unit] = 32 random bits < threshold: true with probability threshold / 2^32 (section 4.2);
// y = scale * x where it is true, else 0 * x.
//
// x, mask, y (samples, units). A thread draws the 8 units of an octet: four words, the lower half
// of a word first; a sample has `octets` of them. Then the threads of a block exchange these bits,
// so that neighbours write neighbouring units. The step is read from memory: a launch that is
// repeated in a CUDA graph draws another mask in another step.
template <typename T>
__global__ void __launch_bounds__(BLOCK_THREADS) dropout(const T* __restrict__ x,
                                                 bool* __restrict__ mask, T* __restrict__ y,
                                                 int samples, int units, int octets, int first,
                                                 Wide<T> scale, unsigned long long threshold,
                                                 unsigned long long key0, unsigned long long key1,
                                                 const unsigned long long* __restrict__ step,
                                                 unsigned long long call) {
  __shared__ bool kept[8 * BLOCK_THREADS];
  const int t = threadIdx.x, own = thread_index();
  const unsigned long long sample_of_own = (unsigned long long)first + own / octets;
  unsigned long long words[4] = {1ull + own % octets, sample_of_own, *step, call};
  philox(words, key0, key1);
  for (int i = 0; i < 8; ++i)
    kept[8 * t + i] = (words[i / 2] >> (32 * (i % 2)) & 0xffffffffull) < threshold;
  __syncthreads();

  for (int i = t; i < 8 * BLOCK_THREADS; i += BLOCK_THREADS) {
    const int octet = blockIdx.x * BLOCK_THREADS + i / 8;
    const int sample = octet / octets, unit = 8 * (octet % octets) + i % 8;
    if (sample >= samples || unit >= units) continue;
    const int at = sample * units + unit;
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
