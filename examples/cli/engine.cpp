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
#endif

std::unique_ptr<engine> make_engine(clipx::checkpoint source, const engine_options& o) {
  const auto needs = [&](std::initializer_list<const char*> known) {
    std::string names;
    for (auto* p : known) {
      if (o.precision == p) return;
      names += clipx::cat(names.empty() ? "" : " or ", p);
    }
    clipx::fail(clipx::cat("--precision ", o.precision, ": expected ", names, " with --backend ", o.backend));
  };
  if (o.backend == "eigen") {
    needs({"f64", "f32"});
    return o.precision == "f64" ? make_eigen_f64(std::move(source)) : make_eigen_f32(std::move(source));
  }
  std::string built = "eigen";
#ifdef CLIPX_HAS_CPU
  if (o.backend == "cpu") {
    needs({"f32", "bf16"});
    return make_cpu(std::move(source), o);
  }
  built += ", cpu";
#endif
#ifdef CLIPX_HAS_CUDA
  if (o.backend == "cuda") {
    needs({"f32", "bf16"});
    return make_cuda(std::move(source), o);
  }
  built += ", cuda";
#endif
  if (o.backend == "cuda" || o.backend == "cpu")
    clipx::fail(clipx::cat("--backend ", o.backend, ": this program was built without it; it has: ", built));
  clipx::fail(clipx::cat("--backend ", o.backend, ": unknown; this program has: ", built));
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
