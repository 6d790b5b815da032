// Matrix products, with oneDNN.
#ifndef CLIPX_CPU_PRODUCTS_HPP
#define CLIPX_CPU_PRODUCTS_HPP
#include "device.hpp"
#include "elementwise.hpp"

namespace clipx::detail {

/// c = alpha op(a) op(b) + beta c
void gemm(cpu_state& s, op ta, op tb, float alpha, cpu_view a, cpu_view b, float beta, cpu_view c);
/// y = x w^T + bias + residual; bias and residual may be empty.
void linear(cpu_state& s, cpu_view x, cpu_view w, cpu_view bias, cpu_view residual, cpu_view y);

template <class T>
class cpu_products {
 public:
  explicit cpu_products(cpu_device& device) : device_(device) {}

  /// c = alpha op(a) op(b) + beta c; c is not read if beta is 0.
  void gemm(op ta, op tb, float alpha, mat<const T> a, mat<const T> b, float beta, mat<T> c) {
    detail::gemm(device_.state(), ta, tb, alpha, a, b, beta, c);
  }
  template <accum_of<T> A = float>
  void gemm(op ta, op tb, float alpha, mat<const T> a, mat<const T> b, float beta, view<A> c) {
    detail::gemm(device_.state(), ta, tb, alpha, a, b, beta, c);
  }
  template <accum_of<T> A = float>
  void gemm(op ta, op tb, float alpha, view<const A> a, view<const A> b, float beta, view<A> c) {
    detail::gemm(device_.state(), ta, tb, alpha, a, b, beta, c);
  }
  /// y = f(x W^T + b) + residual. f is applied to x W^T + b as stored, so that keeping it (pre) changes nothing.
  void linear(mat<const T> x, mat<const T> w, mat<const T> b, const epilogue<T>& after, mat<T> y);

 private:
  cpu_device& device_;
};
CLIPX_CPU_DECLARED(cpu_products);

}  // namespace clipx::detail
#endif

#ifdef CLIPX_CPU_MEMBERS
namespace clipx::detail {

/// c (m, n) = alpha a (m, k) b (k, n) + beta c + bias + residual, with the strides of rows and columns in elements.
struct product {
  dim m, n, k;
  dim a_row, a_col, b_row, b_col, c_row, residual_row = 0;
  bool in_bf16, out_bf16, bias = false, residual = false;
  float alpha = 1, beta = 0;

  static onednn::md matrix(dim rows, dim cols, dim row_step, dim col_step, bool is_bf16) {
    return onednn::md({rows, cols}, data_type(is_bf16), dnnl::memory::dims{row_step, col_step});
  }
  onednn::md form_a() const { return matrix(m, k, a_row, a_col, in_bf16); }
  onednn::md form_b() const { return matrix(k, n, b_row, b_col, in_bf16); }
  onednn::md form_b(dnnl::memory::format_tag order) const { return onednn::md({k, n}, data_type(in_bf16), order); }
  onednn::md form_c() const { return matrix(m, n, c_row, 1, out_bf16); }
  onednn::md form_bias() const { return matrix(1, n, n, 1, in_bf16); }
  onednn::md form_residual() const { return matrix(m, n, residual_row, 1, out_bf16); }
};
/// Layout of b: as in the product, oneDNN's choice, or packed as oneDNN chose before.
enum class weights { strided, any, packed };

CLIPX_INLINE cpu_state::plan product_plan(cpu_state& s, const product& p, weights kind, const onednn::md& packed = {}) {
  const std::int64_t flags = (p.in_bf16 ? 1 : 0) + (p.out_bf16 ? 2 : 0) + (p.bias ? 4 : 0) + (p.residual ? 8 : 0);
  const cpu_state::plan_key key{static_cast<std::int64_t>(cpu_state::plan_kind::product),
                                p.m,
                                p.n,
                                p.k,
                                p.a_row,
                                p.a_col,
                                p.b_row,
                                p.b_col,
                                p.c_row,
                                p.residual_row,
                                flags,
                                std::bit_cast<std::int32_t>(p.alpha),
                                std::bit_cast<std::int32_t>(p.beta),
                                static_cast<std::int64_t>(kind),
                                omp_get_max_threads()};
  return s.plan_for(key, [&]() -> cpu_state::plan {
    dnnl::post_ops ops;
    if (p.alpha != 1) onednn::append(ops, dnnl::algorithm::eltwise_linear, p.alpha, 0);
    if (p.beta != 0) ops.append_sum(p.beta);
    if (p.residual) ops.append_binary(dnnl::algorithm::binary_add, p.form_residual());
    dnnl::primitive_attr attr;
    attr.set_post_ops(ops);
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const auto b = kind == weights::strided ? p.form_b() : kind == weights::any ? p.form_b(dnnl::memory::format_tag::any) : packed;
    const auto pd = onednn::matmul(s.engine, p.form_a(), b, p.bias ? p.form_bias() : onednn::md(), p.form_c(), attr);
    if (!pd) return {};
    return {.run = dnnl::matmul(pd), .weights = pd.weights_desc(), .scratch = pd.scratchpad_desc()};
  });
}

/// Frozen weights (n, k) in oneDNN's own format, or null if that would not change their order (AVX2 before oneDNN 3).
CLIPX_INLINE const cpu_state::pack* packed_weights(cpu_state& s, const product& p, cpu_view w) {
  const std::lock_guard lock(s.pack_guard);
  auto& packs = s.packs[cpu_state::key_of(w, cpu_state::pack_kind::product)];
  if (packs.empty()) {
    const auto best = product_plan(s, p, weights::any);
    cpu_state::pack made;
    const bool plain = !best.run || best.weights == p.form_b(dnnl::memory::format_tag::ab) ||
                       best.weights == p.form_b(dnnl::memory::format_tag::ba);
    if (!plain) {
      made.form = best.weights;
      made.memory = pages(static_cast<dim>(made.form.get_size()));
      made.weights = s.at(made.form, made.memory.data());
      s.reorder(s.at(product::matrix(p.k, p.n, 1, w.ld, p.in_bf16), w.data), made.weights);
      s.tell_packed(w);
    }
    packs.push_back(std::move(made));
  }
  return packs.front().form.get_size() ? &packs.front() : nullptr;
}

/// What a product reads and writes besides b.
struct product_data {
  const void* a;
  const void* bias = nullptr;
  const void* residual = nullptr;
  const void* c;
};

/// One product with one call to oneDNN.
CLIPX_INLINE void run_product(cpu_state& s, const product& p, const product_data& data, cpu_view b, bool may_pack) {
  const auto* pack = may_pack ? packed_weights(s, p, b) : nullptr;
  auto plan = pack ? product_plan(s, p, weights::packed, pack->form) : product_plan(s, p, weights::strided);
  if (!plan.run && pack) {
    pack = nullptr;
    plan = product_plan(s, p, weights::strided);
  }
  expect(static_cast<bool>(plan.run), error_kind::device,
         [&] { return cat("oneDNN has no product for ", p.m, " x ", p.k, " x ", p.n); });
  cpu_state::arguments args{{DNNL_ARG_SRC, s.at(p.form_a(), data.a)},
                            {DNNL_ARG_WEIGHTS, pack ? pack->weights : s.at(p.form_b(), b.data)},
                            {DNNL_ARG_DST, s.at(p.form_c(), data.c)}};
  if (p.bias) args.emplace(DNNL_ARG_BIAS, s.at(p.form_bias(), data.bias));
  const int place = (p.alpha != 1) + (p.beta != 0);
  if (p.residual) args.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(place) | DNNL_ARG_SRC_1, s.at(p.form_residual(), data.residual));
  s.execute(plan, args);
}

/// Fewer rows than a block, in a block of their own, because oneDNN's kernels process a remainder in another order.
CLIPX_INLINE void run_partial_block(cpu_state& s, product p, cpu_view a, cpu_view b, const void* bias, cpu_view residual,
                                    cpu_view c, bool may_pack) {
  const dim row_a = p.k * element_size(p.in_bf16), row_c = p.n * element_size(p.out_bf16);
  std::vector<char> x(static_cast<std::size_t>(p.m * row_a)), y(static_cast<std::size_t>(p.m * row_c)), r(residual ? y.size() : 0);
  p.a_row = p.k;
  p.a_col = 1;
  p.c_row = p.n;
  p.residual_row = residual ? p.n : 0;
  const auto row = [](const cpu_view& v, dim i) { return static_cast<const char*>(rows_of(v, i, 1).data); };
  for (dim i = 0; i < c.rows; ++i) {
    std::memcpy(x.data() + i * row_a, row(a, i), static_cast<std::size_t>(row_a));
    if (residual) std::memcpy(r.data() + i * row_c, row(residual, i), static_cast<std::size_t>(row_c));
    if (p.beta != 0) std::memcpy(y.data() + i * row_c, row(c, i), static_cast<std::size_t>(row_c));
  }
  run_product(s, p, {.a = x.data(), .bias = bias, .residual = r.data(), .c = y.data()}, b, may_pack);
  for (dim i = 0; i < c.rows; ++i) std::memcpy(const_cast<char*>(row(c, i)), y.data() + i * row_c, static_cast<std::size_t>(row_c));
}

/// The same in blocks of rows, each by one thread: a row's sums depend neither on other rows nor on the number of threads.
CLIPX_INLINE void run_by_rows(cpu_state& s, product p, cpu_view a, cpu_view b, const void* bias, cpu_view residual, cpu_view c,
                              bool may_pack) {
  constexpr dim block = 48;  // kernels process 6 (AVX2) or 8 (AVX-512) rows at a time, and a remainder in another order
  const dim rows = p.m;
  p.m = block;
  if (may_pack) {
    const thread_limit one(1);
    packed_weights(s, p, b);
  }
  simd::parallel_tasks(s.threads, (rows + block - 1) / block, [&](dim i) {
    const thread_limit one(1);
    const dim first = i * block, n = std::min(block, rows - first);
    const auto x = rows_of(a, first, n), r = rows_of(residual, first, n), y = rows_of(c, first, n);
    if (n < block) return run_partial_block(s, p, x, b, bias, r, y, may_pack);
    run_product(s, p, {.a = x.data, .bias = bias, .residual = r.data, .c = y.data}, b, may_pack);
  });
}

/// c += a^T b in blocks of a's columns, each by one thread: which thread does not matter, nor how many there are.
CLIPX_INLINE void run_by_columns_of_a(cpu_state& s, const product& p, cpu_view a, cpu_view b, cpu_view c) {
  constexpr dim block = 48;
  simd::parallel_tasks(s.threads, (p.m + block - 1) / block, [&](dim i) {
    const thread_limit one(1);
    product part = p;
    part.m = std::min(block, p.m - i * block);
    const void* columns = static_cast<const char*>(a.data) + i * block * element_size(p.in_bf16);
    run_product(s, part, {.a = columns, .c = rows_of(c, i * block, part.m).data}, b, false);
  });
}

CLIPX_INLINE void gemm(cpu_state& s, op ta, op tb, float alpha, cpu_view a, cpu_view b, float beta, cpu_view c) {
  if (c.rows == 0 || c.cols == 0) return;
  if (a.is_bf16 && !s.native_bf16) {
    auto& own = s.own();
    const auto fa = s.as_float(a, own.converted_a), fb = s.as_float(b, own.converted_b);
    if (!c.is_bf16) return gemm(s, ta, tb, alpha, fa, fb, beta, c);
    auto fc = floats(own.converted_c, c.rows, c.cols);
    if (beta != 0) cpu_elementwise<bf16>(s.threads).copy(in_view<bf16>(c), fc);
    gemm(s, ta, tb, alpha, fa, fb, beta, fc);
    return s.round(fc, c);
  }
  const bool plain_a = ta == op::none, plain_b = tb == op::none;
  const product p{.m = c.rows,
                  .n = c.cols,
                  .k = plain_a ? a.cols : a.rows,
                  .a_row = plain_a ? a.ld : 1,
                  .a_col = plain_a ? 1 : a.ld,
                  .b_row = plain_b ? b.ld : 1,
                  .b_col = plain_b ? 1 : b.ld,
                  .c_row = c.ld,
                  .in_bf16 = a.is_bf16,
                  .out_bf16 = c.is_bf16,
                  .alpha = alpha,
                  .beta = beta};
  s.guarded([&] {
    if (s.deterministic && plain_a) run_by_rows(s, p, a, b, nullptr, {}, c, false);
    else if (s.deterministic) run_by_columns_of_a(s, p, a, b, c);
    else run_product(s, p, {.a = a.data, .c = c.data}, b, false);
  });
}

/// bf16 on a processor without it: panels of weights are converted when needed, so that weights remain bf16 in memory.
CLIPX_INLINE void linear_by_panels(cpu_state& s, cpu_view x, cpu_view w, cpu_view bias, cpu_view residual, cpu_view y) {
  constexpr dim panel = 512;
  auto& own = s.own();
  const cpu_view fx = s.as_float(x, own.converted_a);
  for (dim first = 0; first < w.rows; first += panel) {
    const dim count = std::min(panel, w.rows - first);
    const auto part = s.as_float(rows_of(w, first, count), own.converted_b);
    const auto sums = floats(own.converted_c, x.rows, count);
    const product p{.m = x.rows,
                    .n = count,
                    .k = w.cols,
                    .a_row = fx.ld,
                    .a_col = 1,
                    .b_row = 1,
                    .b_col = part.ld,
                    .c_row = count,
                    .in_bf16 = false,
                    .out_bf16 = false};
    if (s.deterministic) run_by_rows(s, p, fx, part, nullptr, {}, sums, false);
    else run_product(s, p, {.a = fx.data, .c = sums.data}, part, false);
    const auto columns = [&](cpu_view v) { return v ? in_view<bf16>(v).col_range(first, count) : mat<const bf16>{}; };
    cpu_elementwise<bf16>(s.threads).bias_act(sums, columns(bias), nullptr, columns(residual),
                                              out_view<bf16>(y).col_range(first, count), {});
  }
}

CLIPX_INLINE void linear(cpu_state& s, cpu_view x, cpu_view w, cpu_view bias, cpu_view residual, cpu_view y) {
  if (y.rows == 0) return;
  const product p{.m = x.rows,
                  .n = w.rows,
                  .k = w.cols,
                  .a_row = x.ld,
                  .a_col = 1,
                  .b_row = 1,
                  .b_col = w.ld,
                  .c_row = y.ld,
                  .residual_row = residual ? residual.ld : 0,
                  .in_bf16 = x.is_bf16,
                  .out_bf16 = y.is_bf16,
                  .bias = bias.data != nullptr,
                  .residual = residual.data != nullptr};
  s.guarded([&] {
    if (x.is_bf16 && !s.native_bf16) return linear_by_panels(s, x, w, bias, residual, y);
    const bool frozen = s.frozen_range(w.data) != nullptr;
    if (s.deterministic) run_by_rows(s, p, x, w, bias.data, residual, y, frozen);
    else run_product(s, p, {.a = x.data, .bias = bias.data, .residual = residual.data, .c = y.data}, w, frozen);
  });
}

template <class T>
void cpu_products<T>::linear(mat<const T> x, mat<const T> w, mat<const T> b, const epilogue<T>& after, mat<T> y) {
  const auto& [f, residual, pre] = after;
  const bool overlaps = !pre && residual && residual.data == y.data;
  if (!f && !pre && !overlaps) return detail::linear(device_.state(), x, w, b, residual, y);
  auto& memory = device_.memory();
  const auto mark = memory.here();
  auto u = pre ? pre : overlaps ? memory.template take<T>(y.rows, y.cols) : y;  // (R, out)
  detail::linear(device_.state(), x, w, b, {}, u);
  cpu_elementwise<T> elementwise(device_.threads());
  if (residual || !f) elementwise.bias_act(mat<const T>(u), {}, f ? &*f : nullptr, residual, y, {});
  else elementwise.unary(*f, u, y);
  memory.release(mark);
}

CLIPX_CPU_DEFINED(cpu_products);

}  // namespace clipx::detail
#endif
