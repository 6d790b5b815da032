// What several benches need: the work of a tower, images in threads, lines.
#include <atomic>
#include <clipx/clipx.hpp>
#include <exception>
#include <mutex>
#include <thread>

#include "devices.hpp"

namespace bench {
void add_rate(json& facts, double flops, const device_options& device) {
  const double rate = flops / (facts["median_ms"].get<double>() * 1e6);
  facts["gflops"] = rate;
  if (device.backend == "cuda") return;
  static const auto c = measure_ceilings(device.backend == "eigen" ? 1 : device.threads);
  const bool bf16 = device.precision == "bf16";
  const double peak = bf16 ? c.bf16_gflops : c.f32_gflops;
  facts["peak_gflops"] = peak;
  if (bf16) facts["bf16_unit"] = c.bf16_unit;
  if (peak > 0) facts["percent"] = 100 * rate / peak;
}

image_times each_image(std::span<const std::string> files, const clipx::preprocess_config& config, int threads,
                       const std::function<void(std::size_t, const clipx::image&)>& use) {
#ifdef CLIPX_HAS_CPU
  const auto loops = clipx::cpu<float>::pixels_resampler();
#else
  const auto loops = clipx::plain_resampler();
#endif
  std::atomic<std::size_t> next{0};
  std::mutex guard;  // of `sum` and `failure`
  image_times sum;
  std::exception_ptr failure;
  const auto work = [&] {
    image_times mine;
    try {
      for (std::size_t i; (i = next++) < files.size();) {
        const double start = now();
        const auto img = clipx::read_image(files[i]);
        const double decoded = now();
        const auto pixels = clipx::to_pixels(img, config, loops);
        const double resized = now();
        use(i, pixels);
        mine.decode += (decoded - start) * 1e3;
        mine.resize += (resized - decoded) * 1e3;
        mine.use += (now() - resized) * 1e3;
      }
    } catch (...) {
      const std::lock_guard lock(guard);
      failure = std::current_exception();
    }
    const std::lock_guard lock(guard);
    sum.decode += mine.decode;
    sum.resize += mine.resize;
    sum.use += mine.use;
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(work);
  work();
  for (auto& t : others) t.join();
  if (failure) std::rethrow_exception(failure);
  return sum;
}

std::vector<std::string> lines_of(const std::string& path) {
  const auto file = clipx::mapped_file::open(path);
  const auto bytes = file.bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::vector<std::string> lines;
  for (std::size_t from = 0; from < text.size();) {
    const auto end = std::min(text.find('\n', from), text.size());
    lines.emplace_back(text.substr(from, end - from));
    if (lines.back().ends_with('\r')) lines.back().pop_back();
    from = end + 1;
  }
  clipx::expect(!lines.empty(), [&] { return clipx::cat(path, ": expected a text a line, got an empty file"); });
  return lines;
}

}  // namespace bench
