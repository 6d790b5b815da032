// With debug checks a verb that would write to a frozen weight throws, whichever way it writes; without them nobody looks.
#include "../backends/emulated_cuda_bf16.hpp"
#include "catch.hpp"

namespace {
using clipx::bf16;
using clipx::dim;
using clipx::mat;

template <class F>
void check_refused(F&& write) {
  const bool before = clipx::detail::checks_enabled();
  clipx::detail::enable_checks(false);
  CHECK_NOTHROW(write());
  clipx::detail::enable_checks();
  CHECK_THROWS_WITH(write(), Contains("writes to a frozen weight of 24 bytes"));
  clipx::detail::enable_checks(before);
}
}  // namespace

TEST_CASE("freeze: a verb that would write to a frozen weight") {
  backend_t d;
  const auto memory = d.alloc<bf16>(64);
  const auto sums = d.alloc<float>(64);
  const mat<bf16> before(memory.data(), 1, 8), weight(memory.data() + 8, 3, 4), after(memory.data() + 20, 1, 8);
  const mat<const bf16> input(memory.data() + 32, 3, 4);
  const std::vector<float> host(12, 2.0f);
  d.freeze(mat<const bf16>(weight), clipx::frozen_role::linear);
  check_refused([&] { d.fill(weight, bf16(1)); });
  check_refused([&] { d.fill(weight.row_range(1, 1), bf16(1)); });
  check_refused([&] { d.upload(mat<const float>(host.data(), 3, 4), weight); });
  check_refused([&] { d.gemm(clipx::op::none, clipx::op::transpose, 1, input, input, 0, weight.col_range(0, 3)); });
  check_refused([&] {
    d.adamw(clipx::adamw_step{.lr = 1}, {}, mat<const bf16>(input.data, 1, 12), {sums.data(), 1, 12}, {sums.data() + 16, 1, 12},
            {sums.data() + 32, 1, 12}, {weight.data, 1, 12});
  });
  CHECK_NOTHROW(d.fill(before, bf16(1)));
  CHECK_NOTHROW(d.fill(after, bf16(1)));
  CHECK_NOTHROW(d.copy(weight, mat<bf16>(memory.data() + 48, 3, 4)));
  d.thaw(weight.data);
  CHECK_NOTHROW(d.fill(weight, bf16(1)));
}
