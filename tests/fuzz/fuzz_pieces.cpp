// spiece.model: what is accepted gives ids of its own vocabulary.
#include <clipx/core/error.hpp>
#include <clipx/io/file_set.hpp>
#include <clipx/text/bpe.hpp>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace clipx;
  static const std::string config = R"({"tokenizer_class": "SiglipTokenizer", "eos_token": "</s>", "pad_token": "</s>"})";
  auto o = tokenizer_options::hf();
  detail::clean_as("SiglipTokenizer", o);
  try {
    std::vector<named_bytes> files;
    files.push_back({"spiece.model", std::as_bytes(std::span(data, size)), nullptr});
    files.push_back({"tokenizer_config.json", std::as_bytes(std::span(config)), nullptr});
    const auto t = tokenizer::from_files(file_set::memory(std::move(files)), o);
    const auto ids = t("a photo of a cat </s> ww aab 123");
    for (const auto id : ids)
      if (id < 0 || id >= t.vocab_size()) std::abort();
    t.decode(ids);
  } catch (const error&) {}
  return 0;
}
