// issue_list: all that is wrong with a file or a configuration, for one error that names it.
#pragma once
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "error.hpp"

namespace clipx {

/// Issues in the order in which they were found. Not for use by several threads.
class issue_list {
 public:
  /// `kind`: of the issues that are added without one.
  explicit issue_list(error_kind kind) : usual_(kind) {}
  /// Adds an issue of the usual kind.
  void add(const std::string& what) { add(usual_, what); }
  /// Adds an issue of another kind.
  void add(error_kind kind, const std::string& what) {
    if (texts_.empty()) first_ = kind;
    texts_.push_back(what);
  }
  bool empty() const { return texts_.empty(); }  // whether nothing is wrong
  /// Throws one error that lists the issues, at most `most` of them, under a name; nothing where there are none. Its kind is that
  /// of the first.
  void raise(const std::string& name, std::size_t most = static_cast<std::size_t>(-1), where at = where::here()) const {
    if (texts_.empty()) return;
    std::string text = name + ":";
    for (std::size_t i = 0; i < texts_.size() && i < most; ++i) text += "\n  " + texts_[i];
    if (texts_.size() > most) text += "\n  ... and more";
    fail(first_, text, at);
  }

 private:
  error_kind usual_, first_ = usual_;
  std::vector<std::string> texts_;
};

}  // namespace clipx
