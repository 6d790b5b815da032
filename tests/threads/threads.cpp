// The case of threads on backends of the processor, header-only, so that all of clipx is instrumented: for ThreadSanitizer
// (cmake/threads.sh). Most calls run on one OpenMP thread, whose runtime is not instrumented.
#include <clipx/cpu.hpp>
#include <clipx/eigen.hpp>
#include <cstdlib>

#include "catch.hpp"
using backend_t = clipx::eigen<float>;
inline constexpr const char* backend_name = "eigen<float>";
inline backend_t& device() {
  static backend_t d;
  return d;
}
#include "cases/threads.hpp"

TEST_CASE("threads that share a model on cpu<T>") {
  clipx::cpu<float> single({.threads = 1});
  clipx::cpu<clipx::bf16> half({.threads = 1});
  const std::vector<std::string> nothing;
  CHECK(cases::ask_in_threads<clipx::vit>(single, "vit_quick_gelu", 8, 4) == nothing);
  CHECK(cases::ask_in_threads<clipx::modified_resnet>(single, "resnet", 8, 4) == nothing);
  CHECK(cases::ask_in_threads<clipx::vit>(half, "vit_gelu_hw80", 8, 4) == nothing);
  if (!std::getenv("CLIPX_ARCHER")) return;  // what OpenMP orders is known to ThreadSanitizer by Archer alone
  clipx::cpu<float> two({.threads = 2});
  CHECK(cases::ask_in_threads<clipx::vit>(two, "vit_quick_gelu", 3, 2) == nothing);
  CHECK(cases::ask_in_threads<clipx::modified_resnet>(two, "resnet", 3, 1) == nothing);
}
