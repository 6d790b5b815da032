// Definitions of cuda.hpp: each verb chooses a grid and launches. Included by units/cuda.cu alone.
#pragma once
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "kernels/attention.cuh"
#include "kernels/conv.cuh"
#include "kernels/norm.cuh"
#include "kernels/optimizer.cuh"
#include "state.cuh"

namespace clipx {
namespace detail {

template <class... P, class... A>
void run(cuda_engine& e, void (*kernel)(P...), dim3 grid, unsigned block, A&&... arguments) {
  gpu::launch(kernel, grid, dim3(block), 0, e.get().stream, std::forward<A>(arguments)...);
}
/// A thread an element of rows x cols.
template <class... P, class... A>
void each_element(cuda_engine& e, dim rows, dim cols, void (*kernel)(P...), A&&... arguments) {
  run(e, kernel, gpu::elements(rows, cols), gpu::line, std::forward<A>(arguments)...);
}
/// A block a row.
template <class... P, class... A>
void each_row(cuda_engine& e, dim rows, void (*kernel)(P...), A&&... arguments) {
  run(e, kernel, dim3(static_cast<unsigned>(rows)), gpu::row_threads, std::forward<A>(arguments)...);
}

/// Gives back, at the end of a scope, what a verb took for itself.
struct temporary {
  arena& memory;
  arena::mark mark;
  explicit temporary(arena& m) : memory(m), mark(m.here()) {}
  ~temporary() { memory.release(mark); }
};

/// Rows are summed in chunks of `taps`, each by one thread, and the chunks in their order: enough of them to fill a device.
struct chunks {
  dim taps, count;
  explicit chunks(dim rows) : taps(std::max<dim>(16, (rows + 255) / 256)), count(std::max<dim>(1, (rows + taps - 1) / taps)) {}
};

/// Rows without gaps are one row.
template <class E, class F>
void for_lines(mat<E> x, bool no_gaps, F&& body) {
  if (no_gaps) body(dim{1}, x.size());
  else body(x.rows, x.cols);
}
/// Host rows to device rows, converted on the host where the types differ, a few MiB at a time.
template <class From, class To>
void to_device(cuda_engine& e, mat<const From> x, mat<To> y) {
  constexpr dim piece = (dim{16} << 20) / static_cast<dim>(sizeof(To));  // values
  if (x.size() == 0) return;
  for_lines(x, x.ld == x.cols && y.ld == y.cols, [&](dim rows, dim cols) {
    const dim width = std::min(cols, piece), height = std::min(rows, piece / width);
    for (dim r = 0; r < rows; r += height)
      for (dim c = 0; c < cols; c += width) {
        const dim n = std::min(width, cols - c), lines = std::min(height, rows - r);
        const auto row_bytes = static_cast<std::size_t>(n) * sizeof(To), step = static_cast<std::size_t>(y.ld) * sizeof(To);
        e.get().upload(y.row(r) + c, step, row_bytes, static_cast<std::size_t>(lines), [&](char* pinned) {
          for (dim i = r; i < r + lines; ++i, pinned += row_bytes)
            if constexpr (std::is_same_v<From, To>) std::memcpy(pinned, x.row(i) + c, row_bytes);
            else
              std::transform(x.row(i) + c, x.row(i) + c + n, reinterpret_cast<To*>(pinned),
                             [](From v) { return static_cast<To>(v); });
        });
      }
  });
}
/// Device rows to host rows of the same type; waits.
template <class E>
void to_host(cuda_engine& e, mat<const E> x, mat<E> y) {
  if (x.size() == 0) return;
  auto& s = e.get();
  for_lines(x, x.ld == x.cols && y.ld == y.cols, [&](dim rows, dim cols) {
    const auto bytes = [](dim n) { return static_cast<std::size_t>(n) * sizeof(E); };
    const auto code = rows == 1 ? cudaMemcpyAsync(y.data, x.data, bytes(cols), cudaMemcpyDeviceToHost, s.stream)
                                : cudaMemcpy2DAsync(y.data, bytes(y.ld), x.data, bytes(x.ld), bytes(cols),
                                                    static_cast<std::size_t>(rows), cudaMemcpyDeviceToHost, s.stream);
    gpu::check(code, "copying from the device");
  });
  e.sync();
}
template <class E, class To>
void download_converted(cuda_engine& e, mat<const E> x, mat<To> y) {
  std::vector<E> values(static_cast<std::size_t>(x.size()));
  to_host(e, x, mat<E>(values.data(), x.rows, x.cols));
  for (dim r = 0; r < x.rows; ++r)
    for (dim c = 0; c < x.cols; ++c) y.row(r)[c] = static_cast<To>(values[static_cast<std::size_t>(r * x.cols + c)]);
}

template <class A, class C>
void product(cuda_engine& e, op ta, op tb, float alpha, mat<const A> a, mat<const A> b, float beta, mat<C> c,
             const void* bias = nullptr) {
  if (c.size() == 0) return;
  const dim k = ta == op::none ? a.cols : a.rows;
  const bool half = std::is_same_v<A, bf16>, half_c = std::is_same_v<C, bf16>;
  const gpu::product p{ta, tb, c.rows, c.cols, k, alpha, beta, a.data, b.data, c.data, bias, a.ld, b.ld, c.ld, half, half_c};
  e.get().blas->gemm(p, e.get().stream);
}

template <class E>
void sum_squares(cuda_engine& e, arena& memory, mat<const E> x, mat<float> y) {
  const temporary here(memory);
  const unsigned blocks = std::min(1024u, gpu::blocks_for(x.cols, gpu::line));
  auto partial = memory.take<float>(1, blocks);
  run(e, gpu::squares<E>, dim3(blocks), gpu::line, x.data, x.cols, partial.data);
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

/// body(integral constant: output columns a thread) and the number of parts that the head's columns are cut into.
template <class F>
void for_head_width(dim d, F&& body) {
  const auto parts = [&](dim columns) { return static_cast<unsigned>((d + columns - 1) / columns); };
  if (d <= 32) body(std::integral_constant<int, 8>(), 1u);
  else if (d <= 64) body(std::integral_constant<int, 16>(), 1u);
  else if (d <= 96) body(std::integral_constant<int, 24>(), 1u);
  else body(std::integral_constant<int, 32>(), parts(128));
}
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
  detail::each_element(engine_, y.rows, y.cols, gpu::convert<T, T>, x, y);
}
template <class T>
void cuda<T>::copy(in x, out_w y) {
  if constexpr (!wide) detail::each_element(engine_, y.rows, y.cols, gpu::convert<T, float>, x, y);
}
template <class T>
void cuda<T>::copy(in_w x, out y) {
  if constexpr (!wide) detail::each_element(engine_, y.rows, y.cols, gpu::convert<float, T>, x, y);
}
template <class T>
void cuda<T>::copy(in_w x, out_w y) {
  if constexpr (!wide) detail::each_element(engine_, y.rows, y.cols, gpu::convert<float, float>, x, y);
}
template <class T>
void cuda<T>::fill(out y, T v) {
  detail::each_element(engine_, y.rows, y.cols, gpu::fill<T>, y, v);
}
template <class T>
void cuda<T>::fill(out_w y, float v) {
  if constexpr (!wide) detail::each_element(engine_, y.rows, y.cols, gpu::fill<float>, y, v);
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
  detail::each_element(engine_, y.rows, y.cols, gpu::add<T>, alpha, x, beta, y);
}
template <class T>
void cuda<T>::add(float alpha, in_w x, float beta, out_w y) {
  if constexpr (!wide) detail::each_element(engine_, y.rows, y.cols, gpu::add<float>, alpha, x, beta, y);
}
template <class T>
void cuda<T>::add_rows(in x, out y) {
  detail::each_element(engine_, y.rows, y.cols, gpu::add_rows<T>, x, y);
}
template <class T>
void cuda<T>::sum_rows(in x, out y) {
  if (y.size() == 0) return;
  const detail::temporary here(memory_);
  const detail::chunks parts((x.rows + y.rows - 1) / y.rows);
  auto partial = memory_.template take<float>(parts.count * y.rows, y.cols);
  detail::run(engine_, gpu::sum_rows_partial<T>,
              dim3(gpu::blocks_for(y.cols, gpu::line), static_cast<unsigned>(y.rows), static_cast<unsigned>(parts.count)),
              gpu::line, x, y.rows, parts.taps, partial);
  detail::each_element(engine_, y.rows, y.cols, gpu::sum_rows_total<T>, in_f(partial), parts.count, y);
}
template <class T>
void cuda<T>::gather_rows(in x, ids rows, out y) {
  detail::each_element(engine_, rows.cols, y.cols, gpu::gather_rows<T>, x, rows, y);
}
template <class T>
void cuda<T>::scatter_add_rows(in x, ids rows, out y) {
  if (rows.cols == 0) return;
  const detail::temporary here(memory_);
  auto order = memory_.template take<std::int32_t>(2, rows.cols);  // places and ids, by id
  detail::run(engine_, gpu::sort_ids, dim3(gpu::blocks_for(rows.cols, 256)), 256, rows, order);
  const auto grid = gpu::elements(rows.cols, y.cols);
  detail::run(engine_, gpu::scatter_add_sorted<T>, grid, gpu::line, x, static_cast<const std::int32_t*>(order.row(0)),
              static_cast<const std::int32_t*>(order.row(1)), rows.cols, y);
}
template <class T>
void cuda<T>::unary(activation f, in x, out y) {
  detail::each_element(engine_, y.rows, y.cols, gpu::unary<T>, f, x, y);
}
template <class T>
void cuda<T>::unary_backward(activation f, in x, in dy, out dx) {
  detail::each_element(engine_, dx.rows, dx.cols, gpu::unary_backward<T>, f, x, dy, dx);
}
template <class T>
void cuda<T>::clamp(out_f x, double low, double high) {
  detail::each_element(engine_, x.rows, x.cols, gpu::clamp, x, static_cast<float>(low), static_cast<float>(high));
}

template <class T>
void cuda<T>::layernorm(in x, in_f w, in_f b, double eps, out y, out_f stats) {
  detail::each_row(engine_, x.rows, gpu::layernorm<T>, x, in{}, out{}, w, b, static_cast<float>(eps), y, stats);
}
template <class T>
void cuda<T>::add_layernorm(in x, in branch, in_f w, in_f b, double eps, out sum, out y, out_f stats) {
  detail::each_row(engine_, x.rows, gpu::layernorm<T>, x, branch, sum, w, b, static_cast<float>(eps), y, stats);
}
template <class T>
void cuda<T>::layernorm_backward(in x, in_f w, in_f stats, in dy, out dx, out_f dw, out_f db) {
  const detail::temporary here(memory_);
  const detail::chunks parts(x.rows);
  auto partial = memory_.template take<float>(2 * parts.count, x.cols);
  const unsigned across = gpu::blocks_for(x.cols, gpu::line);
  detail::run(engine_, gpu::layernorm_columns<T>, dim3(across, static_cast<unsigned>(parts.count)), gpu::line, x, stats, dy,
              parts.taps, parts.count, partial);
  detail::run(engine_, gpu::add_partials, dim3(across), gpu::line, in_f(partial), parts.count, dw, db);
  detail::each_row(engine_, x.rows, gpu::layernorm_backward<T>, x, w, stats, dy, dx);
}
template <class T>
void cuda<T>::column_stats(in x, out_f stats) {
  const detail::temporary here(memory_);
  const detail::chunks parts(x.rows);
  auto partial = memory_.template take<float>(parts.count, x.cols);
  const unsigned across = gpu::blocks_for(x.cols, gpu::line);
  for (dim pass = 0; pass < 2; ++pass) {
    detail::run(engine_, gpu::column_partial<T>, dim3(across, static_cast<unsigned>(parts.count)), gpu::line, x,
                static_cast<const float*>(pass ? stats.row(0) : nullptr), parts.taps, partial);
    detail::run(engine_, gpu::column_mean, dim3(across), gpu::line, in_f(partial), parts.count, x.rows, stats.row(pass));
  }
}
template <class T>
void cuda<T>::batchnorm(in x, in_f stats, in_f w, in_f b, double eps, out y) {
  detail::each_element(engine_, y.rows, y.cols, gpu::batchnorm<T>, x, stats, w, b, static_cast<float>(eps), y);
}
template <class T>
void cuda<T>::batchnorm_backward(in x, in_f stats, in_f w, double eps, bool training, in dy, out dx, out_f dw, out_f db) {
  const detail::temporary here(memory_);
  const detail::chunks parts(x.rows);
  auto partial = memory_.template take<float>(2 * parts.count, x.cols), sums = memory_.template take<float>(2, x.cols);
  const unsigned across = gpu::blocks_for(x.cols, gpu::line);
  detail::run(engine_, gpu::batchnorm_columns<T>, dim3(across, static_cast<unsigned>(parts.count)), gpu::line, x, stats,
              static_cast<float>(eps), dy, parts.taps, parts.count, partial);
  detail::each_element(engine_, 2, x.cols, gpu::fill<float>, sums, 0.0f);
  detail::run(engine_, gpu::add_partials, dim3(across), gpu::line, in_f(partial), parts.count, sums.row_range(0, 1),
              sums.row_range(1, 1));
  detail::each_element(engine_, dx.rows, dx.cols, gpu::batchnorm_backward<T>, x, stats, w, static_cast<float>(eps),
                       training ? in_f(sums) : in_f{}, dy, dx);
  detail::each_element(engine_, 1, x.cols, gpu::add<float>, 1.0f, in_f(sums.row_range(0, 1)), 1.0f, dw);
  detail::each_element(engine_, 1, x.cols, gpu::add<float>, 1.0f, in_f(sums.row_range(1, 1)), 1.0f, db);
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
  detail::each_element(engine_, cols.rows, cols.cols, gpu::im2col<T>, x, w, cols);
}
template <class T>
void cuda<T>::col2im(in cols, const window& w, out x) {
  detail::each_element(engine_, x.rows, x.cols, gpu::col2im<T>, cols, w, x);
}
template <class T>
void cuda<T>::avgpool(in x, const window& w, out y) {
  detail::each_element(engine_, y.rows, y.cols, gpu::avgpool<T>, x, w, gpu::pooling(w), y);
}
template <class T>
void cuda<T>::avgpool_backward(in dy, const window& w, out dx) {
  detail::each_element(engine_, dx.rows, dx.cols, gpu::avgpool_backward<T>, dy, w, gpu::pooling(w), dx);
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
  detail::run(engine_, gpu::adamw<T>, dim3(gpu::blocks_for(p.cols, gpu::line)), gpu::line, detail::numbers_of(s), squares.data,
              grad.data, p.cols, p.data, m.data, v.data, copy.data);
}
template <class T>
void cuda<T>::adamw(const adamw_step& s, in_f squares, in_f grad, out_f p, out_f m, out_f v) {
  detail::run(engine_, gpu::adamw<float>, dim3(gpu::blocks_for(p.cols, gpu::line)), gpu::line, detail::numbers_of(s), squares.data,
              grad.data, p.cols, p.data, m.data, v.data, static_cast<float*>(nullptr));
}

template <class T>
void cuda<T>::linear(in x, in w, in b, const activation* f, in residual, out pre, out y) {
  if (y.size() == 0) return;
  const bool alone = !f && !residual && !pre;
  const detail::temporary here(memory_);
  auto u = pre ? pre : residual && residual.data == y.data ? memory_.template take<T>(y.rows, y.cols) : y;  // (R, out)
  detail::product(engine_, op::none, op::transpose, 1.0f, x, w, 0.0f, u, b.data);
  if (!alone)
    detail::each_element(engine_, y.rows, y.cols, gpu::act_add<T>, in(u), f != nullptr, f ? *f : activation::relu, residual, y);
}
template <class T>
void cuda<T>::attention(in q, in k, in v, const row_ranges& queries, const row_ranges& keys, dim heads, bool causal, out y,
                        out_f lse) {
  const dim d = q.cols / heads, tiles = (queries.longest + gpu::tile - 1) / gpu::tile;
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d)));
  const gpu::head_rows<T> hq{q, queries.first}, hk{k, keys.first}, hv{v, keys.first};
  detail::for_head_width(d, [&](auto columns, unsigned parts) {
    detail::run(engine_, gpu::attention<T, columns()>,
                dim3(static_cast<unsigned>(queries.count * tiles), static_cast<unsigned>(heads), parts), gpu::attention_threads, hq,
                hk, hv, tiles, d, scale, causal, y, lse);
  });
}
template <class T>
void cuda<T>::attention_backward(in q, in k, in v, const row_ranges& queries, const row_ranges& keys, dim heads, bool causal,
                                 in /*y*/, in_f lse, in dy, out dq, out dk, out dv) {
  const dim d = q.cols / heads, of_queries = (queries.longest + gpu::tile - 1) / gpu::tile,
            of_keys = (keys.longest + gpu::tile - 1) / gpu::tile;
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d)));
  const gpu::head_rows<T> hq{q, queries.first}, hk{k, keys.first}, hv{v, keys.first}, hdy{dy, queries.first};
  const detail::temporary here(memory_);
  auto delta = memory_.template take<float>(q.rows, heads);
  detail::run(engine_, gpu::attention_delta<T>,
              dim3(static_cast<unsigned>(queries.count * of_queries), static_cast<unsigned>(heads)), gpu::attention_threads, hq, hk,
              hv, hdy, of_queries, d, scale, causal, lse, delta);
  detail::for_head_width(d, [&](auto columns, unsigned parts) {
    const auto grid = [&](dim count, dim tiles) {
      return dim3(static_cast<unsigned>(count * tiles), static_cast<unsigned>(heads), parts);
    };
    detail::run(engine_, gpu::attention_dq<T, columns()>, grid(queries.count, of_queries), gpu::attention_threads, hq, hk, hv, hdy,
                of_queries, d, scale, causal, lse, in_f(delta), dq);
    detail::run(engine_, gpu::attention_dkv<T, columns()>, grid(keys.count, of_keys), gpu::attention_threads, hq, hk, hv, hdy,
                of_keys, d, scale, causal, lse, in_f(delta), dk, dv);
  });
}

}  // namespace clipx
