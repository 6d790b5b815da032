// A bounded map from words to token ids that many threads can read and write at once.
#pragma once
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>

namespace clipx::detail {

/// Open addressing with one cache line per word. A slot is filled once, under the lock, and its tag is published last, so
/// readers take no lock. Nothing is ever replaced: a full cache stays as it is.
class word_cache {
 public:
  static constexpr std::size_t longest = 32, most_ids = 6;

  /// A word of at most `longest` bytes, padded with zeros, with its hash.
  struct key {
    std::uint64_t part[4] = {0, 0, 0, 0};
    std::uint32_t hash = 0;
    std::uint8_t size = 0;

    void finish(std::size_t n) {
      size = static_cast<std::uint8_t>(n);
      std::uint64_t h = (part[0] ^ n) * 0x9E3779B97F4A7C15U;
      if (n > 8) {
        h = ((h ^ h >> 29) + part[1]) * 0xBF58476D1CE4E5B9U;
        if (n > 16) h = (((h ^ h >> 29) + part[2]) * 0x94D049BB133111EBU ^ part[3]) * 0x9E3779B97F4A7C15U;
      }
      hash = static_cast<std::uint32_t>(h >> 32) | 1U;  // 0 marks a free slot
    }
  };
  static key make_key(std::string_view word) {
    key k;
    std::memcpy(k.part, word.data(), word.size());
    k.finish(word.size());
    return k;
  }

  /// At most `words` words; three quarters of the slots are used.
  explicit word_cache(std::size_t words)
      : capacity_(words), mask_(std::bit_ceil(words + words / 3 + 1) - 1), slots_(std::make_unique<slot[]>(mask_ + 1)) {}

  /// The ids of a word, or an empty span.
  std::span<const std::int32_t> find(const key& k) const {
    for (std::size_t i = place(k);; i = (i + 1) & mask_) {
      const slot& s = slots_[i];
      const auto tag = s.tag.load(std::memory_order_acquire);
      if (tag == 0) return {};
      if (tag == k.hash && s.size == k.size && std::memcmp(s.part, k.part, sizeof k.part) == 0) return {s.ids, s.count};
    }
  }

  void insert(const key& k, std::span<const std::int32_t> ids) {
    if (ids.empty() || ids.size() > most_ids || full_.load(std::memory_order_relaxed)) return;
    const std::lock_guard lock(writing_);
    if (used_ >= capacity_) return full_.store(true, std::memory_order_relaxed);
    if (!find(k).empty()) return;
    std::size_t i = place(k);
    while (slots_[i].tag.load(std::memory_order_relaxed) != 0) i = (i + 1) & mask_;
    slot& s = slots_[i];
    s.size = k.size;
    s.count = static_cast<std::uint8_t>(ids.size());
    std::memcpy(s.part, k.part, sizeof k.part);
    std::memcpy(s.ids, ids.data(), ids.size_bytes());
    s.tag.store(k.hash, std::memory_order_release);
    ++used_;
  }

 private:
  struct alignas(64) slot {
    std::atomic<std::uint32_t> tag{0};
    std::uint8_t size = 0, count = 0;
    std::int32_t ids[most_ids] = {};
    std::uint64_t part[4] = {};
  };
  static_assert(sizeof(slot) == 64);
  std::size_t place(const key& k) const { return k.hash >> 1 & mask_; }

  std::size_t capacity_, used_ = 0, mask_;
  std::unique_ptr<slot[]> slots_;
  std::atomic<bool> full_{false};
  std::mutex writing_;
};

}  // namespace clipx::detail
