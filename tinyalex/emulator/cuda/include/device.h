// What a source for NVRTC may use without including it.
#pragma once
#include <algorithm>
#include <array>
#include <cassert>
#include <cfloat>
#include <climits>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <tuple>

#include "cuda_on_cpu.h"
#define __noinline__ __attribute__((noinline))
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
static inline long long __float2ll_rn(float x) { return llrintf(x); }
static inline float rcbrtf(float x) { return 1.f / cbrtf(x); }
static inline double rcbrt(double x) { return 1. / cbrt(x); }
static inline float sinpif(float x) { return float(sin(M_PI * fmod(double(x), 2))); }
static inline float cospif(float x) { return float(cos(M_PI * fmod(double(x), 2))); }
static inline double sinpi(double x) { return sin(M_PI * fmod(x, 2)); }
static inline double cospi(double x) { return cos(M_PI * fmod(x, 2)); }
static inline double cyl_bessel_i0(double x) { return std::cyl_bessel_i(0, fabs(x)); }
static inline double cyl_bessel_i1(double x) { return copysign(std::cyl_bessel_i(1, fabs(x)), x); }
