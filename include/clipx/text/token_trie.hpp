// token_trie: the tokens of a vocabulary by their bytes, for matching all prefixes of a text in one walk.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "../core/error.hpp"

namespace clipx::detail {

/// Nodes in breadth-first order, so that the children of a node are neighbors: 9 bytes a node.
class token_trie {
 public:
  static constexpr std::uint32_t none = 0xFFFFFFFF, root = 0;

  token_trie() { roots_.fill(none); }
  /// The value of a key is its index; of equal keys the last counts. O(bytes + n log n).
  explicit token_trie(const std::vector<std::string_view>& keys);

  /// The node behind a byte, or none.
  std::uint32_t child(std::uint32_t node, unsigned char byte) const {
    if (node == root) return roots_[byte];
    const auto from = first_[node], n = first_[node + 1] - from;
    if (n == 0) return none;
    const void* hit = std::memchr(label_.data() + from, byte, n);
    return hit ? static_cast<std::uint32_t>(static_cast<const unsigned char*>(hit) - label_.data()) : none;
  }
  /// The index of the key that ends at a node, or -1.
  std::int32_t value(std::uint32_t node) const { return value_[node]; }
  /// The node behind some bytes, or none.
  std::uint32_t walk(std::string_view bytes, std::uint32_t from = root) const {
    for (const char c : bytes) {
      if (from == none) return none;
      from = child(from, static_cast<unsigned char>(c));
    }
    return from;
  }
  /// The index of a key, or -1.
  std::int32_t find(std::string_view key) const {
    const auto node = value_.empty() ? none : walk(key);
    return node == none ? -1 : value_[node];
  }
  bool empty() const { return value_.size() < 2; }

 private:
  std::array<std::uint32_t, 256> roots_{};
  std::vector<std::uint32_t> first_;  // of each node, its first child; one more at the end
  std::vector<unsigned char> label_;  // of each node, the byte that leads to it
  std::vector<std::int32_t> value_;
};

}  // namespace clipx::detail

#ifndef CLIPX_COMPILED
#include "token_trie-inl.hpp"
#endif
