// Replaces CUDA's cuda_fp16.h: __half, whose operations each round to half precision.
#pragma once

namespace on_cpu {

static inline float half_to_float(uint16_t half) {
  const uint32_t sign = uint32_t(half & 0x8000) << 16;
  const uint32_t exponent = half >> 10 & 31, fraction = half & 0x3ff;
  if (exponent == 31) return bits_as<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent == 0) {  // denormal in half, normal in float
    return bits_as<float>(sign | bits_as<uint32_t>(float(int(fraction)) * 0x1p-24f));
  }
  return bits_as<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

// Rounds to nearest, ties to even; in integers, because some compilers have no half.
static inline uint16_t float_to_half(float x) {
  const uint32_t bits = bits_as<uint32_t>(x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
  if (size > 0x7f800000) return uint16_t(sign | 0x7e00 | (size >> 13 & 0x3ff));  // NaN
  if (size >= 0x477ff000) return uint16_t(sign | 0x7c00);  // 65520 rounds to infinity
  if (size < 0x33000001) return uint16_t(sign);            // 2^-25 rounds to 0
  const uint32_t exponent = size >> 23;
  const bool small = exponent < 113;  // below 2^-14
  const uint32_t dropped = small ? 126 - exponent : 13;
  const uint32_t fraction = small ? (size & 0x7fffff) | 0x800000 : size - (112u << 23);
  const uint32_t tie = 1u << (dropped - 1), rest = fraction & ((1u << dropped) - 1);
  uint32_t half = fraction >> dropped;
  half += rest > tie || (rest == tie && (half & 1));
  return uint16_t(sign | half);
}

}  // namespace on_cpu

struct __half {
  uint16_t bits;
  __half() = default;
  __half(float x) : bits(on_cpu::float_to_half(x)) {}
  operator float() const { return on_cpu::half_to_float(bits); }
  __half& operator+=(__half other) { return *this = float(*this) + float(other); }
  __half& operator-=(__half other) { return *this = float(*this) - float(other); }
  __half& operator*=(__half other) { return *this = float(*this) * float(other); }
  __half& operator/=(__half other) { return *this = float(*this) / float(other); }
};
using half = __half;
template <> struct on_cpu::TypeLetter<__half> { static constexpr char value = 'f'; };

// Templates, so that only two halves match: a half and a float compute as floats.
#define ON_CPU_HALF(op)                                                                       \
  template <class A, class B,                                                                 \
            class = std::enable_if_t<std::is_same_v<A, __half> && std::is_same_v<B, __half>>> \
  static inline __half operator op(A a, B b) {                                                \
    return __half(float(a) op float(b));                                                      \
  }
ON_CPU_HALF(+)
ON_CPU_HALF(-)
ON_CPU_HALF(*)
ON_CPU_HALF(/)
#undef ON_CPU_HALF

static inline __half __float2half(float x) { return __half(x); }
static inline __half __float2half_rn(float x) { return __half(x); }
static inline float __half2float(__half x) { return float(x); }
static inline __half __hadd(__half a, __half b) { return __half(float(a) + float(b)); }
static inline __half __hsub(__half a, __half b) { return __half(float(a) - float(b)); }
static inline __half __hmul(__half a, __half b) { return __half(float(a) * float(b)); }
static inline __half __hfma(__half a, __half b, __half c) {
  return __half(float(double(float(a)) * float(b) + float(c)));
}

struct alignas(4) __half2 { __half x, y; };
using half2 = __half2;
static inline __half2 __halves2half2(__half a, __half b) { return {a, b}; }
static inline float2 __half22float2(__half2 h) { return {float(h.x), float(h.y)}; }
static inline __half2 __float22half2_rn(float2 f) { return {__half(f.x), __half(f.y)}; }
static inline __half2 __hadd2(__half2 a, __half2 b) { return {__hadd(a.x, b.x), __hadd(a.y, b.y)}; }
