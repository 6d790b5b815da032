// What the verbs share: options, the model's folder, pictures decoded by threads, JSON lines.
#pragma once
#include <CLI/CLI.hpp>
#include <clipx/clipx.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine.hpp"
#include "progress.hpp"

namespace cli {

using json = nlohmann::ordered_json;

/// Options that every verb with a model has.
struct model_options {
  std::string path;  // --model
  clipx::checkpoint_options checkpoint;
  engine_options device;
  std::size_t batch_size = 32;
  bool json_output = false;
  std::vector<CLI::Option*> gpu;  // what add_gpu() added

  void add_model(CLI::App& app);     // --model, --tokenizer, --activation, --eos-id, --head-width
  void add_engine(CLI::App& app);    // --backend, --precision, --threads, --batch-size, --deterministic, and add_gpu()
  void add_training(CLI::App& app);  // --model and --tokenizer as clipx train takes them, and add_engine()
  void add_threads(CLI::App& app);   // --threads
  void add_gpu(CLI::App& app);       // --device, --tf32, --autotune
  void add_json(CLI::App& app);      // --json
  void check_engine() const;         // bad usage: a backend or precision that no program has, a GPU's option without a GPU
  clipx::checkpoint open() const;    // the folder given, or the default model
  std::unique_ptr<engine> load() const;
};

/// --model as given; else CLIPX_MODEL; else models/default beside the program, in the source tree or in the install prefix.
std::string find_model(const std::string& given);

/// Pictures from files ("-": one from standard input), decoded and brought to the model's size by threads, a batch at a time.
/// consume(first index, paths of those that were read, their pixels one after another). A picture that cannot be read is told to
/// failed(path, message) and left out.
struct picture {
  std::string name;
  std::function<std::vector<std::byte>()> bytes;
};
using picture_batch = std::function<void(std::span<const std::size_t> indices, std::span<const std::uint8_t> rgb)>;
using picture_failure = std::function<void(std::size_t index, const std::string& message)>;
void for_each_batch(const std::vector<picture>& pictures, const clipx::preprocess_config& config, std::size_t batch_size,
                    int threads, const picture_batch& consume, const picture_failure& failed);

/// Those of --templates; without it the model's own; where it has none, the built-in ones.
std::vector<std::string> choose_templates(const std::string& file, const clipx::checkpoint& model);

/// Errors where a file cannot be written there: said before the work, not after it.
void check_output(const std::string& file);

/// Unit rows of texts, with progress.
clipx::embeddings<double> embed_texts(engine& e, std::span<const std::string> texts);

/// `clipx eval zeroshot`: data as shards or a folder, with the names of pictures whose two best classes nearly tie.
clipx::zero_shot_metrics zero_shot_on(engine& e, const std::string& data, const std::string& classes, const std::string& templates,
                                      std::size_t batch_size, int threads, std::vector<std::string>* ties = nullptr);

/// A picture a path; folders stand for the picture files in them, sorted. Error: nothing there.
std::vector<picture> open_pictures(const std::vector<std::string>& paths);

/// The verbs: each adds itself to the program and, when chosen, sets `run`, whose result is the exit code.
using action = std::function<int()>;
void add_classify(CLI::App& app, action& run);
void add_embed(CLI::App& app, action& run);
void add_tokenize(CLI::App& app, action& run);
void add_preprocess(CLI::App& app, action& run);
void add_inspect(CLI::App& app, action& run);
void add_convert(CLI::App& app, action& run);
void add_eval(CLI::App& app, action& run);
void add_tokenizer(CLI::App& app, action& run);
void add_bench(CLI::App& app, action& run);
void add_train(CLI::App& app, action& run);

}  // namespace cli
