// What this processor can run, and how large its nearest cache is. Compiled for any processor.
#ifdef __linux__
#include <unistd.h>
#endif

#include "chain.h"

namespace ew {

const Variant *compiled_avx2();
const Variant *compiled_avx512();

#if defined(__x86_64__)
const Variant *avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? compiled_avx2() : nullptr; }
const Variant *avx512() {
  const bool there = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("avx512vl");
  return there ? compiled_avx512() : nullptr;
}
#else
const Variant *avx2() { return nullptr; }
const Variant *avx512() { return nullptr; }
#endif

Grouping grouping() {
#ifdef _SC_LEVEL1_DCACHE_SIZE
  static const long nearest = sysconf(_SC_LEVEL1_DCACHE_SIZE);
  if (nearest >= 48 << 10) return {16 << 10, true};
#endif
  return {64 << 10, false};  // smaller ones would be too many
}

}  // namespace ew
