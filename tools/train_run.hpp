// `clipx train` once its options are read: what they mean for a clipx::training_run, and what is said while it runs.
#pragma once
#include <clipx/train/run.hpp>
#include <clipx/train/trainer.hpp>

#include "common.hpp"

namespace cli {

struct train_options {
  train_options() { run.data.epochs = 32; }  // as in open_clip
  model_options model;                       // --model: a preset, a config file, or a folder with one; the device
  std::string pretrained;
  std::vector<std::string> val_data;
  std::uint64_t train_samples = 0;  // --train-num-samples; 0: what there is
  clipx::run_options run;           // its data, checkpoints, metrics
  clipx::trainer_options trainer;
  clipx::dim accum_freq = 1, warmup = 10000, whole_epochs = 0;
  double lr = 5e-4, beta2 = -1, eps = -1, patch_dropout = -1;  // -1: the model's
  bool lock_image = false, lock_text = false, freeze_statistics = false, checkpointing = false, siglip = false, batch_only = false;
  std::string loss, ngrams;  // --loss: "": what --model says; --ngrams: the dictionary
  double lambda = -1;        // -1: ngrams::config's

  std::string logs = "logs", name = "run";
  std::string zeroshot_data, classes, templates;
};

/// Trains until the epochs are done or the program is told to stop (stop.hpp), which saves first. Exit code.
int train(train_options o);

}  // namespace cli
