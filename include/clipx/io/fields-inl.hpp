// Definitions of fields.hpp.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "../core/error.hpp"
#include "../core/json-inl.hpp"
#include "fields.hpp"

namespace clipx {

struct fields::state {
  detail::json object = detail::json::object();
  std::string where;
  issue_list* issues;
  std::vector<std::string> seen;
  /// The field's value, which counts as known from now on; null if it is missing or null.
  const detail::json* find(const char* key) {
    seen.push_back(key);
    return peek(key);
  }
  const detail::json* peek(const char* key) const {
    if (!object.is_object()) return nullptr;
    const auto at = object.find(key);
    return at == object.end() || at->is_null() ? nullptr : &*at;
  }
};
struct field_writer::state {
  detail::json object = detail::json::object();
};

namespace detail {
inline fields fields_of(const json& object, std::string where, issue_list& issues) {
  fields f(std::make_unique<fields::state>(fields::state{object, std::move(where), &issues, {}}));
  if (!object.is_object()) f.issue(error_kind::damaged, "expected an object");
  return f;
}
inline json short_numbers(const std::array<float, 3>& v) {  // as many digits as float needs, not double
  json out = json::array();
  for (float x : v) out.push_back(std::strtod(cat(x).c_str(), nullptr));
  return out;
}
inline bool is_whole(const json& v, dim most) {
  return v.is_number_unsigned() && v.get<std::uint64_t>() >= 1 && v.get<std::uint64_t>() <= static_cast<std::uint64_t>(most);
}
}  // namespace detail

CLIPX_INLINE fields::fields(std::string name, issue_list& issues)
    : state_(new state{detail::json::object(), std::move(name), &issues, {}}) {}
CLIPX_INLINE fields::fields(std::unique_ptr<state> s) : state_(std::move(s)) {}
CLIPX_INLINE fields::~fields() = default;
CLIPX_INLINE fields::fields(fields&&) noexcept = default;

CLIPX_INLINE void fields::issue(const std::string& what) const { state_->issues->add(cat(state_->where, ": ", what)); }
CLIPX_INLINE void fields::issue(error_kind kind, const std::string& what) const {
  state_->issues->add(kind, cat(state_->where, ": ", what));
}
CLIPX_INLINE issue_list& fields::issues() const { return *state_->issues; }
CLIPX_INLINE bool fields::has(const char* key) const { return state_->peek(key) != nullptr; }
CLIPX_INLINE bool fields::is_null(const char* key) const {
  return state_->object.is_object() && state_->object.contains(key) && !has(key);
}
CLIPX_INLINE bool fields::is_list(const char* key) const { return has(key) && state_->peek(key)->is_array(); }
CLIPX_INLINE std::string fields::dump(const char* key) const { return has(key) ? state_->peek(key)->dump().substr(0, 60) : "null"; }
CLIPX_INLINE fields fields::object(const char* key, std::string name) const {
  const auto* v = state_->find(key);
  return detail::fields_of(v ? *v : detail::json::object(), std::move(name), *state_->issues);
}
CLIPX_INLINE void fields::override_by(const char* key, const fields& from) {
  if (const auto* v = from.state_->find(key); v && v->is_object() && state_->object.is_object()) state_->object.update(*v);
}

CLIPX_INLINE dim fields::size(const char* key, dim otherwise, dim most) {
  const auto* v = state_->find(key);
  if (!v) return otherwise;
  if (detail::is_whole(*v, most)) return v->get<dim>();
  issue(error_kind::damaged, cat(key, ": expected a whole number from 1 to ", most, ", got ", v->dump().substr(0, 40)));
  return otherwise;
}
CLIPX_INLINE std::vector<dim> fields::sizes(const char* key, std::size_t count, dim most) {
  const auto* v = state_->find(key);
  std::vector<dim> out(count, 1);
  bool good = v && v->is_array() && v->size() == count;
  for (std::size_t i = 0; good && i < count; ++i) {
    good = detail::is_whole((*v)[i], most);
    if (good) out[i] = (*v)[i].get<dim>();
  }
  if (good) return out;
  issue(error_kind::damaged,
        cat(key, ": expected ", count, " whole numbers from 1 to ", most, ", got ", v ? v->dump().substr(0, 40) : "nothing"));
  return std::vector<dim>(count, 1);
}
CLIPX_INLINE extent fields::sides(const char* key, const extent& otherwise, dim most) {
  if (!is_list(key)) return otherwise.square() || has(key) ? extent(size(key, otherwise.height, most)) : otherwise;
  const auto two = sizes(key, 2, most);
  return {two[0], two[1]};
}
CLIPX_INLINE dim fields::square(const char* key, dim otherwise) {
  constexpr dim most = 16384;
  if (!is_list(key)) return size(key, otherwise, most);
  const auto& v = *state_->find(key);
  if (v.size() == 2 && v[0] == v[1] && detail::is_whole(v[0], most)) return v[0].get<dim>();
  issue(cat(key, ": ", v.dump().substr(0, 60), " is not supported, only one number or two equal ones, 1 to ", most));
  return otherwise;
}
CLIPX_INLINE double fields::number(const char* key, double otherwise) {
  const auto* v = state_->find(key);
  if (!v) return otherwise;
  if (v->is_number() && std::isfinite(v->get<double>())) return v->get<double>();
  issue(error_kind::damaged, cat(key, ": expected a number, got ", v->dump().substr(0, 40)));
  return otherwise;
}
CLIPX_INLINE std::string fields::text(const char* key, const std::string& otherwise) {
  const auto* v = state_->find(key);
  if (!v) return otherwise;
  if (v->is_string()) return v->get<std::string>();
  issue(error_kind::damaged, cat(key, ": expected a string, got ", v->dump().substr(0, 40)));
  return otherwise;
}
CLIPX_INLINE bool fields::flag(const char* key, bool otherwise) {
  const auto* v = state_->find(key);
  if (!v) return otherwise;
  if (v->is_boolean()) return v->get<bool>();
  issue(error_kind::damaged, cat(key, ": expected true or false, got ", v->dump().substr(0, 40)));
  return otherwise;
}
CLIPX_INLINE std::array<float, 3> fields::three(const char* key, std::array<float, 3> otherwise, bool positive) {
  const auto* v = state_->find(key);
  if (!v) return otherwise;
  std::array<float, 3> out{};
  bool good = v->is_array() && v->size() == 3;
  for (std::size_t i = 0; good && i < 3; ++i) {
    good = (*v)[i].is_number();
    if (!good) break;
    out[i] = (*v)[i].get<float>();
    good = std::isfinite(out[i]) && (!positive || out[i] > 0);
  }
  if (good) return out;
  issue(error_kind::damaged, cat(key, ": expected three ", positive ? "positive " : "", "numbers, got ", v->dump().substr(0, 60)));
  return otherwise;
}
CLIPX_INLINE dim fields::times(dim width, const char* key, double otherwise) {
  const double ratio = number(key, otherwise);
  if (const double columns = static_cast<double>(width) * ratio; columns >= 1 && ratio <= 1024) return static_cast<dim>(columns);
  issue(error_kind::damaged, cat(key, ": expected a number of 1 / ", width, " to 1024, as ", width, " is the width, got ", ratio));
  return width;
}
CLIPX_INLINE std::int32_t fields::token(const char* key, double otherwise) {
  const double id = number(key, otherwise);
  return id >= 0 && id <= 2147483647 ? static_cast<std::int32_t>(id) : -1;
}

namespace detail {
inline void only_json(const fields& f, const char* key, const json& value) {
  if (const auto* v = f.get().find(key); v && *v != value)
    f.issue(cat(key, ": ", v->dump().substr(0, 60), " is not supported, only ", value.dump()));
}
}  // namespace detail
CLIPX_INLINE void fields::only(const char* key, bool value) { detail::only_json(*this, key, value); }
CLIPX_INLINE void fields::only(const char* key, dim value) { detail::only_json(*this, key, value); }
CLIPX_INLINE void fields::only(const char* key, const char* value) { detail::only_json(*this, key, value); }
CLIPX_INLINE void fields::refuse(std::initializer_list<const char*> keys) {
  for (auto* key : keys) detail::only_json(*this, key, nullptr);
}
CLIPX_INLINE void fields::refuse_true(std::initializer_list<const char*> keys) {
  for (auto* key : keys) detail::only_json(*this, key, false);
}
CLIPX_INLINE void fields::skip(std::initializer_list<const char*> keys) {
  for (auto* key : keys) state_->seen.push_back(key);
}
CLIPX_INLINE void fields::refuse_others() {
  if (!state_->object.is_object()) return;
  for (auto& [key, value] : state_->object.items())
    if (std::find(state_->seen.begin(), state_->seen.end(), key) == state_->seen.end() && !value.is_null())
      issue(cat(key, ": ", value.dump().substr(0, 60), " is not known"));
}

CLIPX_INLINE field_writer::field_writer() : state_(new state) {}
CLIPX_INLINE field_writer::~field_writer() = default;
CLIPX_INLINE field_writer::field_writer(field_writer&&) noexcept = default;
CLIPX_INLINE void field_writer::put(const char* key, dim value) { state_->object[key] = value; }
CLIPX_INLINE void field_writer::put(const char* key, double value) { state_->object[key] = value; }
CLIPX_INLINE void field_writer::put(const char* key, bool value) { state_->object[key] = value; }
CLIPX_INLINE void field_writer::put(const char* key, const char* value) { state_->object[key] = value; }
CLIPX_INLINE void field_writer::put(const char* key, const std::string& value) { state_->object[key] = value; }
CLIPX_INLINE void field_writer::put(const char* key, const std::vector<dim>& values) { state_->object[key] = values; }
CLIPX_INLINE void field_writer::put(const char* key, const extent& sides) {
  if (sides.square()) put(key, sides.height);
  else put(key, std::vector<dim>{sides.height, sides.width});
}
CLIPX_INLINE void field_writer::put_null(const char* key) { state_->object[key] = nullptr; }
CLIPX_INLINE void field_writer::put(const char* key, const field_writer& object) { state_->object[key] = object.get().object; }

}  // namespace clipx
