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
  run_in_folder(const run_options& o, loader& data, const pair_count& counted, any_trainer& trainer, const run_settings& settings,
                run_observer& observer)
      : o_(o),
        loader_(data),
        counted_(counted),
        steps_an_epoch_(static_cast<dim>(counted.pairs) / o.data.batch),
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
    for (auto& what : log_->damaged()) observer_.warning(cat(what, "; put aside in metrics.damaged.jsonl"));
    began_at_ = trainer_.count();
    observer_.began(began_at_, steps());
    const bool stopped = train();
    if (!stopped || trainer_.count() > began_at_) finish(stopped);
    return {trainer_.count(), stopped, data_changed_, model_folder(), loader_.report()};
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
    const auto done = static_cast<std::uint64_t>(trainer_.count());  // each pass over the data gave one batch or more
    const bool agree =
        position_.epoch == 0 ? position_.batch == done : position_.batch <= done && position_.epoch <= done - position_.batch;
    expect(agree, error_kind::damaged, [&] {
      return cat(path, ": expected a position that agrees with its ", done, " steps, got batch ", position_.batch, " of pass ",
                 position_.epoch, " over the data");
    });
    for (auto& [name, value] : facts) evaluation_due_ |= name == "evaluation_due" && value == "true";
    loader_.seek(position_);
  }
  void make_folders() const {
    std::error_code failed;
    for (auto& f : {checkpoints(), model_folder()}) {
      std::filesystem::create_directories(f, failed);
      const std::string why = failed ? failed.message() : "a file has this name";
      expect(std::filesystem::is_directory(f, failed), error_kind::io,
             [&] { return cat(f, ": cannot be created as a folder: ", why); });
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

  /// Returns whether the observer stopped the run before its end. The run is as long as planned: passes over the data follow one
  /// another until all steps are done, however many samples of a pass cannot be used.
  bool train() {
    const auto save_every = static_cast<dim>(std::min(o_.save_every * static_cast<double>(steps_an_epoch_) + 0.5, 0x1p62));
    try {
      if (evaluation_due_) evaluate();
      pair_batch batch;
      while (trainer_.count() < steps()) {
        if (observer_.cancelled()) return true;
        if (!next(batch)) continue;
        const double lr = trainer_.learning_rate();
        trainer_.step(batch.pixels, batch.texts);
        position_ = batch.next;
        losses_.stepped();
        if (trainer_.count() % o_.log_every == 0) write_step(lr);
        observer_.stepped(*this);
        evaluation_due_ = trainer_.count() % steps_an_epoch_ == 0;
        if (evaluation_due_) evaluate();
        const bool last = trainer_.count() == steps();  // whose checkpoint follows the model
        if (save_every > 0 && trainer_.count() % save_every == 0 && !last) try_to_save();
      }
      if (position_.batch == static_cast<std::uint64_t>(steps_an_epoch_)) next(batch);  // the end of the last pass
    } catch (const error& e) {
      if (e.kind() != error_kind::cancelled) throw;
      return trainer_.count() < steps() || evaluation_due_;  // else only the end of the last pass was not looked at
    }
    return false;
  }
  /// The next batch; false at the end of a pass, which is held against the count. Before an error of the data ends the run, what
  /// was done is saved.
  bool next(pair_batch& batch) {
    try {
      if (loader_.next(batch, observer_)) return true;
    } catch (const error& e) {
      if (e.kind() != error_kind::cancelled && trainer_.count() > began_at_) try_to_save();
      throw;
    }
    position_ = loader_.position();
    const auto samples = loader_.report().epoch_samples;
    if (samples == counted_.samples) return false;
    data_changed_ = true;
    observer_.warning(cat("pass ", position_.epoch, " over the data: expected ", counted_.samples,
                          " samples, as were counted before the first step, got ", samples, ": the data has changed since"));
    return false;
  }
  void write_step(double lr) {
    const double loss = losses_.mean();
    const auto report = loader_.report();
    const double seconds = std::max(report.seconds - reported_.seconds - std::exchange(evaluating_, 0), 1e-9);
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
    std::vector<std::pair<std::string, std::string>> facts{
        {"settings", settings_text(settings_)}, {"position", json{position_.epoch, position_.place, position_.batch}.dump()}};
    if (evaluation_due_) facts.emplace_back("evaluation_due", "true");
    trainer_.save((std::filesystem::path(checkpoints()) / name).string(), facts);
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
  /// Writes all that a run leaves behind, first what matters most: the model of a run that is done, the state of one that was
  /// stopped. What cannot be written, on a full disk, keeps nothing else from being written.
  void finish(bool stopped) {
    losses_.fetch();
    std::vector<error> failed;
    std::string written;
    const auto attempt = [&](const char* what, auto&& write) {
      try {
        write();
        written += cat(written.empty() ? "" : " and ", what);
      } catch (const error& e) { failed.push_back(e); }
    };
    const auto state = [&] { attempt("the checkpoint", [&] { save(); }); };
    if (stopped) state();
    attempt("the model", [&] { trainer_.write_model(model_folder(), *o_.data.text); });
    if (!stopped) state();
    attempt("the report", [&] { write_report(); });
    if (failed.empty()) return;
    std::string message = failed[0].what();
    for (std::size_t i = 1; i < failed.size(); ++i) message += cat("; ", failed[i].what());
    fail(failed[0].kind(), cat(message, written.empty() ? "; nothing was written" : cat("; written: ", written)));
  }

  /// What is due at the end of an epoch. It comes before the checkpoint of the same step, so that a run that is resumed from there
  /// does not evaluate again. Errors: cancelled, which leaves it due.
  void evaluate() {
    const auto epoch = trainer_.count() / steps_an_epoch_;
    const auto due = [&](int every) { return every > 0 && (trainer_.count() == steps() || epoch % every == 0); };
    const bool validate = o_.held_out && due(o_.validate_every), look = due(o_.look_every);
    if (validate || look) {
      const double began = loader_.report().seconds;
      losses_.fetch();
      trainer_.write_model(model_folder(), *o_.data.text);
      std::vector<metric> values;
      if (validate) values = validated();
      if (look) {
        auto model = trainer_.trained(checkpoint::open(model_folder()));
        for (auto& m : observer_.look(model)) values.push_back(m);
      }
      if (!values.empty()) write(values);
      evaluating_ += loader_.report().seconds - began;
    }
    evaluation_due_ = false;
  }
  std::vector<metric> validated() {
    const auto m = trainer_.evaluate(*o_.held_out, o_.held_out_pairs, o_.held_out->batch, observer_);
    return {{"val_loss", m.loss},
            {"val_pairs", static_cast<double>(m.pairs)},
            {"val_image_to_text_R@1", m.text_recall[0]},
            {"val_image_to_text_R@5", m.text_recall[1]},
            {"val_text_to_image_R@1", m.image_recall[0]},
            {"val_text_to_image_R@5", m.image_recall[1]}};
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
  pair_count counted_;
  dim steps_an_epoch_;
  any_trainer& trainer_;
  const run_settings& settings_;
  run_observer& observer_;
  loss_record losses_;
  loader_position position_;
  dim began_at_ = 0;             // steps done when the run began
  bool evaluation_due_ = false;  // whether the epoch that has ended is still to be evaluated
  bool data_changed_ = false;    // whether a pass over the data had other samples than were counted
  loader_report reported_;       // when the last line of metrics was written
  double evaluating_ = 0;        // seconds since then
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
  pair_count counted;
  std::optional<loader> data;

  state(run_options o, observer& watch) : options(std::move(o)), counted(count_pairs(options.data, skipped, watch)) {
    const auto& d = options.data;
    expect(d.batch > 0, [&] { return cat("training_run: expected a batch of 1 pair or more, got ", d.batch); });
    expect(d.hold_out != 1, "loader_config::hold_out: expected 0, for none, or 2 or more; 1 holds out every pair");
    expect(steps_an_epoch() > 0, [&] {
      return cat("loader_config::data: expected at least a batch of ", d.batch, " pairs, got ", counted.pairs,
                 skipped.none() ? "" : "; " + skipped.text());
    });
    expect(d.text.has_value(), "training_run: expected data with a tokenizer, got none");
    if (options.held_out) {
      options.held_out->text = d.text;
      check_held_out(*options.held_out, watch);
    }
    expect(d.epochs > 0 && options.log_every > 0, [&] {
      return cat("training_run: expected 1 epoch or more, and 1 step or more to a line of metrics, got ", d.epochs, " and ",
                 options.log_every);
    });
    detail::check_run(options, steps_an_epoch());
    auto passes = d;
    passes.epochs = 0;  // as many as the steps take
    data.emplace(std::move(passes));
  }
  dim steps_an_epoch() const { return static_cast<dim>(counted.pairs) / options.data.batch; }

 private:
  /// Decodes one held-out pair, so that there is one at the end of the first epoch.
  void check_held_out(const loader_config& held, observer& watch) {
    left_out own;
    auto one = held;
    one.batch = one.prefetch = one.threads = 1;
    one.keep_last = true;
    if (!held.held_out) {  // data of their own
      expect(count_pairs(held, own, watch).pairs > 0,
             [&] { return cat("run_options::held_out: expected pairs, got none", own.none() ? "" : "; " + own.text()); });
      skipped.add(own);
    } else {
      expect(has_pair(held), [&] {
        return cat("loader_config::hold_out: expected that one pair in ", held.hold_out, " holds out at least one, got none of ",
                   counted.pairs, " pairs; a smaller number holds out more");
      });
    }
    try {
      pair_batch batch;
      loader(one).next(batch, watch);
    } catch (const error& e) { throw e.in("run_options::held_out"); }
  }
};

CLIPX_INLINE training_run::training_run(run_options o, observer& watch) : state_(std::make_unique<state>(std::move(o), watch)) {}
CLIPX_INLINE training_run::~training_run() = default;
CLIPX_INLINE training_run::training_run(training_run&&) noexcept = default;
CLIPX_INLINE training_run& training_run::operator=(training_run&&) noexcept = default;

CLIPX_INLINE std::uint64_t training_run::pairs() const { return state_->counted.pairs; }
CLIPX_INLINE const left_out& training_run::skipped() const { return state_->skipped; }
CLIPX_INLINE dim training_run::steps_an_epoch() const { return state_->steps_an_epoch(); }
CLIPX_INLINE dim training_run::steps() const { return steps_an_epoch() * static_cast<dim>(state_->options.data.epochs); }
CLIPX_INLINE const run_options& training_run::options() const { return state_->options; }
CLIPX_INLINE std::string training_run::model_folder() const { return detail::model_folder_of(state_->options); }

CLIPX_INLINE run_result training_run::operator()(any_trainer& trainer, const run_settings& settings, run_observer& observer) {
  auto& s = *state_;
  return detail::run_in_folder(s.options, *s.data, s.counted, trainer, settings, observer)();
}

}  // namespace clipx
