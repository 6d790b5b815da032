// Definitions of cuda.hpp: each verb chooses a grid and launches. Included by units/cuda.cu alone.
#pragma once
#include <bit>
#include <clipx/sort.cuh>
#include <cmath>
#include <type_traits>

#include "attention_mma_launch.cuh"
#include "kernels/attention_one.cuh"
#include "kernels/columns.cuh"
#include "kernels/conv.cuh"
#include "kernels/norm.cuh"
#include "kernels/optimizer.cuh"
#include "kernels/scatter.cuh"
#include "launch.cuh"
#include "transfer.cuh"

namespace clipx {
namespace detail {

/// Gives back, at the end of a scope, what a verb took for itself.
struct temporary {
  arena& memory;
  arena::mark mark;
  explicit temporary(arena& m) : memory(m), mark(m.here()) {}
  ~temporary() { memory.release(mark); }
};

template <class A, class C>
void product(cuda_engine& e, op ta, op tb, float alpha, mat<const A> a, mat<const A> b, float beta, mat<C> c,
             const void* bias = nullptr) {
  if (c.size() == 0) return;
  const dim k = ta == op::none ? a.cols : a.rows;
  const bool half = std::is_same_v<A, bf16>, half_c = std::is_same_v<C, bf16>;
  const gpu::product p{ta, tb, c.rows, c.cols, k, alpha, beta, a.data, b.data, c.data, bias, a.ld, b.ld, c.ld, half, half_c};
  auto& s = e.get();
  s.blas->gemm(p, s.stream);
}

template <class E>
void sum_squares(cuda_engine& e, arena& memory, mat<const E> x, mat<float> y) {
  const temporary here(memory);
  const unsigned blocks = std::min(1024u, gpu::blocks_for(x.cols, gpu::row_threads));
  auto partial = memory.take<float>(1, blocks);
  run(e, gpu::squares<E>, dim3(blocks), gpu::row_threads, x.data, x.cols, partial.data);
  each_row(e, 1, gpu::add_total, static_cast<const float*>(partial.data), static_cast<dim>(blocks), y.data);
}
inline gpu::adamw_numbers numbers_of(const adamw_step& s) {
  const auto f = [](double v) { return static_cast<float>(v); };
  const double n = static_cast<double>(s.count);
  gpu::adamw_numbers k;
  k.b1 = f(s.beta1), k.b2 = f(s.beta2), k.rest1 = f(1 - s.beta1), k.rest2 = f(1 - s.beta2);
  k.rate = f(s.lr / (1 - std::pow(s.beta1, n))), k.wide = f(1 / std::sqrt(1 - std::pow(s.beta2, n)));
  k.eps = f(s.eps), k.keep = f(1 - s.lr * s.decay), k.max_norm = f(s.max_norm);
  return k;
}

/// body(columns of a head that a block of attention has, whether the head may have more): integral constants. In bf16 only heads
/// that are too wide for tensor cores come here.
template <class T, class F>
void for_head_width(dim d, F&& body) {
  if constexpr (std::is_same_v<T, bf16>) body(std::integral_constant<int, 128>(), std::true_type());
  else if (d <= 32) body(std::integral_constant<int, 32>(), std::false_type());
  else if (d <= 64) body(std::integral_constant<int, 64>(), std::false_type());
  else if (d <= 96) body(std::integral_constant<int, 96>(), std::false_type());
  else if (d <= 128) body(std::integral_constant<int, 128>(), std::false_type());
  else body(std::integral_constant<int, 128>(), std::true_type());
}
/// A head's rows as kernels take them.
template <class T>
gpu::head_rows<T> head_rows(mat<const T> x, const row_ranges& r, dim d) {
  return {x, r.first, gpu::wide<16 / sizeof(T)>(d, x.col_range(0, d))};
}
/// Attention's grid: rows of the longest sequence, `rows` a block, and the columns of a head, `width` a block.
struct attention_grid {
  dim blocks_each;
  dim3 grid;
  attention_grid(const row_ranges& r, int rows, dim heads, dim d, int width)
      : blocks_each((r.longest + rows - 1) / rows),
        grid(static_cast<unsigned>(r.count * blocks_each), static_cast<unsigned>(heads), gpu::blocks_for(d, width)) {}
};
}  // namespace detail

template <class T>
typename cuda<T>::recording cuda<T>::record(function_ref<void()> body) {
  recording r{engine_.make_arena(), nullptr};
  struct exchange {  // body finds the recording's memory, also where it throws
    arena &a, &b;
    exchange(arena& x, arena& y) : a(x), b(y) { std::swap(a, b); }
    ~exchange() { std::swap(a, b); }
  };
  {
    const exchange memory(memory_, r.memory);
    body();  // makes plans, sizes the memory
    r.graph = engine_.record(body);
    const auto left = memory_.here();
    expect(left.block == 0 && left.used == 0, "cuda: what a recording takes from memory() it must give back");
  }
  return r;
}

template <class T>
void cuda<T>::upload(in_f x, out y) {
  detail::to_device(engine_, x, y);
}
template <class T>
void cuda<T>::upload(in_w x, out_w y) {
  if constexpr (!wide) detail::to_device(engine_, x, y);
}
template <class T>
void cuda<T>::upload(mat<const double> x, out y) {
  detail::to_device(engine_, x, y);
}
template <class T>
void cuda<T>::upload(mat<const double> x, out_w y) {
  if constexpr (!wide) detail::to_device(engine_, x, y);
}
template <class T>
void cuda<T>::upload(ids x, mat<std::int32_t> y) {
  detail::to_device(engine_, x, y);
}
template <class T>
void cuda<T>::upload(mat<const std::uint8_t> x, mat<std::uint8_t> y) {
  detail::to_device(engine_, x, y);
}
template <class T>
void cuda<T>::download(in x, out_f y) {
  if constexpr (wide) detail::to_host<float>(engine_, x, y);
  else detail::download_converted(engine_, x, y);
}
template <class T>
void cuda<T>::download(in_w x, out_w y) {
  if constexpr (!wide) detail::to_host<float>(engine_, x, y);
}
template <class T>
void cuda<T>::download(in x, mat<double> y) {
  detail::download_converted(engine_, x, y);
}
template <class T>
void cuda<T>::download(in_w x, mat<double> y) {
  if constexpr (!wide) detail::download_converted(engine_, x, y);
}

template <class T>
void cuda<T>::copy(in x, out y) {
  detail::each_pack(
      engine_, y.rows, y.cols, [](auto n) { return gpu::convert<n(), T, T>; }, x, y);
}
template <class T>
void cuda<T>::copy(in x, out_w y) {
  if constexpr (!wide)
    detail::each_pack(
        engine_, y.rows, y.cols, [](auto n) { return gpu::convert<n(), T, float>; }, x, y);
}
template <class T>
void cuda<T>::copy(in_w x, out y) {
  if constexpr (!wide)
    detail::each_pack(
        engine_, y.rows, y.cols, [](auto n) { return gpu::convert<n(), float, T>; }, x, y);
}
template <class T>
void cuda<T>::copy(in_w x, out_w y) {
  if constexpr (!wide)
    detail::each_pack(
        engine_, y.rows, y.cols, [](auto n) { return gpu::convert<n(), float, float>; }, x, y);
}
template <class T>
void cuda<T>::fill(out y, T v) {
  detail::each_pack(
      engine_, y.rows, y.cols, [](auto n) { return gpu::fill<n(), T>; }, y, v);
}
template <class T>
void cuda<T>::fill(out_w y, float v) {
  if constexpr (!wide)
    detail::each_pack(
        engine_, y.rows, y.cols, [](auto n) { return gpu::fill<n(), float>; }, y, v);
}
template <class T>
void cuda<T>::pixels(mat<const std::uint8_t> rgb, std::array<float, 3> mean, std::array<float, 3> std, out y) {
  detail::run(engine_, gpu::pixels<T>, dim3(gpu::blocks_for(y.rows, 256)), 256, rgb, make_float3(mean[0], mean[1], mean[2]),
              make_float3(std[0], std[1], std[2]), y);
}

template <class T>
void cuda<T>::gemm(op ta, op tb, float alpha, in a, in b, float beta, out c) {
  detail::product(engine_, ta, tb, alpha, a, b, beta, c);
}
template <class T>
void cuda<T>::gemm(op ta, op tb, float alpha, in a, in b, float beta, out_w c) {
  if constexpr (!wide) detail::product(engine_, ta, tb, alpha, a, b, beta, c);
}
template <class T>
void cuda<T>::gemm(op ta, op tb, float alpha, in_w a, in_w b, float beta, out_w c) {
  if constexpr (!wide) detail::product(engine_, ta, tb, alpha, a, b, beta, c);
}

template <class T>
void cuda<T>::add(float alpha, in x, float beta, out y) {
  detail::each_pack(
      engine_, y.rows, y.cols, [](auto n) { return gpu::add<n(), T>; }, alpha, x, beta, y);
}
template <class T>
void cuda<T>::add(float alpha, in_w x, float beta, out_w y) {
  if constexpr (!wide)
    detail::each_pack(
        engine_, y.rows, y.cols, [](auto n) { return gpu::add<n(), float>; }, alpha, x, beta, y);
}
template <class T>
void cuda<T>::add_rows(in x, out y) {
  detail::each_pack(
      engine_, y.rows, y.cols, [](auto n) { return gpu::add_rows<n(), T>; }, x, y);
}
template <class T>
void cuda<T>::sum_rows(in x, out y) {
  if (y.size() == 0) return;
  const detail::temporary here(memory_);
  const auto go = [&](auto n) {
    const gpu::strips cut((x.rows + y.rows - 1) / y.rows, x.cols / n(), gpu::summed);
    auto partial = memory_.template take<float>(cut.chunks * y.rows, y.cols);
    detail::run(engine_, gpu::sum_rows_partial<n(), T>, cut.grid(y.rows), cut.block, x, y.rows, cut.taps, partial);
    detail::each_column(engine_, y.rows, y.cols, gpu::sum_rows_total<T>, in_f(partial), cut.chunks, y);
  };
  detail::by_width(x.cols, go, x);
}
template <class T>
void cuda<T>::gather_rows(in x, ids rows, out y) {
  detail::each_pack(
      engine_, y.rows, y.cols, [](auto n) { return gpu::gather_rows<n(), T>; }, x, rows, y);
}
template <class T>
void cuda<T>::scatter_add_rows(in x, ids rows, out y) {
  const dim count = rows.cols, spans = (count + gpu::span - 1) / gpu::span;
  if (count == 0) return;
  const detail::temporary here(memory_);
  auto order = memory_.template take<std::int32_t>(2, count), places = memory_.template take<std::int32_t>(1, count);
  auto partial = memory_.template take<float>(2 * spans, y.cols);
  const gpu::sorting sort{count, std::max(1, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(y.rows - 1))))};
  auto own = memory_.template take<std::byte>(1, static_cast<dim>(sort.memory()));
  detail::each_pack(
      engine_, 1, count, [](auto n) { return gpu::count_up<n()>; }, places);
  sort.run(own.data, static_cast<std::size_t>(own.cols), rows.data, places.data, order.row(1), order.row(0), engine_.get().stream);
  const mat<const std::int32_t> sorted = order;
  detail::each_pack(
      engine_, spans, y.cols, [](auto n) { return gpu::scatter_spans<n(), T>; }, x, sorted, y, partial);
  const auto down = static_cast<unsigned>(std::min<dim>(spans, 32768));
  detail::run(engine_, gpu::scatter_runs<T>, dim3(gpu::blocks_for(y.cols, 32), down, gpu::blocks_for(spans, down)),
              dim3(32, gpu::groups), sorted, in_f(partial), y);
}
template <class T>
void cuda<T>::unary(activation f, in x, out y) {
  detail::each_pack(
      engine_, y.rows, y.cols, [](auto n) { return gpu::unary<n(), T>; }, f, x, y);
}
template <class T>
void cuda<T>::unary_backward(activation f, in x, in dy, out dx) {
  detail::each_pack(
      engine_, dx.rows, dx.cols, [](auto n) { return gpu::unary_backward<n(), T>; }, f, x, dy, dx);
}
template <class T>
void cuda<T>::clamp(out_f x, double low, double high) {
  detail::each_pack(
      engine_, x.rows, x.cols, [](auto n) { return gpu::clamp<n()>; }, x, static_cast<float>(low), static_cast<float>(high));
}

template <class T>
void cuda<T>::layernorm(in x, in_f w, in_f b, double eps, out y, out_f stats) {
  add_layernorm(x, {}, w, b, eps, {}, y, stats);
}
template <class T>
void cuda<T>::add_layernorm(in x, in branch, in_f w, in_f b, double eps, out sum, out y, out_f stats) {
  const auto kernel_of = [](auto n, auto once) { return gpu::layernorm<n(), once(), T>; };
  detail::each_wide_row(engine_, x.rows, x.cols, kernel_of, x, branch, sum, w, b, static_cast<float>(eps), y, stats);
}
template <class T>
void cuda<T>::layernorm_backward(in x, in_f w, in_f stats, in dy, out dx, out_f dw, out_f db) {
  add_layernorm_backward(x, w, stats, dy, {}, dx, dw, db);
}
template <class T>
void cuda<T>::add_layernorm_backward(in x, in_f w, in_f stats, in dy, in residual, out dx, out_f dw, out_f db) {
  if (x.rows == 0) return;
  const detail::temporary here(memory_);
  const dim taps = std::max<dim>(4, (x.rows + 1023) / 1024), chunks = (x.rows + taps - 1) / taps;
  auto partial = memory_.template take<float>(2 * chunks, x.cols);
  const auto kernel_of = [](auto n, auto once) { return gpu::layernorm_backward<n(), once(), T>; };
  detail::each_wide_row(engine_, chunks, x.cols, kernel_of, x, w, stats, dy, residual, taps, chunks, dx, partial);
  detail::each_column(engine_, 1, x.cols, gpu::add_partials, in_f(partial), chunks, out_f{}, dw, db);
}
template <class T>
void cuda<T>::column_stats(in x, out_f stats) {
  const detail::temporary here(memory_);
  const auto go = [&](auto n) {
    const gpu::strips cut(x.rows, x.cols / n(), gpu::summed);
    auto partial = memory_.template take<float>(cut.chunks, x.cols);
    for (dim pass = 0; pass < 2; ++pass) {
      const float* mean = pass ? stats.row(0) : nullptr;
      detail::run(engine_, gpu::column_partial<n(), T>, cut.grid(), cut.block, x, mean, cut.taps, partial);
      detail::each_column(engine_, 1, x.cols, gpu::column_mean, in_f(partial), cut.chunks, x.rows, stats.row(pass));
    }
  };
  detail::by_width(x.cols, go, x, stats);
}
template <class T>
void cuda<T>::batchnorm(in x, in_f stats, in_f w, in_f b, double eps, out y) {
  batchnorm_relu(x, stats, w, b, eps, {}, false, y);
}
template <class T>
void cuda<T>::batchnorm_relu(in x, in_f stats, in_f w, in_f b, double eps, in residual, bool relu, out y) {
  const auto go = [&](auto n) {
    const gpu::strips cut(x.rows, x.cols / n(), gpu::written);
    detail::run(engine_, gpu::batchnorm<n(), T>, cut.grid(), cut.block, x, stats, w, b, static_cast<float>(eps), residual, relu,
                cut.taps, y);
  };
  detail::by_width(x.cols, go, x, stats, w, b, residual, y);
}
template <class T>
void cuda<T>::batchnorm_backward(in x, in_f stats, in_f w, double eps, bool training, in dy, out dx, out_f dw, out_f db) {
  batchnorm_relu_backward(x, stats, w, eps, training, {}, dy, {}, dx, dw, db);
}
template <class T>
void cuda<T>::batchnorm_relu_backward(in x, in_f stats, in_f w, double eps, bool training, in y, in dy, out dz, out dx, out_f dw,
                                      out_f db) {
  const detail::temporary here(memory_);
  const auto e = static_cast<float>(eps);
  const auto go = [&](auto n) {
    const gpu::strips sums_of(x.rows, x.cols / n(), gpu::summed), cut(x.rows, x.cols / n(), gpu::written);
    auto partial = memory_.template take<float>(2 * sums_of.chunks, x.cols), sums = memory_.template take<float>(2, x.cols);
    detail::run(engine_, gpu::batchnorm_columns<n(), T>, sums_of.grid(), sums_of.block, x, stats, e, y, dy, dz, sums_of.taps,
                sums_of.chunks, partial);
    detail::each_column(engine_, 1, x.cols, gpu::add_partials, in_f(partial), sums_of.chunks, sums, dw, db);
    detail::run(engine_, gpu::batchnorm_backward<n(), T>, cut.grid(), cut.block, x, stats, w, e, training ? in_f(sums) : in_f{},
                dz ? in(dz) : dy, cut.taps, dx);
  };
  detail::by_width(x.cols, go, x, stats, w, y, dy, dz, dx);
}
template <class T>
void cuda<T>::normalize(in x, out_f y, out_f norms) {
  detail::each_row(engine_, x.rows, gpu::normalize<T>, x, y, norms);
}
template <class T>
void cuda<T>::normalize_backward(in_f y, in_f norms, in_f dy, out dx) {
  detail::each_row(engine_, y.rows, gpu::normalize_backward<T>, y, norms, dy, dx);
}

template <class T>
void cuda<T>::softmax(out_f x, bool causal) {
  detail::each_row(engine_, x.rows, gpu::softmax, x, causal);
}
template <class T>
void cuda<T>::softmax_backward(in_f p, out_f dp) {
  detail::each_row(engine_, p.rows, gpu::softmax_backward, p, dp);
}
template <class T>
void cuda<T>::im2col(in x, const window& w, out cols) {
  const auto kernel_of = [](auto n) { return gpu::im2col<n(), T>; };
  detail::each_pack(engine_, cols.rows, cols.cols, kernel_of, x, gpu::frame(w), cols);
}
template <class T>
void cuda<T>::col2im(in cols, const window& w, out x) {
  const dim3 block = gpu::pack_block(x.rows, x.cols);
  detail::run(engine_, gpu::col2im<T>, gpu::pack_grid(x.rows, x.cols, block), block, cols, gpu::frame(w), x);
}
template <class T>
void cuda<T>::avgpool(in x, const window& w, out y) {
  detail::each_pack(
      engine_, y.rows, y.cols, [](auto n) { return gpu::avgpool<n(), T>; }, x, gpu::pooling(w), y);
}
template <class T>
void cuda<T>::avgpool_backward(in dy, const window& w, out dx) {
  detail::each_pack(
      engine_, dx.rows, dx.cols, [](auto n) { return gpu::avgpool_backward<n(), T>; }, dy, gpu::pooling(w), dx);
}
template <class T>
void cuda<T>::xent_tile(in_f cosines, in_f log_scale, dim shift, out_f rows, out_f cols, out_f own) {
  detail::each_row(engine_, cosines.rows, gpu::xent_rows, cosines, log_scale.data, shift, rows, own);
  detail::run(engine_, gpu::xent_columns, dim3(gpu::blocks_for(cosines.cols, 32)), 32 * gpu::column_warps, cosines, log_scale.data,
              cols);
}
template <class T>
void cuda<T>::xent_loss(in_f log_scale, out_f rows, out_f cols, in_f own, out_f loss) {
  detail::each_row(engine_, 1, gpu::xent_loss, log_scale.data, rows, cols, own, loss.data);
}
template <class T>
void cuda<T>::xent_tile_backward(in_f cosines, in_f log_scale, in_f rows, in_f cols, dim shift, dim N, out_f dcosines,
                                 out_f dlog_scale) {
  const detail::temporary here(memory_);
  auto share = memory_.template take<float>(1, cosines.rows);
  detail::each_row(engine_, cosines.rows, gpu::xent_backward, cosines, log_scale.data, rows, cols, shift, static_cast<float>(N),
                   dcosines, share.data);
  detail::each_row(engine_, 1, gpu::add_total, static_cast<const float*>(share.data), cosines.rows, dlog_scale.data);
}
template <class T>
void cuda<T>::sigmoid_xent_tile(in_f cosines, in_f log_scale, in_f bias, dim shift, dim N, out_f loss, out_f dcosines,
                                out_f dlog_scale, out_f dbias) {
  const detail::temporary here(memory_);
  auto shares = memory_.template take<float>(3, cosines.rows);
  detail::each_row(engine_, cosines.rows, gpu::sigmoid_xent, cosines, log_scale.data, bias.data, shift, static_cast<float>(N),
                   dcosines, shares);
  for (dim what = 0; auto* to : {loss.data, dlog_scale.data, dbias.data}) {
    if (to) detail::each_row(engine_, 1, gpu::add_total, static_cast<const float*>(shares.row(what)), cosines.rows, to);
    ++what;
  }
}

template <class T>
void cuda<T>::sum_squares(in x, out_f y) {
  detail::sum_squares(engine_, memory_, x, y);
}
template <class T>
void cuda<T>::sum_squares(in_w x, out_w y) {
  if constexpr (!wide) detail::sum_squares(engine_, memory_, x, y);
}
template <class T>
void cuda<T>::adamw(const adamw_step& s, in_f squares, in grad, out_f p, out_f m, out_f v, out copy) {
  detail::run(engine_, gpu::adamw<T>, dim3(gpu::blocks_for(p.cols, gpu::row_threads)), gpu::row_threads, detail::numbers_of(s),
              squares.data, grad.data, p.cols, p.data, m.data, v.data, copy.data);
}
template <class T>
void cuda<T>::adamw(const adamw_step& s, in_f squares, in_f grad, out_f p, out_f m, out_f v) {
  detail::run(engine_, gpu::adamw<float>, dim3(gpu::blocks_for(p.cols, gpu::row_threads)), gpu::row_threads, detail::numbers_of(s),
              squares.data, grad.data, p.cols, p.data, m.data, v.data, static_cast<float*>(nullptr));
}

template <class T>
void cuda<T>::linear(in x, in w, in b, const activation* f, in residual, out pre, out y) {
  if (y.size() == 0) return;
  const bool alone = !f && !residual && !pre;
  const detail::temporary here(memory_);
  auto u = pre ? pre : residual && residual.data == y.data ? memory_.template take<T>(y.rows, y.cols) : y;  // (R, out)
  detail::product(engine_, op::none, op::transpose, 1.0f, x, w, 0.0f, u, b.data);
  if (!alone)
    detail::each_pack(
        engine_, y.rows, y.cols, [](auto n) { return gpu::act_add<n(), T>; }, in(u), f != nullptr, f ? *f : activation::relu,
        residual, y);
}
template <class T>
void cuda<T>::attention(in q, in k, in v, const row_ranges& queries, const row_ranges& keys, dim heads, bool causal, out y,
                        out_f lse) {
  const dim d = q.cols / heads;
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d)));
  const auto rows_of = [&](in x, const row_ranges& r) { return detail::head_rows(x, r, d); };
  const auto hq = rows_of(q, queries), hk = rows_of(k, keys), hv = rows_of(v, keys);
  if (const auto bytes = gpu::one_bytes(keys.longest, d, false); queries.longest == 1 && !causal && bytes <= gpu::one_most_bytes) {
    const auto go = [&](auto n) {
      gpu::launch(gpu::attention_one<n(), T>, static_cast<unsigned>(queries.count * heads), gpu::one_threads, bytes,
                  engine_.get().stream, hq, hk, hv, heads, d, scale, y, lse);
    };
    return detail::by_width(d, go, k.col_range(0, d), v.col_range(0, d));
  }
  if constexpr (std::is_same_v<T, bf16>)
    if (d <= detail::widest_mma) return detail::attention_by_mma(engine_, hq, hk, hv, queries, keys, d, causal, y, lse);
  detail::for_head_width<T>(d, [&](auto width, auto sliced) {
    constexpr int rows = gpu::forward_rows;
    const detail::attention_grid g(queries, rows, heads, d, width());
    gpu::launch(gpu::attention<T, rows, width(), sliced()>, g.grid, 2 * rows, sizeof(gpu::panels<rows, width(), 1>),
                engine_.get().stream, hq, hk, hv, g.blocks_each, d, scale, causal, y, lse);
  });
}
template <class T>
void cuda<T>::attention_backward(in q, in k, in v, const row_ranges& queries, const row_ranges& keys, dim heads, bool causal,
                                 in /*y*/, in_f lse, in dy, out dq, out dk, out dv) {
  const dim d = q.cols / heads;
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d)));
  const auto rows_of = [&](in x, const row_ranges& r) { return detail::head_rows(x, r, d); };
  const auto hq = rows_of(q, queries), hk = rows_of(k, keys), hv = rows_of(v, keys), hdy = rows_of(dy, queries);
  if (const auto bytes = gpu::one_bytes(keys.longest, d, true); queries.longest == 1 && !causal && bytes <= gpu::one_most_bytes) {
    const auto go = [&](auto n) {
      gpu::launch(gpu::attention_one_backward<n(), T>, static_cast<unsigned>(queries.count * heads), gpu::one_threads, bytes,
                  engine_.get().stream, hq, hk, hv, hdy, heads, d, scale, lse, dq, dk, dv);
    };
    return detail::by_width(d, go, k.col_range(0, d), v.col_range(0, d), dk.col_range(0, d), dv.col_range(0, d));
  }
  const detail::temporary here(memory_);
  auto delta = memory_.template take<float>(q.rows, heads);
  if constexpr (std::is_same_v<T, bf16>)
    if (d <= detail::widest_mma)
      return detail::attention_backward_by_mma(engine_, hq, hk, hv, hdy, queries, keys, d, causal, lse, delta, dq, dk, dv);
  detail::for_head_width<T>(d, [&](auto width, auto sliced) {
    constexpr int rows = gpu::backward_rows(width());
    constexpr auto bytes = sizeof(gpu::panels<rows, width(), 2>);
    const detail::attention_grid of_queries(queries, rows, heads, d, width()), of_keys(keys, rows, heads, d, width());
    gpu::launch(gpu::attention_dq<T, rows, width(), sliced()>, of_queries.grid, 2 * rows, bytes, engine_.get().stream, hq, hk, hv,
                hdy, of_queries.blocks_each, d, scale, causal, lse, delta, dq);
    gpu::launch(gpu::attention_dkv<T, rows, width(), sliced()>, of_keys.grid, 2 * rows, bytes, engine_.get().stream, hq, hk, hv,
                hdy, of_keys.blocks_each, d, scale, causal, lse, in_f(delta), dk, dv);
  });
}

}  // namespace clipx
