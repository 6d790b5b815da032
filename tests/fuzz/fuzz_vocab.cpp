// Tokenizer files. The first byte: 0 gzip or plain merges, 1 vocab.json and (after a zero byte) merges.txt, 2 tokenizer.json, 3 a
// plain merges file behind gzip's back; 4, 5 a small tokenizer.json in a folder with this tokenizer_config.json, or with this
// special_tokens_map.json.
#include <clipx/core/error.hpp>
#include <clipx/text/bpe.hpp>
#include <clipx/text/gunzip.hpp>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace clipx;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto cut = text.find('\0');
  const auto second = cut == text.npos ? std::string_view() : text.substr(cut + 1);
  const auto use = [](const tokenizer& t) {
    const auto ids = t("The <|endoftext|> caf\xc3\xa9, the THE 12");
    t.decode(ids);
  };
  try {
    switch (*data % 6) {
      case 0:
        use(tokenizer::from_merges_bytes(text, tokenizer_options::openai()));
        break;
      case 1:
        use(tokenizer::from_vocab_bytes(text.substr(0, cut), second, tokenizer_options::hf()));
        break;
      case 2:
        use(tokenizer::from_json_bytes(text, tokenizer_options::open_clip_hf()));
        break;
      case 4:
      case 5:
        detail::read_tokenizer_json(R"({"model":{"type":"BPE","end_of_word_suffix":"</w>","vocab":{"a":0,"<|startoftext|>":1,
          "<|endoftext|>":2},"merges":[]},"added_tokens":[{"id":1,"content":"<|startoftext|>","normalized":true}]})",
                                    "fuzz", tokenizer_options::hf(),
                                    {true, *data % 6 == 4 ? std::string(text) : "", *data % 6 == 5 ? std::string(text) : ""});
        break;
      default:
        use(tokenizer::from_merges_bytes("header\n" + std::string(text), tokenizer_options::open_clip()));
    }
  } catch (const error&) {}
  return 0;
}
