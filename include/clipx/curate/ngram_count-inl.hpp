// Definitions of ngram_count.hpp.
#pragma once
#include <algorithm>
#include <filesystem>

#include "../data/captions-inl.hpp"
#include "../data/folders.hpp"
#include "../io/file.hpp"
#include "../text/unicode.hpp"
#include "ngram_count.hpp"
#include "runs-inl.hpp"

namespace clipx {
namespace detail {

/// The captions of an image in a folder, as the loader reads them: the whole .txt, or a field of the .json.
CLIPX_INLINE void for_each_caption_beside(const std::string& image, const caption_config& c, left_out& skipped,
                                          function_ref<void(std::string_view)> f) {
  const char* ending = c.field.empty() ? ".txt" : ".json";
  const auto path = std::filesystem::path(image).replace_extension(ending).string();
  std::vector<std::string> captions;
  try {
    const auto file = mapped_file::open(path);
    const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    if (!c.field.empty()) json_captions(text, path, c.field, captions);
    else if (const auto one = caption_of(text); !one.empty()) captions.emplace_back(one);
  } catch (const error& e) { return skipped.add_problem(e.what(), e.kind() != error_kind::not_found); }
  for (auto& caption : captions) f(caption);
}

/// The captions of a path, which may be a folder: of shards, or else of images.
CLIPX_INLINE void for_each_caption_below(const std::string& path, const caption_config& c, left_out& skipped,
                                         function_ref<void(std::string_view)> f) {
  std::error_code none;
  if (!std::filesystem::is_directory(path, none)) return for_each_caption(path, c, skipped, f);
  std::vector<std::string> shards, images;
  try {
    shards = list_shards(path, skipped);
    if (shards.empty()) images = list_images(path, skipped);
  } catch (const error& e) { return skipped.add_unreadable(e.what()); }
  if (shards.empty() && images.empty())
    return skipped.add_unreadable(cat(path, ": expected shards, or images with a .txt beside them, in this folder, found none"));
  for (auto& shard : shards) for_each_caption(shard, c, skipped, f);
  for (auto& image : images) for_each_caption_beside(image, c, skipped, f);
}

}  // namespace detail

CLIPX_INLINE ngram_dictionary count_ngrams(const ngram_sources& sources, const std::string& scratch, ngram_report& report,
                                           observer& watch) {
  expect(!sources.data.empty(), "n-grams: expected captions to count in, got none");
  expect(sources.max_n >= 1 && sources.max_n <= 64,
         [&] { return cat("n-grams: expected 1 to 64 words at most, got ", sources.max_n); });
  report = {};
  detail::string_counter counter(scratch, sources.memory);
  std::string joined;
  std::vector<std::size_t> starts;
  const auto count = [&](std::string_view caption) {
    if (!detail::valid_utf8(caption)) {
      ++report.not_utf8;
      return;
    }
    auto words = ngram_words(caption);
    words.insert(words.begin(), std::string(ngram_begin));
    words.emplace_back(ngram_end);
    joined.clear();
    starts.clear();
    for (auto& word : words) {
      if (!joined.empty()) joined += ' ';
      starts.push_back(joined.size());
      joined += word;
      for (std::size_t n = 1; n <= std::min(starts.size(), static_cast<std::size_t>(sources.max_n)); ++n)
        counter.add(std::string_view(joined).substr(starts[starts.size() - n]));
    }
    report.words += words.size();
    if (++report.captions % 1024 == 0) clipx::report(watch, "captions", report.captions, 0);
  };
  for (auto& entry : sources.data)
    for (auto& path : expand_braces(entry)) detail::for_each_caption_below(path, sources.captions, report.skipped, count);
  std::vector<std::pair<std::string, std::uint64_t>> kept;
  for (auto all = counter.merged(); all.next();) {
    ++report.distinct;
    if (all.count >= sources.min_count) kept.emplace_back(all.text, all.count);
  }
  expect(!kept.empty(), [&] {
    return cat("n-grams: expected n-grams that occur ", sources.min_count, " times, got none in ", report.captions, " captions; ",
               report.captions == 0 && !report.skipped.none() ? report.skipped.text() : "a smaller min_count keeps more");
  });
  return ngram_dictionary::from_counts(std::move(kept));
}

}  // namespace clipx
