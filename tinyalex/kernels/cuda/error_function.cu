// instantiate: error_function<T>
#include "common.cuh"

static __device__ __forceinline__ float error_function_of(float x) { return erff(x); }
static __device__ __forceinline__ double error_function_of(double x) { return erf(x); }

// y = erf(x). One thread per element.
template <typename T>
__global__ void error_function(const T* __restrict__ x, T* __restrict__ y, int n) {
  int index = thread_index();
  if (index >= n) return;
  y[index] = T(error_function_of(Wide<T>(x[index])));
}
