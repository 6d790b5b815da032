#include "common.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <thread>

namespace cli {
namespace fs = std::filesystem;

void model_options::add_model(CLI::App& app) {
  app.add_option("--model", path,
                 "folder in open_clip's or Hugging Face's layout, or a .safetensors file (default: the model shipped with clipx)");
  app.add_option("--tokenizer", checkpoint.tokenizer, "merges file or tokenizer.json, where the model's folder has none");
  app.add_option("--activation", checkpoint.activation, "quick_gelu or gelu, where the file does not say");
  app.add_option("--eos-id", checkpoint.eos_id,
                 "token whose place is a text's embedding, where the config is wrong; 2: the largest id");
  app.add_option("--head-width", checkpoint.head_width, "width of an attention head, where the file does not say");
}
void model_options::add_engine(CLI::App& app) {
#ifndef CLIPX_HAS_CPU
  device.backend = "eigen", device.precision = "f32";
#endif
  app.add_option("--backend", device.backend, "eigen, cpu or cuda")->capture_default_str();
  app.add_option("--precision", device.precision, "f64 (eigen), f32 or bf16 (cpu)")->capture_default_str();
  app.add_option("--threads", device.threads, "0: all processors")->capture_default_str()->check(CLI::Range(0, 4096));
  app.add_option("--batch-size", batch_size, "pictures encoded at once")->capture_default_str()->check(CLI::Range(1, 65536));
  app.add_flag("--deterministic", device.deterministic,
               "a picture's embedding is bit-equal in every batch and for every number of threads (cpu)");
}
void model_options::add_json(CLI::App& app) { app.add_flag("--json", json_output, "JSON instead of text"); }

std::string find_model(const std::string& given) {
  if (!given.empty()) return given;
  if (const char* env = std::getenv("CLIPX_MODEL"); env && *env) return env;
  std::error_code none;
  const fs::path here = fs::read_symlink("/proc/self/exe", none).parent_path();
  for (const char* place : {"models/default", "../share/clipx/models/default", "../../models/default", "../../../models/default"})
    if (fs::exists(here / place / "open_clip_config.json", none)) return (here / place).lexically_normal().string();
  clipx::fail("no model: give --model DIR or set CLIPX_MODEL; the default model was not found beside the program");
}

clipx::checkpoint model_options::open() const { return clipx::checkpoint::open(find_model(path), checkpoint); }
std::unique_ptr<engine> model_options::load() const { return make_engine(open(), device); }

namespace {
std::vector<std::byte> drain(std::istream& in) {
  std::vector<char> chars{std::istreambuf_iterator<char>(in), {}};
  std::vector<std::byte> out(chars.size());
  std::transform(chars.begin(), chars.end(), out.begin(), [](char c) { return static_cast<std::byte>(c); });
  return out;
}
picture from_file(const std::string& path) {
  return {path, [path] {
            if (path == "-") return drain(std::cin);
            const auto file = clipx::mapped_file::open(path);
            const auto bytes = file.bytes();
            return std::vector<std::byte>(bytes.begin(), bytes.end());
          }};
}
}  // namespace

std::vector<picture> open_pictures(const std::vector<std::string>& paths) {
  std::vector<picture> out;
  for (auto& path : paths) {
    std::error_code none;
    if (path != "-" && fs::is_directory(path, none))
      for (auto& file : clipx::list_images(path)) out.push_back(from_file(file));
    else out.push_back(from_file(path));
  }
  clipx::expect(!out.empty(), "no pictures: expected at least one image file, got none");
  return out;
}

void for_each_batch(const std::vector<picture>& pictures, const clipx::preprocess_config& config, std::size_t batch_size,
                    int threads, const picture_batch& consume, const picture_failure& failed) {
  const std::size_t workers = threads > 0 ? static_cast<std::size_t>(threads) : std::max(1u, std::thread::hardware_concurrency());
  for (std::size_t from = 0; from < pictures.size(); from += batch_size) {
    const std::size_t n = std::min(batch_size, pictures.size() - from);
    std::vector<std::vector<std::uint8_t>> pixels(n);
    std::vector<std::string> errors(n);
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
      for (std::size_t i; (i = next++) < n;) try {
          pixels[i] = clipx::read_pixels(pictures[from + i].bytes(), pictures[from + i].name, config, picture_loops());
        } catch (const std::bad_alloc&) {
          errors[i] = pictures[from + i].name + ": out of memory";
        } catch (const std::exception& e) { errors[i] = e.what(); }
    };
    std::vector<std::thread> pool;
    for (std::size_t w = 1; w < std::min(workers, n); ++w) pool.emplace_back(work);
    work();
    for (auto& t : pool) t.join();
    std::vector<std::size_t> indices;
    std::vector<std::uint8_t> rgb;
    for (std::size_t i = 0; i < n; ++i) {
      if (pixels[i].empty()) {
        failed(from + i, errors[i]);
        continue;
      }
      indices.push_back(from + i);
      rgb.insert(rgb.end(), pixels[i].begin(), pixels[i].end());
    }
    consume(indices, rgb);
  }
}

}  // namespace cli
