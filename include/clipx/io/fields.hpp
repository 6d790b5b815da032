// Configuration files: fields of a JSON object, read with all problems collected, and written.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../core/extent.hpp"
#include "../core/issues.hpp"
#include "../core/mat.hpp"

namespace clipx {

/// Reads fields of one JSON object. Problems go to a list of issues, each with the object's name and the field, so that one
/// error can name all of them; a field that is missing or null takes the default. Not thread-safe.
class fields {
 public:
  /// An empty object.
  fields(std::string where, issue_list& issues);
  ~fields();
  fields(fields&&) noexcept;

  /// An issue of the list's usual kind; those of values that a field cannot have are error_kind::damaged.
  void issue(const std::string& what) const;
  /// Adds an issue of that kind.
  void issue(error_kind kind, const std::string& what) const;
  issue_list& issues() const;  // the list given to the constructor
  /// Whether the field is present and not null.
  bool has(const char* key) const;
  bool is_list(const char* key) const;  // whether the field is a list
  bool is_null(const char* key) const;  // whether the field is present and null
  /// The field as JSON text, cut to 60 characters, for messages.
  std::string dump(const char* key) const;
  /// The object in a field; empty if there is none. It reports its issues under `where`.
  fields object(const char* key, std::string where) const;
  /// Replaces fields of this object by those of the object under `key` that have the same name.
  void override_by(const char* key, const fields& from);

  /// An integer from 1 to `most`.
  dim size(const char* key, dim otherwise, dim most = dim{1} << 24);
  /// A list of `count` integers from 1 to `most`.
  std::vector<dim> sizes(const char* key, std::size_t count, dim most);
  /// Height and width in pixels, each 1 to `most`: a number, which is both, or [height, width].
  extent sides(const char* key, const extent& otherwise, dim most = 16384);
  /// The same where only squares are supported: a number or [n, n].
  dim square(const char* key, dim otherwise);
  /// A finite number.
  double number(const char* key, double otherwise);
  /// A string.
  std::string text(const char* key, const std::string& otherwise);
  /// true or false.
  bool flag(const char* key, bool otherwise);
  /// A list of three numbers, above 0 if `positive`.
  std::array<float, 3> three(const char* key, std::array<float, 3> otherwise, bool positive);
  /// width times the number under `key`, rounded down.
  dim times(dim width, const char* key, double otherwise);
  /// A token's id, or -1 for a value that cannot be one.
  std::int32_t token(const char* key, double otherwise);

  /// Fields of which clipx supports a single value; `refuse`: no value.
  void only(const char* key, bool value);
  ///@{
  /// Reports a field that has another value than this one: none for `refuse`, false for `refuse_true`.
  void only(const char* key, dim value);
  void only(const char* key, const char* value);
  void refuse(std::initializer_list<const char*> keys);
  void refuse_true(std::initializer_list<const char*> keys);
  /// Fields that do not affect results.
  void skip(std::initializer_list<const char*> keys);
  /// Reports every field that has not been asked for as unknown to clipx.
  void refuse_others();

  struct state;
  /// Of a JSON object that was parsed, for readers that include core/json-inl.hpp.
  explicit fields(std::unique_ptr<state> s);
  /// The JSON object itself, for readers that include core/json-inl.hpp.
  state& get() const { return *state_; }

 private:
  std::unique_ptr<state> state_;
};

/// Builds the fields of a JSON object.
class field_writer {
 public:
  field_writer();
  ~field_writer();
  field_writer(field_writer&&) noexcept;
  ///@{
  /// Sets a field, in place of one with the same name.
  void put(const char* key, dim value);
  void put(const char* key, double value);
  void put(const char* key, bool value);
  void put(const char* key, const char* value);
  void put(const char* key, const std::string& value);
  void put(const char* key, const std::vector<dim>& values);
  void put(const char* key, const extent& sides);  // a number if both are equal, else [height, width]
  void put(const char* key, const field_writer& object);
  void put_null(const char* key);
  ///@}

  struct state;
  /// The JSON object, for writers that include core/json-inl.hpp.
  state& get() const { return *state_; }

 private:
  std::unique_ptr<state> state_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "fields-inl.hpp"
#endif
