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
  json_builder(const std::string& name, int depth, std::vector<std::string>* keys, may_repeat repeats, json_sink* sink)
      : name_(name), depth_(depth), keys_(keys), repeats_(repeats), sink_(sink) {}
  json take() { return std::move(root_); }

  bool null() override { return sunk_ ? (sink_->other(), true) : put(nullptr); }
  bool boolean(bool v) override { return sunk_ ? (sink_->other(), true) : put(v); }
  bool number_integer(number_integer_t v) override { return sunk_ ? number(static_cast<double>(v), true) : put(v); }
  bool number_unsigned(number_unsigned_t v) override { return sunk_ ? number(static_cast<double>(v), true) : put(v); }
  bool number_float(number_float_t v, const string_t&) override { return sunk_ ? number(v, false) : put(v); }
  bool string(string_t& v) override { return sunk_ ? (sink_->text(v), true) : put(std::move(v)); }
  bool binary(binary_t& v) override { return put(std::move(v)); }
  bool start_object(std::size_t) override { return sunk_ ? sink(true) : open(json::object()); }
  bool start_array(std::size_t) override { return sunk_ ? sink(false) : open(json::array()); }
  bool key(string_t& v) override {
    if (sunk_) return sink_->key(v), true;
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
    json& in = *open_.back().value;
    if (in.is_array()) {
      in.push_back(std::move(value));
      return &in.back();
    }
    const auto at = in.find(key_);
    if (at == in.end()) return &*in.emplace(key_, std::move(value)).first;
    const bool outermost = open_.size() == 1;
    expect(repeats_(outermost ? nullptr : &open_.back().owner, key_), error_kind::damaged,
           [&] { return cat(name_, ": key \"", key_, "\" appears twice"); });
    *at = std::move(value);
    return &*at;
  }
  bool put(json value) {
    add(std::move(value));
    return true;
  }
  bool number(double v, bool integer) {
    sink_->number(v, integer);
    return true;
  }
  void expect_depth() const {
    expect(static_cast<int>(open_.size()) + sunk_ < depth_, error_kind::unsupported,
           [&] { return cat(name_, ": JSON nested deeper than ", depth_, " levels"); });
  }
  bool sink(bool object) {
    expect_depth();
    ++sunk_;
    sink_->opens(object);
    return true;
  }
  bool open(json value) {
    expect_depth();
    const auto level = static_cast<int>(open_.size());
    const bool object = value.is_object(), named = level == 0 || open_.back().value->is_object();
    const auto& parent = level == 0 ? key_ : open_.back().owner;  // the outermost has neither: both are empty
    const bool taken = sink_ && named && sink_->takes(level, parent, key_);
    auto owner = key_;
    auto* const at = add(std::move(value));
    if (taken) return sink(object);
    open_.push_back({at, std::move(owner)});
    return true;
  }
  bool close() {
    if (sunk_ == 0) {
      open_.pop_back();
      return true;
    }
    sink_->closes();
    --sunk_;
    return true;
  }

  const std::string& name_;
  int depth_;
  std::vector<std::string>* keys_;
  may_repeat repeats_;
  json_sink* sink_;
  int sunk_ = 0;  // containers that are open in a part that the sink takes
  json root_;
  struct container {
    json* value;
    std::string owner;  // the key that it belongs to
  };
  std::vector<container> open_;  // the objects and arrays that are not complete, outermost first
  std::string key_;
  std::size_t values_ = 0;
};

CLIPX_INLINE json parse_json(std::string_view text, const std::string& name, int depth, std::vector<std::string>* keys,
                             may_repeat repeats, json_sink* sink) {
  const auto zero = text.find('\0');  // nlohmann-json takes it for the end
  expect(zero == std::string_view::npos, error_kind::damaged,
         [&] { return cat(name, ": not valid JSON: byte ", zero, " is zero"); });
  if (keys) keys->clear();
  json_builder builder(name, depth, keys, repeats, sink);
  json::sax_parse(text.data(), text.data() + text.size(), &builder);
  return builder.take();
}

}  // namespace clipx::detail
