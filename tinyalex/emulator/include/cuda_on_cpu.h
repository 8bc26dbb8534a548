// Runs CUDA C++ kernels on the CPU. Included before the text of a .cu file, which g++ then compiles as C++17.
//
// Blocks run one after another, in one thread of the host. Inside of a block, a fiber (a call stack of its own) runs the block's threads
// in a loop. A thread that meets no barrier costs no more than a function call. One that does keeps the fiber that it is on, another fiber
// goes on with the loop, and the thread is resumed when all that it waits for have arrived. With no host threads, an atomic operation is a
// plain one and a run repeats exactly; `order` permutes blocks and threads, so that what depends on their order shows.
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
#define CUDA_ON_CPU_UCONTEXT  // the system's own way to change stacks, 15 times as slow as ours
#endif
#ifdef CUDA_ON_CPU_UCONTEXT
#include <ucontext.h>
#endif
#ifdef __x86_64__
#include <xmmintrin.h>
#endif

// The language

#define __global__
#define __device__
#define __host__
#define __constant__
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)

#define ON_CPU_VECTOR(T, name, size)                                             \
  struct name##1 { T x; };                                                       \
  struct alignas(2 * size) name##2 { T x, y; };                                  \
  struct name##3 { T x, y, z; };                                                 \
  struct alignas(4 * size > 16 ? 16 : 4 * size) name##4 { T x, y, z, w; };       \
  static inline name##2 make_##name##2(T x, T y) { return {x, y}; }              \
  static inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }      \
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

namespace cuda_on_cpu {

constexpr size_t kStackBytes = 128 << 10;
constexpr size_t kCanaryBytes = 256;  // behind dynamic shared memory
constexpr size_t kGuardBytes = 4096;   // before and behind each static array of it
constexpr unsigned kMaxThreads = 1024;
constexpr unsigned char kUnwritten = 0xff;  // shared memory is filled with it: NaN as a float, -1 as an int
constexpr unsigned char kCanary = 0xC5;

// One launch. Mirrored by `Launch` and `ArraySpan` in launching.py and arena.py.
struct Launch {
  struct ArraySpan {
    size_t start, bytes;
    unsigned argument, item_bytes, is_const, padding;
  };
  unsigned grid[3], block[3];
  unsigned shared_bytes;
  unsigned order;  // 0 forward, 1 reverse, any other number seeds a shuffle
  uint64_t waits;  // out: how often a thread waited at a barrier
  char error[512];
  void* code[2];  // out: the addresses of the instructions that the error is about
  // A checked launch: all arrays lie in one arena, with gaps between them.
  unsigned char* arena;
  size_t arena_bytes;
  ArraySpan* arrays;
  size_t array_count;
};

struct Place {
  const char* file;
  int line;
  bool operator==(const Place& other) const {
    return line == other.line && (file == other.file || strcmp(file, other.file) == 0);
  }
};
#define ON_CPU_HERE (cuda_on_cpu::Place{__FILE__, __LINE__})

#ifdef CUDA_ON_CPU_CHECK
void check_launch_begins();
void check_launch_ends();
void check_block_begins();
void check_block_passes_barrier();
void check_warp_passes_barrier(unsigned warp);
void check_shared_array(void* start, size_t bytes);
#else
static inline void check_launch_begins() {}
static inline void check_launch_ends() {}
static inline void check_block_begins() {}
static inline void check_block_passes_barrier() {}
static inline void check_warp_passes_barrier(unsigned) {}
static inline void check_shared_array(void*, size_t) {}
#endif

// Fibers

#ifndef CUDA_ON_CPU_UCONTEXT
// Saves the registers that a call must keep, exchanges the stack pointers, and returns into the other stack.
using Context = void*;
extern "C" void cuda_on_cpu_switch(void** save, void* load) __attribute__((visibility("hidden")));
asm(R"(
.text
.hidden cuda_on_cpu_switch
.globl cuda_on_cpu_switch
.type cuda_on_cpu_switch,@function
cuda_on_cpu_switch:
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
.size cuda_on_cpu_switch,.-cuda_on_cpu_switch
)");
static inline void switch_context(Context& from, Context& to) { cuda_on_cpu_switch(&from, to); }
static inline void prepare_context(Context& context, char* stack, void (*entry)()) {
  // Two words below the top: after `ret` has taken the entry, rsp % 16 is 8, as after a call.
  void** top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(stack) + kStackBytes) & ~uintptr_t(15)) - 2;
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

struct Fiber {
  Context context;
  char* stack;
};

// The machine: one block at a time

enum State : uint8_t { kNew, kRunning, kAtBlockBarrier, kAtWarpBarrier, kEnded };

struct SharedArray {
  void* start;
  size_t bytes;
};

struct Machine {
  Launch* launch = nullptr;
  void (*run_thread)(void**) = nullptr;
  void** arguments = nullptr;
  bool failed = false;

  Context host;
  Fiber* current = nullptr;  // null while the host runs
  std::vector<Fiber*> fibers, idle;

  std::vector<SharedArray> shared;  // the __shared__ arrays met so far
  unsigned char* dynamic_shared = nullptr;

  unsigned threads = 0;  // in a block
  unsigned next = 0;     // the next thread to start
  unsigned me = 0;       // the thread that runs
  bool permuted = false;
  unsigned sequence[kMaxThreads];

  State state[kMaxThreads];
  Fiber* fiber_of[kMaxThreads];  // where a waiting thread sleeps
  Place place[kMaxThreads];      // the barrier that it waits at
  unsigned mask[kMaxThreads];    // the lanes that it waits for
  bool ready[kMaxThreads];

  // What threads tell each other at a barrier. Two slots each, used in turn, so that an exchange takes one barrier and not two.
  uint8_t turn[kMaxThreads];
  bool vote[2][kMaxThreads];
  unsigned char message[2][kMaxThreads][16];

  int atomic_depth = 0;  // above 0 inside of an atomic function
};
static Machine machine;

static inline void become(unsigned thread) {
  machine.me = thread;
  if (blockDim.y == 1 && blockDim.z == 1) threadIdx = {thread, 0, 0};
  else threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / (blockDim.x * blockDim.y)};
}

static void leave_fiber() { switch_context(machine.current->context, machine.host); }

static void enter_fiber(Fiber* fiber) {
  machine.current = fiber;
  switch_context(machine.host, fiber->context);
  machine.current = nullptr;
}

// The first error of a launch is the one that is told.
__attribute__((format(printf, 1, 2))) static void report(const char* format, ...) {
  machine.failed = true;
  char* text = machine.launch->error;
  const size_t room = sizeof machine.launch->error;
  if (*text) return;
  const int n = snprintf(text, room, "block (%u,%u,%u): ", blockIdx.x, blockIdx.y, blockIdx.z);
  va_list values;
  va_start(values, format);
  vsnprintf(text + n, room - n, format, values);
  va_end(values);
}

// Called by a thread: tell what is wrong and abandon the launch.
#define ON_CPU_FAIL(format, ...)                                                                                            \
  (cuda_on_cpu::report("thread (%u,%u,%u) at %s:%d: " format, threadIdx.x, threadIdx.y, threadIdx.z, __FILE__, __LINE__,    \
                       ##__VA_ARGS__),                                                                                      \
   cuda_on_cpu::leave_fiber())

static void fiber_body() {
  for (;;) {
    while (machine.next < machine.threads && !machine.failed) {
      const unsigned i = machine.next++;
      const unsigned thread = machine.permuted ? machine.sequence[i] : i;
      become(thread);
      machine.state[thread] = kRunning;
      machine.run_thread(machine.arguments);
      machine.state[machine.me] = kEnded;
    }
    machine.idle.push_back(machine.current);
    leave_fiber();
  }
}

static Fiber* idle_fiber() {
  if (!machine.idle.empty()) {
    Fiber* fiber = machine.idle.back();
    machine.idle.pop_back();
    return fiber;
  }
  void* memory = mmap(nullptr, kStackBytes + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) abort();
  mprotect(memory, 4096, PROT_NONE);  // a stack that overflows faults here, instead of writing into its neighbour
  auto* fiber = new Fiber;
  fiber->stack = static_cast<char*>(memory) + 4096;
  prepare_context(fiber->context, fiber->stack, fiber_body);
  machine.fibers.push_back(fiber);
  return fiber;
}

static void wait_at(State barrier, Place place, unsigned mask) {
  const unsigned me = machine.me;
  machine.state[me] = barrier;
  machine.place[me] = place;
  machine.mask[me] = mask;
  machine.fiber_of[me] = machine.current;
  ++machine.launch->waits;
  leave_fiber();
  become(me);
}

// Whether every living lane that the thread waits for waits at the same place with the same mask.
static bool warp_is_complete(unsigned thread) {
  const unsigned first = thread & ~31u;
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned other = first + lane;
    if (!(machine.mask[thread] >> lane & 1) || other >= machine.threads || machine.state[other] == kEnded) continue;
    if (machine.state[other] != kAtWarpBarrier || machine.mask[other] != machine.mask[thread]) return false;
    if (!(machine.place[other] == machine.place[thread])) return false;
  }
  return true;
}

static void report_deadlock(unsigned ended) {
  std::string waiting;
  const Place* last = nullptr;
  for (unsigned t = 0; t < machine.threads && waiting.size() < 320; ++t) {
    if (machine.state[t] == kEnded || (last && *last == machine.place[t])) continue;
    last = &machine.place[t];
    waiting += " thread " + std::to_string(t) + " at " + last->file + ":" + std::to_string(last->line);
    waiting += machine.state[t] == kAtWarpBarrier ? " (a warp's barrier);" : ";";
  }
  report("deadlock, threads wait at different barriers:%s %u of %u threads have ended", waiting.c_str(), ended, machine.threads);
}

// Marks the threads that can go on. False if there are none: the block is done, or stuck.
static bool find_ready_threads() {
  unsigned living = 0, at_block_barrier = 0, released = 0;
  const Place* barrier = nullptr;
  bool same = true;
  for (unsigned t = 0; t < machine.threads; ++t) {
    machine.ready[t] = machine.state[t] == kAtWarpBarrier && warp_is_complete(t);
    released += machine.ready[t];
    living += machine.state[t] != kEnded;
    if (machine.state[t] == kAtBlockBarrier) {
      ++at_block_barrier;
      if (!barrier) barrier = &machine.place[t];
      same = same && machine.place[t] == *barrier;
    }
  }
  if (!living) return false;
  if (released) {
    for (unsigned t = 0; t < machine.threads; ++t)
      if (machine.ready[t]) check_warp_passes_barrier(t / 32);
    return true;
  }
  const unsigned ended = machine.threads - living;
  if (at_block_barrier != living || !same) {
    report_deadlock(ended);
    return false;
  }
  if (ended) {
    report("%u of %u threads ended before the __syncthreads at %s:%d", ended, machine.threads, barrier->file, barrier->line);
    return false;
  }
  for (unsigned t = 0; t < machine.threads; ++t) machine.ready[t] = true;
  check_block_passes_barrier();
  return true;
}

static void run_block() {
  const unsigned shared_bytes = machine.launch->shared_bytes;
  machine.next = 0;
  memset(machine.state, kNew, machine.threads);
  for (auto& array : machine.shared) memset(array.start, kUnwritten, array.bytes);
  memset(machine.dynamic_shared, kUnwritten, shared_bytes);
  check_block_begins();
  while (machine.next < machine.threads && !machine.failed) enter_fiber(idle_fiber());
  while (!machine.failed && find_ready_threads()) {
    for (unsigned i = 0; i < machine.threads && !machine.failed; ++i) {
      const unsigned thread = machine.permuted ? machine.sequence[i] : i;
      if (!machine.ready[thread]) continue;
      machine.state[thread] = kRunning;
      enter_fiber(machine.fiber_of[thread]);
    }
  }
  for (size_t i = 0; i < kCanaryBytes; ++i) {
    if (machine.dynamic_shared[shared_bytes + i] == kCanary) continue;
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

static int run(Launch* launch, void (*run_thread)(void**), void** arguments) {
  gridDim = dim3(launch->grid[0], launch->grid[1], launch->grid[2]);
  blockDim = dim3(launch->block[0], launch->block[1], launch->block[2]);
  machine.launch = launch;
  machine.run_thread = run_thread;
  machine.arguments = arguments;
  machine.failed = false;
  machine.permuted = launch->order != 0;
  machine.threads = blockDim.x * blockDim.y * blockDim.z;
  machine.atomic_depth = 0;
  memset(machine.turn, 0, sizeof machine.turn);
  machine.dynamic_shared = static_cast<unsigned char*>(aligned_alloc(256, (launch->shared_bytes + kCanaryBytes + 255) & ~size_t(255)));
  memset(machine.dynamic_shared + launch->shared_bytes, kCanary, kCanaryBytes);
  const size_t blocks = size_t(gridDim.x) * gridDim.y * gridDim.z;
  std::vector<unsigned> sequence;
  if (machine.permuted) {
    sequence.resize(blocks);
    permute(sequence.data(), blocks, launch->order, 0);
  }
#ifdef __x86_64__
  const unsigned rounding = _mm_getcsr();
  _mm_setcsr(rounding | 0x8040);  // denormal numbers are 0, as CuPy's -ftz=true has it for float
#endif
  check_launch_begins();
  for (size_t i = 0; i < blocks && !machine.failed; ++i) {
    const size_t block = machine.permuted ? sequence[i] : i;
    blockIdx = {unsigned(block % gridDim.x), unsigned(block / gridDim.x % gridDim.y), unsigned(block / gridDim.x / gridDim.y)};
    if (machine.permuted) permute(machine.sequence, machine.threads, launch->order, block + 1);
    run_block();
  }
  check_launch_ends();
#ifdef __x86_64__
  _mm_setcsr(rounding);
#endif
  free(machine.dynamic_shared);
  machine.dynamic_shared = nullptr;
  if (machine.failed) {
    // Fibers that stopped half way start afresh.
    for (auto* fiber : machine.fibers) prepare_context(fiber->context, fiber->stack, fiber_body);
    machine.idle = machine.fibers;
  }
  return machine.failed;
}

// What the translation of a .cu file uses

// Before and behind each static __shared__ array: what goes wrong there is told from other variables.
struct alignas(128) Guard {
  unsigned char bytes[kGuardBytes];
};
struct RegisterShared {  // one behind each static __shared__ array
  RegisterShared(void* start, size_t bytes) {
    memset(start, kUnwritten, bytes);
    machine.shared.push_back({start, bytes});
    check_shared_array(start, bytes);
  }
};
template <class T> T* dynamic_shared() { return reinterpret_cast<T*>(machine.dynamic_shared); }

template <class T> struct Letter {
  static constexpr char value = std::is_same_v<T, bool>         ? '?'
                                : std::is_floating_point_v<T> ? 'f'
                                : std::is_integral_v<T>       ? (std::is_signed_v<T> ? 'i' : 'u')
                                                              : 'V';
};

// A type as in NumPy's codes: "f4", "*i8", "c*f2" for a pointer to const, V and the size for a struct, "V0" for void.
template <class T> std::string type_code() {
  if constexpr (std::is_pointer_v<T>) {
    using Target = std::remove_pointer_t<T>;
    const std::string pointer = std::is_const_v<Target> ? "c*" : "*";
    if constexpr (std::is_void_v<Target>) return pointer + "V0";
    else return pointer + type_code<std::remove_cv_t<Target>>();
  } else {
    return Letter<T>::value + std::to_string(sizeof(T));
  }
}

template <auto function> struct Kernel;
template <class... P, void (*function)(P...)> struct Kernel<function> {
  template <size_t... I> static inline void call(void** arguments, std::index_sequence<I...>) {
    function(*static_cast<std::remove_const_t<P>*>(arguments[I])...);
  }
  static void run_thread(void** arguments) { call(arguments, std::make_index_sequence<sizeof...(P)>{}); }
  static int launch(Launch* launch, void** arguments) { return run(launch, &run_thread, arguments); }
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

static inline void sync_block(Place place) { wait_at(kAtBlockBarrier, place, 0); }

static inline int sync_block_and_count(Place place, int predicate) {
  const unsigned turn = machine.turn[machine.me] ^= 1;
  machine.vote[turn][machine.me] = predicate != 0;
  wait_at(kAtBlockBarrier, place, 0);
  int count = 0;
  for (unsigned t = 0; t < machine.threads; ++t) count += machine.vote[turn][t];
  return count;
}

static inline void sync_warp(Place place, unsigned mask) {
  if (!(mask >> (machine.me & 31) & 1)) {
    report("%s:%d: lane %u is not in its own mask %#x", place.file, place.line, machine.me & 31, mask);
    leave_fiber();
  }
  wait_at(kAtWarpBarrier, place, mask);
}

struct SyncWarp {
  Place place;
  void operator()(unsigned mask = ~0u) { sync_warp(place, mask); }
};

template <class T> unsigned tell(Place place, unsigned mask, T value) {
  static_assert(sizeof(T) <= 16 && std::is_trivially_copyable_v<T>, "a shuffle passes at most 16 plain bytes");
  const unsigned turn = machine.turn[machine.me] ^= 1;
  memcpy(machine.message[turn][machine.me], &value, sizeof value);
  sync_warp(place, mask);
  return turn;
}
static inline bool takes_part(unsigned mask, unsigned lane) {
  return (mask >> lane & 1) && (machine.me & ~31u) + lane < machine.threads;
}
template <class T> T told(unsigned mask, unsigned turn, unsigned lane) {
  T value;
  memset(&value, kUnwritten, sizeof value);  // from a lane that takes no part: undefined on a GPU
  if (takes_part(mask, lane)) memcpy(&value, machine.message[turn][(machine.me & ~31u) + lane], sizeof value);
  return value;
}

enum Direction { kFrom, kUp, kDown, kXor };
template <class T> T shuffle(Place place, Direction direction, unsigned mask, T value, int by, int width = 32) {
  const unsigned turn = tell(place, mask, value);
  const int lane = machine.me & 31, first = lane & ~(width - 1), last = first + width - 1;
  int source = lane ^ by;
  if (direction == kFrom) source = first + (by & (width - 1));
  if (direction == kUp) source = lane - by;
  if (direction == kDown) source = lane + by;
  if (source > last || (direction == kUp && source < first)) source = lane;
  return told<T>(mask, turn, source);
}
static inline unsigned ballot(Place place, unsigned mask, int predicate) {
  const unsigned turn = tell(place, mask, int(predicate != 0));
  unsigned bits = 0;
  for (unsigned lane = 0; lane < 32; ++lane)
    if (takes_part(mask, lane) && told<int>(mask, turn, lane)) bits |= 1u << lane;
  return bits;
}
template <class T, class Combine> T reduce_warp(Place place, unsigned mask, T value, Combine combine) {
  const unsigned turn = tell(place, mask, value);
  bool first = true;
  T result{};
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (!takes_part(mask, lane)) continue;
    const T other = told<T>(mask, turn, lane);
    result = first ? other : combine(result, other);
    first = false;
  }
  return result;
}
static inline unsigned living_lanes() {
  unsigned bits = 0;
  const unsigned first = machine.me & ~31u;
  for (unsigned lane = 0; lane < 32 && first + lane < machine.threads; ++lane)
    bits |= unsigned(machine.state[first + lane] != kEnded) << lane;
  return bits;
}

// Memory operations inside of one count as atomic for the checker.
#ifdef CUDA_ON_CPU_CHECK
struct Atomic {
  Atomic() { machine.atomic_depth = machine.atomic_depth + 1; }
  ~Atomic() { machine.atomic_depth = machine.atomic_depth - 1; }
};
#else
struct Atomic {
  Atomic() {}  // so that a variable of this type does not count as unused
};
#endif

template <class T> struct Same { using type = T; };
template <class T> using Value = typename Same<T>::type;  // takes no part in finding T: atomicAdd(float*, 1) is well

template <class To, class From> static inline To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

}  // namespace cuda_on_cpu

#define __syncthreads() cuda_on_cpu::sync_block(ON_CPU_HERE)
#define __syncthreads_count(p) cuda_on_cpu::sync_block_and_count(ON_CPU_HERE, (p))
#define __syncthreads_or(p) (cuda_on_cpu::sync_block_and_count(ON_CPU_HERE, (p)) != 0)
#define __syncthreads_and(p) (cuda_on_cpu::sync_block_and_count(ON_CPU_HERE, !(p)) == 0)
#define __syncwarp(...) cuda_on_cpu::SyncWarp{ON_CPU_HERE}(__VA_ARGS__)
#define __shfl_sync(...) cuda_on_cpu::shuffle(ON_CPU_HERE, cuda_on_cpu::kFrom, __VA_ARGS__)
#define __shfl_up_sync(...) cuda_on_cpu::shuffle(ON_CPU_HERE, cuda_on_cpu::kUp, __VA_ARGS__)
#define __shfl_down_sync(...) cuda_on_cpu::shuffle(ON_CPU_HERE, cuda_on_cpu::kDown, __VA_ARGS__)
#define __shfl_xor_sync(...) cuda_on_cpu::shuffle(ON_CPU_HERE, cuda_on_cpu::kXor, __VA_ARGS__)
#define __ballot_sync(m, p) cuda_on_cpu::ballot(ON_CPU_HERE, (m), (p))
#define __any_sync(m, p) (cuda_on_cpu::ballot(ON_CPU_HERE, (m), (p)) != 0)
#define __all_sync(m, p) (cuda_on_cpu::ballot(ON_CPU_HERE, (m), !(p)) == 0)
#define __activemask() cuda_on_cpu::living_lanes()
#define __reduce_add_sync(m, v) cuda_on_cpu::reduce_warp(ON_CPU_HERE, (m), (v), [](auto a, auto b) { return a + b; })
#define __reduce_max_sync(m, v) cuda_on_cpu::reduce_warp(ON_CPU_HERE, (m), (v), [](auto a, auto b) { return a > b ? a : b; })
#define __reduce_min_sync(m, v) cuda_on_cpu::reduce_warp(ON_CPU_HERE, (m), (v), [](auto a, auto b) { return a < b ? a : b; })
#undef assert
#define assert(condition) ((condition) ? (void)0 : ON_CPU_FAIL("assertion failed: %s", #condition))
#define __trap() ON_CPU_FAIL("__trap()")

// Device functions

template <class A, class B, class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
constexpr std::common_type_t<A, B> min(A a, B b) {
  using C = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<C>) return b < a || a != a ? b : a;
  else return C(b) < C(a) ? C(b) : C(a);
}
template <class A, class B, class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
constexpr std::common_type_t<A, B> max(A a, B b) {
  using C = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<C>) return a < b || a != a ? b : a;
  else return C(a) < C(b) ? C(b) : C(a);
}

#define ON_CPU_ATOMIC(name, new_value)                                            \
  template <class T> static inline T name(T* p, cuda_on_cpu::Value<T> value) {    \
    cuda_on_cpu::Atomic atomic;                                                   \
    T old = *p;                                                                   \
    *p = (new_value);                                                             \
    return old;                                                                   \
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
template <class T> static inline T atomicCAS(T* p, cuda_on_cpu::Value<T> expected, cuda_on_cpu::Value<T> value) {
  cuda_on_cpu::Atomic atomic;
  T old = *p;
  if (old == expected) *p = value;
  return old;
}
static inline void __threadfence() {}
static inline void __threadfence_block() {}
template <class T> static inline T __ldg(const T* p) { return *p; }
template <class T> static inline T __ldcs(const T* p) { return *p; }
template <class T> static inline void __stcs(T* p, cuda_on_cpu::Value<T> value) { *p = value; }

static inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
static inline float rsqrt(float x) { return 1.f / sqrtf(x); }
static inline double rsqrt(double x) { return 1. / sqrt(x); }
// glibc declares functions of these names, so ours can only be macros.
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
static inline float __frsqrt_rn(float x) { return 1.f / sqrtf(x); }
static inline float __frcp_rn(float x) { return 1.f / x; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.f) : 0.f; }
static inline int __float2int_rn(float x) { return int(rintf(x)); }
static inline int __float2int_rd(float x) { return int(floorf(x)); }
static inline int __float_as_int(float x) { return cuda_on_cpu::bits_as<int>(x); }
static inline unsigned __float_as_uint(float x) { return cuda_on_cpu::bits_as<unsigned>(x); }
static inline float __int_as_float(int x) { return cuda_on_cpu::bits_as<float>(x); }
static inline float __uint_as_float(unsigned x) { return cuda_on_cpu::bits_as<float>(x); }
static inline long long __double_as_longlong(double x) { return cuda_on_cpu::bits_as<long long>(x); }
static inline double __longlong_as_double(long long x) { return cuda_on_cpu::bits_as<double>(x); }
static inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __mulhi(int a, int b) { return int((int64_t(a) * b) >> 32); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
static inline long long clock64() { return 0; }

#ifdef CUDA_ON_CPU_CHECK
#include "cuda_on_cpu_check.h"
#endif
