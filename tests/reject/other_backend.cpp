// says: eigen<double>
// A step of one backend does not run a model of another.
#include <clipx/architectures/vit.hpp>
#include <clipx/eigen.hpp>
#include <clipx/model/clip.hpp>

using model = clipx::clip<clipx::vit, clipx::eigen<float>>;
#ifdef CLIPX_ACCEPT
using device = clipx::eigen<float>;
#else
using device = clipx::eigen<double>;
#endif
void use(const model& m, clipx::step<device>& s, model::saved& k, clipx::mat<const float> x) { (void)m.encode_image(s, x, k); }
