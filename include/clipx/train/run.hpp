// A training run in a folder: steps over a loader's batches with checkpoints, exact resumption, a record of metrics, looks at
// held-out pairs, the model so far and a report. It prints nothing and catches no signal: what is to be said or asked goes to an
// observer.
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

struct run_options {
  /// Of this run alone, made where it is missing. It gets metrics.jsonl (and TensorBoard's events),
  /// checkpoints/step_NNNNNNNN.safetensors, model/ (as write_model() writes it), loss.svg and report.html.
  std::string folder;
  std::string title;  // of the report
  /// "": a new run, whose folder must hold no checkpoint. "latest" or a checkpoint's path: the run goes on from there.
  std::string resume;

  /// `epochs` is the length of the run, `batch` that of a step, `text` the model's tokenizer.
  loader_config data;
  /// Pairs for val_loss and recall: batches of them up to `held_out_pairs`. The loss is that of blocks of its `batch`; its `text`
  /// is data's.
  std::optional<loader_config> held_out;
  dim held_out_pairs = 10000;

  double save_every = 1;                   // epochs between checkpoints; may be a fraction; 0: only at the end
  int keep_last = 3;                       // checkpoints that are kept; 0: all
  dim log_every = 10;                      // steps of which a line of metrics is the mean
  int validate_every = 1, look_every = 0;  // epochs between evaluations of held_out and calls of run_observer::look; 0: none
  bool tensorboard = false;
};

/// Names and values, as JSON texts, of all that decides the weights. They are written into every checkpoint and into the report,
/// and compared when a run is resumed.
using run_settings = std::vector<std::pair<std::string, std::string>>;

/// Where a run stands after a step.
class run_progress {
 public:
  virtual ~run_progress() = default;
  virtual dim step() const = 0;             // steps done
  virtual dim steps() const = 0;            // of the whole run
  virtual double share_waited() const = 0;  // for data, of the time since the first step
  /// Of the last step, and of the model, exp of its log scale. Each waits for the device; without them steps follow one another
  /// without a wait until a line of metrics is due.
  virtual double loss() = 0;
  virtual double scale() = 0;
};

/// What a run asks and tells its caller, in the thread that runs it. cancelled() is asked before each step: the run then saves and
/// ends. warning() gets what does not end the run: a setting that differs from the checkpoint's, a checkpoint that could not be
/// written. progress() is not called: began() and stepped() say more. Each function may throw, which ends the run without a
/// checkpoint.
class run_observer : public observer {
 public:
  virtual void began(dim /*step*/, dim /*steps*/) {}
  virtual void stepped(run_progress&) {}
  /// Every look_every epochs and at the end: what else is to be measured of the model so far, which model/ holds already. It goes
  /// into the metrics; names must be literals.
  virtual std::vector<metric> look(any_model&) { return {}; }
};

struct run_result {
  dim steps = 0;         // of the run so far
  bool stopped = false;  // before its end
  std::string model;     // training_run::model_folder()
  loader_report data;
};

class training_run {
 public:
  /// Opens the data and counts the pairs. Errors: those of the loader, fewer pairs than a batch, no pair held out.
  explicit training_run(run_options o);
  ~training_run();
  training_run(training_run&&) noexcept;
  training_run& operator=(training_run&&) noexcept;

  std::uint64_t pairs() const;
  /// What was left out when the pairs were counted, before any image was decoded.
  const left_out& skipped() const;
  /// What a schedule needs to know.
  dim steps_an_epoch() const;
  dim steps() const;

  /// Trains to the end, or until the observer says stop; then saves, and writes model/ and the report. With options().resume the
  /// trainer is restored first. To be called once. A loss that is not finite is an error, noticed at the latest when the next line
  /// of metrics is due, and before anything is saved. Errors besides: a folder that holds another run or cannot be written; no
  /// checkpoint to resume from, or one that is older than the folder's last; a full disk, where the run ends.
  run_result operator()(any_trainer& trainer, const run_settings& settings, run_observer& observer);

  const run_options& options() const;
  /// model/ in the run's folder.
  std::string model_folder() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "run-inl.hpp"
#endif
