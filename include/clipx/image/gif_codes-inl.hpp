// The codes of a GIF (LZW), read as Pillow reads them, damaged ones too: what giflib still makes of those is another image.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "../core/mat.hpp"

namespace clipx::detail {

class gif_codes {
 public:
  /// `blocks`: the file behind the byte that says the size of the codes, which is `bits`.
  gif_codes(std::span<const std::byte> blocks, unsigned bits) : data_(blocks), bits_(bits), clear_(1u << bits) {
    loaded_ = std::min(data_.size(), piece);
  }

  /// Up to n pixels, as put(index); the number of them, which is less where codes are missing or make no sense.
  template <class Put>
  dim read(dim n, Put&& put) {
    dim done = 0;
    restart();
    for (unsigned code = 0; done < n && next(code);) {
      if (code == clear_) {
        if (!fresh_) restart();
        continue;
      }
      if (code == clear_ + 1) {  // the end; what follows is read if Pillow had not seen the end of the file by then
        if (loaded_ == data_.size()) break;
        loaded_ = std::min(data_.size(), loaded_ + piece);
        continue;
      }
      if (fresh_) {
        if (code > clear_) break;
        last_value_ = static_cast<std::uint8_t>(code);
        last_code_ = code;
        fresh_ = false;
        put(last_value_);
        ++done;
        continue;
      }
      const std::size_t from = expand(code);
      if (from == none) break;
      put(last_value_);
      ++done;
      for (std::size_t i = from; i < string_.size() && done < n; ++i, ++done) put(string_[i]);
    }
    return done;
  }

 private:
  static constexpr std::size_t piece = 65536, none = ~std::size_t{0};
  static constexpr unsigned most_codes = 4096;

  void restart() {
    width_ = bits_ + 1;
    free_ = clear_ + 2;
    fresh_ = true;
  }

  bool next(unsigned& code) {
    while (held_bits_ < width_) {
      if (block_ > 0) {
        held_ |= static_cast<std::uint32_t>(data_[at_++]) << held_bits_;
        held_bits_ += 8;
        --block_;
        continue;
      }
      if (at_ >= data_.size()) return false;
      const auto size = static_cast<std::size_t>(data_[at_]);
      if (size + 1 > data_.size() - at_) return false;  // a block that is cut short is not there
      while (at_ + size + 1 > loaded_) loaded_ = std::min(data_.size(), loaded_ + piece);
      block_ = size;
      ++at_;
    }
    code = held_ & ((1u << width_) - 1);
    held_ >>= width_;
    held_bits_ -= width_;
    return true;
  }

  /// The indices that a code stands for: the first is last_value_, the others string_ from what is returned.
  std::size_t expand(unsigned code) {
    std::size_t from = string_.size();
    if (code > free_) return none;
    unsigned c = code;
    if (code == free_) {
      string_[--from] = last_value_;
      c = last_code_;
    }
    while (c >= clear_) {
      if (from == 0 || c >= most_codes) return none;
      string_[--from] = value_[c];
      c = link_[c];
    }
    last_value_ = static_cast<std::uint8_t>(c);
    if (free_ < most_codes) {
      value_[free_] = last_value_;
      link_[free_] = static_cast<std::uint16_t>(last_code_);
      if (free_ == (1u << width_) - 1 && width_ < 12) ++width_;
      ++free_;
    }
    last_code_ = code;
    return from;
  }

  std::span<const std::byte> data_;
  unsigned bits_, clear_, width_ = 0, free_ = 0, last_code_ = 0;
  std::uint8_t last_value_ = 0;
  bool fresh_ = true;  // no code since the table was cleared
  std::size_t at_ = 0, block_ = 0, loaded_ = 0;
  std::uint32_t held_ = 0;
  unsigned held_bits_ = 0;
  std::array<std::uint8_t, most_codes> value_{}, string_{};
  std::array<std::uint16_t, most_codes> link_{};
};

}  // namespace clipx::detail
