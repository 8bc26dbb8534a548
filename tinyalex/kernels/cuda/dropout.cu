// Philox4x64-10 (Salmon et al. 2011): random numbers as a function of a counter. Ten rounds of multiplying and mixing turn the counter
// (1 + block, sample, step, call) into four words of 64 bits. NumPy's own Philox gives the same words, so that a mask does not depend on
// the device, on how a batch is cut, or on how many numbers were drawn before.
static __device__ void philox(unsigned long long c[4], unsigned long long k0, unsigned long long k1) {
  for (int round = 0; round < 10; ++round) {
    const unsigned long long high0 = __umul64hi(0xD2E7470EE14C6C93ull, c[0]), low0 = 0xD2E7470EE14C6C93ull * c[0];
    const unsigned long long high1 = __umul64hi(0xCA5A826395121157ull, c[2]), low1 = 0xCA5A826395121157ull * c[2];
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
// mask (samples, units). A thread makes the four words of one block of a sample, which are 8 units, the lower half of a word first.
extern "C" __global__ void random_mask(bool* __restrict__ mask, int samples, int units, int blocks, int first,
                                       unsigned long long threshold, unsigned long long key0, unsigned long long key1,
                                       unsigned long long step, unsigned long long call) {
  int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= samples * blocks) return;
  const int block = at % blocks, sample = at / blocks;

  unsigned long long words[4] = {1ull + block, (unsigned long long)first + sample, step, call};
  philox(words, key0, key1);
  for (int i = 0; i < 8; ++i) {
    const int unit = 8 * block + i;
    if (unit < units) mask[sample * units + unit] = (words[i / 2] >> (32 * (i % 2)) & 0xffffffffull) < threshold;
  }
}
