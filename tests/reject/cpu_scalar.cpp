// says: static assertion failed.*T must be float or clipx::bf16|static_assert failed.*T must be float or clipx::bf16
// The cpu backend stores float and bf16, nothing else.
#include <clipx/cpu.hpp>

#ifdef CLIPX_ACCEPT
using scalar = clipx::bf16;
#else
using scalar = double;
#endif
void use(clipx::cpu<scalar>& d) { d.sync(); }
