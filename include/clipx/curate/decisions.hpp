// What curation has decided about each sample of a shard, and the files that store it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../core/function_ref.hpp"
#include "captions_source.hpp"

namespace clipx {

/// What a dropped sample is.
enum class dropped_as {
  judged,     // one that a rule does not want
  missing,    // one without an image or without a caption, where a rule asks for it: it is left out (left_out)
  unreadable  // damaged: it is left out, too
};

/// Why a sample is dropped. `reason` is one of a few, for statistics ("basic: words"); `detail` is about this sample ("2, expected
/// 3 or more"). Without a reason it is kept.
struct verdict {
  std::string reason, detail;                   // as above
  dropped_as as = dropped_as::judged;           // of the step at hand; it is not on disk
  bool keep() const { return reason.empty(); }  // whether there is no reason
};

/// The state of a sample after the steps so far.
struct decision {
  std::string key;                            // the sample's
  std::string step;                           // that dropped it; empty: it is kept
  verdict why;                                // the reason of that step
  std::string facts = "{}";                   // a JSON object: for each step, what was measured and decided
  bool kept() const { return step.empty(); }  // whether no step has dropped it
};

/// The decisions about a shard, in numbers.
struct shard_summary {
  std::uint64_t samples = 0, kept = 0;           // number of samples, and of those kept
  std::map<std::string, std::uint64_t> dropped;  // "step: reason" to number of samples
  caption_report read;                           // what was read and left out, by the steps so far

  void add(const shard_summary& next);  // adds another shard's numbers
  void count(const decision& d);        // adds one sample's decision
};

/// Adds `facts`, the text of a JSON object, to a decision under a step's name. Errors: not an object.
void add_facts(decision& d, const std::string& step, std::string_view facts);

/// Appends the line for a decision, and the line that ends a shard's file.
void append_line(std::string& out, const decision& d);
/// The last line: the summary.
void append_line(std::string& out, const shard_summary& s);

/// The decisions in a shard's file, in the shard's order. `name` is used for the file.
/// Errors, by line: not what append_line writes.
void for_each_decision(std::span<const std::byte> file, const std::string& name, function_ref<void(decision&&)> f);
/// Reads only the last line.
shard_summary read_summary(std::span<const std::byte> file, const std::string& name);

/// A sample's JSON with the facts of its decision added under "curate"; what is there already is kept, except facts of a step of
/// the same name, which are replaced. If the sample has no JSON, it gets one.
/// Errors: JSON that is not an object; `name` is the sample's.
std::string merge_facts(std::string_view json_text, const decision& d, const std::string& name);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "decisions-inl.hpp"
#endif
