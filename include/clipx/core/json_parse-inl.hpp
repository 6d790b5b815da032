// Definition of parse_json of json-inl.hpp: the only place where nlohmann-json's parser is instantiated (2 s of compile time).
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "error.hpp"
#include "json-inl.hpp"

namespace clipx::detail {

/// Builds the value from the parser's events, in time linear in the text (json::parse with a callback is quadratic in the number of
/// an object's members).
class json_builder final : public json::json_sax_t {
 public:
  json_builder(const std::string& name, int depth, std::vector<std::string>* keys) : name_(name), depth_(depth), keys_(keys) {}
  json take() { return std::move(root_); }

  bool null() override { return put(nullptr); }
  bool boolean(bool v) override { return put(v); }
  bool number_integer(number_integer_t v) override { return put(v); }
  bool number_unsigned(number_unsigned_t v) override { return put(v); }
  bool number_float(number_float_t v, const string_t&) override { return put(v); }
  bool string(string_t& v) override { return put(std::move(v)); }
  bool binary(binary_t& v) override { return put(std::move(v)); }
  bool start_object(std::size_t) override { return open(json::object()); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool key(string_t& v) override {
    if (keys_ && open_.size() == 1) keys_->push_back(v);
    key_ = std::move(v);
    return true;
  }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t, const std::string&, const json::exception& e) override {
    fail(error_kind::damaged, cat(name_, ": not valid JSON: ", e.what()));
  }

 private:
  json* add(json value) {
    expect(++values_ <= 2'000'000, error_kind::unsupported, [&] { return cat(name_, ": JSON of more than 2,000,000 values"); });
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    const auto [at, is_new] = open_.back()->emplace(key_, std::move(value));
    expect(is_new, error_kind::damaged, [&] { return cat(name_, ": key \"", key_, "\" appears twice"); });
    return &*at;
  }
  bool put(json value) {
    add(std::move(value));
    return true;
  }
  bool open(json value) {
    expect(static_cast<int>(open_.size()) < depth_, error_kind::unsupported,
           [&] { return cat(name_, ": JSON nested deeper than ", depth_, " levels"); });
    open_.push_back(add(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& name_;
  int depth_;
  std::vector<std::string>* keys_;
  json root_;
  std::vector<json*> open_;  // the objects and arrays that are not complete, outermost first
  std::string key_;
  std::size_t values_ = 0;
};

CLIPX_INLINE json parse_json(std::string_view text, const std::string& name, int depth, std::vector<std::string>* keys) {
  json_builder builder(name, depth, keys);
  json::sax_parse(text.data(), text.data() + text.size(), &builder);
  return builder.take();
}

}  // namespace clipx::detail
