// What the kernels share: the type to compute in, and the numbers that NVRTC has no names for.
#include <cuda_fp16.h>

// Half precision halves the memory traffic, but 11 bits are too few to add up in: numbers are read as T and computed with as Wide<T>.
template <typename T> struct WideOf { typedef float type; };
template <> struct WideOf<double> { typedef double type; };
template <typename T> using Wide = typename WideOf<T>::type;

static __device__ __forceinline__ float minus_infinity() { return __uint_as_float(0xff800000u); }
static __device__ __forceinline__ float not_a_number() { return __uint_as_float(0x7fc00000u); }

// The number of this thread in the whole launch, which fits an int: a thread makes at least one number of an array, and those are below 2^31.
static __device__ __forceinline__ int thread_number() { return blockIdx.x * blockDim.x + threadIdx.x; }

// s to the power -beta. The paper's 0.75 is two square roots, much cheaper than the general power.
static __device__ __forceinline__ float falloff(float s, float beta) {
  return beta == 0.75f ? 1.0f / sqrtf(s * sqrtf(s)) : powf(s, -beta);
}
static __device__ __forceinline__ double falloff(double s, double beta) {
  return beta == 0.75 ? 1.0 / sqrt(s * sqrt(s)) : pow(s, -beta);
}
