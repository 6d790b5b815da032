// Definitions of cpu.hpp.
#pragma once
#include <omp.h>
#include <sys/mman.h>

#include <bit>
#include <clipx/core/error.hpp>
#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "cpu.hpp"
#include "onednn-inl.hpp"
#include "simd.hpp"

namespace clipx {
namespace detail {

/// OpenMP's number of threads for the calls inside; oneDNN reads it when plans are made and when they run.
struct thread_limit {
  int before;
  explicit thread_limit(int n) : before(omp_get_max_threads()) { omp_set_num_threads(n); }
  ~thread_limit() { omp_set_num_threads(before); }
};

inline mat<float> floats(std::vector<float>& v, dim rows, dim cols) {
  if (v.size() < static_cast<std::size_t>(rows * cols)) v.resize(static_cast<std::size_t>(rows * cols));
  return {v.data(), rows, cols};
}
template <class T>
mat<const T> in_view(const cpu_view& v) {
  return {static_cast<const T*>(v.data), v.rows, v.cols, v.ld};
}
template <class T>
mat<T> out_view(const cpu_view& v) {
  return {static_cast<T*>(const_cast<void*>(v.data)), v.rows, v.cols, v.ld};
}
inline cpu_view rows_of(cpu_view v, dim first, dim n) {
  v.data = static_cast<const char*>(v.data) + first * v.ld * (v.half ? 2 : 4);
  v.rows = n;
  return v;
}

/// Uninitialised memory; large pieces in huge pages where the system grants them: weights are read from end to end in every
/// product, and with small pages a good part of that time goes into address translation.
inline buffer<std::byte> pages(dim bytes) {
  constexpr std::size_t huge = std::size_t{2} << 20;
  const auto n = static_cast<std::size_t>(std::max<dim>(bytes, 1));
  void* p = nullptr;
  expect(::posix_memalign(&p, n >= huge ? huge : 256, n) == 0, [&] { return cat("cpu: out of memory for ", bytes, " bytes"); });
  if (n >= huge) ::madvise(p, n / huge * huge, MADV_HUGEPAGE);  // advice: refused, it changes nothing
  return {static_cast<std::byte*>(p), bytes, std::free};
}

struct cpu_engine::state {
  using md = onednn::md;
  using key = std::array<std::int64_t, 16>;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  int threads = 1;
  bool deterministic = false, native = onednn::native_bf16();

  /// Its scratchpad is ours: oneDNN's own is the thread's that made the plan, and any thread may run it.
  struct plan {
    dnnl::primitive run;
    md weights, scratch;
  };
  using arguments = std::unordered_map<int, dnnl::memory>;
  void execute(const plan& p, arguments& args) {
    if (const auto bytes = p.scratch.get_size())
      args.emplace(DNNL_ARG_SCRATCHPAD, at(p.scratch, simd::scratch(static_cast<dim>((bytes + 3) / 4))));
    p.run.execute(stream, args);
    stream.wait();
  }
  std::map<key, plan> plans;
  std::mutex guard;  // of `plans` and `packed`, for the blocks of the deterministic mode

  struct range {
    std::size_t bytes;
    std::shared_ptr<on_packed> packed;
  };
  std::map<const char*, range> frozen;
  struct pack {
    md form;
    buffer<std::byte> memory;
    dnnl::memory weights;
    std::vector<float> bias;  // of a folded BatchNorm
  };
  std::map<std::array<std::int64_t, 4>, pack> packs;  // address, rows, columns, variant

  std::vector<float> wide_a, wide_b, wide_c, wide_w;  // bf16 operands on a processor without bf16

  // Convolutions that train, in conv_training-inl.hpp.
  enum class pass { forward, data, weights };
  struct conv_sizes;
  plan conv_plan(pass p, const conv_sizes& c, dim pictures);
  void conv_pass(pass p, const conv_sizes& c, cpu_view from, cpu_view weight, cpu_view to);
  mat<const float> conv_weights(const conv_sizes& c, cpu_view x, cpu_view dy);
  std::vector<float> packed_weight, part_sums, plain_sum;

  static md matrix(dim rows, dim cols, dim row_step, dim col_step, bool half) {
    return md({rows, cols}, half ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32,
              dnnl::memory::dims{row_step, col_step});
  }
  dnnl::memory at(const md& form, const void* data) const { return dnnl::memory(form, engine, const_cast<void*>(data)); }

  const range* frozen_range(const void* data) const {
    auto i = frozen.upper_bound(static_cast<const char*>(data));
    if (i == frozen.begin()) return nullptr;
    --i;
    return static_cast<const char*>(data) < i->first + i->second.bytes ? &i->second : nullptr;
  }

  /// A product's plan. `form` null: the weights lie as b says; else they are packed: an empty form lets oneDNN choose.
  struct product {
    dim m, n, k;
    dim a0, a1, b0, b1, ldc, ldr;
    bool half, half_c, bias, residual;
    float alpha, beta;
  };
  plan plan_of(const product& p, const md* form, int variant) {
    const key id{p.m,
                 p.n,
                 p.k,
                 p.a0,
                 p.a1,
                 p.b0,
                 p.b1,
                 p.ldc,
                 p.ldr,
                 (p.half ? 1 : 0) + (p.half_c ? 2 : 0) + (p.bias ? 4 : 0) + (p.residual ? 8 : 0),
                 std::bit_cast<std::int32_t>(p.alpha),
                 std::bit_cast<std::int32_t>(p.beta),
                 form ? 1 + variant : 0,
                 omp_get_max_threads()};
    const std::lock_guard lock(guard);
    if (const auto found = plans.find(id); found != plans.end()) return found->second;
    if (plans.size() >= 4096) plans.clear();  // texts come in many lengths
    dnnl::post_ops ops;
    if (p.alpha != 1) onednn::append(ops, dnnl::algorithm::eltwise_linear, p.alpha, 0);
    if (p.beta != 0) ops.append_sum(p.beta);
    if (p.residual) ops.append_binary(dnnl::algorithm::binary_add, matrix(p.m, p.n, p.ldr, 1, p.half_c));
    dnnl::primitive_attr attr;
    attr.set_post_ops(ops);
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const auto element = p.half ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
    const md weights = !form              ? matrix(p.k, p.n, p.b0, p.b1, p.half)
                       : form->get_size() ? *form
                                          : md({p.k, p.n}, element, dnnl::memory::format_tag::any);
    const md bias = p.bias ? matrix(1, p.n, p.n, 1, p.half) : md();
    const auto pd =
        onednn::matmul(engine, matrix(p.m, p.k, p.a0, p.a1, p.half), weights, bias, matrix(p.m, p.n, p.ldc, 1, p.half_c), attr);
    if (!pd) return {};
    return plans.emplace(id, plan{dnnl::matmul(pd), pd.weights_desc(), pd.scratchpad_desc()}).first->second;
  }

  void run(const plan& p, const product& s, const void* a, const dnnl::memory& b, const void* bias, const void* residual,
           const void* c) {
    arguments args{{DNNL_ARG_SRC, at(matrix(s.m, s.k, s.a0, s.a1, s.half), a)},
                   {DNNL_ARG_WEIGHTS, b},
                   {DNNL_ARG_DST, at(matrix(s.m, s.n, s.ldc, 1, s.half_c), c)}};
    if (s.bias) args.emplace(DNNL_ARG_BIAS, at(matrix(1, s.n, s.n, 1, s.half), bias));
    const int place = (s.alpha != 1) + (s.beta != 0);
    if (s.residual)
      args.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(place) | DNNL_ARG_SRC_1, at(matrix(s.m, s.n, s.ldr, 1, s.half_c), residual));
    execute(p, args);
  }

  /// Weights (n, k) of a frozen range in oneDNN's own form, or null where it would not change the order (AVX2 before oneDNN 3).
  const pack* packed(const product& p, cpu_view w) {
    const std::array<std::int64_t, 4> id{reinterpret_cast<std::intptr_t>(w.data), w.rows, w.cols, 0};
    if (const auto found = packs.find(id); found != packs.end()) return found->second.form.get_size() ? &found->second : nullptr;
    const md any;
    const auto first = plan_of(p, &any, 0);
    pack made;
    const auto element = p.half ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
    const bool plain = !first.run || first.weights == md({p.k, p.n}, element, dnnl::memory::format_tag::ab) ||
                       first.weights == md({p.k, p.n}, element, dnnl::memory::format_tag::ba);
    if (!plain) {
      made.form = first.weights;
      made.memory = pages(static_cast<dim>(made.form.get_size()));
      made.weights = at(made.form, made.memory.data());
      auto from = at(matrix(p.k, p.n, 1, w.ld, p.half), w.data);
      dnnl::reorder(from, made.weights).execute(stream, from, made.weights);
      stream.wait();
      if (const auto* r = frozen_range(w.data); r && r->packed && *r->packed)
        (*r->packed)(w.data, static_cast<std::size_t>(w.rows * w.ld * (w.half ? 2 : 4)));
    }
    const auto& kept = packs.emplace(id, std::move(made)).first->second;
    return kept.form.get_size() ? &kept : nullptr;
  }

  /// One product by one call to oneDNN.
  void whole(const product& p, const void* a, cpu_view b, const void* bias, const void* residual, const void* c, bool may_pack) {
    const pack* w = may_pack ? packed(p, b) : nullptr;
    plan chosen = plan_of(p, w ? &w->form : nullptr, 1);
    if (!chosen.run && w) w = nullptr, chosen = plan_of(p, nullptr, 1);
    expect(static_cast<bool>(chosen.run), [&] { return cat("oneDNN has no product for ", p.m, " x ", p.k, " x ", p.n); });
    run(chosen, p, a, w ? w->weights : at(matrix(p.k, p.n, p.b0, p.b1, p.half), b.data), bias, residual, c);
  }

  /// The same in blocks of rows, each by one thread: a row's sums do not depend on the rows beside it or on the threads.
  void by_rows(product p, cpu_view a, cpu_view b, const void* bias, cpu_view residual, cpu_view c, bool may_pack) {
    constexpr dim block = 48;  // kernels take 6 (AVX2) or 8 (AVX-512) rows at once, and a remainder in another order
    const dim rows = p.m, size_a = p.half ? 2 : 4, size_c = p.half_c ? 2 : 4;
    p.m = block;
    if (may_pack) {
      const thread_limit one(1);
      packed(p, b);
    }
    simd::each(threads, (rows + block - 1) / block, [&](dim i) {
      const thread_limit one(1);
      const dim first = i * block, n = std::min(block, rows - first);
      const auto part = [&](const cpu_view& v) { return v ? rows_of(v, first, n) : v; };
      if (n == block) return whole(p, part(a).data, b, bias, part(residual).data, part(c).data, may_pack);
      std::vector<char> x(static_cast<std::size_t>(block * p.k * size_a)), y(static_cast<std::size_t>(block * p.n * size_c)),
          r(residual ? y.size() : 0);
      product tail = p;
      tail.a0 = p.k, tail.a1 = 1, tail.ldc = p.n, tail.ldr = residual ? p.n : 0;
      const auto bytes = [](const cpu_view& v, dim row) {
        return static_cast<const char*>(v.data) + row * v.ld * (v.half ? 2 : 4);
      };
      for (dim k = 0; k < n; ++k) {
        std::memcpy(x.data() + k * p.k * size_a, bytes(part(a), k), static_cast<std::size_t>(p.k * size_a));
        if (residual) std::memcpy(r.data() + k * p.n * size_c, bytes(part(residual), k), static_cast<std::size_t>(p.n * size_c));
        if (p.beta != 0) std::memcpy(y.data() + k * p.n * size_c, bytes(part(c), k), static_cast<std::size_t>(p.n * size_c));
      }
      whole(tail, x.data(), b, bias, r.data(), y.data(), may_pack);
      for (dim k = 0; k < n; ++k)
        std::memcpy(const_cast<char*>(bytes(part(c), k)), y.data() + k * p.n * size_c, static_cast<std::size_t>(p.n * size_c));
    });
  }

  mat<const float> widened(cpu_view v, std::vector<float>& memory) {
    if (!v.half) return in_view<float>(v);
    auto out = floats(memory, v.rows, v.cols);
    kernels<bf16>::widen(threads, in_view<bf16>(v), out);
    return out;
  }

  template <class Body>
  void guarded(Body&& body) {
    try {
      const thread_limit limit(threads);
      body();
    } catch (const dnnl::error& e) {
      if (e.status == dnnl_out_of_memory) throw std::bad_alloc();
      fail(cat("oneDNN: ", e.what()));
    }
  }
};

CLIPX_INLINE cpu_engine::cpu_engine(const cpu_options& o) : state_((onednn::limit_isa(), std::make_unique<state>())) {
  state_->threads = o.threads > 0 ? o.threads : omp_get_max_threads();
  state_->deterministic = o.deterministic;
}
CLIPX_INLINE cpu_engine::~cpu_engine() = default;
CLIPX_INLINE int cpu_engine::threads() const { return state_->threads; }

CLIPX_INLINE std::string cpu_engine::describe() const {
  const auto* v = dnnl_version();
  return cat("oneDNN ", v->major, ".", v->minor, ".", v->patch, " with ", onednn::name_of(dnnl::get_effective_cpu_isa()),
             "; kernels for ", float_kernels::instruction_set(), "; bf16 ", state_->native ? "native" : "widened to float", "; ",
             state_->threads, state_->threads == 1 ? " thread" : " threads", state_->deterministic ? ", deterministic" : "",
             simd::most_isa() == simd::isa::any ? "" : "; limited by CLIPX_MAX_ISA");
}

CLIPX_INLINE void cpu_engine::freeze(const void* data, std::size_t bytes, on_packed packed) {
  state_->frozen[static_cast<const char*>(data)] = {bytes, packed ? std::make_shared<on_packed>(std::move(packed)) : nullptr};
}
CLIPX_INLINE void cpu_engine::thaw(const void* data) {
  const auto found = state_->frozen.find(static_cast<const char*>(data));
  if (found == state_->frozen.end()) return;
  const auto low = reinterpret_cast<std::intptr_t>(data), high = low + static_cast<std::intptr_t>(found->second.bytes);
  std::erase_if(state_->packs, [&](auto& p) { return p.first[0] >= low && p.first[0] < high; });
  state_->frozen.erase(found);
}

CLIPX_INLINE void cpu_engine::gemm(op ta, op tb, float alpha, cpu_view a, cpu_view b, float beta, cpu_view c) {
  if (c.rows == 0 || c.cols == 0) return;
  auto& s = *state_;
  const dim k = ta == op::none ? a.cols : a.rows;
  if (a.half && !s.native) {
    const auto wa = s.widened(a, s.wide_a), wb = s.widened(b, s.wide_b);
    if (!c.half) return gemm(ta, tb, alpha, wa, wb, beta, c);
    auto wc = floats(s.wide_c, c.rows, c.cols);
    if (beta != 0) kernels<bf16>::widen(s.threads, in_view<bf16>(c), wc);
    gemm(ta, tb, alpha, wa, wb, beta, wc);
    kernels<bf16>::narrow(s.threads, mat<const float>(wc), out_view<bf16>(c));
    return;
  }
  state::product p{c.rows,
                   c.cols,
                   k,
                   ta == op::none ? a.ld : 1,
                   ta == op::none ? 1 : a.ld,
                   tb == op::none ? b.ld : 1,
                   tb == op::none ? 1 : b.ld,
                   c.ld,
                   0,
                   a.half,
                   c.half,
                   false,
                   false,
                   alpha,
                   beta};
  s.guarded([&] {
    if (s.deterministic && ta == op::none) s.by_rows(p, a, b, nullptr, {}, c, false);
    else s.whole(p, a.data, b, nullptr, nullptr, c.data, false);
  });
}

CLIPX_INLINE void cpu_engine::linear(cpu_view x, cpu_view w, cpu_view bias, cpu_view residual, cpu_view y) {
  if (y.rows == 0) return;
  auto& s = *state_;
  state::product p{x.rows,
                   w.rows,
                   w.cols,
                   x.ld,
                   1,
                   1,
                   w.ld,
                   y.ld,
                   residual ? residual.ld : 0,
                   x.half,
                   y.half,
                   bias.data != nullptr,
                   residual.data != nullptr,
                   1,
                   0};
  s.guarded([&] {
    if (x.half && !s.native) {  // panels of weights are widened on the fly: they stay bf16 in memory
      constexpr dim panel = 512;
      const cpu_view wx = s.widened(x, s.wide_a);
      for (dim n = 0; n < w.rows; n += panel) {
        const dim count = std::min(panel, w.rows - n);
        const auto part = s.widened(rows_of(w, n, count), s.wide_b);
        const auto sums = floats(s.wide_c, x.rows, count);
        const state::product f{x.rows, count, w.cols, wx.ld, 1, 1, part.ld, count, 0, false, false, false, false, 1, 0};
        if (s.deterministic) s.by_rows(f, wx, part, nullptr, {}, sums, false);
        else s.whole(f, wx.data, part, nullptr, nullptr, sums.data, false);
        const auto columns = [&](cpu_view v) { return v ? in_view<bf16>(v).col_range(n, count) : mat<const bf16>{}; };
        kernels<bf16>::bias_act<float>(s.threads, mat<const float>(sums), columns(bias), nullptr, columns(residual),
                                       out_view<bf16>(y).col_range(n, count), {});
      }
      return;
    }
    const bool frozen = s.frozen_range(w.data) != nullptr;
    if (s.deterministic) s.by_rows(p, x, w, bias.data, residual, y, frozen);
    else s.whole(p, x.data, w, bias.data, residual.data, y.data, frozen);
  });
}
}  // namespace detail

template <class T>
cpu<T>::cpu(const cpu_options& o)
    : engine_(o),
      n_(engine_.threads()),
      memory_(
          this, [](void*, dim n) { return zeroed(n); },
          [](void*, std::byte* p, dim n) { std::memset(p, 0xff, static_cast<std::size_t>(n)); }) {}

template <class T>
buffer<std::byte> cpu<T>::zeroed(dim bytes) {
  auto p = detail::pages(bytes);
  std::memset(p.data(), 0, static_cast<std::size_t>(bytes));
  return p;
}

}  // namespace clipx

#include "conv-inl.hpp"
#include "conv_training-inl.hpp"
