// A training run in a folder: steps over a loader's batches with checkpoints, exact resumption, a record of metrics, evaluation on
// held-out pairs, the model so far and a report. It prints nothing and catches no signal: messages and questions go to an observer.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../core/observer.hpp"
#include "../data/loader.hpp"
#include "any_trainer.hpp"
#include "metrics.hpp"

namespace clipx {

/// What a run is made of, besides the trainer.
struct run_options {
  /// A folder for this run alone, created if it does not exist. It receives metrics.jsonl (and TensorBoard's events),
  /// checkpoints/step_NNNNNNNN.safetensors, model/ (as written by write_model()), loss.svg and report.html.
  std::string folder{};
  /// Title of the report.
  std::string title{};
  /// "": a new run, whose folder must hold no checkpoint. "latest" or a checkpoint's path: the run continues from there.
  std::string resume{};

  /// `epochs` is the length of the run, `batch` the batch of a step, `text` the model's tokenizer. An epoch of the run is as many
  /// steps as the pairs that were counted make batches. Where some of them turn out unusable, another pass over the data begins
  /// earlier, so that the steps of the run, and its schedule, are those that were planned.
  loader_config data{};
  /// Pairs for val_loss and recall: its batches up to `held_out_pairs`. The loss is over blocks of its `batch` pairs; its `text` is
  /// ignored in favor of data's.
  std::optional<loader_config> held_out{};
  dim held_out_pairs = 10000;  // most pairs of an evaluation

  double save_every = 1;                   // epochs between checkpoints; may be a fraction; 0: only at the end
  int keep_last = 3;                       // number of checkpoints to keep; 0: all
  dim log_every = 10;                      // steps that a line of metrics averages over
  int validate_every = 1, look_every = 0;  // epochs between evaluations of held_out and calls of run_observer::look; 0: none
  bool tensorboard = false;                // whether events are written, too
};

/// Names and values, as JSON texts, of everything that determines the weights. They are written to every checkpoint and to the
/// report, and compared when a run is resumed.
using run_settings = std::vector<std::pair<std::string, std::string>>;

/// The state of a run after a step.
class run_progress {
 public:
  virtual ~run_progress() = default;
  virtual dim step() const = 0;             // number of steps done
  virtual dim steps() const = 0;            // of the whole run
  virtual double share_waited() const = 0;  // fraction of the time since the first step that was spent waiting for data
                                            /// Loss of the last step, and exp of the model's log scale. Each waits for the device;
                                            /// otherwise, steps follow one another without waiting until a line of metrics is due.
  virtual double loss() = 0;
  virtual double scale() = 0;  // 0 for a loss without parameters
};

/// What a run asks and tells its caller, in the thread that runs it. cancelled() is asked before each step, while the run waits for
/// data, and between the batches of an evaluation: the run then saves and ends. warning() gets what does not end the run: a setting
/// that differs from the checkpoint's, a checkpoint that could not be written, data that has changed. progress() is called while
/// pairs are counted and in evaluations; of steps, began() and stepped() say more. Each function may throw, which ends the run
/// without a checkpoint.
class run_observer : public observer {
 public:
  /// Called once, before the first step: the steps done already, and those of the whole run.
  virtual void began(dim /*step*/, dim /*steps*/) {}
  /// Called after each step.
  virtual void stepped(run_progress&) {}
  /// Called every look_every epochs and at the end, to measure more of the model so far, which has just been written to model/. The
  /// result is added to the metrics; names must be literals.
  virtual std::vector<metric> look(any_model&) { return {}; }
};

/// How a run ended.
struct run_result {
  dim steps = 0;              // total so far
  bool stopped = false;       // before the end
  bool data_changed = false;  // whether a pass over the data had more or fewer samples than were counted; warning() has said so
  std::string model;          // training_run::model_folder()
  loader_report data;         // of the training data
};

/// A run that has opened its data. Must be used by one thread.
class training_run {
 public:
  /// Opens the data and counts the pairs. The observer's stage is "samples". Errors: those of the loader, fewer pairs than a batch,
  /// no pair held out, more steps than 2^53, a save_every of less than a step, negative numbers.
  explicit training_run(run_options o, observer& watch = no_observer());
  ~training_run();
  training_run(training_run&&) noexcept;
  training_run& operator=(training_run&&) noexcept;

  std::uint64_t pairs() const;  // usable ones in an epoch, as far as headers tell
  /// What was left out when the pairs were counted, before any image was decoded.
  const left_out& skipped() const;
  /// For schedules.
  dim steps_an_epoch() const;
  dim steps() const;  // of the whole run

  /// Trains to the end or until the observer stops the run; then saves, and writes model/ and the report, unless no step was taken.
  /// With options().resume, first restores the trainer. Call it once. An error of the data comes after a checkpoint was written. A
  /// loss that is not finite is an error, noticed at the latest when the next line of metrics is due, and before anything is saved.
  /// Other errors: a folder that contains another run or cannot be written to; no checkpoint to resume from, one that is damaged,
  /// or one that is older than the folder's last; a full disk at the end of the run, after all that fits was written, the model
  /// first.
  run_result operator()(any_trainer& trainer, const run_settings& settings, run_observer& observer);

  const run_options& options() const;  // as given
  /// The path of model/ in the run's folder.
  std::string model_folder() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "run-inl.hpp"
#endif
