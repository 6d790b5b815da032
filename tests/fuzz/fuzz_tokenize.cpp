// Texts: cleaning by each rule, then ids of each library with the small vocabulary. The first byte says which.
#include <clipx/core/error.hpp>
#include <clipx/text/bpe.hpp>
#include <clipx/text/clean.hpp>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace clipx;
  static const std::string model = std::string(CLIPX_SOURCE_DIR) + "/tests/golden/words/";
  static const tokenizer readers[] = {
      tokenizer::from_merges(model + "bpe_4096.txt.gz", tokenizer_options::openai()),
      tokenizer::from_merges(model + "bpe_4096.txt.gz", tokenizer_options::open_clip()),
      tokenizer::from_vocab(model + "vocab.json", model + "merges.txt", tokenizer_options::hf()),
      tokenizer::from_vocab(model + "vocab.json", model + "merges.txt", tokenizer_options::open_clip_hf()),
  };
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto cleaned = clean(text, static_cast<clean_rule>(*data % 5));
  if (clean(cleaned, clean_rule::none) != cleaned) std::abort();  // well-formed UTF-8
  const tokenizer& t = readers[*data / 5 % 4];
  const auto ids = t.encode(text), framed = t(text);
  for (auto id : ids)
    if (id < 0 || id >= t.vocab_size()) std::abort();
  if (framed.size() != std::min<std::size_t>(ids.size() + 2, 77) || framed.front() != t.sot() || framed.back() != t.eot())
    std::abort();
  t.decode(ids);
  return 0;
}
