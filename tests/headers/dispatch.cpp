// Prints which kernels the cpu backend uses and what they give. Built header-only with plain -O2, and against the compiled
// variant: dispatch.sh holds the two to the same lines.
#include "dispatch.hpp"

#include <cstdio>

int main() {
  clipx::cpu<float> full({.threads = 2});
  clipx::cpu<clipx::bf16> reduced({.threads = 2});
  const auto digest = dispatch::digest(full);
  std::printf("%s\nfloat %016llx\nbf16 %016llx\n", full.describe().c_str(), static_cast<unsigned long long>(digest),
              static_cast<unsigned long long>(dispatch::digest(reduced)));
  std::printf("another user of Highway: %s\n", another_user_of_highway());
#ifdef __AVX__
  std::puts("compiled for AVX or better");  // with -march=native, say: the compiler's own target always may be used
#endif
  return digest_of_another_unit() == digest ? 0 : 1;
}
