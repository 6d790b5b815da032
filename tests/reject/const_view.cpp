// says: mat<(const )?float
// A view of constant data is not one that may be written.
#include <clipx/core/mat.hpp>

#ifdef CLIPX_ACCEPT
using element = float;
#else
using element = const float;
#endif
void write(clipx::mat<float> y) { *y.data = 0; }
void use(clipx::mat<element> x) { write(x); }
