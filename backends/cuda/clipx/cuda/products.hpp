// Matrix products with cuBLASLt, and their epilogues.
#pragma once
#include "engine.hpp"

namespace clipx::detail {

template <class T>
class cuda_products : cuda_family {
 public:
  using cuda_family::cuda_family;

  void gemm(op ta, op tb, float alpha, mat<const T> a, mat<const T> b, float beta, mat<T> c);
  template <wider_float<T> A>
  void gemm(op ta, op tb, float alpha, mat<const T> a, mat<const T> b, float beta, mat<A> c);
  template <wider_float<T> A>
  void gemm(op ta, op tb, float alpha, mat<const std::type_identity_t<A>> a, mat<const std::type_identity_t<A>> b, float beta,
            mat<A> c);

  /// y = f(x W^T + b) + residual, in one pass after the product; pre receives x W^T + b.
  void linear(mat<const T> x, mat<const T> w, mat<const T> b, const epilogue<T>& after, mat<T> y);
};

}  // namespace clipx::detail

#ifdef CLIPX_CUDA_DEFINITIONS
#include "launch.cuh"

namespace clipx::gpu {

/// Epilogue of a matrix product u (with bias, as stored): y = f(u) + residual. y may be u or residual.
template <int N, class T>
__global__ void act_add(mat<const T> u, bool has_f, activation f, mat<const T> residual, mat<T> y) {
  const auto [r, c] = here<N>();
  if (r >= y.rows || c >= y.cols) return;
  auto v = load<N>(u.row(r) + c);
  if (has_f) v = map([=](float a) { return activate(f, a); }, v);
  if (residual.data) v = v + load<N>(residual.row(r) + c);
  store(y.row(r) + c, v);
}

}  // namespace clipx::gpu

namespace clipx::detail {

/// c = alpha op(a) op(b) + beta c, plus bias if given.
template <class A, class C>
void product(cuda_engine& e, op ta, op tb, float alpha, mat<const A> a, mat<const A> b, float beta, mat<C> c,
             const void* bias = nullptr) {
  if (c.size() == 0) return;
  auto& s = e.get();
  expect_thawed(s, c);
  const gpu::product p{.a = {.data = a.data, .ld = a.ld, .form = ta},
                       .b = {.data = b.data, .ld = b.ld, .form = tb},
                       .c = c.data,
                       .ldc = c.ld,
                       .m = c.rows,
                       .n = c.cols,
                       .k = ta == op::none ? a.cols : a.rows,
                       .alpha = alpha,
                       .beta = beta,
                       .bias = bias,
                       .bf16_in = std::is_same_v<A, bf16>,
                       .bf16_out = std::is_same_v<C, bf16>};
  s.blas->gemm(p, s.stream);
}

template <class T>
void cuda_products<T>::gemm(op ta, op tb, float alpha, mat<const T> a, mat<const T> b, float beta, mat<T> c) {
  product(engine_, ta, tb, alpha, a, b, beta, c);
}
template <class T>
template <wider_float<T> A>
void cuda_products<T>::gemm(op ta, op tb, float alpha, mat<const T> a, mat<const T> b, float beta, mat<A> c) {
  product(engine_, ta, tb, alpha, a, b, beta, c);
}
template <class T>
template <wider_float<T> A>
void cuda_products<T>::gemm(op ta, op tb, float alpha, mat<const std::type_identity_t<A>> a, mat<const std::type_identity_t<A>> b,
                            float beta, mat<A> c) {
  product(engine_, ta, tb, alpha, a, b, beta, c);
}
template <class T>
void cuda_products<T>::linear(mat<const T> x, mat<const T> w, mat<const T> b, const epilogue<T>& after, mat<T> y) {
  if (y.size() == 0) return;
  const mat<const T> residual = after.residual;
  const mat<T> pre = after.pre;
  const bool alone = !after.f && !residual && !pre;
  const temporary here(memory());
  auto u = pre ? pre : residual && residual.data == y.data ? memory().template take<T>(y.rows, y.cols) : y;  // (R, out)
  product(engine_, op::none, op::transpose, 1.0f, x, w, 0.0f, u, b.data);
  if (!alone)
    each_pack(
        engine_, y.rows, y.cols, [](auto n) { return gpu::act_add<n(), T>; }, mat<const T>(u), after.f.has_value(),
        after.f.value_or(activation::relu), residual, y);
}

template void cuda_products<bf16>::gemm(op, op, float, mat<const bf16>, mat<const bf16>, float, mat<float>);
template void cuda_products<bf16>::gemm(op, op, float, mat<const float>, mat<const float>, float, mat<float>);

template class cuda_products<float>;
template class cuda_products<bf16>;

}  // namespace clipx::detail
#endif
