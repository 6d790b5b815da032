// packed_texts: captions in the form that a text tower takes, without padding.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "config.hpp"

namespace clipx {

/// Captions, each cut after its pooled row, one after another in host memory; whole rows, padding included, where the pooled row
/// depends on it (text_config::filled()); whole rows without padding where that is masked (text_config::masks_padding()).
struct packed_texts {
  std::vector<std::int32_t> ids;        // all tokens
  std::vector<std::int32_t> positions;  // of each token in its caption
  std::vector<std::int32_t> lengths;    // of each caption
  std::vector<std::int32_t> ends;       // of each caption, the position that becomes its embedding; empty: the last of each

  dim count() const { return static_cast<dim>(lengths.size()); }  // number of captions
  friend bool operator==(const packed_texts&, const packed_texts&) = default;

  /// Packs rows of ids as a tokenizer returns them, padded or not. Errors: an empty row, more than context_length tokens (fewer,
  /// where padding is a part of a text), an id outside the vocabulary, padding alone where that is masked.
  static packed_texts pack(std::span<const std::vector<std::int32_t>> rows, const text_config& c);
  /// Appends one row. Errors as above.
  void append(std::span<const std::int32_t> row, const text_config& c);
  void clear();  // removes all captions; memory is kept
  /// Texts first .. first + n - 1.
  packed_texts part(dim first, dim n) const;
  /// Index of the row that becomes the caption's embedding; the last row if the pool is `none`, `last`, `mean` or `first`.
  static std::size_t pooled(std::span<const std::int32_t> row, const text_config& c);

 private:
  void push_back(std::int32_t id, std::size_t position);
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "packed_texts-inl.hpp"
#endif
