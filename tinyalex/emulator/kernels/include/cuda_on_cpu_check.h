// The memory checker of cuda_on_cpu.h. Kernels are compiled with -fsanitize=thread, but
// linked without its library: the compiler inserts calls of __tsan_read4(p),
// __tsan_write4(p) and so on before memory accesses; this file defines them.
//
// They report accesses out of bounds, writes through a pointer to const, reads of
// shared memory that no thread has written, and races: two threads access one byte, at
// least one writes, not both atomically, with no barrier between them. Two blocks are
// never ordered.
#pragma once
#include <dlfcn.h>
#ifdef ON_CPU_STATS
#include <algorithm>
#include <map>
#include <tuple>
#endif
// For functions that each access calls: they must not be instrumented themselves.
#define ON_CPU_UNCHECKED __attribute__((no_sanitize_thread, noinline))

namespace on_cpu {

constexpr unsigned kNoThread = ~0u, kSeveralThreads = ~1u;
constexpr unsigned kMaxRegions = 256;

// `epoch` counts the barriers of the block, `warp_epoch` those of the warp.
struct Access {
  unsigned block, thread, epoch, warp_epoch;
  void* code;
  bool atomic;
};
static const Access kNever = {0, kNoThread, 0, 0, nullptr, false};

struct Byte {
  Access write, read;  // the last of each kind
};

struct Region {
  unsigned char* start;
  size_t bytes;
  Byte* history;
  bool shared, guarded;
};

struct Checker {
  Region regions[kMaxRegions];  // the arena with all arrays, then shared memory
  unsigned count = 0;
  unsigned block = 0, epoch = 0, warp_epoch[kMaxThreads / 32];
  bool on = false;
};
static Checker checker;

// Sectors and bank conflicts. A request is an execution of an instruction by a warp.

#ifdef ON_CPU_STATS
struct Site {
  size_t requests = 0, bytes = 0, sectors = 0, passes = 0;
};
struct Request {
  std::vector<uint64_t> addresses;
  unsigned bytes;
  bool shared, write;
};
static std::map<std::tuple<void*, bool, bool>, Site> sites;     // by instruction, shared, write
static std::map<std::pair<void*, uint64_t>, Request> requests;  // by instruction, 32 * n + warp
static std::map<void*, std::vector<unsigned>> executions;       // by instruction, of each thread
static std::string sites_text;

static void count_access(void* code, unsigned char* address, size_t bytes, bool shared,
                         bool write) {
  auto& n = executions[code];
  if (n.empty()) n.resize(kMaxThreads);
  auto& request = requests[{code, uint64_t(n[sm.thread]++) << 5 | sm.thread / 32}];
  request.addresses.push_back(reinterpret_cast<uint64_t>(address));
  request.bytes = unsigned(bytes);
  request.shared = shared;
  request.write = write;
}

static void clear_requests() {
  requests.clear();
  executions.clear();
}

static void count_requests() {
  for (auto& [key, request] : requests) {
    std::vector<uint64_t> words;  // of 4 bytes, each once
    for (auto address : request.addresses) {
      const uint64_t last = (address + request.bytes - 1) / 4;
      for (uint64_t word = address / 4; word <= last; ++word) words.push_back(word);
    }
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());

    auto& site = sites[{key.first, request.shared, request.write}];
    unsigned bank[32] = {}, most = 0;
    uint64_t last_sector = ~0ull;
    for (auto word : words) {
      site.sectors += word / 8 != last_sector;
      last_sector = word / 8;
      most = std::max(most, ++bank[word & 31]);
    }
    site.passes += most;
    site.bytes += request.addresses.size() * request.bytes;
    ++site.requests;
  }
  clear_requests();
}

static void clear_counts() {
  sites.clear();
  clear_requests();
}
#else
static inline void count_access(void*, unsigned char*, size_t, bool, bool) {}
static inline void count_requests() {}
static inline void clear_counts() {}
#endif

// Calls from cuda_on_cpu.h

ON_CPU_UNCHECKED static void clear_history(Region& region) {
  for (size_t i = 0; i < region.bytes; ++i) region.history[i] = {kNever, kNever};
}

ON_CPU_UNCHECKED static void add_region(void* start, size_t bytes, bool shared, bool guarded) {
  for (unsigned i = 0; i < checker.count; ++i) {
    Region& region = checker.regions[i];
    if (region.start == start && region.bytes == bytes) return clear_history(region);
  }
  if (checker.count == kMaxRegions)
    return report("the checker supports at most %u __shared__ arrays in a file", kMaxRegions - 1);
  auto* history = static_cast<Byte*>(malloc(bytes * sizeof(Byte)));
  Region& region = checker.regions[checker.count++];
  region = {static_cast<unsigned char*>(start), bytes, history, shared, guarded};
  clear_history(region);
}

ON_CPU_UNCHECKED void check_shared_array(void* start, size_t bytes) {
  add_region(start, bytes, true, true);
}

void check_launch_begins() {
  clear_counts();
  checker.count = 0;
  checker.block = 0;
  add_region(sm.launch->arena, sm.launch->arena_bytes, false, false);
  checker.on = true;
}

void check_launch_ends() {
  checker.on = false;
  count_requests();
  while (checker.count) free(checker.regions[--checker.count].history);
}

void check_block_begins() {
  const bool on = checker.on;
  checker.on = false;
  count_requests();
  checker.on = on;
  ++checker.block;
  checker.epoch = 0;
  for (auto& epoch : checker.warp_epoch) epoch = 0;
  for (auto [start, bytes] : sm.shared) check_shared_array(start, bytes);
  if (sm.launch->shared_bytes) add_region(sm.dynamic_shared, sm.launch->shared_bytes, true, false);
}

void check_block_passes_barrier() { ++checker.epoch; }
void check_warp_passes_barrier(unsigned warp) { ++checker.warp_epoch[warp]; }

// An access

// Whether barriers order an earlier access before the current one of `thread`.
ON_CPU_UNCHECKED static bool is_before(const Access& access, unsigned thread) {
  if (access.thread == kNoThread) return true;
  if (access.block != checker.block) return false;
  if (access.thread == thread || access.epoch != checker.epoch) return true;
  const unsigned warp = thread / 32;
  return access.thread != kSeveralThreads && access.thread / 32 == warp &&
         access.warp_epoch != checker.warp_epoch[warp];
}

static void abort_launch(void* code, void* other_code) {
  sm.launch->code[0] = code;
  sm.launch->code[1] = other_code;
  sm.failed = true;
  leave_fiber();
}

// Report an error of the current thread and abort the launch.
#define ON_CPU_ABORT(code, other_code, ...) \
  (ON_CPU_REPORT_THREAD(__VA_ARGS__), abort_launch(code, other_code))

// The array that contains `bytes` bytes at `offset` of the arena, preferably a writable
// one, or null.
ON_CPU_UNCHECKED static const Launch::ArraySpan* array_at(size_t offset, size_t bytes) {
  const Launch::ArraySpan* found = nullptr;
  for (size_t i = 0; i < sm.launch->array_count; ++i) {
    const auto& array = sm.launch->arrays[i];
    if (offset < array.start || offset + bytes > array.start + array.bytes) continue;
    if (!found || !array.is_const) found = &array;
  }
  return found;
}

static void report_out_of_bounds(size_t offset, size_t bytes, bool write, void* code) {
  const Launch::ArraySpan* nearest = nullptr;
  size_t least = ~size_t(0);
  for (size_t i = 0; i < sm.launch->array_count; ++i) {
    const auto& array = sm.launch->arrays[i];
    const size_t end = array.start + array.bytes;
    const size_t above = offset >= end ? offset - end : 0;
    const size_t distance = offset < array.start ? array.start - offset : above;
    if (distance >= least) continue;
    least = distance;
    nearest = &array;
  }
  if (!nearest) return ON_CPU_ABORT(code, nullptr, "uses a pointer, but no argument is one");
  const long long from_start = offset - nearest->start, item = nearest->item_bytes;
  const long long element = (from_start - (from_start < 0 ? item - 1 : 0)) / item;
  ON_CPU_ABORT(code, nullptr,
               "%s %zu bytes out of bounds: element %lld of argument %u, which has %zu",
               write ? "writes" : "reads", bytes, element, nearest->argument,
               nearest->bytes / nearest->item_bytes);
}

// Records the access in the history of a byte, or returns the access that it races
// with.
ON_CPU_UNCHECKED static const Access* record(Byte& byte, const Access& now, bool write) {
  Access& read = byte.read;
  if (!(now.atomic && byte.write.atomic) && !is_before(byte.write, now.thread)) return &byte.write;
  if (write && !(now.atomic && read.atomic) && !is_before(read, now.thread)) return &read;
  if (write) {
    byte.write = now;
  } else if (read.thread == kNoThread || (read.block == now.block && read.epoch != now.epoch)) {
    read = now;
  } else if (read.thread != now.thread || read.block != now.block) {
    // One slot for several readers: unordered with a later write if any of them is.
    if (read.block != now.block) {
      read.block = 0;
      read.thread = kSeveralThreads;
    } else if (read.thread / 32 != now.thread / 32 || read.warp_epoch == now.warp_epoch) {
      read.thread = kSeveralThreads;
      read.epoch = now.epoch;
    } else {
      read = now;
    }
    read.atomic = read.atomic && now.atomic;
  }
  return nullptr;
}

ON_CPU_UNCHECKED static void check_access_in(Region& region, unsigned char* address, size_t bytes,
                                             bool write, void* code) {
  const size_t offset = address - region.start;
  const unsigned thread = sm.thread;
  char name[48] = "shared memory, byte";
  size_t start = 0, item_bytes = 1;
  if (!region.shared) {
    const Launch::ArraySpan* array = array_at(offset, bytes);
    if (!array) return report_out_of_bounds(offset, bytes, write, code);
    if (write && array->is_const)
      return ON_CPU_ABORT(code, nullptr, "writes argument %u, a pointer to const", array->argument);
    snprintf(name, sizeof name, "argument %u, element", array->argument);
    start = array->start;
    item_bytes = array->item_bytes;
  }
  count_access(code, address, bytes, region.shared, write);
  const unsigned warp_epoch = checker.warp_epoch[thread / 32];
  const Access now = {checker.block, thread, checker.epoch, warp_epoch, code, sm.atomic_depth > 0};
  for (size_t i = offset; i < offset + bytes && i < region.bytes; ++i) {
    Byte& byte = region.history[i];
    if (region.shared && !write && byte.write.thread == kNoThread)
      return ON_CPU_ABORT(code, nullptr, "reads shared memory that no thread has written, byte %zu",
                          i);
    if (const Access* other = record(byte, now, write)) {
      char who[48] = "several threads";
      if (other->thread != kSeveralThreads)
        snprintf(who, sizeof who, "thread %u of block %u", other->thread, other->block - 1);
      report("race on %s %zu: thread %u of block %u %s and %s %s it, with no barrier between them",
             name, (i - start) / item_bytes, thread, checker.block - 1, write ? "writes" : "reads",
             who, other == &byte.write ? "wrote" : "read");
      return abort_launch(code, other->code);
    }
  }
}

ON_CPU_UNCHECKED static void check_access(void* pointer, size_t bytes, bool write, void* code) {
  if (!checker.on || !sm.fiber) return;
  checker.on = false;  // the library functions used below are instrumented too
  auto* address = static_cast<unsigned char*>(pointer);
  for (unsigned i = 0; i < checker.count; ++i) {
    Region& region = checker.regions[i];
    if (address + bytes <= region.start || address >= region.start + region.bytes) continue;
    check_access_in(region, address, bytes, write, code);
    checker.on = !sm.failed;
    return;
  }
  for (unsigned i = 0; i < checker.count; ++i) {
    const Region& region = checker.regions[i];
    const auto* end = region.start + region.bytes;
    if (!region.guarded || address + bytes <= region.start - kGuardBytes ||
        address >= end + kGuardBytes)
      continue;
    return ON_CPU_ABORT(
        code, nullptr, "%s shared memory out of bounds: byte %lld of an array of %zu bytes",
        write ? "writes" : "reads", (long long)(address - region.start), region.bytes);
  }
  checker.on = !sm.failed;
}

// The first member of the data that UBSan's checks pass.
struct SourceLocation {
  const char* file;
  unsigned line, column;
};
static void report_undefined(const void* data, const char* what) {
  auto* location = static_cast<const SourceLocation*>(data);
  if (!sm.launch || !sm.fiber || sm.failed) return;
  checker.on = false;
  ON_CPU_ABORT(nullptr, nullptr, "at %s:%u: %s", location->file, location->line, what);
}

}  // namespace on_cpu

// The functions that the compiler calls

#define ON_CPU_CALLER __builtin_return_address(0)
#define ON_CPU_HOOK(name, n, write, declaration)      \
  ON_CPU_UNCHECKED void __tsan_##name##n(void* p) {   \
    declaration;                                      \
    on_cpu::check_access(p, n, write, ON_CPU_CALLER); \
  }
#define ON_CPU_HOOKS_FOR(access, n, write)                        \
  ON_CPU_HOOK(access, n, write, )                                 \
  ON_CPU_HOOK(unaligned_##access, n, write, )                     \
  ON_CPU_HOOK(volatile_##access, n, write, on_cpu::Atomic atomic) \
  ON_CPU_HOOK(unaligned_volatile_##access, n, write, on_cpu::Atomic atomic)
#define ON_CPU_HOOKS(n) ON_CPU_HOOKS_FOR(read, n, false) ON_CPU_HOOKS_FOR(write, n, true)
#define ON_CPU_UNDEFINED(name, what, ...)                                \
  ON_CPU_UNCHECKED void __ubsan_handle_##name(void* data, __VA_ARGS__) { \
    on_cpu::report_undefined(data, what);                                \
  }

extern "C" {
ON_CPU_HOOKS(1)
ON_CPU_HOOKS(2)
ON_CPU_HOOKS(4)
ON_CPU_HOOKS(8)
ON_CPU_HOOKS(16)
ON_CPU_UNCHECKED void __tsan_read_range(void* p, size_t n) {
  on_cpu::check_access(p, n, false, ON_CPU_CALLER);
}
ON_CPU_UNCHECKED void __tsan_write_range(void* p, size_t n) {
  on_cpu::check_access(p, n, true, ON_CPU_CALLER);
}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
ON_CPU_UNDEFINED(add_overflow, "signed overflow in +", void*, void*)
ON_CPU_UNDEFINED(sub_overflow, "signed overflow in -", void*, void*)
ON_CPU_UNDEFINED(mul_overflow, "signed overflow in *", void*, void*)
ON_CPU_UNDEFINED(negate_overflow, "signed overflow in unary -", void*)
ON_CPU_UNDEFINED(divrem_overflow, "division by zero or overflow", void*, void*)
ON_CPU_UNDEFINED(shift_out_of_bounds, "shift out of range", void*, void*)
ON_CPU_UNDEFINED(out_of_bounds, "index out of an array's bounds", void*)
ON_CPU_UNDEFINED(type_mismatch_v1, "misaligned access", void*)

// Where the library was loaded: addr2line expects addresses relative to this.
ON_CPU_UNCHECKED void* load_address() {
  Dl_info info;
  return dladdr(reinterpret_cast<void*>(&load_address), &info) ? info.dli_fbase : nullptr;
}

#ifdef ON_CPU_STATS
// One line per memory instruction: address, shared, write, requests, bytes, sectors,
// passes.
const char* memory_sites() {
  on_cpu::sites_text.clear();
  for (auto& [key, site] : on_cpu::sites) {
    char line[200];
    auto [code, shared, write] = key;
    snprintf(line, sizeof line, "%llu %d %d %zu %zu %zu %zu\n", (unsigned long long)code, shared,
             write, site.requests, site.bytes, site.sectors, site.passes);
    on_cpu::sites_text += line;
  }
  return on_cpu::sites_text.c_str();
}
#endif
}
