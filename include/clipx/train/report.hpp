// A training run as a page and an image, from its record.
#pragma once
#include <span>
#include <string>
#include <utility>

namespace clipx {

/// Reads folder/metrics.jsonl (train/metrics.hpp) and writes beside it loss.svg, the curve of the loss, and report.html, one page
/// that needs nothing else: the facts (names and values, such as the run's settings), the last value of everything recorded, curves
/// of `loss` (with `val_loss`), `lr`, `scale`, `pairs_per_second`, `data_wait` and of all that starts with val_ or zeroshot_. A
/// curve of many points is drawn by the lowest and the highest of each of 400 stretches. Texts may hold anything. Errors: the
/// record or the folder is not there, a line that is no record, by its number.
void write_training_report(const std::string& folder, const std::string& title,
                           std::span<const std::pair<std::string, std::string>> facts);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "report-inl.hpp"
#endif
