// A training run in a folder: settings, checkpoints, metrics, the model so far.
#pragma once
#include <clipx/data/loader.hpp>
#include <clipx/train/trainer.hpp>

#include "common.hpp"

namespace cli {

struct train_options {
  model_options model;  // --model: a preset, a config file, or a folder with one; the device
  std::string pretrained;
  std::vector<std::string> train_data, val_data;
  clipx::loader_config data;
  clipx::trainer_options trainer;
  clipx::dim accum_freq = 1, warmup = 10000, whole_epochs = 0;
  double lr = 5e-4, beta2 = -1, eps = -1;
  bool lock_image = false, lock_text = false, freeze_statistics = false, checkpointing = false, siglip = false;

  std::string logs = "logs", name = "run", resume;
  double save_frequency = 1;  // epochs
  int keep_last = 3;
  clipx::dim log_every = 10;
  int val_frequency = 1, zeroshot_frequency = 0;
  std::string zeroshot_data, classes, templates;
  bool tensorboard = false;
};

/// Trains until the epochs are done or the program is told to stop (SIGINT, SIGTERM), which saves first. Exit code.
int train(train_options o);

}  // namespace cli
