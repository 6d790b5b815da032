// What the verbs of clipx curate share.
#pragma once
#include <clipx/curate/match.hpp>

#include "common.hpp"

namespace cli {

/// Options of a verb that reads captions, and goes on where it stopped.
struct curate_options {
  model_options common;  // --threads, --json
  clipx::curate_data data;
  std::string out, part = "0/1";

  void add_data(command& verb);  // --data, --caption-field
  void add_run(command& verb);   // --part, --threads, --json
  clipx::stage_config stage() const;
};

/// --part I/N; `of` says what is divided.
void add_part(command& verb, std::string& part, const std::string& of);
/// Captions read and left out, as JSON.
json caption_facts(const clipx::caption_report& r);
/// One line of JSON, or a line for each fact.
void print_facts(const json& facts, bool json_output);
/// Says on standard error why a stage has no result yet, and what to do; the exit code.
int not_whole(std::size_t missing, std::size_t parts);

/// The verbs of clipx curate.
void add_curate_queries(command& curate, action& run);
void add_curate_match(command& curate, action& run);
void add_curate_balance(command& curate, action& run);
void add_curate_filter(command& curate, action& run);
void add_curate_dedup(command& curate, action& run);
void add_curate_decontaminate(command& curate, action& run);
void add_curate_run(command& curate, action& run);

}  // namespace cli
