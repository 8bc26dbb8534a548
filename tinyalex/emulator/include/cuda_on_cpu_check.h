// The memory checker of cuda_on_cpu.h. The kernel is compiled with -fsanitize=thread, but linked without its library: the compiler puts a
// call of __tsan_read4(p), __tsan_write4(p) and so on before every access to memory, and those functions are ours.
//
// Found are accesses outside of every array, writes through a pointer to const, reads of shared memory that no thread has written, and
// races: two threads at one byte, one of them writing, not both atomically, with no barrier between them. Nothing orders two blocks.
#pragma once
#include <dlfcn.h>
#ifdef CUDA_ON_CPU_STATS
#include <algorithm>
#include <map>
#include <tuple>
#endif
#define ON_CPU_UNCHECKED __attribute__((no_sanitize_thread, noinline))

namespace cuda_on_cpu {

constexpr unsigned kNobody = ~0u, kSeveral = ~1u;

// When a thread came by: `epoch` counts the barriers of its block, `warp_epoch` those of its warp.
struct Access {
  unsigned block, thread, epoch, warp_epoch;
  void* code;
  bool atomic;
};
static const Access kNever = {0, kNobody, 0, 0, nullptr, false};

struct Byte {
  Access write, read;  // the last of each
};

struct Region {
  unsigned char* start;
  size_t bytes;
  Byte* history;
  bool shared, guarded;
};

struct Checker {
  Region regions[256];  // the first is the arena with all arrays, the others are shared memory
  unsigned count = 0;
  unsigned block = 0, epoch = 0, warp_epoch[kMaxThreads / 32];
  bool on = false;
};
static Checker checker;

// Counting sectors and bank conflicts: the n-th time that the lanes of a warp pass one instruction is one request.

#ifdef CUDA_ON_CPU_STATS
struct Site {
  size_t requests = 0, bytes = 0, sectors = 0, passes = 0;
};
struct Request {
  std::vector<uint64_t> addresses;
  unsigned bytes;
  bool shared, write;
};
static std::map<std::tuple<void*, bool, bool>, Site> sites;           // by instruction, shared, write
static std::map<std::pair<void*, uint64_t>, Request> requests;        // by instruction, 32 * occurrence + warp
static std::map<void*, std::vector<unsigned>> occurrences;            // by instruction, of each thread
static std::string sites_text;

static void count_access(void* code, unsigned char* address, size_t bytes, bool shared, bool write, unsigned thread) {
  auto& seen = occurrences[code];
  if (seen.empty()) seen.resize(kMaxThreads);
  auto& request = requests[{code, uint64_t(seen[thread]++) << 5 | thread / 32}];
  request.addresses.push_back(reinterpret_cast<uint64_t>(address));
  request.bytes = unsigned(bytes);
  request.shared = shared;
  request.write = write;
}

static void count_requests() {
  for (auto& [key, request] : requests) {
    std::vector<uint64_t> words;  // of 4 bytes, each once
    for (auto address : request.addresses)
      for (uint64_t word = address / 4; word <= (address + request.bytes - 1) / 4; ++word) words.push_back(word);
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
  requests.clear();
  occurrences.clear();
}

static void forget_requests() {
  sites.clear();
  requests.clear();
  occurrences.clear();
}
#else
static inline void count_access(void*, unsigned char*, size_t, bool, bool, unsigned) {}
static inline void count_requests() {}
static inline void forget_requests() {}
#endif

// What the machine tells the checker

ON_CPU_UNCHECKED static void forget_history(Region& region) {
  for (size_t i = 0; i < region.bytes; ++i) region.history[i].write = region.history[i].read = kNever;
}

ON_CPU_UNCHECKED static void watch(void* start, size_t bytes, bool shared, bool guarded) {
  for (unsigned i = 0; i < checker.count; ++i)
    if (checker.regions[i].start == start && checker.regions[i].bytes == bytes) return forget_history(checker.regions[i]);
  if (checker.count == 256) return report("more than 255 __shared__ arrays in one file, which the checker has no room for");
  Region& region = checker.regions[checker.count++];
  region = {static_cast<unsigned char*>(start), bytes, static_cast<Byte*>(malloc(bytes * sizeof(Byte))), shared, guarded};
  forget_history(region);
}

ON_CPU_UNCHECKED void check_shared_array(void* start, size_t bytes) { watch(start, bytes, true, true); }

ON_CPU_UNCHECKED void check_launch_begins() {
  forget_requests();
  checker.count = 0;
  checker.block = 0;
  watch(machine.launch->arena, machine.launch->arena_bytes, false, false);
  checker.on = true;
}

ON_CPU_UNCHECKED void check_launch_ends() {
  checker.on = false;
  count_requests();
  while (checker.count) free(checker.regions[--checker.count].history);
}

ON_CPU_UNCHECKED void check_block_begins() {
  const bool on = checker.on;
  checker.on = false;
  count_requests();
  checker.on = on;
  ++checker.block;
  checker.epoch = 0;
  for (auto& epoch : checker.warp_epoch) epoch = 0;
  for (auto& array : machine.shared) watch(array.start, array.bytes, true, true);
  if (machine.launch->shared_bytes) watch(machine.dynamic_shared, machine.launch->shared_bytes, true, false);
}

ON_CPU_UNCHECKED void check_block_passes_barrier() { ++checker.epoch; }
ON_CPU_UNCHECKED void check_warp_passes_barrier(unsigned warp) { ++checker.warp_epoch[warp]; }

// One access

// Whether an earlier access is certain to come before anything that `thread` does now.
ON_CPU_UNCHECKED static bool is_before(const Access& access, unsigned thread) {
  if (access.thread == kNobody || (access.block == checker.block && access.thread == thread)) return true;
  if (access.block != checker.block) return false;
  if (access.epoch != checker.epoch) return true;
  return access.thread != kSeveral && access.thread / 32 == thread / 32 && access.warp_epoch != checker.warp_epoch[thread / 32];
}

ON_CPU_UNCHECKED static void stop(void* code, void* other_code) {
  machine.launch->code[0] = code;
  machine.launch->code[1] = other_code;
  machine.failed = true;
  leave_fiber();
}

// The array that bytes offset..offset + bytes of the arena belong to (one that may be written, if there is one), or null.
ON_CPU_UNCHECKED static const Launch::ArraySpan* array_at(size_t offset, size_t bytes) {
  const Launch::ArraySpan* found = nullptr;
  for (size_t i = 0; i < machine.launch->array_count; ++i) {
    const auto& array = machine.launch->arrays[i];
    if (offset < array.start || offset + bytes > array.start + array.bytes) continue;
    if (!found || !array.is_const) found = &array;
  }
  return found;
}

ON_CPU_UNCHECKED static void report_out_of_bounds(size_t offset, size_t bytes, bool write) {
  const Launch::ArraySpan* nearest = nullptr;
  size_t least = ~size_t(0);
  for (size_t i = 0; i < machine.launch->array_count; ++i) {
    const auto& array = machine.launch->arrays[i];
    const size_t end = array.start + array.bytes;
    const size_t distance = offset < array.start ? array.start - offset : offset >= end ? offset - end : 0;
    if (distance >= least) continue;
    least = distance;
    nearest = &array;
  }
  if (!nearest) return report("thread (%u,%u,%u) uses a pointer, but no argument is one", threadIdx.x, threadIdx.y, threadIdx.z);
  const long long from_start = (long long)(offset - nearest->start), item = (long long)nearest->item_bytes;
  const long long element = (from_start - (from_start < 0 ? item - 1 : 0)) / item;
  report("thread (%u,%u,%u) %s %zu bytes out of bounds: element %lld of argument %u, which has %zu", threadIdx.x, threadIdx.y,
         threadIdx.z, write ? "writes" : "reads", bytes, element, nearest->argument, nearest->bytes / nearest->item_bytes);
}

// Puts the access into the history of a byte, or returns the one that it races with.
ON_CPU_UNCHECKED static const Access* record(Byte& byte, const Access& now, bool write) {
  const bool races_with_write = !(now.atomic && byte.write.atomic) && !is_before(byte.write, now.thread);
  const bool races_with_read = write && !(now.atomic && byte.read.atomic) && !is_before(byte.read, now.thread);
  if (races_with_write) return &byte.write;
  if (races_with_read) return &byte.read;
  Access& read = byte.read;
  if (write) {
    byte.write = now;
  } else if (read.thread == kNobody || (read.block == now.block && read.epoch != now.epoch)) {
    read = now;
  } else if (read.thread != now.thread || read.block != now.block) {
    // One slot for several readers: it must stay unordered with a later write if any of them is.
    if (read.block != now.block) {
      read.block = 0;
      read.thread = kSeveral;
    } else if (read.thread / 32 != now.thread / 32 || read.warp_epoch == now.warp_epoch) {
      read.thread = kSeveral;
      read.epoch = now.epoch;
    } else {
      read = now;
    }
    read.atomic = read.atomic && now.atomic;
  }
  return nullptr;
}

ON_CPU_UNCHECKED static void check_access_in(Region& region, unsigned char* address, size_t bytes, bool write, void* code) {
  const size_t offset = address - region.start;
  const unsigned thread = machine.me;
  char name[48] = "shared memory, byte";
  size_t start = 0, item_bytes = 1;
  if (!region.shared) {
    const Launch::ArraySpan* array = array_at(offset, bytes);
    if (!array) {
      report_out_of_bounds(offset, bytes, write);
      return stop(code, nullptr);
    }
    if (write && array->is_const) {
      report("thread (%u,%u,%u) writes argument %u, a pointer to const", threadIdx.x, threadIdx.y, threadIdx.z, array->argument);
      return stop(code, nullptr);
    }
    snprintf(name, sizeof name, "argument %u, element", array->argument);
    start = array->start;
    item_bytes = array->item_bytes;
  }
  count_access(code, address, bytes, region.shared, write, thread);
  const Access now = {checker.block, thread, checker.epoch, checker.warp_epoch[thread / 32], code, machine.atomic_depth > 0};
  for (size_t i = offset; i < offset + bytes && i < region.bytes; ++i) {
    Byte& byte = region.history[i];
    if (region.shared && !write && byte.write.thread == kNobody) {
      report("thread (%u,%u,%u) reads shared memory that no thread has written, byte %zu", threadIdx.x, threadIdx.y, threadIdx.z, i);
      return stop(code, nullptr);
    }
    if (const Access* other = record(byte, now, write)) {
      char who[48] = "several threads";
      if (other->thread != kSeveral) snprintf(who, sizeof who, "thread %u of block %u", other->thread, other->block - 1);
      report("race on %s %zu: thread %u of block %u %s and %s %s it, with no barrier between them", name, (i - start) / item_bytes,
             thread, checker.block - 1, write ? "writes" : "reads", who, other == &byte.write ? "wrote" : "read");
      return stop(code, other->code);
    }
  }
}

ON_CPU_UNCHECKED static void check_access(void* pointer, size_t bytes, bool write, void* code) {
  if (!checker.on || !machine.current) return;
  checker.on = false;  // the library functions used below are instrumented too
  auto* address = static_cast<unsigned char*>(pointer);
  for (unsigned i = 0; i < checker.count; ++i) {
    Region& region = checker.regions[i];
    if (address + bytes <= region.start || address >= region.start + region.bytes) continue;
    check_access_in(region, address, bytes, write, code);
    checker.on = !machine.failed;
    return;
  }
  for (unsigned i = 0; i < checker.count; ++i) {
    const Region& region = checker.regions[i];
    if (!region.guarded || address + bytes <= region.start - kGuardBytes || address >= region.start + region.bytes + kGuardBytes) continue;
    report("thread (%u,%u,%u) %s shared memory out of bounds: byte %lld of an array of %zu bytes", threadIdx.x, threadIdx.y, threadIdx.z,
           write ? "writes" : "reads", (long long)(address - region.start), region.bytes);
    return stop(code, nullptr);
  }
  checker.on = !machine.failed;
}

// What the compiler's undefined-behaviour checks pass begins with the place in the source.
struct SourceLocation {
  const char* file;
  unsigned line, column;
};
ON_CPU_UNCHECKED static void report_undefined(const void* data, const char* what) {
  auto* location = static_cast<const SourceLocation*>(data);
  if (!machine.launch || !machine.current || machine.failed) return;
  checker.on = false;
  report("thread (%u,%u,%u) at %s:%u: %s", threadIdx.x, threadIdx.y, threadIdx.z, location->file, location->line, what);
  stop(nullptr, nullptr);
}

}  // namespace cuda_on_cpu

// The functions that the compiler calls

#define ON_CPU_CALLER __builtin_return_address(0)
#define ON_CPU_HOOKS_FOR(access, n, write)                                                 \
  ON_CPU_UNCHECKED void __tsan_##access##n(void* p) {                                      \
    cuda_on_cpu::check_access(p, n, write, ON_CPU_CALLER);                                 \
  }                                                                                        \
  ON_CPU_UNCHECKED void __tsan_unaligned_##access##n(void* p) {                            \
    cuda_on_cpu::check_access(p, n, write, ON_CPU_CALLER);                                 \
  }                                                                                        \
  ON_CPU_UNCHECKED void __tsan_volatile_##access##n(void* p) {                             \
    cuda_on_cpu::Atomic atomic;                                                            \
    cuda_on_cpu::check_access(p, n, write, ON_CPU_CALLER);                                 \
  }                                                                                        \
  ON_CPU_UNCHECKED void __tsan_unaligned_volatile_##access##n(void* p) {                   \
    cuda_on_cpu::Atomic atomic;                                                            \
    cuda_on_cpu::check_access(p, n, write, ON_CPU_CALLER);                                 \
  }
#define ON_CPU_HOOKS(n) ON_CPU_HOOKS_FOR(read, n, false) ON_CPU_HOOKS_FOR(write, n, true)
#define ON_CPU_UNDEFINED_2(name, what) \
  ON_CPU_UNCHECKED void __ubsan_handle_##name(void* data, void*) { cuda_on_cpu::report_undefined(data, what); }
#define ON_CPU_UNDEFINED_3(name, what) \
  ON_CPU_UNCHECKED void __ubsan_handle_##name(void* data, void*, void*) { cuda_on_cpu::report_undefined(data, what); }

extern "C" {
ON_CPU_HOOKS(1)
ON_CPU_HOOKS(2)
ON_CPU_HOOKS(4)
ON_CPU_HOOKS(8)
ON_CPU_HOOKS(16)
ON_CPU_UNCHECKED void __tsan_read_range(void* p, size_t n) { cuda_on_cpu::check_access(p, n, false, ON_CPU_CALLER); }
ON_CPU_UNCHECKED void __tsan_write_range(void* p, size_t n) { cuda_on_cpu::check_access(p, n, true, ON_CPU_CALLER); }
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
ON_CPU_UNDEFINED_3(add_overflow, "signed overflow in +")
ON_CPU_UNDEFINED_3(sub_overflow, "signed overflow in -")
ON_CPU_UNDEFINED_3(mul_overflow, "signed overflow in *")
ON_CPU_UNDEFINED_2(negate_overflow, "signed overflow in unary -")
ON_CPU_UNDEFINED_3(divrem_overflow, "division by zero or overflow")
ON_CPU_UNDEFINED_3(shift_out_of_bounds, "shift out of range")
ON_CPU_UNDEFINED_2(out_of_bounds, "index out of an array's bounds")
ON_CPU_UNDEFINED_2(type_mismatch_v1, "misaligned access")

// Where the library was loaded: code addresses less this are what addr2line knows.
ON_CPU_UNCHECKED void* load_address() {
  Dl_info info;
  return dladdr(reinterpret_cast<void*>(&load_address), &info) ? info.dli_fbase : nullptr;
}

#ifdef CUDA_ON_CPU_STATS
// One line a memory instruction: address, shared, write, requests, bytes, sectors, passes.
const char* memory_sites() {
  cuda_on_cpu::sites_text.clear();
  for (auto& [key, site] : cuda_on_cpu::sites) {
    char line[200];
    snprintf(line, sizeof line, "%llu %d %d %zu %zu %zu %zu\n", (unsigned long long)std::get<0>(key), std::get<1>(key),
             std::get<2>(key), site.requests, site.bytes, site.sectors, site.passes);
    cuda_on_cpu::sites_text += line;
  }
  return cuda_on_cpu::sites_text.c_str();
}
#endif
}
