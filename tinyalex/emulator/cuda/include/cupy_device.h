// device.h and the headers that CuPy puts before each of its own kernels.
#pragma once
#define ON_CPU_LENIENT
#include "device.h"
#include "cuda_fp16.h"

// CuPy's float16 accesses the bits of CUDA's half.
struct __half_raw {
  unsigned short x;
};
struct cupy_half : __half {
  cupy_half() = default;
  cupy_half(float x) : __half(x) {}
  cupy_half(__half x) : __half(x) {}
  explicit cupy_half(__half_raw raw) { bits = raw.x; }
  template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>>
  explicit cupy_half(T x) : __half(float(x)) {}
  explicit operator __half_raw() const { return {bits}; }
};
#define half cupy_half
static inline unsigned short __half_as_ushort(cupy_half x) { return x.bits; }
static inline cupy_half __ushort_as_half(unsigned short bits) {
  return cupy_half(__half_raw{bits});
}

// With this, CuPy 13 uses the FLT_MAX and so on of <cfloat>, and defines none of its own.
#define _MSC_VER 1900
#include <cupy/complex.cuh>
#include <cupy/carray.cuh>
#include <cupy/atomics.cuh>
#include <cupy/math_constants.h>
#undef _MSC_VER
// A launch then finds the array in a CArray: "A40" of 40 bytes.
template <class T, int n, bool c, bool i> struct on_cpu::TypeLetter<CArray<T, n, c, i>> {
  static constexpr char value = 'A';
};
