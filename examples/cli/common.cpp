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
  const auto add = [&](const char* name, auto& value, const char* type, const char* help) {
    app.add_option(name, value, help)->type_name(type)->group("Model");
  };
  add("--model", path, "PATH",
      "folder in open_clip's or Hugging Face's layout, or a .safetensors file (default: $CLIPX_MODEL, else the model that came "
      "with clipx)");
  add("--tokenizer", checkpoint.tokenizer, "FILE", "merges file or tokenizer.json, where the model's folder has none");
  add("--activation", checkpoint.activation, "NAME", "quick_gelu or gelu, where the file does not say");
  add("--eos-id", checkpoint.eos_id, "ID", "token whose place is a text's embedding, where the config is wrong; 2: the largest id");
  add("--head-width", checkpoint.head_width, "N", "width of an attention head, where the file does not say");
}
void model_options::add_training(CLI::App& app) {
  app.add_option("--model", path, "a preset (ViT-B-32, RN50, ..), an open_clip config file, or a folder that holds one")
      ->required()
      ->type_name("NAME")
      ->group("Model");
  app.add_option("--tokenizer", checkpoint.tokenizer, "vocabulary: a merges file or a folder (default: in the config's folder)")
      ->type_name("PATH")
      ->group("Model");
  add_engine(app);
}
void model_options::add_threads(CLI::App& app) {
  app.add_option("--threads", device.threads, "0: all processors")
      ->check(CLI::Range(0, 4096).description(""))
      ->type_name("N")
      ->capture_default_str()
      ->group("Device");
}
void model_options::add_engine(CLI::App& app) {
#ifndef CLIPX_HAS_CPU
  device.backend = "eigen", device.precision = "f32";
#endif
  const auto add = [&](const char* name, auto& value, const char* type, const char* help) {
    return app.add_option(name, value, help)->type_name(type)->capture_default_str()->group("Device");
  };
  add("--backend", device.backend, "NAME", "cpu; eigen, the slow reference; cuda");
  add("--precision", device.precision, "NAME", "f32; bf16 (cpu: half the memory); f64 (eigen)");
  add_threads(app);
  add("--batch-size", batch_size, "N", "pictures encoded at once")->check(CLI::Range(1, 65536).description(""));
  app.add_flag("--deterministic", device.deterministic,
               "a picture's embedding is bit-equal in every batch and for every number of threads (cpu)")
      ->group("Device");
  add_gpu(app);
}
void model_options::add_gpu(CLI::App& app) {
  const auto add = [&](CLI::Option* option) { gpu.push_back(option->group("Device")); };
  add(app.add_option("--device", device.gpu, "which GPU, from 0 (cuda)")
          ->check(CLI::Range(0, 1023).description(""))
          ->type_name("N")
          ->capture_default_str());
  add(app.add_flag("--tf32", device.tf32, "f32 products with 10 bits of mantissa: faster, less exact (cuda)"));
  add(app.add_flag("--autotune", device.autotune, "times several ways of each product at its first use (cuda)"));
}
void model_options::check_engine() const {
  const auto wrong = engine_usage(device);
  if (!wrong.empty()) throw CLI::ValidationError(wrong);
  for (auto* o : gpu)
    if (o->count() && device.backend != "cuda")
      throw CLI::ValidationError(clipx::cat(o->get_name(), ": only --backend cuda has it; this is --backend ", device.backend));
}
void model_options::add_json(CLI::App& app) { app.add_flag("--json", json_output, "JSON instead of text"); }

std::string find_model(const std::string& given) {
  if (!given.empty()) return given;
  if (const char* env = std::getenv("CLIPX_MODEL"); env && *env) return env;
  std::error_code none;
  const fs::path here = fs::read_symlink("/proc/self/exe", none).parent_path();
  for (const char* place : {"models/default", "../share/clipx/models/default", "../../models/default", "../../../models/default"})
    if (fs::exists(here / place / "open_clip_config.json", none)) return (here / place).lexically_normal().string();
  clipx::fail(clipx::cat("no model: give --model or set CLIPX_MODEL; the default model was not found near ", here.string()));
}

clipx::checkpoint model_options::open() const { return clipx::checkpoint::open(find_model(path), checkpoint); }
std::unique_ptr<engine> model_options::load() const { return make_engine(open(), device); }

std::vector<std::string> choose_templates(const std::string& file, const clipx::checkpoint& model) {
  if (!file.empty()) return clipx::read_templates(file);
  if (auto own = model.templates(); !own.empty()) return own;
  return {clipx::default_templates().begin(), clipx::default_templates().end()};
}

void check_output(const std::string& file) {
  std::error_code none;
  clipx::expect(!fs::is_directory(file, none), [&] { return clipx::cat(file, ": expected a file to write, got a folder"); });
  const auto folder = fs::path(file).parent_path();
  clipx::expect(::access(folder.empty() ? "." : folder.c_str(), W_OK) == 0,
                [&] { return clipx::cat(file, ": its folder is missing or cannot be written to"); });
}

clipx::embeddings<double> embed_texts(engine& e, std::span<const std::string> texts) {
  clipx::embeddings<double> out;
  progress bar("texts", texts.size());
  for (std::size_t from = 0; from < texts.size();) {
    const auto part = e.texts(texts.subspan(from, std::min<std::size_t>(256, texts.size() - from)));
    out.cols = part.cols;
    out.values.insert(out.values.end(), part.values.begin(), part.values.end());
    from += static_cast<std::size_t>(part.rows());
    bar.advance(static_cast<std::size_t>(part.rows()));
  }
  return out;
}

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
