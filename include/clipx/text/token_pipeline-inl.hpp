// token_pipeline: a tokenizer as a tokenizer.json describes it, whatever its model: added tokens, normalizer, pre-tokenizer, model,
// post-processor.
#pragma once
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "added_tokens-inl.hpp"
#include "normalizer-inl.hpp"
#include "pre_tokenizer-inl.hpp"
#include "token_model.hpp"
#include "word_model.hpp"

namespace clipx::detail {

/// Ids equal those of the `tokenizers` library.
class token_pipeline final : public token_model {
 public:
  /// `root`: what is in f.rest. `config`: the files beside it, if there are some.
  template <class Model>
  static std::shared_ptr<const token_model> make(const json& root, token_file f, tokenizer_options o, const folder_config& config) {
    std::shared_ptr<token_pipeline> out(new token_pipeline(std::move(f), std::move(o), config));
    out->model_ = std::make_unique<Model>(root.at("model"), out->file_);
    out->read(root);
    return out;
  }

  void append(std::string_view text, std::vector<std::int32_t>& out, std::size_t limit) const override {
    const std::u32string t = clean_text(decode_utf8(text), options.clean);
    const auto id = [&](std::int32_t token) { out.push_back(token); };
    raw_.split(
        t,
        [&](std::u32string_view raw, std::size_t at) {
          if (out.size() >= limit) return;
          const std::u32string normal = normalized(raw);
          normal_.split(
              normal, [&](std::u32string_view piece, std::size_t from) { words(piece, at + from == 0, out, limit); }, id);
        },
        id);
  }
  dim size() const override { return size_; }
  dim base_size() const override { return static_cast<dim>(index_of_.size()); }
  std::string symbol(std::int32_t id) const override {
    if (const auto* t = added(id)) return t->text;
    const auto i = static_cast<std::size_t>(id) < index_of_.size() ? index_of_[static_cast<std::size_t>(id)] : -1;
    return i < 0 ? std::string() : std::string(file_.vocab.tokens[static_cast<std::size_t>(i)]);
  }
  std::string decode(std::span<const std::int32_t> ids) const override {
    std::string out;
    for (const auto id : ids)
      if (const auto* t = added(id)) out += t->text;
      else if (pre_.byte_level()) append_bytes(symbol(id), out);
      else model_->append_text(symbol(id), out.empty(), out);
    return encode_utf8(decode_utf8(out));
  }
  named_texts files() const override {
    named_texts out{{"tokenizer.json", token_file_text(file_)}};
    if (!config_.tokenizer_config.empty()) out.emplace_back("tokenizer_config.json", config_.tokenizer_config);
    if (!config_.special_tokens_map.empty()) out.emplace_back("special_tokens_map.json", config_.special_tokens_map);
    if (!config_.spiece.empty()) out.emplace_back("spiece.model", config_.spiece);
    return out;
  }

 private:
  token_pipeline(token_file f, tokenizer_options o, const folder_config& config) : file_(std::move(f)), config_(config) {
    options = std::move(o);
    check_sizes(options);
    const auto& t = file_.vocab;
    for (std::size_t i = 0; i < t.tokens.size(); ++i) {
      expect(t.tokens[i].size() <= most_entry_bytes, error_kind::unsupported,
             [&] { return cat(file_.name, ": a token of ", t.tokens[i].size(), " bytes: expected at most ", most_entry_bytes); });
      const auto id = t.ids.empty() ? i : static_cast<std::size_t>(t.ids[i]);
      if (id >= index_of_.size()) index_of_.resize(id + 1, -1);
      expect(index_of_[id] < 0, error_kind::damaged,
             [&] { return cat(file_.name, ": symbol \"", t.tokens[i], "\": its id ", id, " is another symbol's too"); });
      index_of_[id] = static_cast<std::int32_t>(i);
    }
    size_ = static_cast<dim>(index_of_.size());
  }

  void read(const json& root) {
    normalizer_.read(member(root, "normalizer"), file_.name, options.longest);
    pre_.read(member(root, "pre_tokenizer"), file_.name);
    added_ = read_added_tokens(member(root, "added_tokens"), file_.name);
    std::vector<added_token> raw, normal;
    std::vector<std::string> raw_texts, normal_texts;
    for (const auto& t : added_) {
      size_ = std::max(size_, static_cast<dim>(t.id) + 1);
      (t.normalized ? normal : raw).push_back(t);
      (t.normalized ? normal_texts : raw_texts).push_back(t.normalized ? encode_utf8(normalized(decode_utf8(t.text))) : t.text);
    }
    raw_.set(std::move(raw), raw_texts);
    normal_.set(std::move(normal), normal_texts);
    std::sort(added_.begin(), added_.end(), [](const added_token& a, const added_token& b) { return a.id < b.id; });
    set_frame(read_frame(root), file_.name);
    if (options.cache_words > 0) model_->cache = std::make_unique<word_cache>(static_cast<std::size_t>(options.cache_words));
  }

  std::u32string normalized(std::u32string_view text) const {
    std::u32string out = clean_text(std::u32string(text), options.between);
    normalizer_.apply(out);
    return out;
  }

  void words(std::u32string_view text, bool at_start, std::vector<std::int32_t>& out, std::size_t limit) const {
    text_pieces pieces{std::u32string(text), {{0, text.size()}}, at_start, options.longest && !at_start};
    pre_.apply(pieces);
    if (options.longest) {  // sentencepiece adds the scores of a whole text, whose rounding its ties depend on
      std::string whole;
      for (std::size_t i = 0; i < pieces.ranges.size(); ++i) whole += encode_utf8(pieces[i]);
      return model_->append(whole, out, limit);
    }
    for (std::size_t i = 0; i < pieces.ranges.size() && out.size() < limit; ++i) model_->append(encode_utf8(pieces[i]), out, limit);
  }

  const added_token* added(std::int32_t id) const {
    const auto it =
        std::lower_bound(added_.begin(), added_.end(), id, [](const added_token& t, std::int32_t i) { return t.id < i; });
    return it != added_.end() && it->id == id ? &*it : nullptr;
  }
  // The id of a token that the files name, or -1.
  std::int32_t find(const std::string& token) const {
    for (const auto& t : added_)
      if (t.text == token) return t.id;
    for (std::size_t id = 0; id < index_of_.size(); ++id)
      if (index_of_[id] >= 0 && file_.vocab.tokens[static_cast<std::size_t>(index_of_[id])] == token)
        return static_cast<std::int32_t>(id);
    return -1;
  }

  // What the post-processor puts around a text, unless tokenizer_config.json has add_bos_token or add_eos_token; the pad token.
  token_frame read_frame(const json& root) const {
    token_frame out{token_frame::none, token_frame::none, token_frame::none};
    read_processor(member(root, "post_processor"), out);
    const std::string where = file_.name + ": tokenizer_config.json";
    const json config = config_.tokenizer_config.empty() ? json() : parse_json(config_.tokenizer_config, where, 16);
    const json map = config_.special_tokens_map.empty()
                         ? json()
                         : parse_json(config_.special_tokens_map, file_.name + ": special_tokens_map.json", 16);
    const auto token = [&](const char* key) {
      const json* t = member(config, key) ? member(config, key) : member(map, key);
      const auto text = !t ? std::string() : t->is_string() ? t->get<std::string>() : t->is_object() ? t->value("content", "") : "";
      return text.empty() ? token_frame::none : find(text);
    };
    if (member(config, "add_bos_token") || member(config, "add_eos_token")) {
      out.sot = flag(config, "add_bos_token") ? token("bos_token") : token_frame::none;
      out.eot = flag(config, "add_eos_token") ? token("eos_token") : token_frame::none;
    }
    out.pad = token("pad_token");
    if (const json* padding = member(root, "padding"); padding && out.pad < 0)
      out.pad = static_cast<std::int32_t>(whole_number(member(*padding, "pad_id"), most_entries, out.pad));
    return out;
  }

  void read_processor(const json* p, token_frame& out) const {
    if (!p) return;
    const json* type = member(*p, "type");
    const auto where = cat(file_.name, ": post_processor");
    const auto bad = [&] { fail(error_kind::damaged, cat(where, ": expected the ids of its tokens")); };
    const auto pair = [&](const char* key) {  // ["[CLS]", 101]
      const json* v = member(*p, key);
      const auto id = v && v->is_array() && v->size() == 2 ? whole_number(&(*v)[1], most_entries) : -1;
      if (id < 0) bad();
      return static_cast<std::int32_t>(id);
    };
    if (type && (*type == "BertProcessing" || *type == "RobertaProcessing")) {
      out.sot = pair("cls");
      out.eot = pair("sep");
    } else if (type && *type == "TemplateProcessing") {
      read_template(*p, where, out);
    } else if (type && *type == "Sequence") {
      if (const json* list = member(*p, "processors"); list && list->is_array())
        for (const json& one : *list) read_processor(&one, out);
    } else if (!type || *type != "ByteLevel") {  // which changes offsets only
      fail(error_kind::unsupported, cat(where, ": ", type ? type->dump().substr(0, 60) : "", " is not supported"));
    }
  }

  static void read_template(const json& p, const std::string& where, token_frame& out) {
    const json *single = member(p, "single"), *tokens = member(p, "special_tokens");
    expect(single && single->is_array(), error_kind::damaged, [&] { return cat(where, ": expected a list, single"); });
    bool behind = false;
    for (const json& part : *single) {
      if (member(part, "Sequence")) {
        expect(!behind, error_kind::unsupported, [&] { return cat(where, ": a template with the text twice"); });
        behind = true;
        continue;
      }
      const json* special = member(part, "SpecialToken");
      const json* named = special && special->is_object() ? member(*special, "id") : nullptr;
      const json* entry =
          named && named->is_string() && tokens ? member(*tokens, named->get_ref<const std::string&>().c_str()) : nullptr;
      const json* ids = entry ? member(*entry, "ids") : nullptr;
      const auto only = ids && ids->is_array() && ids->size() == 1 ? whole_number(&(*ids)[0], most_entries) : -1;
      expect(only >= 0, error_kind::unsupported,
             [&] { return cat(where, ": expected one id for each special token of its template"); });
      auto& id = behind ? out.eot : out.sot;
      expect(id == token_frame::none, error_kind::unsupported,
             [&] { return cat(where, ": expected one token at most on each side of the text"); });
      id = static_cast<std::int32_t>(only);
    }
    expect(behind, error_kind::damaged, [&] { return cat(where, ": a template without the text"); });
  }

  token_file file_;
  folder_config config_;
  std::unique_ptr<word_model> model_;
  text_normalizer normalizer_;
  pre_tokenizer pre_;
  added_matcher raw_, normal_;
  std::vector<added_token> added_;      // by id
  std::vector<std::int32_t> index_of_;  // of each id, the entry of the vocabulary; -1: none
  dim size_ = 0;
};

}  // namespace clipx::detail
