// says: backend
// The types of a backend are enough to describe a model, not to run one.
#include <clipx/architectures/vit.hpp>
#include <clipx/core/step.hpp>
#include <clipx/eigen.hpp>
#include <clipx/model/clip.hpp>

#ifdef CLIPX_ACCEPT
using device = clipx::eigen<float>;
#else
struct device {
  using scalar = float;
  using accum = float;
  using fast = clipx::nothing_fast;
};
#endif
using model = clipx::clip<clipx::vit, device>;
void use(device& d, const clipx::clip_config& c) { model m(d, c); }
