// Copies between host and device, and on the device.
#pragma once
#include "engine.hpp"

namespace clipx::detail {

template <class T>
class cuda_transfer : cuda_family {
 public:
  using cuda_family::cuda_family;

  void upload(mat<const float> x, mat<T> y);
  void upload(mat<const double> x, mat<T> y);
  template <wider_float<T> A>
  void upload(mat<const float> x, mat<A> y);
  template <wider_float<T> A>
  void upload(mat<const double> x, mat<A> y);
  void upload(mat<const std::int32_t> x, mat<std::int32_t> y);
  void upload(mat<const std::uint8_t> x, mat<std::uint8_t> y);
  void download(mat<const T> x, mat<float> y);
  void download(mat<const T> x, mat<double> y);
  template <wider_float<T> A = float>
  void download(mat<const std::type_identity_t<A>> x, mat<float> y);
  template <wider_float<T> A = float>
  void download(mat<const std::type_identity_t<A>> x, mat<double> y);
  void copy(mat<const T> x, mat<T> y);
  template <wider_float<T> A>
  void copy(mat<const T> x, mat<A> y);
  template <wider_float<T> A = float>
  void copy(mat<const std::type_identity_t<A>> x, mat<T> y);
  template <wider_float<T> A>
  void copy(mat<const std::type_identity_t<A>> x, mat<A> y);
  void fill(mat<T> y, T v);
  template <wider_float<T> A>
  void fill(mat<A> y, std::type_identity_t<A> v);
};

}  // namespace clipx::detail

#ifdef CLIPX_CUDA_DEFINITIONS
#include <algorithm>
#include <cstring>
#include <vector>

#include "launch.cuh"

namespace clipx::gpu {

/// y = x, from any storage type to any other.
template <int N, class X, class Y>
__global__ void convert(mat<const X> x, mat<Y> y) {
  const auto [r, c] = here<N>();
  if (r >= y.rows || c >= y.cols) return;
  if constexpr (std::is_same_v<X, Y>) store(y.row(r) + c, packed<N>(x.row(r) + c));
  else store(y.row(r) + c, load<N>(x.row(r) + c));
}
template <int N, class T>
__global__ void fill(mat<T> y, T v) {
  const auto [r, c] = here<N>();
  if (r >= y.rows || c >= y.cols) return;
  pack<T, N> all;
#pragma unroll
  for (int i = 0; i < N; ++i) all.at[i] = v;
  store(y.row(r) + c, all);
}

}  // namespace clipx::gpu

namespace clipx::detail {

/// Contiguous rows are treated as one row.
template <class E, class F>
void for_lines(mat<E> x, bool no_gaps, F&& body) {
  if (no_gaps) body(dim{1}, x.size());
  else body(x.rows, x.cols);
}
/// Host rows to device rows, converted on the host if the types differ, a few MiB at a time.
template <class From, class To>
void to_device(cuda_engine& e, mat<const From> x, mat<To> y) {
  constexpr dim piece = (dim{16} << 20) / static_cast<dim>(sizeof(To));  // values
  if (x.size() == 0) return;
  e.get().expect_thawed(y.data, byte_extent(y));
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

/// Device rows to host rows of any type, converted on the host; waits.
template <class E, class To>
void to_host_as(cuda_engine& e, mat<const E> x, mat<To> y) {
  if constexpr (std::is_same_v<E, To>) to_host(e, x, y);
  else download_converted(e, x, y);
}
/// y = x on the device.
template <class X, class Y>
void convert(cuda_engine& e, mat<const X> x, mat<Y> y) {
  each_pack(
      e, y.rows, y.cols, [](auto n) { return gpu::convert<n(), X, Y>; }, x, y);
}
template <class E>
void fill_with(cuda_engine& e, mat<E> y, E v) {
  each_pack(
      e, y.rows, y.cols, [](auto n) { return gpu::fill<n(), E>; }, y, v);
}

template <class T>
void cuda_transfer<T>::upload(mat<const float> x, mat<T> y) {
  to_device(engine_, x, y);
}
template <class T>
void cuda_transfer<T>::upload(mat<const double> x, mat<T> y) {
  to_device(engine_, x, y);
}
template <class T>
template <wider_float<T> A>
void cuda_transfer<T>::upload(mat<const float> x, mat<A> y) {
  to_device(engine_, x, y);
}
template <class T>
template <wider_float<T> A>
void cuda_transfer<T>::upload(mat<const double> x, mat<A> y) {
  to_device(engine_, x, y);
}
template <class T>
void cuda_transfer<T>::upload(mat<const std::int32_t> x, mat<std::int32_t> y) {
  to_device(engine_, x, y);
}
template <class T>
void cuda_transfer<T>::upload(mat<const std::uint8_t> x, mat<std::uint8_t> y) {
  to_device(engine_, x, y);
}
template <class T>
void cuda_transfer<T>::download(mat<const T> x, mat<float> y) {
  to_host_as(engine_, x, y);
}
template <class T>
void cuda_transfer<T>::download(mat<const T> x, mat<double> y) {
  to_host_as(engine_, x, y);
}
template <class T>
template <wider_float<T> A>
void cuda_transfer<T>::download(mat<const std::type_identity_t<A>> x, mat<float> y) {
  to_host_as(engine_, x, y);
}
template <class T>
template <wider_float<T> A>
void cuda_transfer<T>::download(mat<const std::type_identity_t<A>> x, mat<double> y) {
  to_host_as(engine_, x, y);
}
template <class T>
void cuda_transfer<T>::copy(mat<const T> x, mat<T> y) {
  convert(engine_, x, y);
}
template <class T>
template <wider_float<T> A>
void cuda_transfer<T>::copy(mat<const T> x, mat<A> y) {
  convert(engine_, x, y);
}
template <class T>
template <wider_float<T> A>
void cuda_transfer<T>::copy(mat<const std::type_identity_t<A>> x, mat<T> y) {
  convert(engine_, x, y);
}
template <class T>
template <wider_float<T> A>
void cuda_transfer<T>::copy(mat<const std::type_identity_t<A>> x, mat<A> y) {
  convert(engine_, x, y);
}
template <class T>
void cuda_transfer<T>::fill(mat<T> y, T v) {
  fill_with(engine_, y, v);
}
template <class T>
template <wider_float<T> A>
void cuda_transfer<T>::fill(mat<A> y, std::type_identity_t<A> v) {
  fill_with(engine_, y, v);
}

template void cuda_transfer<bf16>::upload(mat<const float>, mat<float>);
template void cuda_transfer<bf16>::upload(mat<const double>, mat<float>);
template void cuda_transfer<bf16>::download<float>(mat<const float>, mat<float>);
template void cuda_transfer<bf16>::download<float>(mat<const float>, mat<double>);
template void cuda_transfer<bf16>::copy(mat<const bf16>, mat<float>);
template void cuda_transfer<bf16>::copy<float>(mat<const float>, mat<bf16>);
template void cuda_transfer<bf16>::copy(mat<const float>, mat<float>);
template void cuda_transfer<bf16>::fill(mat<float>, float);

template class cuda_transfer<float>;
template class cuda_transfer<bf16>;

}  // namespace clipx::detail
#endif
