#include "engine.hpp"

#include <clipx/core/error.hpp>

namespace cli {

std::unique_ptr<engine> make_eigen_f64(clipx::checkpoint c);
std::unique_ptr<engine> make_eigen_f32(clipx::checkpoint c);
#ifdef CLIPX_HAS_CPU
std::unique_ptr<engine> make_cpu(clipx::checkpoint c, const engine_options& o);
std::string describe_cpu();
clipx::resampler cpu_picture_loops();
#endif
#ifdef CLIPX_HAS_CUDA
std::unique_ptr<engine> make_cuda(clipx::checkpoint c, const engine_options& o);
std::string describe_cuda();
std::string gpu_missing();
#endif

std::string engine_usage(const engine_options& o) {
  struct kind {
    std::string name, precisions[2];
  };
  const kind kinds[]{{"eigen", {"f64", "f32"}}, {"cpu", {"f32", "bf16"}}, {"cuda", {"f32", "bf16"}}};
  for (auto& k : kinds)
    if (o.backend == k.name) {
      for (auto& p : k.precisions)
        if (o.precision == p) return {};
      return clipx::cat("--precision ", o.precision, ": expected ", k.precisions[0], " or ", k.precisions[1], " with --backend ",
                        o.backend);
    }
  return clipx::cat("--backend ", o.backend, ": unknown; expected eigen, cpu or cuda");
}

void check_engine(const engine_options& o) {
  const auto wrong = engine_usage(o);
  clipx::expect(wrong.empty(), wrong);
  const auto missing = backend_missing(o.backend);
  clipx::expect(missing.empty(), [&] { return clipx::cat("--backend ", o.backend, ": ", missing); });
}

std::unique_ptr<engine> make_engine(clipx::checkpoint source, const engine_options& o) {
  check_engine(o);
#ifdef CLIPX_HAS_CPU
  if (o.backend == "cpu") return make_cpu(std::move(source), o);
#endif
#ifdef CLIPX_HAS_CUDA
  if (o.backend == "cuda") return make_cuda(std::move(source), o);
#endif
  return o.precision == "f64" ? make_eigen_f64(std::move(source)) : make_eigen_f32(std::move(source));
}

std::string backend_missing(const std::string& backend) {
  std::string built = "eigen";
#ifdef CLIPX_HAS_CPU
  if (backend == "cpu") return {};
  built += ", cpu";
#endif
#ifdef CLIPX_HAS_CUDA
  if (backend == "cuda") return gpu_missing();
  built += ", cuda";
#endif
  return backend == "eigen" ? "" : clipx::cat("this program was built without it; it has: ", built);
}

clipx::resampler picture_loops() {
#ifdef CLIPX_HAS_CPU
  return cpu_picture_loops();
#else
  return clipx::plain_resampler();
#endif
}

std::vector<std::string> describe_backends() {
  std::vector<std::string> lines{"eigen: the reference, float and double, one thread"};
#ifdef CLIPX_HAS_CPU
  lines.push_back("cpu: " + describe_cpu());
#endif
#ifdef CLIPX_HAS_CUDA
  lines.push_back("cuda: " + describe_cuda());
#endif
  return lines;
}

}  // namespace cli
