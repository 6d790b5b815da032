// says: backend
// A model over something that is no backend.
#include <clipx/architectures/vit.hpp>
#include <clipx/eigen.hpp>
#include <clipx/model/clip.hpp>

#ifdef CLIPX_ACCEPT
using device = clipx::eigen<float>;
#else
struct device {
  using scalar = float;
  using accum = float;
};
#endif
using model = clipx::clip<clipx::vit, device>;
void use(const model& m) { (void)m.config(); }
