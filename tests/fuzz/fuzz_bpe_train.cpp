// A vocabulary that is learned from captions, one a line. The first two bytes: its size above the smallest, and the least
// frequency. The tokenizer that comes of it needs as many tokens for these captions as was counted, and decodes them to what they
// were.
#include <clipx/core/error.hpp>
#include <clipx/text/bpe_train.hpp>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace clipx;
  if (size < 2) return 0;
  bpe_options o;
  o.vocab_size = 515 + data[0];
  o.min_frequency = 1 + data[1] % 8;
  o.text.cache_words = 0;
  std::vector<std::string> captions;
  std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    captions.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  try {
    bpe_trainer trainer(o);
    trainer.add(std::span<const std::string>(captions));
    const auto learned = trainer.learn();
    if (learned.captions != captions.size() || learned.distinct_words > learned.words || learned.tokens > learned.bytes)
      std::abort();
    if (learned.vocab_size + learned.missing != o.vocab_size || learned.missing < 0) std::abort();
    const auto made = learned.tokenizer(o.text);
    if (made.vocab_size() != learned.vocab_size) std::abort();
    std::uint64_t tokens = 0;
    for (auto& caption : captions)
      for (const auto id : made.encode(caption)) tokens += id < made.vocab_size() - 2;  // start and end may be spelled out
    if (tokens != learned.tokens) std::abort();
  } catch (const error&) {}
  return 0;
}
