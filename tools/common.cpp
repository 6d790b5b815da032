#include "common.hpp"

#include <algorithm>
#include <clipx/core/threads.hpp>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <thread>
#include <utility>

#include "flags.hpp"

namespace cli {
namespace fs = std::filesystem;

void model_options::add_model(command& app) {
  const auto add = [&](const char* name, auto& value, const char* type, const char* help) {
    return app.add_option(name, value, help)->type_name(type)->group("Model");
  };
  add("--model", path, "PATH",
      "folder in open_clip's or Hugging Face's layout, or a file of weights, .safetensors or PyTorch's .pt (default: $CLIPX_MODEL, "
      "else the model that came with clipx)");
  add("--tokenizer", checkpoint.tokenizer, "FILE", "merges file, tokenizer.json or folder, for a model folder that has none");
  add("--activation", checkpoint.activation, "NAME", "quick_gelu, gelu or gelu_tanh, if the checkpoint does not specify it");
  add("--eos-id", checkpoint.eos_id, "ID",
      "id of the token at whose position the text is pooled, if the config is wrong; 2: pool at the largest id")
      ->check(range(0, std::numeric_limits<std::int32_t>::max(), "from 0"));
  add("--head-width", checkpoint.head_width, "N", "width of an attention head, if the checkpoint does not specify it")
      ->check(range(clipx::dim(1), clipx::dim(1) << 24));
}
void model_options::add_training(command& app) {
  app.add_option("--model", path, "a preset (ViT-B-32, RN50, ..), an open_clip config file, or a folder that holds one")
      ->required()
      ->type_name("NAME")
      ->group("Model");
  app.add_option("--tokenizer", checkpoint.tokenizer, "vocabulary: a merges file or a folder (default: in the config's folder)")
      ->type_name("PATH")
      ->group("Model");
  add_engine(app);
}
void model_options::add_threads(command& app) {
  app.add_option("--threads", device.threads, "number of threads; 0: one per processor")
      ->check(range(0, 4096))
      ->type_name("N")
      ->capture_default_str()
      ->group("Device");
}
void model_options::add_engine(command& app) {
  device.backend = default_backend();
  std::string known;
  for (auto& b : backends()) known += (known.empty() ? "" : ", ") + b.name + (b.help.empty() ? "" : " (" + b.help + ")");
  const auto add = [&](const char* name, auto& value, const char* type, const char* help) {
    return app.add_option(name, value, help)->type_name(type)->capture_default_str()->group("Device");
  };
  add("--backend", device.backend, "NAME", known.c_str());
  add("--precision", device.precision, "NAME", "f32; bf16 (cpu and cuda; half the memory); f64 (eigen)");
  add_threads(app);
  add("--batch-size", batch_size, "N", "images per batch")->check(range(1, 65536));
  app.add_flag("--deterministic", device.deterministic, "bit-identical embeddings for every batch size and number of threads (cpu)")
      ->group("Device");
  add_gpu(app);
}
void model_options::add_images(command& app) {
  app.add_flag("--exif-orientation", checkpoint.decode.exif_orientation,
               "rotate JPEG, PNG and WebP images by their EXIF orientation, which CLIP's reference programs ignore")
      ->group("Images");
  app.add_option("--max-image-megapixels", max_megapixels, "refuse larger images (default: 178.96, as Pillow)")
      ->check(range(0.0, 1e6))
      ->type_name("N")
      ->group("Images");
}
clipx::decode_options model_options::decoding() const {
  auto out = checkpoint.decode;
  if (max_megapixels > 0) out.most_pixels = std::max<clipx::dim>(1, std::llround(max_megapixels * 1e6));
  return out;
}
void model_options::add_gpu(command& app) {
  const auto add = [&](option* option) { gpu.push_back(option->group("Device")); };
  add(app.add_option("--device", device.gpu, "index of the GPU (cuda)")
          ->check(range(0, 1023))
          ->type_name("N")
          ->capture_default_str());
  add(app.add_flag("--tf32", device.tf32, "TF32 matrix products: faster, with a 10-bit mantissa (cuda)"));
  add(app.add_flag("--autotune", device.autotune, "time several algorithms for each matrix product at its first use (cuda)"));
}
void model_options::check_engine() const {
  const auto wrong = engine_usage(device);
  if (!wrong.empty()) throw usage_error(wrong);
  for (auto* o : gpu)
    if (o->count() && !needs_gpu(device.backend))
      throw usage_error(clipx::cat(o->name(), ": only --backend ", gpu_backends(), " has it; this is --backend ", device.backend));
}
void model_options::add_json(command& app) { app.add_flag("--json", json_output, "print JSON instead of text"); }

std::string find_model(const std::string& given) {
  if (!given.empty()) return given;
  if (const char* env = std::getenv("CLIPX_MODEL"); env && *env) return env;
  std::error_code none;
  const fs::path here = fs::read_symlink("/proc/self/exe", none).parent_path();
  for (const char* place : {"models/default", "../share/clipx/models/default", "../../models/default", "../../../models/default"})
    if (fs::exists(here / place / "open_clip_config.json", none)) return (here / place).lexically_normal().string();
  clipx::fail(clipx::error_kind::not_found,
              clipx::cat("no model: give --model or set CLIPX_MODEL; the default model was not found near ", here.string()));
}

clipx::checkpoint open_checkpoint(const std::string& path, const clipx::checkpoint_options& options) {
  auto source = clipx::checkpoint::open(path, options);
  for (auto& warning : source.warnings()) complain("warning: " + warning);
  return source;
}

int tried_threads(int wanted) {
  static int asked = -1;  // a verb asks several times, mostly for the same number
  if (std::exchange(asked, wanted) == wanted) return wanted;
  const auto count = wanted > 0 ? static_cast<std::size_t>(wanted) : std::clamp(std::thread::hardware_concurrency(), 1u, 4096u);
  const auto granted = clipx::detail::granted_threads(count);
  if (granted < count) complain(clipx::cat("warning: the system grants ", granted, " of ", count, " threads; fewer are used"));
  return wanted;
}

clipx::checkpoint model_options::open() const {
  auto options = checkpoint;
  options.decode = decoding();
  return open_checkpoint(find_model(path), options);
}
clipx::any_model model_options::load() const {
  tried_threads(device.threads);
  return load_model(open(), device);
}
clipx::image_batch_config model_options::batches() const {
  return {.batch_size = batch_size, .threads = tried_threads(device.threads), .loops = image_loops()};
}

clipx::encode_options model_options::encoding() const {
  return {.batch_size = batch_size, .threads = tried_threads(device.threads), .loops = image_loops()};
}

clipx::device_rows keep_classes(clipx::any_model& model, const clipx::prompt_set& prompts) {
  terminal watch;
  return model.keep_classes(prompts, watch);
}

void add_strict(command& app, bool& strict) {
  app.add_flag("--strict", strict,
               "fail if anything is left out: images of other formats, links, images without captions, damaged parts");
}
void check_strict(bool strict, const clipx::left_out& skipped) {
  clipx::expect(!strict || skipped.none(), clipx::error_kind::unsupported, [&] { return "--strict: " + skipped.text(); });
}
int tell_left_out(const clipx::left_out& skipped) {
  if (!skipped.none()) complain(skipped.text());
  return skipped.unreadable > 0 ? 1 : 0;
}

void expect_no_input(const std::string& out, const std::vector<std::string>& inputs) {
  std::error_code none;
  if (!fs::exists(out, none)) return;
  for (auto& path : inputs)
    clipx::expect(!fs::equivalent(path, out, none),
                  [&] { return clipx::cat("--out: ", out, " is among the files to be read; name another"); });
}

void expect_other_file(const std::string& out, const std::vector<std::string>& inputs) {
  for (auto& entry : inputs) expect_no_input(out, clipx::expand_braces(entry));
}

void expect_other_folder(const std::string& out, const std::vector<std::string>& inputs) {
  std::error_code none;
  if (!fs::exists(out, none)) return;
  for (auto& entry : inputs)
    for (auto& path : clipx::expand_braces(entry)) {
      const auto folder = fs::is_directory(path, none) ? fs::path(path) : fs::path(path).parent_path();
      clipx::expect(!fs::equivalent(folder.empty() ? "." : folder, out, none),
                    [&] { return clipx::cat("--out: ", out, " is the folder of data to be read (", path, "); name another"); });
    }
}

}  // namespace cli
