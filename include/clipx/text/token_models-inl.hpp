// The kinds of tokenizer.json, in the order in which they are asked.
#pragma once
#include "../core/type_list.hpp"
#include "char_bpe-inl.hpp"
#include "token_pipeline-inl.hpp"
#include "unigram-inl.hpp"
#include "vocabulary-inl.hpp"
#include "word_piece-inl.hpp"

namespace clipx::detail {

using word_models = type_list<unigram, char_bpe, word_piece>;

template <class... Models>
std::shared_ptr<const token_model> make_pipeline(type_list<Models...>, const json& root, token_file& f, tokenizer_options& o,
                                                 const folder_config& config) {
  std::shared_ptr<const token_model> out;
  std::string names = "CLIP's BPE";
  const auto try_one = [&]<class Model>(const Model*) {
    names += cat(", ", Model::name);
    if (!out && Model::claims(root.at("model"), f)) out = token_pipeline::make<Model>(root, std::move(f), std::move(o), config);
  };
  (try_one(static_cast<const Models*>(nullptr)), ...);
  expect(out != nullptr, error_kind::unsupported, [&] {
    const json* type = member(root.at("model"), "type");
    return cat(f.name, ": expected a model.type of ", names, ", got ", type ? type->dump().substr(0, 80) : "none");
  });
  return out;
}

CLIPX_INLINE std::shared_ptr<const token_model> read_tokenizer_json(std::string_view text, const std::string& name,
                                                                    tokenizer_options o, const folder_config& config) {
  token_file f = read_token_file(text, name);
  f.in_float = o.longest;
  const json root = parse_json(f.rest, name, 16);
  const json* model = member(root, "model");
  expect(model && model->is_object() && f.vocab.present, error_kind::damaged,
         [&] { return cat(name, ": expected model.vocab and what else a tokenizer has"); });
  if (is_byte_bpe(*model)) return read_byte_bpe(root, f, std::move(o), config);
  return make_pipeline(word_models{}, root, f, o, config);
}

}  // namespace clipx::detail
