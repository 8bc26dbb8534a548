// Shared by the kernels: the type of computations, constants and indices.
#include <cuda_fp16.h>

// Half precision halves the memory traffic, but has too few bits (11) for sums: kernels read
// elements as T and compute in Wide<T>.
template <typename T> struct WideOf { typedef float type; };
template <> struct WideOf<double> { typedef double type; };
template <typename T> using Wide = typename WideOf<T>::type;

// NVRTC has no INFINITY and NAN.
static __device__ __forceinline__ float minus_infinity() { return __uint_as_float(0xff800000u); }
static __device__ __forceinline__ float quiet_nan() { return __uint_as_float(0x7fc00000u); }

// The index of this thread in the launch. An int is sufficient: a thread writes at least one
// element of an array, and arrays have fewer than 2^31.
static __device__ __forceinline__ int thread_index() {
  return blockIdx.x * blockDim.x + threadIdx.x;
}

// s to the power -beta. The paper's 0.75 is two square roots, much cheaper than powf.
static __device__ __forceinline__ float inverse_power(float s, float beta) {
  return beta == 0.75f ? 1.0f / sqrtf(s * sqrtf(s)) : powf(s, -beta);
}
static __device__ __forceinline__ double inverse_power(double s, double beta) {
  return beta == 0.75 ? 1.0 / sqrt(s * sqrt(s)) : pow(s, -beta);
}
