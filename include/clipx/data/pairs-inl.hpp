// The samples of shards, tables and folders in an epoch's order, not yet decoded: the input of loader.hpp.
#pragma once
#include <algorithm>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "../core/error.hpp"
#include "../core/hash.hpp"
#include "captions-inl.hpp"
#include "folders-inl.hpp"
#include "loader.hpp"
#include "shards-inl.hpp"
#include "table-inl.hpp"

namespace clipx::detail {

/// Why a pair with an empty text is left out.
inline constexpr const char* no_caption = "expected a caption, got an empty text, on which open_clip would train";

/// One sample, as stored.
struct raw_pair {
  std::string key;
  std::shared_ptr<const shard_file> shard;     // what the next two are in
  byte_range img, text;                        // text: the caption, or JSON that contains it
  std::string image_path, text_path, caption;  // for a folder (the first two) or a table instead
  bool json = false;                           // whether `text` is JSON
  const std::string* origin = nullptr;         // the shard, table or folder, for messages
  std::string problem;                         // why it is not usable; else empty
  bool unreadable = false;                     // because it is damaged, and not because a file or a field is not there
  error_kind kind = error_kind::damaged;       // of the problem

  std::string name() const { return key.empty() ? *origin : cat(*origin, ": ", key); }
};

/// Everything that the entries of loader_config::data name. A part is a shard, a row of a table or an image of a folder.
class pair_sources {
 public:
  explicit pair_sources(const loader_config& c) : config_(c) {
    expect(!c.data.empty(), "loader: expected data (shards, tables or folders), got none");
    for (auto& entry : c.data)
      for (auto& path : expand_braces(entry)) {
        try {
          add(path);
        } catch (const error& e) {
          if (e.kind() == error_kind::mismatch) throw;  // a table without its columns
          skipped_.add_unreadable(e.what());
          if (!kind_) kind_ = e.kind();
        }
      }
    expect(!parts_.empty() || skipped_.unreadable == 0, kind_.value_or(error_kind::damaged),
           [&] { return skipped_.count == 1 ? skipped_.first[0] : "loader: expected data, got none; " + skipped_.text(); });
    if (c.strict) skipped_.expect_none();
  }
  /// Of the sources themselves: paths that are not there, links, images of other formats, rests of tables.
  const left_out& skipped() const { return skipped_; }

  struct part {
    enum kind { shard, row, img } what;
    std::uint32_t source;  // index into shards_, tables_ or folders_
    std::uint64_t index;   // of the row or image
  };
  std::span<const part> parts() const { return parts_; }
  const std::string& shard(const part& p) const { return shards_[p.source]; }
  const loader_config& config() const { return config_; }

  /// A sample of a shard.
  raw_pair make(const part& p, const std::shared_ptr<const shard_file>& file, const stored_sample& s) const {
    raw_pair out;
    out.key = s.key;
    out.shard = file;
    out.origin = &shards_[p.source];
    out.json = !config_.caption_field.empty();
    const auto *img = find_image(s.members), *text = find_member(s.members, out.json ? "json" : "txt");
    if (!img) out.problem = "expected an image (jpg, png, jpeg or webp), got none";
    else if (!text) out.problem = cat("expected a caption (", out.json ? "json" : "txt", "), got none");
    else if (text->size == 0) out.problem = no_caption;
    else {
      out.img = *img;
      out.text = *text;
    }
    return out;
  }
  /// A row of a table, or an image of a folder.
  raw_pair make(const part& p, std::vector<std::string>& fields) const {
    namespace fs = std::filesystem;
    raw_pair out;
    if (p.what == part::row) {
      const auto& t = tables_[p.source];
      t.row(p.index, fields, out.key, out.caption);
      out.origin = &t.path();
      if (out.key.empty()) out.problem = cat("row ", p.index + 2, ": expected the path of an image, got none");
      else if (caption_of(out.caption).empty()) out.problem = no_caption;
      out.image_path = (fs::path(t.path()).parent_path() / out.key).string();
    } else {
      const auto& f = folders_[p.source];
      out.origin = &f.path;
      out.json = !config_.caption_field.empty();
      out.image_path = f.images[p.index];
      out.key = fs::path(out.image_path).lexically_relative(f.path).generic_string();
      out.text_path = fs::path(out.image_path).replace_extension(out.json ? ".json" : ".txt").string();
    }
    return out;
  }

 private:
  struct folder {
    std::string path;
    std::vector<std::string> images;
  };

  void add(const std::string& path) {
    namespace fs = std::filesystem;
    std::error_code problem;
    const bool there = fs::exists(path, problem);
    expect(there, system_error_kind(problem.value()),
           [&] { return cat(path, ": expected a shard, a table or a folder, found none"); });
    if (fs::is_directory(path, problem)) return add_folder(path);
    const auto ending = lower_ascii(fs::path(path).extension().string());
    if (ending == ".csv" || ending == ".tsv") {
      const char separator = config_.separator ? config_.separator : ending == ".csv" ? ',' : '\t';
      const table_columns columns{separator,       config_.image_column, config_.caption_column,
                                  "loader_config", "image_column",       "caption_column"};
      add_parts(part::row, tables_, table(path, columns, &skipped_), [](const table& t) { return t.size(); });
    } else {
      add_parts(part::shard, shards_, std::string(path), [](const std::string&) { return std::size_t{1}; });
    }
  }
  void add_folder(const std::string& path) {
    const auto tars = list_shards(path, skipped_);
    for (auto& tar : tars) add_parts(part::shard, shards_, std::string(tar), [](const std::string&) { return std::size_t{1}; });
    if (!tars.empty()) return;
    auto images = list_images(path, skipped_);
    if (images.empty()) fail_without_images(path, {});
    add_parts(part::img, folders_, folder{path, std::move(images)}, [](const folder& f) { return f.images.size(); });
  }
  template <class Source, class Size>
  void add_parts(part::kind what, std::vector<Source>& sources, Source source, Size size) {
    const std::size_t n = size(source);
    for (std::size_t i = 0; i < n; ++i) parts_.push_back({what, static_cast<std::uint32_t>(sources.size()), i});
    sources.push_back(std::move(source));
  }

  const loader_config& config_;
  std::vector<std::string> shards_;
  std::vector<table> tables_;
  std::vector<folder> folders_;
  std::vector<part> parts_;
  left_out skipped_;
  std::optional<error_kind> kind_;  // of the first of skipped_
};

/// One epoch: parts in the epoch's order and their samples, through the shuffle buffer, restricted to one side of the split.
class pair_stream {
 public:
  pair_stream(const pair_sources& sources, std::uint64_t epoch)
      : sources_(sources), order_(sources.parts().size()), draw_(sources.config().seed, epoch, 's') {
    std::iota(order_.begin(), order_.end(), std::uint64_t{0});
    if (sources.config().shuffle == 0) return;
    const draws draw(sources.config().seed, epoch, 'p');
    for (std::size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[draw.below(i, i)]);
  }
  /// Returns false at the end.
  bool next(raw_pair& out) {
    const std::size_t wanted = std::max<std::size_t>(sources_.config().shuffle, 1);
    while (!ended_ && waiting_.size() < wanted) {
      raw_pair more;
      if (read(more)) waiting_.push_back(std::move(more));
      else ended_ = true;
    }
    if (waiting_.empty()) return false;
    std::swap(waiting_[draw_.below(given_++, waiting_.size())], waiting_.back());
    out = std::move(waiting_.back());
    waiting_.pop_back();
    return true;
  }
  /// What shards hold besides samples, since the last call.
  left_out beside() { return std::exchange(beside_, {}); }

 private:
  bool wanted(const raw_pair& p) const {
    const auto& c = sources_.config();
    return c.hold_out == 0 || (hash_of(p.key) % c.hold_out == 0) == c.held_out;
  }
  bool read(raw_pair& out) {
    for (;;) {
      if (reader_) {
        try {
          while (reader_->next(sample_)) {
            out = sources_.make(*part_, file_, sample_);
            if (wanted(out)) return true;
          }
          reader_.reset();
          file_->close_if_many();
        } catch (const error& e) { return damaged(out, e); }
      }
      if (at_ == order_.size()) return false;
      part_ = &sources_.parts()[order_[at_++]];
      if (part_->what == pair_sources::part::shard) {
        try {
          file_ = std::make_shared<shard_file>(sources_.shard(*part_));
          reader_.emplace(*file_, sources_.shard(*part_), &beside_);
        } catch (const error& e) { return damaged(out, e); }
      } else {
        out = sources_.make(*part_, fields_);
        if (wanted(out)) return true;
      }
    }
  }
  /// Counts the rest of a damaged shard as one unusable sample.
  bool damaged(raw_pair& out, const error& e) {
    reader_.reset();
    out = {};
    out.origin = &sources_.shard(*part_);
    out.kind = e.kind();
    out.unreadable = true;
    std::string_view why = e.what();
    if (why.starts_with(*out.origin + ": ")) why.remove_prefix(out.origin->size() + 2);
    out.problem = cat(why, "; the rest of the shard is left out");
    return true;
  }

  const pair_sources& sources_;
  std::vector<std::uint64_t> order_;
  std::size_t at_ = 0;  // index into order_
  const pair_sources::part* part_ = nullptr;
  std::shared_ptr<shard_file> file_;
  std::optional<sample_reader> reader_;  // of file_
  stored_sample sample_;
  std::vector<std::string> fields_;
  left_out beside_;

  draws draw_;
  std::vector<raw_pair> waiting_;
  std::uint64_t given_ = 0;
  bool ended_ = false;
};

}  // namespace clipx::detail
