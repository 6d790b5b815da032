// Finds which of many strings occur in a text: an Aho-Corasick automaton over bytes, stored as a double array.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../core/error.hpp"

namespace clipx {

/// Finds all patterns in a text, including overlapping and nested ones, in one pass over its bytes.
///
/// The trie of the patterns is stored in a double array (Aoe 1989): the child of a state by byte c is at base ^ c; the label there
/// tells whether it really is a child. A state takes 12 bytes: a 64-bit word with base (31 bits), whether the failure link leads
/// anywhere but to the root (1), label (8), whether the place is used (1) and the first output (23), so that a transition reads one
/// word; and, separately, its failure link (32), which is read only if a transition fails. A failure link to the root costs no
/// read: the root's transitions are a table. A state without children takes the base of its failure link, so that the transition
/// after a match is one step, too. States near the root, which are visited most, come first; below them, chains are adjacent in
/// cache lines.
///
/// Safe for use by several threads at once.
class automaton {
 public:
  /// The id of pattern i is i. Patterns may repeat. Time and memory are linear in the patterns' bytes: about 30 bytes per state
  /// during construction. Errors: an empty pattern, more than 8,388,607 patterns, more than 2^31 states.
  explicit automaton(std::span<const std::string> patterns);
  ~automaton();
  automaton(automaton&&) noexcept;
  automaton& operator=(automaton&&) noexcept;

  /// The ids of all patterns in the text, each once, ascending. Overwrites `ids`.
  void match(std::string_view text, std::vector<std::uint32_t>& ids) const;

  /// Number of places of the double array, including unused ones, and their bytes.
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
