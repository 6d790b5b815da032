#include "train_run.hpp"

#include <algorithm>
#include <clipx/core/hash.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "flags.hpp"
#include "stop.hpp"

namespace cli {
namespace {
namespace fs = std::filesystem;
using clipx::cat;
using clipx::dim;

/// The model that is to be trained, as it will be written.
struct untrained {
  clipx::checkpoint_config config;
  clipx::tokenizer text;
};

/// --loss ngram-*: the image tower of the model, and the dictionary of --ngrams, or of the model's folder.
untrained over_ngrams(const train_options& o, clipx::checkpoint_config config) {
  const bool has_own = config.model.loss.is<clipx::ngrams::config>();
  clipx::expect(o.model.checkpoint.tokenizer.empty(),
                [&] { return cat("--tokenizer: expected none with --loss ", o.loss, ", whose dictionary is that of --ngrams"); });
  clipx::expect(!o.ngrams.empty() || has_own,
                [&] { return cat("--loss ", o.loss, ": expected --ngrams FILE, which clipx ngrams writes"); });
  auto dictionary = clipx::ngram_dictionary::open(o.ngrams.empty() ? (fs::path(o.model.path) / "ngrams.tsv").string() : o.ngrams);
  clipx::ngrams::config loss;
  loss.orders = dictionary.orders();
  loss.smoothing = o.loss == "ngram-jm" ? clipx::ngram_smoothing::jelinek_mercer : clipx::ngram_smoothing::none;
  if (o.lambda > 0) loss.lambda = o.lambda;
  loss.batch_only = o.batch_only;
  config.model = clipx::with_ngrams(config.model, loss);
  config.text.context_length = config.model.text.context_length;
  return {std::move(config), clipx::tokenizer::from_ngrams(std::move(dictionary))};
}

/// --pretrained, whose weights --resume replaces. Its weights alone count, so what a file by itself does not say is as in --model.
void start_from(clipx::any_trainer& trainer, const train_options& o, const clipx::clip_config& config) {
  std::error_code none;
  clipx::expect(fs::exists(o.pretrained, none), clipx::error_kind::not_found, [&] {
    return cat("--pretrained ", o.pretrained,
               ": no such file or folder; nothing is downloaded by open_clip's tags: expected a model's folder, or a .safetensors "
               "or .pt file");
  });
  clipx::checkpoint_options options;
  if (!fs::is_directory(o.pretrained, none)) options.activation = clipx::name_of(config.act);
  trainer.start_from(open_checkpoint(o.pretrained, options));
}

/// The run's own model is written while it runs: it is no other run's beginning.
void expect_other_model(const train_options& o, const clipx::training_run& run) {
  std::error_code none;
  for (auto& path : {o.model.path, o.pretrained})
    clipx::expect(!o.run.resume.empty() || !fs::equivalent(path, run.model_folder(), none), [&] {
      return cat(path, ": is the folder that this run writes its model to; run_options::folder names another run");
    });
}

/// What the end of an epoch needs is opened before the first step.
void check_evaluations(const train_options& o) {
  if (o.zeroshot_data.empty()) return;
  const auto& own = clipx::default_templates();
  const auto templates =
      o.templates.empty() ? std::vector<std::string>(own.begin(), own.end()) : clipx::read_templates(o.templates);
  open_labeled(o.zeroshot_data, o.classes, templates, o.run.data.strict);
}

/// What differs from open_clip's meaning of the same flags is said before the first step.
void check_plan(const train_options& o, const clipx::training_run& run) {
  clipx::expect(o.train_samples == 0 || o.train_samples == run.pairs(), [&] {
    return cat("--train-num-samples: expected the number of pairs in --train-data, ", run.pairs(), ", got ", o.train_samples,
               ": an epoch is all of them, so leave it out, and choose --epochs for a shorter or longer run");
  });
  if (o.warmup >= run.steps())
    complain(cat("warning: --warmup ", o.warmup, ": the run has ", run.steps(), " steps, so its learning rate only rises, to ",
                 o.lr * static_cast<double>(run.steps()) / static_cast<double>(o.warmup)));
}

/// Options that have no effect, or one that is rarely meant.
void warn_of_options(const train_options& o, const clipx::trainer_options& t) {
  if (o.whole_epochs > 0 && *t.patch_dropout == 0)
    complain(cat("warning: --whole-epochs ", o.whole_epochs, " has no effect: no patches are dropped in the other epochs either"));
  if (o.lock_image && o.lock_text) complain("warning: --lock-image and --lock-text: only the loss's own parameters are trained");
  if (o.pretrained.empty() && o.run.resume.empty())
    for (auto& [locked, name] : {std::pair{o.lock_image, "--lock-image"}, {o.lock_text, "--lock-text"}})
      if (locked) complain(cat("warning: ", name, " without --pretrained: the tower keeps its random initial weights"));
}

/// --model: a preset's name, a config file, or a folder that holds one.
untrained open_model(const train_options& o) {
  clipx::checkpoint_config config;
  std::string tokens = o.model.checkpoint.tokenizer;
  std::error_code none;
  fs::path path = o.model.path;
  if (fs::is_directory(path, none)) {
    path /= "open_clip_config.json";
    clipx::expect(fs::exists(path, none), clipx::error_kind::not_found, [&] {
      return cat("--model: ", o.model.path, ": expected open_clip_config.json in the folder",
                 fs::exists(fs::path(o.model.path) / "config.json", none)
                     ? ", got Hugging Face's config.json: clipx convert writes the folder in open_clip's layout"
                     : "");
    });
  }
  if (fs::exists(path, none)) {
    const auto file = clipx::mapped_file::open(path.string());
    config = clipx::read_open_clip_config({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path.string());
    config.model.name = path.parent_path().filename().string();
    if (tokens.empty()) tokens = path.has_parent_path() ? path.parent_path().string() : ".";
  } else {
    config = clipx::default_config(clipx::presets::find(o.model.path));
  }
  clipx::expect(!o.siglip || o.loss.empty() || o.loss == "sigmoid",
                [&] { return cat("--siglip: expected no other loss, got --loss ", o.loss); });
  const bool sigmoid = o.siglip || o.loss == "sigmoid";
  if (sigmoid && !config.model.loss.is<clipx::sigmoid::config>()) config.model.loss = clipx::sigmoid::config{};
  if (o.loss == "contrastive") config.model.loss = clipx::contrastive::config{};
  if (o.loss.starts_with("ngram-")) return over_ngrams(o, std::move(config));
  clipx::expect(o.ngrams.empty() && o.lambda < 0 && !o.batch_only,
                "--ngrams, --lambda, --ngram-batch-only: expected --loss ngram-naive or ngram-jm with them");
  clipx::expect(!tokens.empty(), [&] {
    return cat("--tokenizer: expected the vocabulary for ", o.model.path, " (bpe_simple_vocab_16e6.txt.gz, or a folder), got none");
  });
  auto text = fs::is_directory(tokens, none) ? clipx::tokenizer::from_folder(tokens, config.text)
                                             : clipx::tokenizer::from_merges(tokens, config.text);
  const auto& side = config.model.text;
  const bool padded = config.text.allows_spare_rows() && text.vocab_size() < side.vocab_size;
  clipx::expect(padded || text.vocab_size() == side.vocab_size, clipx::error_kind::mismatch, [&] {
    return cat(tokens, ": expected a vocabulary of ", side.vocab_size, " ids, as the model has, got ", text.vocab_size());
  });
  return {std::move(config), std::move(text)};
}

clipx::training_run open_run(const train_options& o, const untrained& model, clipx::observer& watch) {
  auto r = o.run;
  tried_threads(r.data.threads);
  r.folder = (fs::path(o.logs) / o.name).string();
  r.title = o.name;
  auto& d = r.data;
  d.text = model.text;
  d.text_side = model.config.model.text;
  d.preprocess = model.config.pixels;
  d.loops = image_loops();
  d.seed = o.trainer.seed;
  d.batch = static_cast<dim>(o.model.batch_size) * o.accum_freq;
  auto v = d;
  v.augment.reset();
  v.draw_captions = false;
  v.keep_last = true;
  v.shuffle = 0;
  v.epochs = 1;
  v.batch = static_cast<dim>(o.model.batch_size);
  if (!o.val_data.empty()) {
    v.data = o.val_data;
    v.hold_out = 0;
  } else {
    v.held_out = true;
  }
  if (!o.val_data.empty() || d.hold_out > 0) r.held_out = v;
  if (o.zeroshot_data.empty()) r.look_every = 0;
  return clipx::training_run(std::move(r), watch);
}

clipx::trainer_options trainer_for(const train_options& o, const untrained& model, const clipx::training_run& run) {
  auto t = o.trainer;
  const auto defaults = model.config.model.vision.policy().optimizer();
  t.optimizer.beta2 = o.beta2 >= 0 ? o.beta2 : defaults.beta2;
  t.optimizer.eps = o.eps >= 0 ? o.eps : defaults.eps;
  if (o.patch_dropout >= 0) t.patch_dropout = o.patch_dropout;
  t.schedule = {o.lr, o.warmup, run.steps()};
  t.whole_from = o.whole_epochs > 0 ? run.steps() - o.whole_epochs * run.steps_an_epoch() : -1;
  t.gradients.chunk = o.accum_freq > 1 ? static_cast<dim>(o.model.batch_size) : 0;
  t.gradients.kept = o.checkpointing ? clipx::keep::inputs : clipx::keep::selective;
  t.gradients.train_image = !o.lock_image;
  t.gradients.train_text = !o.lock_text;
  t.gradients.batch_statistics = !o.freeze_statistics;
  return clipx::options_for(t, model.config.model);
}

/// What decides the weights, and nothing else.
clipx::run_settings settings(const train_options& o, const untrained& model, const clipx::trainer_options& t,
                             const clipx::training_run& run) {
  const auto& d = run.options().data;
  json s{{"model", json::parse(clipx::open_clip_config_text(model.config))},
         {"train_data", d.data},
         {"pairs", run.pairs()},
         {"batch_size", o.model.batch_size},
         {"accum_freq", o.accum_freq},
         {"epochs", d.epochs},
         {"lr", o.lr},
         {"warmup", o.warmup},
         {"wd", t.optimizer.weight_decay},
         {"betas", {t.optimizer.beta1, t.optimizer.beta2}},
         {"eps", t.optimizer.eps},
         {"grad_clip_norm", t.optimizer.max_norm},
         {"ema", t.optimizer.average},
         {"patch_dropout", *t.patch_dropout},
         {"whole_epochs", o.whole_epochs},
         {"seed", t.seed},
         {"caption_field", d.caption_field},
         {"shuffle", d.shuffle},
         {"hold_out", d.hold_out},
         {"pretrained", o.pretrained},
         {"siglip", model.config.model.loss.is<clipx::sigmoid::config>()},
         {"ngrams", o.ngrams},
         {"ngrams_hash", model.text.ngrams() ? clipx::detail::hash_of(model.text.ngrams()->text()) : 0},
         {"lock_image", o.lock_image},
         {"lock_text", o.lock_text},
         {"freeze_bn_stats", o.freeze_statistics},
         {"backend", o.model.device.backend},
         {"precision", o.model.device.precision}};
  if (auto& a = d.augment)
    s["augmentation"] = {{"scale", {a->scale_min, a->scale_max}},
                         {"ratio", {a->ratio_min, a->ratio_max}},
                         {"hflip", a->flip},
                         {"color_jitter", {a->brightness, a->contrast, a->saturation, a->hue}},
                         {"color_jitter_prob", a->jitter},
                         {"gray_scale_prob", a->gray},
                         {"coarse", {a->coarse, a->coarse_min}}};
  clipx::run_settings out;
  for (auto& [name, value] : s.items()) out.emplace_back(name, value.dump(-1, ' ', false, json::error_handler_t::replace));
  return out;
}

/// Signals, the line of progress on a terminal, messages, and the zero-shot evaluation.
class train_observer final : public clipx::run_observer {
 public:
  explicit train_observer(const train_options& o) : o_(o) {}

  bool cancelled() override { return told_to_stop() != 0; }
  void progress(const std::string& stage, std::size_t done, std::size_t total) override {
    if (!stages_) stages_.emplace();
    stages_->progress(stage, done, total);
  }
  /// Until now a signal ends the process: there is nothing to save.
  void began(dim step, dim steps) override {
    stages_.reset();
    listen_for_stop("\nclipx: stopping: the run ends after this step and saves; a second signal ends it without saving\n");
    bar_.emplace("step", static_cast<std::size_t>(std::max<dim>(steps - step, 0)));
  }
  void stepped(clipx::run_progress& p) override {
    stages_.reset();
    bar_->advance(1, [&] {
      char note[160];
      std::snprintf(note, sizeof note, "  loss %.4f  scale %.2f  data wait %.0f %%", p.loss(), p.scale(), 100 * p.share_waited());
      return std::string(note);
    });
  }
  void warning(const std::string& message) override { complain(message); }
  void ended() { bar_.reset(); }  // takes the line of progress away
  std::vector<clipx::metric> look(clipx::any_model& model) override {
    const auto r = zero_shot_on(model, o_.model, o_.zeroshot_data, o_.classes, o_.templates, o_.run.data.strict);
    const auto& m = r.metrics;
    if (!r.skipped.none()) complain("warning: --zeroshot-data: " + r.skipped.text());
    return {{"zeroshot_top1", m.acc1}, {"zeroshot_top5", m.acc5}, {"zeroshot_mean_per_class", m.mean_per_class_recall}};
  }

 private:
  const train_options& o_;
  std::optional<cli::progress> bar_;
  std::optional<terminal> stages_;
};

/// `before`: whether something could not be read when the run began.
int report(const clipx::run_result& r, dim parameters, bool before) {
  const int code = tell_left_out(r.data.skipped);
  if (r.stopped && r.steps == 0) {
    complain("stopped before the first step; nothing was written");
    return 130;
  }
  if (!r.stopped) {
    std::printf("%td steps, %td parameters: %s\n", r.steps, parameters, r.model.c_str());
    return before || r.data_changed ? 1 : code;
  }
  complain(cat("stopped after step ", r.steps, "; --resume latest continues from there"));
  return 130;
}
}  // namespace

int train(train_options o) {
  auto model = open_model(o);
  model.config.pixels.decode = o.model.decoding();
  check_evaluations(o);
  train_observer observer(o);
  auto run = open_run(o, model, observer);
  expect_other_model(o, run);
  check_plan(o, run);
  check_strict(o.run.data.strict, run.skipped());
  if (!run.skipped().none()) complain("warning: of each epoch: " + run.skipped().text());  // before hours of work
  const auto how = trainer_for(o, model, run);
  warn_of_options(o, how);
  tried_threads(o.model.device.threads);
  const auto trainer = make_trainer(model.config, how, o.model.device);
  if (!o.pretrained.empty() && o.run.resume.empty()) start_from(*trainer, o, model.config.model);
  const auto result = run(*trainer, settings(o, model, how, run), observer);
  observer.ended();
  return report(result, trainer->parameters(), run.skipped().unreadable > 0);
}

}  // namespace cli
