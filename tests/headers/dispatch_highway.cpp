// A unit of the same program that dispatches by Highway for itself. CLIPX_MAX_ISA is not its concern.
#define HWY_DISABLED_TARGETS (HWY_AVX3 - 1)  // Highway 1.0.3 does not compile with -march=native of a better processor
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "headers/dispatch_highway.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace another_user::HWY_NAMESPACE {
inline const char* target() { return hwy::TargetName(HWY_TARGET); }
}  // namespace another_user::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace another_user {
HWY_EXPORT(target);
inline const char* best() { return HWY_DYNAMIC_DISPATCH(target)(); }
}  // namespace another_user
const char* another_user_of_highway();
const char* another_user_of_highway() { return another_user::best(); }
#endif
