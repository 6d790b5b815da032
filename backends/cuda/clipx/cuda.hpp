// cuda<T>: NVIDIA GPUs, T = float or bf16 storage, sums in float. Matrix products by cuBLASLt, everything else by our own kernels.
// This header names nothing of CUDA: g++ compiles models for it, and nvcc compiles the definitions, once, in units/.
#pragma once
#include <clipx/core/backend.hpp>
#include <clipx/core/bf16.hpp>
#include <clipx/core/function_ref.hpp>
#include <memory>
#include <string>
#include <type_traits>

namespace clipx {

struct cuda_options {
  int device = 0;         // which GPU, as the driver counts
  bool tf32 = false;      // float products in TF32 (10 bits of mantissa): faster, and no longer within the float bars
  bool autotune = false;  // time cuBLASLt's best heuristics once for each shape
};

namespace detail {
/// A device, its stream, its pool of memory and its cuBLASLt handle. Errors say what was called and where.
class cuda_engine {
 public:
  explicit cuda_engine(const cuda_options& o);
  ~cuda_engine();
  cuda_engine(const cuda_engine&) = delete;
  struct state;
  state& get() const;  // with its device chosen for the calling thread
  std::string describe() const;
  void sync();
  /// Zeroed device memory, in stream order.
  void* allocate(dim bytes);
  static void release(void* p);
  void poison(std::byte* p, dim bytes);
  arena make_arena();
  /// What body calls goes into a CUDA graph and is not run.
  std::shared_ptr<void> record(function_ref<void()> body);
  void replay(void* graph);

 private:
  std::unique_ptr<state> state_;
};
}  // namespace detail

/// Why no GPU can be used here, in one sentence; empty where one can.
std::string cuda_missing();

template <class T>
class cuda {
 public:
  using scalar = T;
  using accum = float;
  struct fast : nothing_fast {
    static constexpr bool linear = true, attention = true, add_layernorm = true, batchnorm_relu = true, replay = true;
  };

  explicit cuda(const cuda_options& o = {}) : engine_(o), memory_(engine_.make_arena()) {}
  cuda(cuda&&) = delete;

  /// What is in use: the GPU, its memory, the versions of driver, runtime and cuBLASLt.
  std::string describe() const { return engine_.describe(); }
  arena& memory() { return memory_; }
  void sync() { engine_.sync(); }
  template <class E>
  buffer<E> alloc(dim n) {
    return {static_cast<E*>(engine_.allocate(n * static_cast<dim>(sizeof(E)))), n, &engine::release};
  }

  using in = mat<const T>;
  using out = mat<T>;
  using in_f = mat<const float>;
  using out_f = mat<float>;
  static constexpr bool wide = std::is_same_v<T, float>;  // T and A are one type: the overloads for A take what nobody has
  struct nothing {};
  using in_w = mat<const std::conditional_t<wide, nothing, float>>;
  using out_w = mat<std::conditional_t<wide, nothing, float>>;
  using ids = mat<const std::int32_t>;

  void upload(in_f x, out y);
  void upload(in_w x, out_w y);
  void upload(mat<const double> x, out y);
  void upload(mat<const double> x, out_w y);
  void upload(ids x, mat<std::int32_t> y);
  void upload(mat<const std::uint8_t> x, mat<std::uint8_t> y);
  void download(in x, out_f y);
  void download(in_w x, out_w y);
  void download(in x, mat<double> y);
  void download(in_w x, mat<double> y);
  void copy(in x, out y);
  void copy(in x, out_w y);
  void copy(in_w x, out y);
  void copy(in_w x, out_w y);
  void fill(out y, T v);
  void fill(out_w y, float v);
  void pixels(mat<const std::uint8_t> rgb, std::array<float, 3> mean, std::array<float, 3> std, out y);

  void gemm(op ta, op tb, float alpha, in a, in b, float beta, out c);
  void gemm(op ta, op tb, float alpha, in a, in b, float beta, out_w c);
  void gemm(op ta, op tb, float alpha, in_w a, in_w b, float beta, out_w c);
  void add(float alpha, in x, float beta, out y);
  void add(float alpha, in_w x, float beta, out_w y);
  void add_rows(in x, out y);
  void sum_rows(in x, out y);
  void gather_rows(in x, ids rows, out y);
  void scatter_add_rows(in x, ids rows, out y);
  void unary(activation f, in x, out y);
  void unary_backward(activation f, in x, in dy, out dx);
  void clamp(out_f x, double low, double high);

  void layernorm(in x, in_f w, in_f b, double eps, out y, out_f stats);
  void layernorm_backward(in x, in_f w, in_f stats, in dy, out dx, out_f dw, out_f db);
  void column_stats(in x, out_f stats);
  void batchnorm(in x, in_f stats, in_f w, in_f b, double eps, out y);
  void batchnorm_backward(in x, in_f stats, in_f w, double eps, bool training, in dy, out dx, out_f dw, out_f db);
  void normalize(in x, out_f y, out_f norms);
  void normalize_backward(in_f y, in_f norms, in_f dy, out dx);

  void softmax(out_f x, bool causal);
  void softmax_backward(in_f p, out_f dp);
  void im2col(in x, const window& w, out cols);
  void col2im(in cols, const window& w, out x);
  void avgpool(in x, const window& w, out y);
  void avgpool_backward(in dy, const window& w, out dx);
  void xent_tile(in_f cosines, in_f log_scale, dim shift, out_f rows, out_f cols, out_f own);
  void xent_loss(in_f log_scale, out_f rows, out_f cols, in_f own, out_f loss);
  void xent_tile_backward(in_f cosines, in_f log_scale, in_f rows, in_f cols, dim shift, dim N, out_f dcosines, out_f dlog_scale);
  void sigmoid_xent_tile(in_f cosines, in_f log_scale, in_f bias, dim shift, dim N, out_f loss, out_f dcosines, out_f dlog_scale,
                         out_f dbias);
  void sum_squares(in x, out_f y);
  void sum_squares(in_w x, out_w y);
  void adamw(const adamw_step& s, in_f squares, in grad, out_f p, out_f m, out_f v, out copy);
  void adamw(const adamw_step& s, in_f squares, in_f grad, out_f p, out_f m, out_f v);

  // The fast paths.

  /// y = f(x W^T + b) + residual, one pass after the product; pre receives x W^T + b.
  void linear(in x, in w, in b, const activation* f, in residual, out pre, out y);
  void attention(in q, in k, in v, const row_ranges& queries, const row_ranges& keys, dim heads, bool causal, out y, out_f lse);
  void attention_backward(in q, in k, in v, const row_ranges& queries, const row_ranges& keys, dim heads, bool causal, in y,
                          in_f lse, in dy, out dq, out dk, out dv);
  void add_layernorm(in x, in branch, in_f w, in_f b, double eps, out sum, out y, out_f stats);
  /// dx of the LayerNorm + residual, which may be dx or dy itself.
  void add_layernorm_backward(in x, in_f w, in_f stats, in dy, in residual, out dx, out_f dw, out_f db);
  /// y = relu?(BatchNorm(x) + residual?).
  void batchnorm_relu(in x, in_f stats, in_f w, in_f b, double eps, in residual, bool relu, out y);
  /// dx through a ReLU that gave y; dz, the gradient before it, is written too, and may be dy or dx.
  void batchnorm_relu_backward(in x, in_f stats, in_f w, double eps, bool training, in y, in dy, out dz, out dx, out_f dw,
                               out_f db);

  /// A sequence of verbs as a CUDA graph, and the memory that it works in. It must not outlive the device.
  struct recording {
    arena memory;
    std::shared_ptr<void> graph;
  };
  recording record(function_ref<void()> body);
  void replay(const recording& r) { engine_.replay(r.graph.get()); }

 private:
  using engine = detail::cuda_engine;
  engine engine_;
  arena memory_;
};

extern template class cuda<float>;
extern template class cuda<bf16>;

}  // namespace clipx
