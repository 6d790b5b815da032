// What the verbs of clipx curate that write samples share: filter, dedup, decontaminate, run.
#pragma once
#include <clipx/curate/pipeline.hpp>

#include "curate.hpp"

namespace cli {

/// Options of a verb that runs a pipeline, whatever its steps.
struct pipeline_options {
  model_options model;  // and --threads, --json
  clipx::curation_pipeline pipeline;
  std::string part = "0/1";
  bool strict = false;

  void add_data(command& verb);   // --data, --caption-field, --out, --state, --samples-per-shard, --number-keys
  void add_run(command& verb);    // --part, --strict, --json
  void add_model(command& verb);  // --model and its kin, the device
  /// Does it, and prints what came of it; the exit code.
  int run() const;
};

/// --bytes, --pixels, --distance.
void add_duplicate_rules(command& verb, clipx::duplicate_rules& rules);

}  // namespace cli
