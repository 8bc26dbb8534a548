// Runs CUDA C++ kernels on the CPU. Included before a .cu file, compiled as C++17.
//
// One thread of the host runs the blocks one after another. Within a block, a fiber
// (with its own call stack) runs the threads of the block in a loop. A thread without
// barriers costs a function call. A thread that waits at a barrier keeps its fiber,
// another fiber continues the loop, and the thread is resumed when the threads that it
// waits for have arrived. Plain memory accesses are therefore atomic, and each run is
// deterministic. `order` permutes blocks and threads, which reveals results that depend
// on the order.
#pragma once
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <string>
#include <type_traits>
#include <utility>
#include <vector>
#if !defined(__x86_64__) || !defined(__linux__)
#define ON_CPU_UCONTEXT  // 15 times as slow as the assembly below
#endif
#ifdef ON_CPU_UCONTEXT
#include <ucontext.h>
#endif
#ifdef __x86_64__
#include <xmmintrin.h>
#endif

// Language

#define __global__
#define __device__
#define __host__
#define __constant__
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)

#define ON_CPU_VECTOR(T, name, size)                                        \
  struct name##1 { T x; };                                                  \
  struct alignas(2 * size) name##2 { T x, y; };                             \
  struct name##3 { T x, y, z; };                                            \
  struct alignas(4 * size > 16 ? 16 : 4 * size) name##4 { T x, y, z, w; };  \
  static inline name##2 make_##name##2(T x, T y) { return {x, y}; }         \
  static inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
  static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
ON_CPU_VECTOR(signed char, char, 1)
ON_CPU_VECTOR(unsigned char, uchar, 1)
ON_CPU_VECTOR(short, short, 2)
ON_CPU_VECTOR(unsigned short, ushort, 2)
ON_CPU_VECTOR(int, int, 4)
ON_CPU_VECTOR(unsigned, uint, 4)
ON_CPU_VECTOR(float, float, 4)
ON_CPU_VECTOR(long long, longlong, 8)
ON_CPU_VECTOR(unsigned long long, ulonglong, 8)
ON_CPU_VECTOR(double, double, 8)
#undef ON_CPU_VECTOR

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

namespace on_cpu {

constexpr size_t kStackBytes = 128 << 10;
constexpr size_t kCanaryBytes = 256;  // after dynamic shared memory
constexpr size_t kGuardBytes = 4096;  // before and after each static shared array
constexpr unsigned kMaxThreads = 1024;
constexpr size_t kMessageBytes = 16;
constexpr unsigned char kUnwritten = 0xff;  // in shared memory: NaN as a float, -1 as an int
constexpr unsigned char kCanary = 0xC5;
// Whether a thread may end while others wait at a barrier. It may on GPUs, and threads
// of CuPy's own kernels do, but it is undefined behaviour.
#ifdef ON_CPU_LENIENT
constexpr bool kMayEndBeforeBarrier = true;
#else
constexpr bool kMayEndBeforeBarrier = false;
#endif

// The stacks of fibers. The host lends them to one launch at a time, of any library: a
// process loads thousands of libraries, and its number of memory mappings is limited.
struct Stacks {
  char* start[kMaxThreads];
  unsigned count;
};

// A launch. Mirrored by `Launch`, `Stacks` and `ArraySpan` in launch.py and arena.py.
struct Launch {
  struct ArraySpan {
    size_t start, bytes;
    unsigned argument, item_bytes, is_const, padding;
  };
  unsigned grid[3], block[3];
  unsigned shared_bytes;      // dynamic
  unsigned max_shared_bytes;  // static and dynamic
  unsigned order;             // 0 forward, 1 reverse, other values seed a shuffle
  unsigned exceeds_limits;    // out: whether the error is that the hardware's limits are exceeded
  uint64_t waits;  // out: number of waits at barriers
  char error[512];
  void* code[2];  // out: addresses of the instructions in error
  Stacks* stacks;
  // For a checked launch: all arrays are in one arena, separated by gaps.
  unsigned char* arena;
  size_t arena_bytes;
  ArraySpan* arrays;
  size_t array_count;
};

struct Location {
  const char* file;
  int line;
  bool operator==(const Location& other) const {
    return line == other.line && (file == other.file || strcmp(file, other.file) == 0);
  }
};
#define ON_CPU_HERE (on_cpu::Location{__FILE__, __LINE__})

// Events for the memory checker
#ifdef ON_CPU_CHECK
#define ON_CPU_EVENT(name, ...) void name(__VA_ARGS__);
#else
#define ON_CPU_EVENT(name, ...) static inline void name(__VA_ARGS__) {}
#endif
ON_CPU_EVENT(check_launch_begins)
ON_CPU_EVENT(check_launch_ends)
ON_CPU_EVENT(check_block_begins)
ON_CPU_EVENT(check_block_passes_barrier)
ON_CPU_EVENT(check_warp_passes_barrier, unsigned warp)
ON_CPU_EVENT(check_shared_array, void* start, size_t bytes)
#undef ON_CPU_EVENT

// Fibers

#ifndef ON_CPU_UCONTEXT
// Saves the callee-saved registers, switches stacks, and returns on the other stack.
using Context = void*;
extern "C" void on_cpu_switch(void** save, void* load) __attribute__((visibility("hidden")));
asm(R"(
.text
.hidden on_cpu_switch
.globl on_cpu_switch
.type on_cpu_switch,@function
on_cpu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size on_cpu_switch,.-on_cpu_switch
)");
static inline void switch_context(Context& from, Context& to) { on_cpu_switch(&from, to); }
static inline void prepare_context(Context& context, char* stack, void (*entry)()) {
  const uintptr_t end = (reinterpret_cast<uintptr_t>(stack) + kStackBytes) & ~uintptr_t(15);
  // Two words below the end: after `ret`, rsp % 16 is 8, as after a call.
  void** top = reinterpret_cast<void**>(end) - 2;
  *top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  context = top;
}
#else
using Context = ucontext_t;
static inline void switch_context(Context& from, Context& to) { swapcontext(&from, &to); }
static inline void prepare_context(Context& context, char* stack, void (*entry)()) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = kStackBytes;
  context.uc_link = nullptr;
  makecontext(&context, entry, 0);
}
#endif

// The emulated multiprocessor: one block at a time

enum State : uint8_t { kNew, kRunning, kAtBlockBarrier, kAtWarpBarrier, kEnded };

struct Multiprocessor {
  Launch* launch = nullptr;
  void (*run_thread)(void**) = nullptr;
  void** arguments = nullptr;
  bool failed = false;

  Context host;
  Context* fiber = nullptr;     // the current one; null while the host runs
  Context fibers[kMaxThreads];  // of this launch
  unsigned fiber_count = 0;
  std::vector<Context*> idle;

  std::vector<std::pair<void*, size_t>> shared;  // static arrays reached so far: start, bytes
  size_t* static_bytes = nullptr;                // of those of the current kernel
  unsigned char* dynamic_shared = nullptr;

  unsigned thread_count = 0;  // in a block
  unsigned next = 0;          // the next thread to start
  unsigned thread = 0;        // the current one
  bool permuted = false;
  unsigned sequence[kMaxThreads];

  State state[kMaxThreads];
  Context* fiber_of[kMaxThreads];  // of a waiting thread
  Location location[kMaxThreads];  // of its barrier
  unsigned mask[kMaxThreads];      // the lanes it waits for
  bool ready[kMaxThreads];

  // The values that threads exchange at a barrier: copied from `sent` to `delivered` when
  // they are released, so that a thread can send its next value before all have read.
  unsigned char sent[kMaxThreads][kMessageBytes], delivered[kMaxThreads][kMessageBytes];

  int atomic_depth = 0;  // above 0 within an atomic function
};
static Multiprocessor sm;

static inline void set_thread(unsigned thread) {
  sm.thread = thread;
  if (blockDim.y == 1 && blockDim.z == 1) {  // without divisions
    threadIdx = {thread, 0, 0};
    return;
  }
  const unsigned row = thread / blockDim.x;
  threadIdx = {thread % blockDim.x, row % blockDim.y, row / blockDim.y};
}

static void leave_fiber() { switch_context(*sm.fiber, sm.host); }

static void enter_fiber(Context* fiber) {
  sm.fiber = fiber;
  switch_context(sm.host, *fiber);
  sm.fiber = nullptr;
}

// Only the first error of a launch is reported.
__attribute__((format(printf, 1, 2))) static void report(const char* format, ...) {
  sm.failed = true;
  char* text = sm.launch->error;
  const size_t capacity = sizeof sm.launch->error;
  if (*text) return;
  const int n = snprintf(text, capacity, "block (%u,%u,%u): ", blockIdx.x, blockIdx.y, blockIdx.z);
  va_list values;
  va_start(values, format);
  vsnprintf(text + n, capacity - n, format, values);
  va_end(values);
}

#define ON_CPU_REPORT_THREAD(format, ...) \
  on_cpu::report("thread (%u,%u,%u) " format, threadIdx.x, threadIdx.y, threadIdx.z, ##__VA_ARGS__)

// Called by a thread: report an error and abort the launch.
#define ON_CPU_FAIL(format, ...)                                                 \
  (ON_CPU_REPORT_THREAD("at %s:%d: " format, __FILE__, __LINE__, ##__VA_ARGS__), \
   on_cpu::leave_fiber())

static void fiber_body() {
  for (;;) {
    while (sm.next < sm.thread_count && !sm.failed) {
      const unsigned i = sm.next++;
      const unsigned thread = sm.permuted ? sm.sequence[i] : i;
      set_thread(thread);
      sm.state[thread] = kRunning;
      sm.run_thread(sm.arguments);
      sm.state[sm.thread] = kEnded;
    }
    sm.idle.push_back(sm.fiber);
    leave_fiber();
  }
}

// The stack of the i-th fiber; null if there is no memory for it.
static char* stack_of(unsigned i) {
  Stacks& stacks = *sm.launch->stacks;
  if (i == stacks.count) {
    constexpr size_t guard_bytes = 4096;  // a stack overflow faults here
    constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* memory = mmap(nullptr, kStackBytes + guard_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    mprotect(memory, guard_bytes, PROT_NONE);
    stacks.start[stacks.count++] = static_cast<char*>(memory) + guard_bytes;
  }
  return stacks.start[i];
}

// A fiber that runs no thread; null, and a report, if there is no memory for its stack.
static Context* idle_fiber() {
  if (!sm.idle.empty()) {
    Context* fiber = sm.idle.back();
    sm.idle.pop_back();
    return fiber;
  }
  char* stack = stack_of(sm.fiber_count);
  if (!stack) {
    report("no memory for the stack of thread %u of %u", sm.fiber_count, sm.thread_count);
    return nullptr;
  }
  Context* fiber = &sm.fibers[sm.fiber_count++];
  prepare_context(*fiber, stack, fiber_body);
  return fiber;
}

static void wait_at(State barrier, Location location, unsigned mask) {
  const unsigned thread = sm.thread;
  sm.state[thread] = barrier;
  sm.location[thread] = location;
  sm.mask[thread] = mask;
  sm.fiber_of[thread] = sm.fiber;
  ++sm.launch->waits;
  leave_fiber();
  set_thread(thread);
}

// Whether all active lanes in the thread's mask wait at its barrier, with the same mask.
static bool warp_is_complete(unsigned thread) {
  const unsigned mask = sm.mask[thread], first = thread & ~31u;
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned other = first + lane;
    if (!(mask >> lane & 1) || other >= sm.thread_count || sm.state[other] == kEnded) continue;
    if (sm.state[other] != kAtWarpBarrier || sm.mask[other] != mask) return false;
    if (!(sm.location[other] == sm.location[thread])) return false;
  }
  return true;
}

static void report_deadlock(unsigned ended) {
  std::string waiting;
  const Location* last = nullptr;
  for (unsigned t = 0; t < sm.thread_count && waiting.size() < 320; ++t) {
    if (sm.state[t] == kEnded || (last && *last == sm.location[t])) continue;
    last = &sm.location[t];
    waiting += " thread " + std::to_string(t) + " at " + last->file;
    waiting += ":" + std::to_string(last->line);
    waiting += sm.state[t] == kAtWarpBarrier ? " (a warp's barrier);" : ";";
  }
  report("deadlock, threads wait at different barriers:%s %u of %u threads have ended",
         waiting.c_str(), ended, sm.thread_count);
}

// Marks the threads that can be resumed. False if the block has ended or is stuck.
static bool find_ready_threads() {
  unsigned active = 0, at_barrier = 0, released = 0;
  const Location* barrier = nullptr;
  for (unsigned t = 0; t < sm.thread_count; ++t) {
    sm.ready[t] = sm.state[t] == kAtWarpBarrier && warp_is_complete(t);
    released += sm.ready[t];
    active += sm.state[t] != kEnded;
    if (sm.state[t] == kAtBlockBarrier) {
      if (!barrier) barrier = &sm.location[t];
      at_barrier += sm.location[t] == *barrier;
    }
  }
  if (!active) return false;
  if (released) {
    for (unsigned t = 0; t < sm.thread_count; ++t)
      if (sm.ready[t]) check_warp_passes_barrier(t / 32);
    return true;
  }
  const unsigned ended = sm.thread_count - active;
  if (at_barrier != active) {
    report_deadlock(ended);
    return false;
  }
  if (ended && !kMayEndBeforeBarrier) {
    report("%u of %u threads ended before the __syncthreads at %s:%d", ended, sm.thread_count,
           barrier->file, barrier->line);
    return false;
  }
  for (unsigned t = 0; t < sm.thread_count; ++t) sm.ready[t] = sm.state[t] != kEnded;
  check_block_passes_barrier();
  return true;
}

static void run_block() {
  const unsigned shared_bytes = sm.launch->shared_bytes;
  sm.next = 0;
  memset(sm.state, kNew, sm.thread_count);
  for (auto [start, bytes] : sm.shared) memset(start, kUnwritten, bytes);
  memset(sm.dynamic_shared, kUnwritten, shared_bytes);
  check_block_begins();
  while (sm.next < sm.thread_count && !sm.failed)
    if (Context* fiber = idle_fiber()) enter_fiber(fiber);
  while (!sm.failed && find_ready_threads()) {
    for (unsigned t = 0; t < sm.thread_count; ++t)
      if (sm.ready[t]) memcpy(sm.delivered[t], sm.sent[t], kMessageBytes);
    for (unsigned i = 0; i < sm.thread_count && !sm.failed; ++i) {
      const unsigned thread = sm.permuted ? sm.sequence[i] : i;
      if (!sm.ready[thread]) continue;
      sm.state[thread] = kRunning;
      enter_fiber(sm.fiber_of[thread]);
    }
  }
  for (size_t i = 0; i < kCanaryBytes; ++i) {
    if (sm.dynamic_shared[shared_bytes + i] == kCanary) continue;
    report("dynamic shared memory of %u bytes overrun", shared_bytes);
    break;
  }
}

static void permute(unsigned* sequence, size_t n, unsigned order, uint64_t salt) {
  for (size_t i = 0; i < n; ++i) sequence[i] = unsigned(order == 1 ? n - 1 - i : i);
  if (order < 2) return;
  uint64_t random = order * 0x9E3779B97F4A7C15ull + salt * 0xD1B54A32D192ED03ull + 1;
  for (size_t i = n; i > 1; --i) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    std::swap(sequence[i - 1], sequence[random % i]);
  }
}

static bool fits_shared_memory() {
  const Launch& launch = *sm.launch;
  if (launch.shared_bytes + *sm.static_bytes <= launch.max_shared_bytes) return true;
  sm.launch->exceeds_limits = true;
  report("%zu bytes of static and %u of dynamic shared memory exceed the %u of a block",
         *sm.static_bytes, launch.shared_bytes, launch.max_shared_bytes);
  return false;
}

static int run(Launch* launch, void (*run_thread)(void**), void** arguments,
               size_t* static_bytes) {
  gridDim = dim3(launch->grid[0], launch->grid[1], launch->grid[2]);
  blockDim = dim3(launch->block[0], launch->block[1], launch->block[2]);
  sm.launch = launch;
  sm.run_thread = run_thread;
  sm.arguments = arguments;
  sm.static_bytes = static_bytes;
  sm.failed = false;
  sm.fiber_count = 0;
  sm.idle.clear();
  if (!fits_shared_memory()) return true;
  sm.permuted = launch->order != 0;
  sm.thread_count = blockDim.x * blockDim.y * blockDim.z;
  sm.atomic_depth = 0;
  const size_t dynamic_bytes = (launch->shared_bytes + kCanaryBytes + 255) & ~size_t(255);
  sm.dynamic_shared = static_cast<unsigned char*>(aligned_alloc(256, dynamic_bytes));
  memset(sm.dynamic_shared + launch->shared_bytes, kCanary, kCanaryBytes);
  const size_t blocks = size_t(gridDim.x) * gridDim.y * gridDim.z;
  std::vector<unsigned> sequence;
  if (sm.permuted) {
    sequence.resize(blocks);
    permute(sequence.data(), blocks, launch->order, 0);
  }
#ifdef __x86_64__
  const unsigned rounding = _mm_getcsr();
  _mm_setcsr(rounding | 0x8040);  // flushes denormals to 0, as CuPy's -ftz=true
#endif
  check_launch_begins();
  for (size_t i = 0; i < blocks && !sm.failed; ++i) {
    const size_t block = sm.permuted ? sequence[i] : i;
    const size_t row = block / gridDim.x;
    blockIdx = {unsigned(block % gridDim.x), unsigned(row % gridDim.y), unsigned(row / gridDim.y)};
    if (sm.permuted) permute(sm.sequence, sm.thread_count, launch->order, block + 1);
    run_block();
  }
  check_launch_ends();
#ifdef __x86_64__
  _mm_setcsr(rounding);
#endif
  free(sm.dynamic_shared);
  sm.dynamic_shared = nullptr;
  return sm.failed;
}

// Used by translated .cu files

// Before and after each static __shared__ array: an access here is out of bounds.
struct alignas(128) Guard {
  unsigned char bytes[kGuardBytes];
};
struct RegisterShared {  // one for each static __shared__ array
  RegisterShared(void* start, size_t bytes) {
    memset(start, kUnwritten, bytes);
    sm.shared.push_back({start, bytes});
    check_shared_array(start, bytes);
    *sm.static_bytes += bytes;
    fits_shared_memory();
  }
};
// At the start of a kernel with __launch_bounds__.
static inline void check_launch_bounds(unsigned max_threads, unsigned = 0, unsigned = 0) {
  if (sm.thread_count <= max_threads) return;
  sm.launch->exceeds_limits = true;
  report("a block of %u threads exceeds the kernel's __launch_bounds__(%u)", sm.thread_count,
         max_threads);
  leave_fiber();
}
template <class T> T* dynamic_shared() { return reinterpret_cast<T*>(sm.dynamic_shared); }

template <class T> struct TypeLetter {
  static constexpr char value = std::is_same_v<T, bool>       ? '?'
                                : std::is_floating_point_v<T> ? 'f'
                                : std::is_integral_v<T>       ? (std::is_signed_v<T> ? 'i' : 'u')
                                                              : 'V';
};

// The type of the member `of` of a list of arrays (array_lists.py), else void.
template <class T, class = void> struct ListOf { using type = void; };
template <class T> struct ListOf<T, std::void_t<decltype(T::of), decltype(T::size)>> {
  using type = decltype(T::of);
  static_assert(sizeof(type) == offsetof(T, size) &&
                    sizeof(T::size) == std::extent_v<type> * sizeof(int),
                "a list of N arrays is struct { T* of[N]; int size[N]; }");
};

// NumPy's code of a type: "f4", "*i8" for a pointer, "c*f2" for a pointer to const,
// "V24" for a struct of 24 bytes, "V48[4*f4]" for a list of 4 arrays, "V0" for void.
template <class T> std::string type_code() {
  using List = typename ListOf<T>::type;
  if constexpr (std::is_pointer_v<T>) {
    using Target = std::remove_pointer_t<T>;
    const std::string pointer = std::is_const_v<Target> ? "c*" : "*";
    if constexpr (std::is_void_v<Target>) return pointer + "V0";
    else return pointer + type_code<std::remove_cv_t<Target>>();
  } else if constexpr (std::is_array_v<List>) {
    const std::string size = std::to_string(sizeof(T)), length = std::to_string(std::extent_v<List>);
    return "V" + size + "[" + length + type_code<std::remove_extent_t<List>>() + "]";
  } else {
    return TypeLetter<T>::value + std::to_string(sizeof(T));
  }
}

template <auto function> struct Kernel;
template <class... P, void (*function)(P...)> struct Kernel<function> {
  template <size_t... I> static inline void call(void** arguments, std::index_sequence<I...>) {
    function(*static_cast<std::remove_const_t<P>*>(arguments[I])...);
  }
  static void run_thread(void** arguments) {
    call(arguments, std::make_index_sequence<sizeof...(P)>{});
  }
  static int launch(Launch* launch, void** arguments) {
    static size_t static_bytes = 0;  // of __shared__ arrays reached so far
    return run(launch, &run_thread, arguments, &static_bytes);
  }
  static const char* signature() {
    static const std::string text = [] {
      std::string all;
      ((all += (all.empty() ? "" : ",") + type_code<std::remove_cv_t<P>>()), ...);
      return all;
    }();
    return text.c_str();
  }
};

// Barriers and exchanges

static inline void sync_block(Location location) { wait_at(kAtBlockBarrier, location, 0); }

static inline int sync_block_and_count(Location location, int predicate) {
  sm.sent[sm.thread][0] = predicate != 0;
  wait_at(kAtBlockBarrier, location, 0);
  int count = 0;
  for (unsigned t = 0; t < sm.thread_count; ++t) count += sm.delivered[t][0];
  return count;
}

static inline void sync_warp(Location location, unsigned mask = ~0u) {
  if (!(mask >> (sm.thread & 31) & 1)) {
    report("%s:%d: lane %u is not in its own mask %#x", location.file, location.line,
           sm.thread & 31, mask);
    leave_fiber();
  }
  wait_at(kAtWarpBarrier, location, mask);
}

template <class T> void exchange(Location location, unsigned mask, T value) {
  static_assert(sizeof(T) <= kMessageBytes && std::is_trivially_copyable_v<T>,
                "a shuffle passes at most 16 plain bytes");
  memcpy(sm.sent[sm.thread], &value, sizeof value);
  sync_warp(location, mask);
}
static inline bool participates(unsigned mask, unsigned lane) {
  return (mask >> lane & 1) && (sm.thread & ~31u) + lane < sm.thread_count;
}
template <class T> T received(unsigned mask, unsigned lane) {
  T value;
  memset(&value, kUnwritten, sizeof value);  // of a lane outside of the mask: undefined on a GPU
  const unsigned source = (sm.thread & ~31u) + lane;
  if (participates(mask, lane)) memcpy(&value, sm.delivered[source], sizeof value);
  return value;
}

enum Direction { kFrom, kUp, kDown, kXor };
template <class T>
T shuffle(Location location, Direction direction, unsigned mask, T value, int by, int width = 32) {
  exchange(location, mask, value);
  const int lane = sm.thread & 31, first = lane & ~(width - 1), last = first + width - 1;
  int source = lane ^ by;
  if (direction == kFrom) source = first + (by & (width - 1));
  if (direction == kUp) source = lane - by;
  if (direction == kDown) source = lane + by;
  if (source > last || (direction == kUp && source < first)) source = lane;
  return received<T>(mask, source);
}
static inline unsigned ballot(Location location, unsigned mask, int predicate) {
  exchange(location, mask, predicate != 0);
  unsigned bits = 0;
  for (unsigned lane = 0; lane < 32; ++lane)
    if (participates(mask, lane) && received<bool>(mask, lane)) bits |= 1u << lane;
  return bits;
}
template <class T, class Combine>
T reduce_warp(Location location, unsigned mask, T value, Combine combine) {
  exchange(location, mask, value);
  bool first = true;
  T result{};
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (!participates(mask, lane)) continue;
    const T other = received<T>(mask, lane);
    result = first ? other : combine(result, other);
    first = false;
  }
  return result;
}
static inline unsigned active_lanes() {
  unsigned bits = 0;
  const unsigned first = sm.thread & ~31u;
  for (unsigned lane = 0; lane < 32 && first + lane < sm.thread_count; ++lane)
    bits |= unsigned(sm.state[first + lane] != kEnded) << lane;
  return bits;
}

// While one exists, the checker treats memory accesses as atomic.
#ifdef ON_CPU_CHECK
struct Atomic {
  Atomic() { sm.atomic_depth = sm.atomic_depth + 1; }
  ~Atomic() { sm.atomic_depth = sm.atomic_depth - 1; }
};
#else
struct Atomic {
  Atomic() {}  // prevents warnings of an unused variable
};
#endif

// A T that template argument deduction ignores: atomicAdd(float*, 1) is valid.
template <class T> using NonDeduced = std::enable_if_t<true, T>;

template <class To, class From> static inline To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

}  // namespace on_cpu

#define __syncthreads() on_cpu::sync_block(ON_CPU_HERE)
#define __syncthreads_count(p) on_cpu::sync_block_and_count(ON_CPU_HERE, (p))
#define __syncthreads_or(p) (on_cpu::sync_block_and_count(ON_CPU_HERE, (p)) != 0)
#define __syncthreads_and(p) (on_cpu::sync_block_and_count(ON_CPU_HERE, !(p)) == 0)
#define __syncwarp(...) on_cpu::sync_warp(ON_CPU_HERE __VA_OPT__(, ) __VA_ARGS__)
#define __shfl_sync(...) on_cpu::shuffle(ON_CPU_HERE, on_cpu::kFrom, __VA_ARGS__)
#define __shfl_up_sync(...) on_cpu::shuffle(ON_CPU_HERE, on_cpu::kUp, __VA_ARGS__)
#define __shfl_down_sync(...) on_cpu::shuffle(ON_CPU_HERE, on_cpu::kDown, __VA_ARGS__)
#define __shfl_xor_sync(...) on_cpu::shuffle(ON_CPU_HERE, on_cpu::kXor, __VA_ARGS__)
#define __ballot_sync(m, p) on_cpu::ballot(ON_CPU_HERE, (m), (p))
#define __any_sync(m, p) (on_cpu::ballot(ON_CPU_HERE, (m), (p)) != 0)
#define __all_sync(m, p) (on_cpu::ballot(ON_CPU_HERE, (m), !(p)) == 0)
#define __activemask() on_cpu::active_lanes()
#define ON_CPU_REDUCE(m, v, result) \
  on_cpu::reduce_warp(ON_CPU_HERE, (m), (v), [](auto a, auto b) { return result; })
#define __reduce_add_sync(m, v) ON_CPU_REDUCE(m, v, a + b)
#define __reduce_max_sync(m, v) ON_CPU_REDUCE(m, v, a > b ? a : b)
#define __reduce_min_sync(m, v) ON_CPU_REDUCE(m, v, a < b ? a : b)
#undef assert
#define assert(condition) ((condition) ? (void)0 : ON_CPU_FAIL("assertion failed: %s", #condition))
#define __trap() ON_CPU_FAIL("__trap()")

// Device functions

#define ON_CPU_EXTREMUM(name, op)                                                         \
  template <class A, class B, class C = std::common_type_t<A, B>,                         \
            class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>> \
  constexpr C name(A a, B b) {                                                            \
    if constexpr (std::is_floating_point_v<C>) return b op a || a != a ? b : a;           \
    else return C(b) op C(a) ? C(b) : C(a);                                               \
  }
ON_CPU_EXTREMUM(min, <)
ON_CPU_EXTREMUM(max, >)
#undef ON_CPU_EXTREMUM

#define ON_CPU_ATOMIC(name, new_value)                                         \
  template <class T> static inline T name(T* p, on_cpu::NonDeduced<T> value) { \
    on_cpu::Atomic atomic;                                                     \
    T old = *p;                                                                \
    *p = (new_value);                                                          \
    return old;                                                                \
  }
ON_CPU_ATOMIC(atomicAdd, old + value)
ON_CPU_ATOMIC(atomicSub, old - value)
ON_CPU_ATOMIC(atomicExch, value)
ON_CPU_ATOMIC(atomicMax, old < value ? value : old)
ON_CPU_ATOMIC(atomicMin, value < old ? value : old)
ON_CPU_ATOMIC(atomicAnd, old & value)
ON_CPU_ATOMIC(atomicOr, old | value)
ON_CPU_ATOMIC(atomicXor, old ^ value)
ON_CPU_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
ON_CPU_ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)
#undef ON_CPU_ATOMIC
template <class T>
static inline T atomicCAS(T* p, on_cpu::NonDeduced<T> expected, on_cpu::NonDeduced<T> value) {
  on_cpu::Atomic atomic;
  T old = *p;
  if (old == expected) *p = value;
  return old;
}
static inline void __threadfence() {}
static inline void __threadfence_block() {}
template <class T> static inline T __ldg(const T* p) { return *p; }
template <class T> static inline T __ldcs(const T* p) { return *p; }
template <class T> static inline void __stcs(T* p, on_cpu::NonDeduced<T> value) { *p = value; }

#define ON_CPU_FUNCTION(To, name, From, result) \
  static inline To name(From x) { return result; }
ON_CPU_FUNCTION(float, rsqrtf, float, 1.f / sqrtf(x))
ON_CPU_FUNCTION(float, rsqrt, float, 1.f / sqrtf(x))
ON_CPU_FUNCTION(double, rsqrt, double, 1. / sqrt(x))
ON_CPU_FUNCTION(float, __frsqrt_rn, float, 1.f / sqrtf(x))
ON_CPU_FUNCTION(float, __frcp_rn, float, 1.f / x)
ON_CPU_FUNCTION(float, __fsqrt_rn, float, sqrtf(x))
ON_CPU_FUNCTION(float, __saturatef, float, x > 0 ? (x < 1 ? x : 1.f) : 0.f)
ON_CPU_FUNCTION(int, __float2int_rn, float, int(rintf(x)))
ON_CPU_FUNCTION(int, __float2int_rd, float, int(floorf(x)))
#define ON_CPU_BITS(To, name, From) ON_CPU_FUNCTION(To, name, From, on_cpu::bits_as<To>(x))
ON_CPU_BITS(int, __float_as_int, float)
ON_CPU_BITS(unsigned, __float_as_uint, float)
ON_CPU_BITS(float, __int_as_float, int)
ON_CPU_BITS(float, __uint_as_float, unsigned)
ON_CPU_BITS(long long, __double_as_longlong, double)
ON_CPU_BITS(double, __longlong_as_double, long long)
#undef ON_CPU_BITS
ON_CPU_FUNCTION(int, __clz, int, x ? __builtin_clz(unsigned(x)) : 32)
ON_CPU_FUNCTION(int, __ffs, int, __builtin_ffs(x))
ON_CPU_FUNCTION(int, __popc, unsigned, __builtin_popcount(x))
#undef ON_CPU_FUNCTION
// Macros, because glibc declares functions of these names.
#define __expf expf
#define __logf logf
#define __powf powf
#define __sinf sinf
#define __cosf cosf
#define __tanf tanf
#define __exp10f exp10f
#define __log2f log2f
#define __log10f log10f
static inline float __fdividef(float x, float y) { return x / y; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline int __mulhi(int a, int b) { return int((int64_t(a) * b) >> 32); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t(a) * b) >> 32; }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
static inline long long clock64() { return 0; }

#ifdef ON_CPU_CHECK
#include "cuda_on_cpu_check.h"
#endif
