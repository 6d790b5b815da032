// Tables of images and captions as text: fields between separators, quoted where necessary (RFC 4180).
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../core/error.hpp"
#include "../io/file.hpp"
#include "left_out.hpp"

namespace clipx::detail {

/// Reads the record at `at`: its fields, without quotes; moves `at` to the next record. A quote is special only at the
/// beginning of a field; inside such a field it is doubled. Returns false if one is not closed.
inline bool read_record(std::string_view text, std::size_t& at, char separator, std::vector<std::string>& fields) {
  std::size_t n = 0;
  const auto field = [&]() -> std::string& {
    if (n == fields.size()) fields.emplace_back();
    fields[n].clear();
    return fields[n++];
  };
  for (std::string* out = &field();; out = &field()) {
    if (at < text.size() && text[at] == '"') {
      for (++at;; ++at) {
        const auto quote = text.find('"', at);
        if (quote == std::string_view::npos) return false;
        out->append(text, at, quote - at);
        at = quote + 1;
        if (at == text.size() || text[at] != '"') break;
        *out += '"';
      }
    }
    const std::size_t from = at;
    while (at < text.size() && text[at] != separator && text[at] != '\n') ++at;
    out->append(text, from, at - from);
    if (at < text.size() && text[at] == separator) {
      ++at;
      continue;
    }
    if (at > from && text[at - 1] == '\r') out->pop_back();
    if (at < text.size()) ++at;
    fields.resize(n);
    return true;
  }
}

/// How a table is read, and what messages call the options that say so.
struct table_columns {
  char separator;
  std::string image, caption;  // the names of the columns
  std::string options;         // what the options are members of: separator, and these two
  std::string image_option, caption_option;
};

/// A mapped table and where its rows begin.
class table {
 public:
  /// `skipped` gets what follows a quote that is never closed; null: that is an error.
  table(const std::string& path, const table_columns& columns, left_out* skipped)
      : file_(mapped_file::open(path)), separator_(columns.separator) {
    const std::size_t first = text().starts_with("\xef\xbb\xbf") ? 3 : 0;
    std::size_t at = first, row = 1;
    std::vector<std::string> fields;
    const auto not_closed = [&] { return cat(path, ": row ", row, ": expected a closing quote, got the end of the file"); };
    expect(at < text().size(), error_kind::damaged, [&] { return cat(path, ": expected a table, got an empty file"); });
    expect(read_record(text(), at, separator_, fields), error_kind::damaged, not_closed);
    const auto column = [&](const std::string& name, const std::string& option) {
      const auto found = std::find(fields.begin(), fields.end(), name);
      expect(found != fields.end(), error_kind::mismatch, [&] {
        std::string there;
        for (auto& f : fields) there += cat(there.empty() ? "" : ", ", "\"", f, "\"");
        return cat(path, ": expected a column \"", name, "\", got ", there, " (separated by ",
                   separator_ == '\t' ? std::string("tabs") : cat("\"", separator_, "\""), "); ",
                   advice(first, name, columns.options, option));
      });
      return static_cast<std::size_t>(found - fields.begin());
    };
    image_ = column(columns.image, columns.image_option);
    caption_ = column(columns.caption, columns.caption_option);
    while (at < text().size()) {
      const std::size_t begin = at;
      ++row;
      if (!read_record(text(), at, separator_, fields)) {
        expect(skipped != nullptr, error_kind::damaged, not_closed);
        skipped->add_unreadable(not_closed() + "; the rest of the table is left out");
        break;
      }
      if (fields.size() > 1 || !fields[0].empty()) rows_.push_back(begin);
      else --row;  // an empty line
    }
    file_.expect_whole();
  }
  const std::string& path() const { return file_.path(); }
  std::size_t size() const { return rows_.size(); }
  /// Image and caption of row i, parsed again from the file; a missing field is empty. Overwrites `fields`.
  void row(std::size_t i, std::vector<std::string>& fields, std::string& img, std::string& caption) const {
    std::size_t at = rows_[i];
    read_record(text(), at, separator_, fields);
    file_.expect_whole();
    const auto take = [&](std::size_t column) { return column < fields.size() ? fields[column] : std::string(); };
    img = take(image_);
    caption = take(caption_);
  }

 private:
  /// What to do about a column that is not there.
  std::string advice(std::size_t first, const std::string& name, const std::string& options, const std::string& option) const {
    for (const char other : {'\t', ',', ';', '|'}) {
      std::vector<std::string> fields;
      std::size_t at = first;
      if (other != separator_ && read_record(text(), at, other, fields) &&
          std::find(fields.begin(), fields.end(), name) != fields.end())
        return cat("there is one with ", options, "::separator \"", other == '\t' ? std::string("\\t") : std::string(1, other),
                   "\"");
    }
    return cat(options, "::", option, " takes the name of another column, ", options, "::separator another separator");
  }
  std::string_view text() const { return {reinterpret_cast<const char*>(file_.bytes().data()), file_.bytes().size()}; }

  mapped_file file_;
  char separator_;
  std::size_t image_ = 0, caption_ = 0;
  std::vector<std::uint64_t> rows_;
};

}  // namespace clipx::detail
