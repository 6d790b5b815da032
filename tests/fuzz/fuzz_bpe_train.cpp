// A vocabulary that is learnt from captions, one a line. The first two bytes: its size above the smallest, and the least frequency.
// The tokenizer that comes of it needs as many tokens for these captions as was counted, and decodes them to what they were.
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
    const auto learnt = trainer.learn();
    if (learnt.captions != captions.size() || learnt.distinct_words > learnt.words || learnt.tokens > learnt.bytes) std::abort();
    if (learnt.vocab_size + learnt.missing != o.vocab_size || learnt.missing < 0) std::abort();
    const auto made = learnt.tokenizer(o.text);
    if (made.vocab_size() != learnt.vocab_size) std::abort();
    std::uint64_t tokens = 0;
    for (auto& caption : captions)
      for (const auto id : made.encode(caption)) tokens += id < made.vocab_size() - 2;  // start and end may be spelled out
    if (tokens != learnt.tokens) std::abort();
  } catch (const error&) {}
  return 0;
}
