// says: fused_linear
// A backend that declares a fast path must have its verb.
#include <clipx/core/step.hpp>
#include <clipx/eigen.hpp>

struct device : clipx::eigen<float> {
#ifndef CLIPX_ACCEPT
  struct fast : clipx::nothing_fast {
    static constexpr bool linear = true;
  };
#endif
};
void use(device& d) { clipx::step<device> s(d); }
