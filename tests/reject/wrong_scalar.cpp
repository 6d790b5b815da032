// says: mat<(const )?double>
// Pixels of another type than the backend's are not converted behind the caller's back.
#include <clipx/architectures/vit.hpp>
#include <clipx/eigen.hpp>
#include <clipx/model/clip.hpp>

#ifdef CLIPX_ACCEPT
using pixel = const float;
#else
using pixel = const double;
#endif
using model = clipx::clip<clipx::vit, clipx::eigen<float>>;
void use(const model& m, clipx::step<clipx::eigen<float>>& s, model::saved& k, clipx::mat<pixel> x) {
  (void)m.encode_image(s, x, k);
}
