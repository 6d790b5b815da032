// A second unit that uses the same verbs: header-only, both units define the kernels of every instruction set.
#include "dispatch.hpp"

std::uint64_t digest_of_another_unit() {
  clipx::cpu<float> d({.threads = 1});
  return dispatch::digest(d);
}
