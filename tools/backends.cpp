#include "backends.hpp"

#include <algorithm>
#include <clipx/core/error.hpp>
#include <clipx/train/any_trainer.hpp>

#ifndef CLIPX_HAS_EIGEN
#define CLIPX_HAS_EIGEN 0
#endif
#ifndef CLIPX_HAS_CPU
#define CLIPX_HAS_CPU 0
#endif
#ifndef CLIPX_HAS_CUDA
#define CLIPX_HAS_CUDA 0
#endif

namespace cli {

backend_calls eigen_backend(), cpu_backend(), cuda_backend();

namespace {
/// What calls() gives where the backend is built; elsewhere there is no such function, and nothing refers to it.
template <bool Built, backend_calls (*Calls)()>
backend_calls built() {
  if constexpr (Built) return Calls();
  else return {};
}
}  // namespace

std::span<const backend_entry> backends() {
  static const std::vector<backend_entry> list{
      {"eigen", {"f64", "f32"}, "the reference; slow", false, built<CLIPX_HAS_EIGEN, eigen_backend>()},
      {"cpu", {"f32", "bf16"}, "", false, built<CLIPX_HAS_CPU, cpu_backend>()},
      {"cuda", {"f32", "bf16"}, "", true, built<CLIPX_HAS_CUDA, cuda_backend>()},
  };
  return list;
}

namespace {
const backend_entry* find(const std::string& name) {
  for (auto& b : backends())
    if (b.name == name) return &b;
  return nullptr;
}

std::vector<std::string> names(bool (*which)(const backend_entry&)) {
  std::vector<std::string> out;
  for (auto& b : backends())
    if (which(b)) out.push_back(b.name);
  return out;
}

/// "a, b or c"
std::string one_of(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) out += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
  return out;
}

/// The entry of a backend that can be used here.
const backend_entry& usable(const engine_options& o) {
  const auto wrong = engine_usage(o);
  clipx::expect(wrong.empty(), wrong);
  const auto missing = backend_missing(o.backend);
  clipx::expect(missing.empty(), clipx::error_kind::device, [&] { return clipx::cat("--backend ", o.backend, ": ", missing); });
  return *find(o.backend);
}
}  // namespace

std::string default_backend() {
  std::string name;
  for (auto& b : backends())
    if (b.calls && (!b.gpu || name.empty())) name = b.name;
  return name;
}

bool needs_gpu(const std::string& backend) {
  const auto* b = find(backend);
  return b && b->gpu;
}

std::string gpu_backends() {
  return one_of(names([](const backend_entry& b) { return b.gpu; }));
}

std::string engine_usage(const engine_options& o) {
  const auto* b = find(o.backend);
  if (!b)
    return clipx::cat("--backend ", o.backend, ": unknown; expected ", one_of(names([](const backend_entry&) { return true; })));
  if (std::find(b->precisions.begin(), b->precisions.end(), o.precision) != b->precisions.end()) return {};
  return clipx::cat("--precision ", o.precision, ": expected ", one_of(b->precisions), " with --backend ", o.backend);
}

std::string backend_missing(const std::string& backend) {
  const auto* b = find(backend);
  if (b && b->calls) return b->calls.missing ? b->calls.missing() : std::string();
  std::string built;
  for (auto& other : backends())
    if (other.calls) built += (built.empty() ? "" : ", ") + other.name;
  return clipx::cat("this program was built without it; it has: ", built);
}

clipx::any_model load_model(clipx::checkpoint source, const engine_options& o) {
  return usable(o).calls.load(std::move(source), o);
}

std::unique_ptr<clipx::any_trainer> make_trainer(const clipx::checkpoint_config& config, const clipx::trainer_options& how,
                                                 const engine_options& o) {
  return usable(o).calls.train(config, how, o);
}

clipx::resampler image_loops() {
  for (auto& b : backends())
    if (b.calls.resampler) return b.calls.resampler();
  return clipx::plain_resampler();
}

std::vector<std::string> describe_backends() {
  std::vector<std::string> lines;
  for (auto& b : backends())
    if (b.calls) lines.push_back(b.name + ": " + b.calls.describe());
  return lines;
}

}  // namespace cli
