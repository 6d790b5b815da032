// Which of many strings occur in a text: an Aho-Corasick automaton over bytes, as a double array.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace clipx {

/// Finds all patterns that a text holds, overlapping ones and those inside others among them, in one pass over its bytes.
///
/// The trie of the patterns lies in a double array (Aoe 1989): the child of a state by byte c is at base ^ c, where the label says
/// whether it is one. A state is 12 bytes: base (31 bits), whether a failure leads anywhere but to the root (1), label (8), whether
/// it is used (1) and its first output (23) in a word of 64 bits, so that a step reads one word; and, apart, its failure link (32),
/// which is read only where a step fails. A failure that leads to the root costs no read: the root's steps are a table. A state
/// without children takes its failure's base, so that what follows a match is one step too. The states near the root come first,
/// those that a text enters most; below them, chains lie one after another in a cache line.
///
/// Safe for use by several threads at once.
class automaton {
 public:
  /// Pattern i has the id i. Two patterns may be equal. Time and memory are linear in the patterns' bytes: about 30 bytes a state
  /// while it is built. Errors: an empty pattern, more than 8,388,607 patterns, more than 2^31 states.
  explicit automaton(std::span<const std::string> patterns);
  ~automaton();
  automaton(automaton&&) noexcept;
  automaton& operator=(automaton&&) noexcept;

  /// The ids of all patterns in the text, each once, ascending. Overwrites `ids`.
  void match(std::string_view text, std::vector<std::uint32_t>& ids) const;

  /// Places of the double array, unused ones among them, and their bytes.
  std::size_t states() const;
  std::size_t bytes() const;  // of the double array

 private:
  struct tables;
  std::unique_ptr<const tables> tables_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "automaton-inl.hpp"
#endif
