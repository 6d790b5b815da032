// A curation described by a file: the steps with their options, in order, and the results.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "balance_step.hpp"
#include "duplicate_step.hpp"
#include "filter_step.hpp"
#include "output.hpp"
#include "semantic_step.hpp"

namespace clipx {

/// What a step does, with its options.
using curation_work =
    std::variant<filter_config, duplicate_rules, semantic_config, decontaminate_config, match_config, balance_config>;

/// A named step.
struct curation_step {
  std::string name;    // in facts, reports and the state's folders
  curation_work work;  // what it does
};

/// The contents of a pipeline file.
struct curation_pipeline {
  curation_config curation;          // data and folders
  std::string model;                 // a model's path for steps that need one; "": the caller's
  std::vector<curation_step> steps;  // in order
  bool needs_model() const;          // whether a step computes embeddings
};

/// Reads a pipeline file (see docs/curate.md). Paths in it are relative to the current directory. One error lists everything wrong:
/// unknown keys with the known ones, values of a wrong type or out of range, an unknown kind of step, a repeated name, a word list
/// that cannot be read.
curation_pipeline read_pipeline(const std::string& path);
/// The same from the file's contents; `name` is used for it in errors.
curation_pipeline parse_pipeline(std::string_view json, const std::string& name);

/// What a finished pipeline did.
struct curation_result {
  std::vector<curation::step_total> steps;  // what was left after each
  curation_output output;                   // the files
};

/// Does all steps, writes what stays (output.hpp) and report.html (report.hpp). After a kill or a cancellation, the same
/// call goes on. Nothing where it is not whole: stopped, or other processes are at their parts. Errors: no model where one is
/// needed, those of the steps.
std::optional<curation_result> run_pipeline(const curation_pipeline& pipeline, shared_model* model,
                                            observer& watch = no_observer());

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "pipeline-inl.hpp"
#endif
