#pragma once
#include "../core/error.hpp"
#include "any_model.hpp"

namespace clipx {

CLIPX_INLINE dim any_rows::rows() const {
  return cols ? std::visit([](auto& v) { return static_cast<dim>(v.size()); }, values) / cols : 0;
}

CLIPX_INLINE void any_rows::append(const any_rows& more) {
  if (rows() == 0) {
    *this = more;
    return;
  }
  expect(values.index() == more.values.index() && cols == more.cols, error_kind::mismatch, [&] {
    const auto type = [](const any_rows& r) { return r.values.index() == 0 ? "float" : "double"; };
    return cat("any_rows: expected rows of ", cols, " ", type(*this), ", got ", more.cols, " ", type(more));
  });
  std::visit(
      [&]<class A>(std::vector<A>& own) {
        const auto& other = std::get<std::vector<A>>(more.values);
        own.insert(own.end(), other.begin(), other.end());
      },
      values);
}

CLIPX_INLINE void any_rows::append_to(std::vector<float>& out) const {
  std::visit(
      [&](auto& v) {
        for (auto value : v) out.push_back(static_cast<float>(value));
      },
      values);
}

}  // namespace clipx
