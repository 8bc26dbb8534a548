struct Sum {
  template <typename W> __device__ W operator()(W a, W b) const { return a + b; }
};

// Combines the values of all threads of a block. Each thread receives the result.
//
// Tree reduction: threads 0..127 combine their values with those of 128..255, then 0..63 with
// 64..127, and so on. The barrier after each step makes its writes visible to the next; the last
// one prevents the next call from overwriting `shared` too early.
template <typename W, typename Combine>
__device__ W block_reduce(W value, W* shared, Combine combine) {
  const int t = threadIdx.x;
  shared[t] = value;
  __syncthreads();
  for (int half = BLOCK_THREADS / 2; half > 0; half /= 2) {
    if (t < half) shared[t] = combine(shared[t], shared[t + half]);
    __syncthreads();
  }
  const W all = shared[0];
  __syncthreads();
  return all;
}
