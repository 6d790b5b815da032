// The kernels for one instruction set and, once, the wrappers that share work among threads. Header-only this is compiled for
// what the compiler was told to use (static dispatch); units/kernels.cpp compiles it for every set and picks at run time.
#include "kernels.hpp"
#if !defined(CLIPX_COMPILED) && !defined(HWY_COMPILE_ONLY_STATIC)
#define HWY_COMPILE_ONLY_STATIC
#endif
#include "attention-inl.h"
#include "elementwise-inl.h"
#include "loss-inl.h"
#include "norm-inl.h"
#include "pool-inl.h"
#include "resample-inl.h"
#include "simd.hpp"

#if defined(CLIPX_KERNELS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef CLIPX_KERNELS_INL_H
#undef CLIPX_KERNELS_INL_H
#else
#define CLIPX_KERNELS_INL_H
#endif

HWY_BEFORE_NAMESPACE();
namespace clipx::simd::HWY_NAMESPACE {

template <class T>
inline constexpr table<T> kernels_of{
    &convert<T, float>,    &convert<float, T>,     &add<T>,          &add_rows<T>,
    &sum_rows<T>,          &sum_listed<T>,         &unary<T>,        &unary_backward<T>,
    &bias_act<T, T>,       &bias_act<float, T>,    &layernorm<T>,    &layernorm_backward<T>,
    &layernorm_columns<T>, &add_layernorm<T>,      &column_stats<T>, &batchnorm<T>,
    &batchnorm_columns<T>, &batchnorm_backward<T>, &normalize<T>,    &normalize_backward<T>,
    &avgpool<T>,           &avgpool_backward<T>,   &sum_squares<T>,  &adamw<T>,
    &attention<T>,         &attention_backward<T>,
};
inline const float_table kernels_of_floats{&softmax,      &softmax_backward, &xent_rows,
                                           &xent_columns, &xent_backward,    &sigmoid_rows,
                                           &horizontal,   &vertical,         hwy::TargetName(HWY_TARGET)};

inline const table<float>& table_float() { return kernels_of<float>; }
inline const table<bf16>& table_bf16() { return kernels_of<bf16>; }
inline const float_table& table_of_floats() { return kernels_of_floats; }

}  // namespace clipx::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
#include "kernels-threads-inl.hpp"
#endif
