// A curation as a page: how many samples each step dropped and why, images that stayed and that went, the cosines.
#pragma once
#include <string>

#include "curation.hpp"
#include "output.hpp"

namespace clipx {

/// Writes one HTML file that needs nothing else: a table of the steps and their reasons, what could not be read, the curve of the
/// cosines of images and captions where a filter measured them, and small copies (JPEG) of images: up to 24 of those that stayed
/// and 12 of those that each step dropped, chosen by a hash of shard and key, with their captions and details. Captions, keys and
/// messages may hold anything. Reads all decisions, and the shards of the images that it shows.
void write_curation_report(const curation& here, const curation_output& output, const std::string& path);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "report-inl.hpp"
#endif
