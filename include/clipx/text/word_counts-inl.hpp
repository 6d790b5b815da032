// word_counts: a table of words, for learning vocabularies and for curation.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "../core/random.hpp"

namespace clipx::detail {

/// Words and how often each came, by open addressing. A byte of a word is its place in CLIP's alphabet.
class word_counts {
 public:
  void add(std::string_view word, std::uint64_t times) {
    if (4 * (used_ + 1) > 3 * slots_.size()) grow();
    const std::uint64_t hash = hash_of(word);
    std::size_t i = hash & (slots_.size() - 1);
    for (; slots_[i].times > 0; i = (i + 1) & (slots_.size() - 1))
      if (slots_[i].hash == hash && view(slots_[i]) == word) {
        slots_[i].times += times;
        return;
      }
    slots_[i] = {hash, times, bytes_.size(), word.size()};
    bytes_ += word;
    ++used_;
  }
  template <class F>
  void for_each(F&& f) const {
    for (const auto& s : slots_)
      if (s.times > 0) f(view(s), s.times);
  }
  std::size_t size() const { return used_; }
  std::size_t bytes() const { return bytes_.size(); }

 private:
  struct slot {
    std::uint64_t hash = 0, times = 0;
    std::size_t at = 0, size = 0;
  };
  std::string_view view(const slot& s) const { return std::string_view(bytes_).substr(s.at, s.size); }
  static std::uint64_t hash_of(std::string_view word) {
    std::uint64_t h = word.size();
    for (; word.size() >= 8; word.remove_prefix(8)) {
      std::uint64_t part = 0;
      std::memcpy(&part, word.data(), 8);
      h = draws::mix(h ^ part);
    }
    std::uint64_t part = 0;
    std::memcpy(&part, word.data(), word.size());
    return draws::mix(draws::mix(h ^ part));
  }
  void grow() {
    std::vector<slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const auto& s : old) {
      if (s.times == 0) continue;
      std::size_t i = s.hash & (slots_.size() - 1);
      while (slots_[i].times > 0) i = (i + 1) & (slots_.size() - 1);
      slots_[i] = s;
    }
  }
  std::vector<slot> slots_ = std::vector<slot>(1024);
  std::string bytes_;
  std::size_t used_ = 0;
};

}  // namespace clipx::detail
