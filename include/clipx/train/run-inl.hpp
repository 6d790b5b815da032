// Definitions of run.hpp.
#pragma once
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "../checkpoint/model_files.hpp"
#include "../core/json-inl.hpp"
#include "../io/lock.hpp"
#include "report.hpp"
#include "run.hpp"

namespace clipx {
namespace detail {

/// The checkpoints in a folder by step, oldest first.
CLIPX_INLINE std::vector<std::pair<dim, std::string>> checkpoints_in(const std::string& folder) {
  std::vector<std::pair<dim, std::string>> out;
  std::error_code none;
  for (std::filesystem::directory_iterator at(folder, none), last; !none && at != last; at.increment(none)) {
    const auto name = at->path().filename().string();
    dim step = 0;
    if (!name.starts_with("step_") || !name.ends_with(".safetensors")) continue;
    const auto read = std::from_chars(name.data() + 5, name.data() + name.size(), step);
    if (read.ec == std::errc{}) out.emplace_back(step, at->path().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

CLIPX_INLINE json checkpoint_fact(const std::vector<std::pair<std::string, std::string>>& facts, std::string_view name,
                                  const std::string& file) {
  for (auto& [key, value] : facts)
    if (key == name) return parse_json(value, cat(file, ": ", name), 32);
  fail(error_kind::damaged, cat(file, ": expected a checkpoint of a training run, got one without \"", name, "\""));
}

/// {"a": 1, "b": [2]}: JSON texts by name, in the given order.
CLIPX_INLINE std::string settings_text(const run_settings& settings) {
  std::string out = "{";
  for (auto& [name, value] : settings) out += cat(out.size() > 1 ? "," : "", json(name).dump(), ":", value);
  return out + "}";
}

CLIPX_INLINE std::string model_folder_of(const run_options& o) { return (std::filesystem::path(o.folder) / "model").string(); }

/// Losses of the steps since the last line of metrics; they stay on the device until they are needed.
class loss_record {
 public:
  explicit loss_record(any_trainer& t) : trainer_(&t) {}
  void stepped() {
    if (++waiting_ == trainer_->losses_kept()) fetch();
  }
  /// Errors: a loss that is not finite.
  void fetch() {
    if (waiting_ == 0) return;
    fetched_.resize(static_cast<std::size_t>(waiting_));
    trainer_->losses(fetched_);
    for (double loss : fetched_) {
      const dim step = trainer_->count() - --waiting_;
      expect(std::isfinite(loss), [&] {
        return cat("the loss is no longer a number at step ", step,
                   "; the last checkpoint is kept. A smaller cosine_schedule::peak, or optimizer_options::max_norm 1, helps");
      });
      sum_ += loss;
      count_ += 1;
      last_ = loss;
    }
  }
  double last() {
    fetch();
    return last_;
  }
  /// The mean over the steps since the last call.
  double mean() {
    fetch();
    const double mean = sum_ / count_;
    sum_ = count_ = 0;
    return mean;
  }

 private:
  any_trainer* trainer_;
  dim waiting_ = 0;
  std::vector<double> fetched_;
  double sum_ = 0, count_ = 0, last_ = 0;
};

/// The state of a run in progress.
class run_in_folder final : public run_progress {
 public:
  run_in_folder(const run_options& o, loader& data, dim steps_an_epoch, any_trainer& trainer, const run_settings& settings,
                run_observer& observer)
      : o_(o),
        loader_(data),
        steps_an_epoch_(steps_an_epoch),
        trainer_(trainer),
        settings_(settings),
        observer_(observer),
        losses_(trainer) {}

  run_result operator()() {
    const folder_lock alone(o_.folder);
    if (o_.resume.empty()) expect_new();
    else resume();
    make_folders();
    log_.emplace(o_.folder, trainer_.count(), o_.tensorboard);
    observer_.began(trainer_.count(), steps());
    const bool stopped = train();
    losses_.fetch();
    save();
    trainer_.write_model(model_folder(), *o_.data.text);
    write_report();
    return {trainer_.count(), stopped, model_folder(), loader_.report()};
  }

  dim step() const override { return trainer_.count(); }
  dim steps() const override { return steps_an_epoch_ * static_cast<dim>(o_.data.epochs); }
  double share_waited() const override { return loader_.report().share_waited(); }
  double loss() override { return losses_.last(); }
  double scale() override {
    const auto score = trainer_.score();
    return score.parameters().empty() ? 0 : std::exp(score.parameters()[0]);
  }

 private:
  std::string checkpoints() const { return (std::filesystem::path(o_.folder) / "checkpoints").string(); }
  std::string model_folder() const { return model_folder_of(o_); }

  void expect_new() const {
    const auto there = checkpoints_in(checkpoints());
    expect(there.empty(), [&] {
      return cat(o_.folder, " holds a run of ", there.back().first,
                 " steps: run_options::resume latest continues it, run_options::folder starts another");
    });
  }
  void resume() {
    const auto there = checkpoints_in(checkpoints());
    expect(o_.resume != "latest" || !there.empty(), error_kind::not_found,
           [&] { return cat("run_options::resume latest: no checkpoint in ", checkpoints()); });
    const auto path = o_.resume == "latest" ? there.back().second : o_.resume;
    const auto facts = trainer_.restore(path);
    expect(there.empty() || there.back().first <= trainer_.count(), error_kind::mismatch, [&] {
      return cat("run_options::resume: ", path, " is of step ", trainer_.count(), ", and ", there.back().second,
                 " is there already: move later ones away, or start another run with run_options::folder");
    });
    const auto before = checkpoint_fact(facts, "settings", path);
    for (auto& [name, value] : settings_) {
      const auto found = before.find(name);
      const auto now = parse_json(value, name, 32);
      if (found == before.end() || *found != now)
        observer_.warning(
            cat(name, " was ", found == before.end() ? "not set" : found->dump(), " in ", path, " and is ", now.dump(), " now"));
    }
    const auto at = checkpoint_fact(facts, "position", path);
    expect(at.is_array() && at.size() == 3 && std::all_of(at.begin(), at.end(), [](auto& n) { return n.is_number_unsigned(); }),
           error_kind::damaged, [&] { return cat(path, ": expected a position of three numbers, got ", at.dump()); });
    position_ = {at[0].get<std::uint64_t>(), at[1].get<std::uint64_t>(), at[2].get<std::uint64_t>()};
    loader_.seek(position_);
  }
  void make_folders() const {
    std::error_code failed;
    for (auto& f : {checkpoints(), model_folder()}) {
      std::filesystem::create_directories(f, failed);
      const std::string why = failed ? failed.message() : "a file has this name";
      expect(std::filesystem::is_directory(f, failed), error_kind::io, [&] { return cat(f, ": cannot be made a folder: ", why); });
    }
    if (o_.resume.empty() && o_.data.text) {  // no other model's files may stay beside those that this run writes
      std::vector<std::string> names{"open_clip_config.json", "open_clip_model.safetensors"};
      for (auto& [name, body] : o_.data.text->files()) names.push_back(name);
      expect_no_others(model_folder(), names, is_model_file, "run_options::folder");
    }
    std::error_code none;
    for (std::filesystem::directory_iterator at(checkpoints(), failed), end; !failed && at != end; at.increment(failed))
      if (at->path().filename().string().find(".safetensors.tmp.") != std::string::npos)  // remains of a checkpoint after a kill
        std::filesystem::remove(at->path(), none);
  }

  /// Returns whether the observer stopped the run before its end.
  bool train() {
    const auto save_every = static_cast<dim>(std::min(o_.save_every * static_cast<double>(steps_an_epoch_) + 0.5, 0x1p62));
    pair_batch batch;
    while (position_.epoch < o_.data.epochs) {
      if (observer_.cancelled()) return true;
      if (!loader_.next(batch)) {
        position_ = loader_.position();
        end_of_epoch(position_.epoch);
        continue;
      }
      const double lr = trainer_.learning_rate();
      trainer_.step(batch.pixels, batch.texts);
      position_ = batch.next;
      losses_.stepped();
      if (trainer_.count() % o_.log_every == 0) write_step(lr);
      observer_.stepped(*this);
      if (save_every > 0 && trainer_.count() % save_every == 0) try_to_save();
    }
    return false;
  }
  void write_step(double lr) {
    const double loss = losses_.mean();
    const auto report = loader_.report();
    const double seconds = std::max(report.seconds - reported_.seconds, 1e-9);
    write({{"epoch", static_cast<double>(trainer_.count()) / static_cast<double>(steps_an_epoch_)},
           {"loss", loss},
           {"lr", lr},
           {"scale", scale()},
           {"pairs_per_second", static_cast<double>(report.pairs - reported_.pairs) / seconds},
           {"data_wait", (report.waited - reported_.waited) / seconds}});
    reported_ = report;
  }
  void write(const std::vector<metric>& values) { log_->write(trainer_.count(), values); }

  void save() {
    char name[40];
    std::snprintf(name, sizeof name, "step_%08td.safetensors", trainer_.count());
    trainer_.save(
        (std::filesystem::path(checkpoints()) / name).string(),
        {{"settings", settings_text(settings_)}, {"position", json{position_.epoch, position_.place, position_.batch}.dump()}});
    const auto all = checkpoints_in(checkpoints());
    std::error_code none;
    for (std::size_t i = 0; o_.keep_last > 0 && i + static_cast<std::size_t>(o_.keep_last) < all.size(); ++i)
      std::filesystem::remove(all[i].second, none);
  }
  /// In mid-run, a checkpoint that cannot be written is a warning, and the previous one is kept.
  void try_to_save() {
    losses_.fetch();
    try {
      save();
    } catch (const error& e) { observer_.warning(cat("no checkpoint at step ", trainer_.count(), ": ", e.what())); }
  }

  void end_of_epoch(std::uint64_t done) {
    const auto due = [&](int every) {
      return every > 0 && (done == o_.data.epochs || done % static_cast<std::uint64_t>(every) == 0);
    };
    const bool validate = o_.held_out && due(o_.validate_every), look = due(o_.look_every);
    if (!validate && !look) return;
    losses_.fetch();
    trainer_.write_model(model_folder(), *o_.data.text);
    if (validate) {
      const auto m = trainer_.evaluate(*o_.held_out, o_.held_out_pairs, o_.held_out->batch);
      write({{"val_loss", m.loss},
             {"val_pairs", static_cast<double>(m.pairs)},
             {"val_image_to_text_R@1", m.text_recall[0]},
             {"val_image_to_text_R@5", m.text_recall[1]},
             {"val_text_to_image_R@1", m.image_recall[0]},
             {"val_text_to_image_R@5", m.image_recall[1]}});
    }
    if (look) {
      auto model = trainer_.trained(checkpoint::open(model_folder()));
      if (const auto values = observer_.look(model); !values.empty()) write(values);
    }
  }

  void write_report() {
    std::vector<std::pair<std::string, std::string>> facts{{"parameters", cat(trainer_.parameters())}};
    for (auto& [name, value] : settings_) {
      const auto parsed = parse_json(value, name, 32);
      facts.emplace_back(name, parsed.is_string() ? parsed.get<std::string>() : value);
    }
    write_training_report(o_.folder, o_.title, facts);
  }

  const run_options& o_;
  loader& loader_;
  dim steps_an_epoch_;
  any_trainer& trainer_;
  const run_settings& settings_;
  run_observer& observer_;
  loss_record losses_;
  loader_position position_;
  loader_report reported_;  // when the last line of metrics was written
  std::optional<metrics_log> log_;
};

/// Errors: numbers of a run that it cannot count with, or that come to nothing. `steps`: in an epoch.
CLIPX_INLINE void check_run(const run_options& o, dim steps) {
  constexpr double countable = 9007199254740992.0;  // 2^53: whole numbers that a double holds
  const auto epochs = static_cast<double>(o.data.epochs), each = static_cast<double>(steps);
  expect(epochs * each <= countable, [&] {
    return cat("loader_config::epochs: expected at most ", static_cast<std::uint64_t>(countable / each), " of ", steps,
               " steps, got ", o.data.epochs);
  });
  expect(o.save_every == 0 || (o.save_every * each >= 0.5 && o.save_every <= 1e9), [&] {
    return cat("run_options::save_every: expected 0, for none before the end, or from ", 1 / each,
               " epochs, which is a step, to 1e9, got ", o.save_every);
  });
  expect(o.keep_last >= 0 && o.validate_every >= 0 && o.look_every >= 0 && o.held_out_pairs >= 1, [&] {
    return cat("run_options: expected keep_last, validate_every and look_every of 0 or more, and 1 held-out pair or more, got ",
               o.keep_last, ", ", o.validate_every, ", ", o.look_every, " and ", o.held_out_pairs);
  });
}

}  // namespace detail

struct training_run::state {
  run_options options;
  left_out skipped;
  std::uint64_t pairs;
  dim steps_an_epoch = 0;
  std::optional<loader> data;

  explicit state(run_options o) : options(std::move(o)), pairs(count_pairs(options.data, skipped)) {
    const auto& d = options.data;
    expect(d.batch > 0, [&] { return cat("training_run: expected a batch of 1 pair or more, got ", d.batch); });
    expect(d.hold_out != 1, "loader_config::hold_out: expected 0, for none, or 2 or more; 1 holds out every pair");
    steps_an_epoch = static_cast<dim>(pairs) / d.batch;
    expect(steps_an_epoch > 0, [&] {
      return cat("loader_config::data: expected at least a batch of ", d.batch, " pairs, got ", pairs,
                 skipped.none() ? "" : "; " + skipped.text());
    });
    if (options.held_out) check_held_out(*options.held_out);
    expect(d.text.has_value(), "training_run: expected data with a tokenizer, got none");
    if (options.held_out) options.held_out->text = d.text;
    expect(d.epochs > 0 && options.log_every > 0, [&] {
      return cat("training_run: expected 1 epoch or more, and 1 step or more to a line of metrics, got ", d.epochs, " and ",
                 options.log_every);
    });
    detail::check_run(options, steps_an_epoch);
    data.emplace(d);
  }

 private:
  void check_held_out(const loader_config& held) {
    if (!held.held_out) {  // data of their own
      left_out own;
      expect(count_pairs(held, own) > 0,
             [&] { return cat("run_options::held_out: expected pairs, got none", own.none() ? "" : "; " + own.text()); });
      return skipped.add(own);
    }
    expect(has_pair(held), [&] {
      return cat("loader_config::hold_out: expected that one pair in ", held.hold_out, " holds out at least one, got none of ",
                 pairs, " pairs; a smaller number holds out more");
    });
  }
};

CLIPX_INLINE training_run::training_run(run_options o) : state_(std::make_unique<state>(std::move(o))) {}
CLIPX_INLINE training_run::~training_run() = default;
CLIPX_INLINE training_run::training_run(training_run&&) noexcept = default;
CLIPX_INLINE training_run& training_run::operator=(training_run&&) noexcept = default;

CLIPX_INLINE std::uint64_t training_run::pairs() const { return state_->pairs; }
CLIPX_INLINE const left_out& training_run::skipped() const { return state_->skipped; }
CLIPX_INLINE dim training_run::steps_an_epoch() const { return state_->steps_an_epoch; }
CLIPX_INLINE dim training_run::steps() const { return state_->steps_an_epoch * static_cast<dim>(state_->options.data.epochs); }
CLIPX_INLINE const run_options& training_run::options() const { return state_->options; }
CLIPX_INLINE std::string training_run::model_folder() const { return detail::model_folder_of(state_->options); }

CLIPX_INLINE run_result training_run::operator()(any_trainer& trainer, const run_settings& settings, run_observer& observer) {
  auto& s = *state_;
  return detail::run_in_folder(s.options, *s.data, s.steps_an_epoch, trainer, settings, observer)();
}

}  // namespace clipx
