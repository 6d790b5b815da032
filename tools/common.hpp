// What the verbs share: options, where the model is, progress.
#pragma once
#include <clipx/clipx.hpp>
#include <clipx/eval/evaluate.hpp>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "backends.hpp"
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
  double max_megapixels = 0;  // of an image; 0: the library's limit
  std::vector<option*> gpu;   // what add_gpu() added

  void add_model(command& app);            // --model, --tokenizer, --activation, --eos-id, --head-width
  void add_engine(command& app);           // --backend, --precision, --threads, --batch-size, --deterministic, and add_gpu()
  void add_training(command& app);         // --model and --tokenizer as clipx train takes them, and add_engine()
  void add_threads(command& app);          // --threads
  void add_images(command& app);           // --exif-orientation, --max-image-megapixels
  void add_gpu(command& app);              // --device, --tf32, --autotune
  void add_json(command& app);             // --json
  void check_engine() const;               // bad usage: a backend or precision that no program has, a GPU's option without a GPU
  clipx::decode_options decoding() const;  // of image files
  clipx::checkpoint open() const;          // the folder given, or the default model
  clipx::any_model load() const;
  clipx::encode_options encoding() const;
  clipx::image_batch_config batches() const;  // without a model: all but the preprocessing
};

/// Says on standard error if the system grants fewer threads (0: one for each processor); the library then does with fewer. Returns
/// its argument.
int tried_threads(int wanted);

/// --strict: what a reader leaves out is an error.
void add_strict(command& app, bool& strict);
/// Error under --strict: something was left out.
void check_strict(bool strict, const clipx::left_out& skipped);
/// Says on standard error what was left out, how much and the first by name. The exit code: 1 where a part could not be read.
int tell_left_out(const clipx::left_out& skipped);

/// A checkpoint, whose warnings are printed.
clipx::checkpoint open_checkpoint(const std::string& path, const clipx::checkpoint_options& options = {});

/// Error: `out` is one of these files, by whatever path or link.
void expect_no_input(const std::string& out, const std::vector<std::string>& inputs);
/// The same for patterns of files.
void expect_other_file(const std::string& out, const std::vector<std::string>& inputs);

/// Error: `out` is the folder of one of the files, or patterns of files and folders, that are read.
void expect_other_folder(const std::string& out, const std::vector<std::string>& inputs);

/// --model as given; else CLIPX_MODEL; else models/default beside the program, in the source tree or in the install prefix.
std::string find_model(const std::string& given);

/// The zero-shot classifier of these prompts, with progress.
clipx::device_rows keep_classes(clipx::any_model& model, const clipx::prompt_set& prompts);

/// What `clipx eval zeroshot` measures a model on. Errors: files that cannot be read, no images; with `strict`, any that are left
/// out.
struct labeled_images {
  clipx::prompt_set prompts;
  clipx::image_dataset data;
};
labeled_images open_labeled(const std::string& data, const std::string& classes, const std::vector<std::string>& templates,
                            bool strict);

/// `clipx eval zeroshot`: on shards or a folder, by the names and the prompt templates of two files.
clipx::zero_shot_report zero_shot_on(clipx::any_model& model, const model_options& options, const std::string& data,
                                     const std::string& classes, const std::string& templates, bool strict = false);

/// The verbs: each adds itself to the program and, when chosen, sets `run`, whose result is the exit code.
using action = std::function<int()>;
void add_classify(command& app, action& run);
void add_embed(command& app, action& run);
void add_tokenize(command& app, action& run);
void add_preprocess(command& app, action& run);
void add_inspect(command& app, action& run);
void add_convert(command& app, action& run);
void add_eval(command& app, action& run);
void add_tokenizer(command& app, action& run);
void add_bench(command& app, action& run);
void add_train(command& app, action& run);
void add_ngrams(command& app, action& run);
void add_curate(command& app, action& run);

}  // namespace cli
