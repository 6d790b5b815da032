// sentencepiece's own file (spiece.model), a protobuf message, as the tokenizer.json that says the same.
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "../core/json-inl.hpp"
#include "token_file.hpp"
#include "unicode-inl.hpp"

namespace clipx::detail {

inline std::string encode_base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - at);
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k) bits = bits << 8 | (k < n ? static_cast<unsigned char>(bytes[at + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) out += k <= n ? digits[bits >> (18 - 6 * k) & 63U] : '=';
  }
  return out;
}

/// The fields of a protobuf message, in order.
class protobuf_reader {
 public:
  protobuf_reader(std::string_view message, const std::string& name) : left_(message), name_(name) {}

  std::uint64_t number = 0;  // of a field that is a varint, or the bits of a 32-bit or 64-bit one
  std::string_view bytes;    // of a field that has a length

  /// The number of the next field, 0 at the end. Errors: a message cut short, a wire type that protobuf no longer has.
  std::uint64_t next() {
    if (left_.empty()) return 0;
    const std::uint64_t key = varint(), wire = key & 7U;
    check(key >> 3 != 0 && (wire <= 2 || wire == 5));
    if (wire == 0) number = varint();
    else if (wire == 2) bytes = take(varint());
    else number = fixed(wire == 1 ? 8 : 4);
    return key >> 3;
  }
  void check(bool good) const {
    expect(good, error_kind::damaged, [&] { return cat(name_, ": expected a model of sentencepiece (a protobuf message)"); });
  }

 private:
  std::string_view take(std::uint64_t n) {
    check(n <= left_.size());
    const auto out = left_.substr(0, static_cast<std::size_t>(n));
    left_.remove_prefix(out.size());
    return out;
  }
  std::uint64_t fixed(std::size_t n) {
    const auto from = take(n);
    std::uint64_t out = 0;
    for (std::size_t k = n; k-- > 0;) out = out << 8 | static_cast<unsigned char>(from[k]);
    return out;
  }
  std::uint64_t varint() {
    std::uint64_t out = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = fixed(1);
      out |= (byte & 0x7FU) << shift;
      if (byte < 0x80) return out;
    }
    check(false);
    return 0;
  }

  std::string_view left_;
  const std::string& name_;
};

/// The numbers of sentencepiece_model.proto.
struct piece_fields {
  enum : std::uint64_t { model_pieces = 1, model_trainer = 2, model_normalizer = 3 };
  enum : std::uint64_t { piece_text = 1, piece_score = 2, piece_type = 3 };
  enum : std::uint64_t { trainer_type = 3, trainer_suffix = 24, trainer_bytes = 35 };
  enum : std::uint64_t { normalizer_map = 2, normalizer_prefix = 3, normalizer_collapse = 4, normalizer_escape = 5 };
  enum : std::uint64_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  enum : std::uint64_t { unigram = 1 };
};

/// What a model says, as far as a Unigram tokenizer needs it.
class sentencepiece_file : piece_fields {
 public:
  sentencepiece_file(std::string_view bytes, const std::string& name) : name_(name) {
    protobuf_reader model(bytes, name);
    while (const auto field = model.next()) {
      if (field == model_pieces) read_piece(model.bytes);
      else if (field == model_trainer) read_trainer(model.bytes);
      else if (field == model_normalizer) read_normalizer(model.bytes);
    }
    model.check(!vocab_.empty());
  }

  /// The text of a tokenizer.json. A text ends with </s>, if there is such a piece.
  std::string tokenizer_json() const {
    json out{{"model", {{"type", "Unigram"}, {"vocab", vocab_}, {"byte_fallback", false}}}, {"added_tokens", added_}};
    if (unknown_ >= 0) out["model"]["unk_id"] = unknown_;
    if (!map_.empty()) out["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", encode_base64(map_)}};
    out["pre_tokenizer"] = {
        {"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "WhitespaceSplit"}}, {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}}}}};
    const json text{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, end{{"SpecialToken", {{"id", "</s>"}, {"type_id", 0}}}};
    if (end_ >= 0)
      out["post_processor"] = {{"type", "TemplateProcessing"},
                               {"single", {text, end}},
                               {"special_tokens", {{"</s>", {{"id", "</s>"}, {"ids", {end_}}, {"tokens", {"</s>"}}}}}}};
    return out.dump();
  }

 private:
  void refuse(const std::string& what) const { fail(error_kind::unsupported, cat(name_, ": ", what)); }

  void read_piece(std::string_view bytes) {
    protobuf_reader piece(bytes, name_);
    std::string text;
    float score = 0;
    std::uint64_t type = normal;
    while (const auto field = piece.next()) {
      if (field == piece_text) text = piece.bytes;
      else if (field == piece_score) score = std::bit_cast<float>(static_cast<std::uint32_t>(piece.number));
      else if (field == piece_type) type = piece.number;
    }
    piece.check(valid_utf8(text) && std::isfinite(score) && vocab_.size() < most_entries);
    if (type != normal && type != unknown && type != control)
      refuse(cat("the piece \"", text, "\" is of type ", type, ", only normal, unknown and control pieces are supported"));
    const auto id = static_cast<std::int64_t>(vocab_.size());
    if (type == unknown) unknown_ = id;
    if (type == control && text == "</s>") end_ = id;
    if (type == unknown || id == end_)
      added_.push_back(
          {{"id", id}, {"content", text}, {"special", true}, {"normalized", false}, {"lstrip", true}, {"rstrip", true}});
    vocab_.push_back(json::array({std::move(text), static_cast<double>(score)}));
  }

  void read_trainer(std::string_view bytes) {
    protobuf_reader trainer(bytes, name_);
    while (const auto field = trainer.next()) {
      if (field == trainer_type && trainer.number != unigram)
        refuse(cat("model_type ", trainer.number, " is not supported, only 1 (Unigram)"));
      if ((field == trainer_suffix || field == trainer_bytes) && trainer.number != 0)
        refuse(field == trainer_bytes ? "byte_fallback is not supported" : "treat_whitespace_as_suffix is not supported");
    }
  }

  void read_normalizer(std::string_view bytes) {
    protobuf_reader normalizer(bytes, name_);
    while (const auto field = normalizer.next()) {
      if (field == normalizer_map) map_ = normalizer.bytes;
      if (field >= normalizer_prefix && field <= normalizer_escape && normalizer.number == 0)
        refuse("add_dummy_prefix, remove_extra_whitespaces and escape_whitespaces: only true is supported");
    }
  }

  const std::string& name_;
  std::string map_;
  json vocab_ = json::array(), added_ = json::array();
  std::int64_t unknown_ = -1, end_ = -1;
};

}  // namespace clipx::detail
