// What is in a tokenizer.json: its vocabulary and merges in few pieces of memory, because there may be a million, and the rest.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/error.hpp"

namespace clipx::detail {

using symbol_pair = std::pair<std::string_view, std::string_view>;

/// The most that is read: entries of a vocabulary or merges, bytes of a file, bytes of an entry.
inline constexpr std::size_t most_entries = std::size_t(4) << 20, most_token_bytes = std::size_t(200) << 20,
                             most_entry_bytes = 4096;

/// Strings one after another.
struct string_table {
  std::string text;
  std::vector<std::uint32_t> ends{0};

  std::size_t size() const { return ends.size() - 1; }
  std::string_view operator[](std::size_t i) const { return std::string_view(text).substr(ends[i], ends[i + 1] - ends[i]); }
  void add(std::string_view s) {
    text += s;
    ends.push_back(static_cast<std::uint32_t>(text.size()));
  }
};

/// A vocabulary as it stands in a file: an object {token: id}, or an array [[token, score], ..], whose ids are 0, 1, ..
struct token_table {
  string_table tokens;
  std::vector<std::int32_t> ids;  // of each, if it is an object
  std::vector<double> scores;     // of each, if it is an array
  bool present = false;
};

/// The pairs of a vocabulary's merges, by rank: the left and right symbol of each are entries 2 i and 2 i + 1.
struct merge_list {
  string_table symbols;
  bool present = false;

  std::size_t size() const { return symbols.size() / 2; }
  symbol_pair operator[](std::size_t i) const { return {symbols[2 * i], symbols[2 * i + 1]}; }
};

/// String -> its index in a table, by open addressing. Of equal strings the last counts.
class token_index {
 public:
  token_index() = default;
  /// Borrows the table.
  explicit token_index(const string_table& table);
  /// -1 if there is none.
  std::int32_t find(std::string_view s) const;

 private:
  const string_table* table_ = nullptr;
  std::vector<std::int32_t> slots_;
  std::size_t mask_ = 0;
};

/// A tokenizer.json. `rest`: the JSON text without what is in the tables.
struct token_file {
  std::string name, rest;
  bool in_float = false;  // scores are added in single precision, as sentencepiece does, else in double precision
  token_table vocab;
  merge_list merges;
};

/// Reads tokenizer.json in time linear in its size. Errors: what is no vocabulary or merges, each with its place.
token_file read_token_file(std::string_view text, const std::string& name);
/// Reads a vocab.json into a table.
token_table read_token_table(std::string_view text, const std::string& name);
/// The text of a tokenizer.json again.
std::string token_file_text(const token_file& f);

}  // namespace clipx::detail

#ifndef CLIPX_COMPILED
#include "token_file-inl.hpp"
#endif
