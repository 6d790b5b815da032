// The report of a training run, as a page and an image, from its record.
#pragma once
#include <span>
#include <string>
#include <utility>

#include "../core/error.hpp"

namespace clipx {

/// Reads folder/metrics.jsonl (train/metrics.hpp) and writes next to it loss.svg, the curve of the loss, and report.html, a
/// self-contained page: the facts (names and values, such as the run's settings), the last value of everything recorded, curves of
/// `loss` (with `val_loss`), `lr`, `scale`, `pairs_per_second`, `data_wait` and everything that starts with val_ or zeroshot_. A
/// curve of many points is drawn by the lowest and highest of each of 400 stretches. Texts may contain any characters. Errors: a
/// missing record or folder, an invalid line, by its number.
void write_training_report(const std::string& folder, const std::string& title,
                           std::span<const std::pair<std::string, std::string>> facts);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "report-inl.hpp"
#endif
