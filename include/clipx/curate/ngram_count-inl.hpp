// Definitions of ngram_count.hpp.
#pragma once
#include <algorithm>
#include <filesystem>

#include "../data/shards.hpp"
#include "../io/file.hpp"
#include "../text/unicode.hpp"
#include "ngram_count.hpp"
#include "runs-inl.hpp"

namespace clipx {
namespace detail {

/// The captions of a path, which may be a folder.
CLIPX_INLINE void for_each_caption_below(const std::string& path, const caption_config& c, function_ref<void(std::string_view)> f) {
  namespace fs = std::filesystem;
  std::error_code none, problem;
  if (!fs::is_directory(path, none)) return for_each_caption(path, c, f);
  std::vector<std::string> files;
  for (fs::directory_iterator at(path, problem), end; !problem && at != end; at.increment(problem))
    if (at->path().extension() == ".tar") files.push_back(at->path().string());
  expect(!problem, system_error_kind(problem.value()), [&] { return cat(path, ": cannot be listed: ", problem.message()); });
  if (files.empty())
    for (auto& image : list_images(path))
      if (auto text = fs::path(image).replace_extension(".txt"); fs::exists(text, none)) files.push_back(text.string());
  expect(!files.empty(), error_kind::not_found,
         [&] { return cat(path, ": expected shards, or images with a .txt beside them, in this folder, found none"); });
  std::sort(files.begin(), files.end());
  for (auto& file : files) for_each_caption(file, c, f);
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
    for (auto& path : expand_braces(entry)) detail::for_each_caption_below(path, sources.captions, count);
  std::vector<std::pair<std::string, std::uint64_t>> kept;
  for (auto all = counter.merged(); all.next();) {
    ++report.distinct;
    if (all.count >= sources.min_count) kept.emplace_back(all.text, all.count);
  }
  expect(!kept.empty(), [&] {
    return cat("n-grams: expected n-grams that occur ", sources.min_count, " times, got none in ", report.captions,
               " captions; a smaller min_count keeps more");
  });
  return ngram_dictionary::from_counts(std::move(kept));
}

}  // namespace clipx
