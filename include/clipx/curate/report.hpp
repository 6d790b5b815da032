// A curation as a page: how many samples each step dropped and why, examples of kept and dropped images, the cosines.
#pragma once
#include <string>

#include "curation.hpp"
#include "output.hpp"

namespace clipx {

/// Writes one self-contained HTML file: a table of the steps and their reasons, what could not be read, the curve of the cosines of
/// images and captions if a filter measured them, and thumbnails (JPEG) of up to 24 images that were kept and 12 that each step
/// dropped, chosen by a hash of shard and key, with their captions and details. Captions, keys and messages may contain any
/// characters. Reads all decisions, and the shards of the images shown.
void write_curation_report(const curation& here, const curation_output& output, const std::string& path);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "report-inl.hpp"
#endif
