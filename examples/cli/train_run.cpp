#include "train_run.hpp"

#include <clipx/train/metrics.hpp>
#include <clipx/train/report.hpp>
#include <clipx/zero_shot/pairs.hpp>
#include <csignal>
#include <ctime>
#include <filesystem>

#include "trainee.hpp"

namespace cli {
namespace {
namespace fs = std::filesystem;
using clipx::cat;
using clipx::dim;

volatile std::sig_atomic_t told_to_stop = 0;
volatile std::time_t told_at = 0;
/// The first signal asks the run to save and end; one that comes seconds later ends it at once (timeout(1) sends two together).
void on_signal(int number) {
  const auto now = ::time(nullptr);
  if (told_to_stop && now > told_at + 1) {
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
  if (!told_to_stop) told_at = now;
  told_to_stop = number;
}

/// A folder's checkpoints by step, oldest first.
std::vector<std::pair<dim, fs::path>> checkpoints_in(const fs::path& folder) {
  std::vector<std::pair<dim, fs::path>> out;
  std::error_code none;
  for (auto& entry : fs::directory_iterator(folder, none)) {
    const auto name = entry.path().filename().string();
    dim step = 0;
    if (!name.starts_with("step_") || !name.ends_with(".safetensors")) continue;
    const auto end = std::from_chars(name.data() + 5, name.data() + name.size(), step);
    if (end.ec == std::errc{}) out.emplace_back(step, entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

const std::string& fact(const clipx::state_facts& facts, std::string_view name, const std::string& file) {
  for (auto& [key, value] : facts)
    if (key == name) return value;
  clipx::fail(cat(file, ": expected a checkpoint of clipx train, got one without \"", name, "\""));
}

class run {
 public:
  explicit run(train_options o) : o_(std::move(o)), folder_(fs::path(o_.logs) / o_.name) {}

  int operator()() {
    std::signal(SIGINT, on_signal), std::signal(SIGTERM, on_signal);
    open_model();
    open_data();
    make_trainer();
    resume();
    train();
    return finish();
  }

 private:
  fs::path checkpoints() const { return folder_ / "checkpoints"; }
  std::string model_folder() const { return (folder_ / "model").string(); }
  std::uint64_t epochs() const { return o_.data.epochs; }

  /// --model: a preset's name, a config file, or a folder that holds one.
  void open_model() {
    std::string tokens = o_.model.checkpoint.tokenizer;
    std::error_code none;
    fs::path path = o_.model.path;
    if (fs::is_directory(path, none)) path /= "open_clip_config.json";
    if (fs::exists(path, none)) {
      const auto file = clipx::mapped_file::open(path.string());
      config_ =
          clipx::read_open_clip_config({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path.string());
      config_.model.name = path.parent_path().filename().string();
      if (tokens.empty()) tokens = path.has_parent_path() ? path.parent_path().string() : ".";
    } else {
      config_.model = clipx::presets::find(o_.model.path);
      config_.pixels.size = config_.model.vision.image_size;
      config_.text.context_length = config_.model.text.context_length;
      clipx::expect(!tokens.empty(), [&] {
        return cat("--tokenizer: expected the vocabulary for ", o_.model.path,
                   " (bpe_simple_vocab_16e6.txt.gz, or a folder), got none");
      });
    }
    if (o_.siglip && !config_.model.initial_logit_bias) config_.model.initial_logit_bias = clipx::initial_sigmoid_bias;
    text_.emplace(fs::is_directory(tokens, none) ? clipx::tokenizer::from_folder(tokens, config_.text)
                                                 : clipx::tokenizer::from_merges(tokens, config_.text));
    clipx::expect(text_->vocab_size() == config_.model.text.vocab_size, [&] {
      return cat(tokens, ": expected a vocabulary of ", config_.model.text.vocab_size, " ids, as the model has, got ",
                 text_->vocab_size());
    });
  }

  void open_data() {
    auto& d = o_.data;
    d.data = o_.train_data;
    d.preprocess = config_.pixels;
    d.loops = picture_loops();
    d.seed = o_.trainer.seed;
    d.batch = static_cast<dim>(o_.model.batch_size) * o_.accum_freq;
    pairs_ = clipx::count_pairs(d);
    steps_an_epoch_ = static_cast<dim>(pairs_) / d.batch;
    clipx::expect(steps_an_epoch_ > 0,
                  [&] { return cat("--train-data: expected at least a batch of ", d.batch, " pairs, got ", pairs_); });
    loader_.emplace(d);
    auto v = d;
    v.augment.reset(), v.draw_captions = false, v.keep_last = true, v.shuffle = 0, v.epochs = 1;
    v.batch = static_cast<dim>(o_.model.batch_size);
    if (!o_.val_data.empty()) v.data = o_.val_data, v.hold_out = 0;
    else v.held_out = true;
    if (!o_.val_data.empty() || d.hold_out > 0) val_data_ = v;
  }

  void make_trainer() {
    auto& t = o_.trainer;
    const bool resnet = config_.model.vision.is_resnet();
    t.optimizer.beta2 = o_.beta2 >= 0 ? o_.beta2 : resnet ? 0.999 : 0.98;
    t.optimizer.eps = o_.eps > 0 ? o_.eps : resnet ? 1e-8 : 1e-6;
    const dim total = steps_an_epoch_ * static_cast<dim>(epochs());
    t.schedule = {o_.lr, o_.warmup, total};
    t.whole_from = o_.whole_epochs > 0 ? total - o_.whole_epochs * steps_an_epoch_ : -1;
    t.gradients.chunk = o_.accum_freq > 1 ? static_cast<dim>(o_.model.batch_size) : 0;
    t.gradients.kept = o_.checkpointing ? clipx::keep::inputs : clipx::keep::selective;
    t.gradients.train_image = !o_.lock_image, t.gradients.train_text = !o_.lock_text;
    t.gradients.batch_statistics = !o_.freeze_statistics;
    t.gradients.mean = config_.pixels.mean, t.gradients.std = config_.pixels.std;
    trainer_ = make_trainee(config_.model, t, o_.model.device);
    if (!o_.pretrained.empty() && o_.resume.empty()) trainer_->start_from(clipx::checkpoint::open(o_.pretrained));
  }

  void resume() {
    const auto there = checkpoints_in(checkpoints());
    std::error_code failed;
    if (o_.resume.empty()) {
      clipx::expect(there.empty(), [&] {
        return cat(folder_.string(), " holds a run of ", there.back().first,
                   " steps: --resume latest goes on with it, --name begins another");
      });
    } else {
      clipx::expect(o_.resume != "latest" || !there.empty(),
                    [&] { return cat("--resume latest: no checkpoint in ", checkpoints().string()); });
      const auto path = o_.resume == "latest" ? there.back().second.string() : o_.resume;
      const auto facts = trainer_->restore(path);
      clipx::expect(there.empty() || there.back().first <= trainer_->count(), [&] {
        return cat("--resume: ", path, " is of step ", trainer_->count(), ", and ", there.back().second.string(),
                   " is there already: move later ones away, or begin another run with --name");
      });
      const auto before = json::parse(fact(facts, "settings", path)), now = settings();
      for (auto& [key, value] : now.items())
        if (!before.contains(key) || before[key] != value)
          std::fprintf(stderr, "clipx: %s was %s in %s and is %s now\n", key.c_str(),
                       before.contains(key) ? before[key].dump().c_str() : "not set", path.c_str(), value.dump().c_str());
      const auto at = json::parse(fact(facts, "position", path));
      position_ = {at.at(0).get<std::uint64_t>(), at.at(1).get<std::uint64_t>(), at.at(2).get<std::uint64_t>()};
      loader_->seek(position_);
    }
    for (auto& f : {checkpoints(), fs::path(model_folder())}) {
      fs::create_directories(f, failed);
      clipx::expect(fs::is_directory(f), [&] { return cat(f.string(), ": cannot be made a folder: ", failed.message()); });
    }
    for (auto& entry : fs::directory_iterator(checkpoints()))  // what a kill left of a checkpoint
      if (entry.path().filename().string().find(".safetensors.tmp.") != std::string::npos) fs::remove(entry.path(), failed);
    log_.emplace(folder_.string(), trainer_->count(), o_.tensorboard);
  }

  /// What decides the weights, and nothing else.
  json settings() const {
    const auto& t = o_.trainer;
    json s{{"model", json::parse(clipx::open_clip_config_text(config_))},
           {"train_data", o_.train_data},
           {"pairs", pairs_},
           {"batch_size", o_.model.batch_size},
           {"accum_freq", o_.accum_freq},
           {"epochs", epochs()},
           {"lr", o_.lr},
           {"warmup", o_.warmup},
           {"wd", t.optimizer.weight_decay},
           {"betas", {t.optimizer.beta1, t.optimizer.beta2}},
           {"eps", t.optimizer.eps},
           {"grad_clip_norm", t.optimizer.max_norm},
           {"ema", t.optimizer.average},
           {"patch_dropout", t.patch_dropout},
           {"whole_epochs", o_.whole_epochs},
           {"seed", t.seed},
           {"caption_field", o_.data.caption_field},
           {"shuffle", o_.data.shuffle},
           {"hold_out", o_.data.hold_out},
           {"pretrained", o_.pretrained},
           {"siglip", config_.model.initial_logit_bias.has_value()},
           {"lock_image", o_.lock_image},
           {"lock_text", o_.lock_text},
           {"freeze_bn_stats", o_.freeze_statistics},
           {"backend", o_.model.device.backend},
           {"precision", o_.model.device.precision}};
    if (auto& a = o_.data.augment)
      s["augmentation"] = {{"scale", {a->scale_min, a->scale_max}},
                           {"ratio", {a->ratio_min, a->ratio_max}},
                           {"hflip", a->flip},
                           {"color_jitter", {a->brightness, a->contrast, a->saturation, a->hue}},
                           {"color_jitter_prob", a->jitter},
                           {"gray_scale_prob", a->gray},
                           {"coarse", {a->coarse, a->coarse_min}}};
    return s;
  }

  void save() {
    char name[40];
    std::snprintf(name, sizeof name, "step_%08td.safetensors", trainer_->count());
    trainer_->save((checkpoints() / name).string(),
                   {{"settings", settings().dump()}, {"position", json{position_.epoch, position_.place, position_.batch}.dump()}});
    auto all = checkpoints_in(checkpoints());
    std::error_code none;
    for (std::size_t i = 0; o_.keep_last > 0 && i + static_cast<std::size_t>(o_.keep_last) < all.size(); ++i)
      fs::remove(all[i].second, none);
  }
  /// In the middle of a run a checkpoint that cannot be written is told, and the one before it stays.
  void try_to_save() {
    try {
      save();
    } catch (const clipx::error& e) { std::fprintf(stderr, "clipx: no checkpoint at step %td: %s\n", trainer_->count(), e.what()); }
  }

  void train() {
    const auto total = steps_an_epoch_ * static_cast<dim>(epochs());
    progress bar("step", static_cast<std::size_t>(std::max<dim>(total - trainer_->count(), 0)));
    clipx::pair_batch batch;
    std::vector<std::vector<std::int32_t>> texts;
    while (position_.epoch < epochs() && !told_to_stop) {
      if (!loader_->next(batch)) {
        position_ = loader_->position();
        end_of_epoch(position_.epoch);
        continue;
      }
      texts.clear();
      for (auto& caption : batch.captions) texts.push_back((*text_)(caption));
      const double lr = trainer_->learning_rate();
      trainer_->step(batch.pixels, texts);
      position_ = batch.next;
      note(trainer_->loss(), lr);
      bar.advance(1, note_.c_str());
      if (save_every() > 0 && trainer_->count() % save_every() == 0) try_to_save();
    }
  }
  dim save_every() const { return static_cast<dim>(o_.save_frequency * static_cast<double>(steps_an_epoch_) + 0.5); }

  /// Remembers a step, writes the mean of every few.
  void note(double loss, double lr) {
    clipx::expect(std::isfinite(loss), [&] {
      return cat("the loss is no longer a number at step ", trainer_->count(),
                 "; the last checkpoint stays. A smaller --lr, or --grad-clip-norm 1, helps");
    });
    losses_ += loss, ++noted_;
    const auto report = loader_->report();
    const double seconds = report.seconds - reported_.seconds;
    char line[160];
    std::snprintf(line, sizeof line, "  loss %.4f  scale %.2f  data wait %.0f %%", loss, std::exp(trainer_->log_scale()),
                  100 * report.share_waited());
    note_ = line;
    if (trainer_->count() % o_.log_every != 0) return;
    write({{"epoch", static_cast<double>(trainer_->count()) / static_cast<double>(steps_an_epoch_)},
           {"loss", losses_ / noted_},
           {"lr", lr},
           {"scale", std::exp(trainer_->log_scale())},
           {"pairs_per_second", static_cast<double>(report.pairs - reported_.pairs) / std::max(seconds, 1e-9)},
           {"data_wait", (report.waited - reported_.waited) / std::max(seconds, 1e-9)}});
    reported_ = report, losses_ = noted_ = 0;
  }

  void end_of_epoch(std::uint64_t done) {
    const bool last = done == epochs();
    const bool validate = val_data_ && o_.val_frequency > 0 && (last || done % static_cast<std::uint64_t>(o_.val_frequency) == 0);
    const bool classify = !o_.zeroshot_data.empty() && o_.zeroshot_frequency > 0 &&
                          (last || done % static_cast<std::uint64_t>(o_.zeroshot_frequency) == 0);
    if (!validate && !classify) return;
    trainer_->write_model(model_folder(), config_, *text_);
    const auto e = make_engine(clipx::checkpoint::open(model_folder()), o_.model.device);
    if (validate) {
      const auto m = validation(*e);
      write({{"val_loss", m.loss},
             {"val_pairs", static_cast<double>(m.pairs)},
             {"val_image_to_text_R@1", m.text_recall[0]},
             {"val_image_to_text_R@5", m.text_recall[1]},
             {"val_text_to_image_R@1", m.image_recall[0]},
             {"val_text_to_image_R@5", m.image_recall[1]}});
    }
    if (classify) {
      const auto m = zero_shot_on(*e, o_.zeroshot_data, o_.classes, o_.templates, o_.model.batch_size, o_.model.device.threads);
      write({{"zeroshot_top1", m.acc1}, {"zeroshot_top5", m.acc5}, {"zeroshot_mean_per_class", m.mean_per_class_recall}});
    }
  }
  clipx::pair_metrics validation(engine& e) {
    clipx::loader data(*val_data_);
    clipx::pair_batch batch;
    clipx::embeddings<double> images, texts;
    std::vector<std::string> captions;
    while (captions.size() < 10000 && data.next(batch)) {
      for (auto [from, to] : {std::pair{e.images(batch.pixels), &images}, std::pair{e.texts(batch.captions), &texts}})
        to->cols = from.cols, to->values.insert(to->values.end(), from.values.begin(), from.values.end());
      captions.insert(captions.end(), batch.captions.begin(), batch.captions.end());
    }
    return clipx::evaluate_pairs<double>(e.cosines(images, texts), captions, e.log_scale(), static_cast<dim>(o_.model.batch_size),
                                         e.logit_bias());
  }

  void write(std::initializer_list<clipx::metric> values) { log_->write(trainer_->count(), {values.begin(), values.size()}); }

  void write_report() {
    std::vector<std::pair<std::string, std::string>> facts{{"parameters", cat(trainer_->parameters())}};
    const auto used = settings();
    for (auto& [name, value] : used.items()) facts.emplace_back(name, value.is_string() ? value.get<std::string>() : value.dump());
    clipx::write_training_report(folder_.string(), o_.name, facts);
  }

  int finish() {
    save();
    trainer_->write_model(model_folder(), config_, *text_);
    write_report();
    const auto report = loader_->report();
    if (report.skipped > 0) {
      std::fprintf(stderr, "clipx: %llu samples could not be used:\n", static_cast<unsigned long long>(report.skipped));
      for (auto& why : report.first_skipped) std::fprintf(stderr, "  %s\n", why.c_str());
    }
    if (!told_to_stop) {
      std::printf("%td steps, %td parameters: %s\n", trainer_->count(), trainer_->parameters(), model_folder().c_str());
      return 0;
    }
    std::fprintf(stderr, "clipx: stopped after step %td; --resume latest goes on from there\n", trainer_->count());
    return 130;
  }

  train_options o_;
  fs::path folder_;
  clipx::checkpoint_config config_;
  std::optional<clipx::tokenizer> text_;
  std::optional<clipx::loader> loader_;
  std::optional<clipx::loader_config> val_data_;
  std::uint64_t pairs_ = 0;
  dim steps_an_epoch_ = 0;
  std::unique_ptr<trainee> trainer_;
  clipx::loader_position position_;
  clipx::loader_report reported_;
  std::optional<clipx::metrics_log> log_;
  double losses_ = 0, noted_ = 0;
  std::string note_;
};
}  // namespace

int train(train_options o) { return run(std::move(o))(); }

}  // namespace cli
