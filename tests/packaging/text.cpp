// A user of the tokenizers alone: token ids of a caption by the vocabulary in a folder, read twice from different files.
#include <clipx/core/error.hpp>
#include <clipx/text/bpe.hpp>
#include <cstdio>
#include <string>

int main(int, char** arguments) {
  const std::string folder = arguments[1];
  try {
    const auto merges = clipx::tokenizer::from_merges(folder + "/bpe_4096.txt.gz");
    const auto vocab = clipx::tokenizer::from_vocab(folder + "/vocab.json", folder + "/merges.txt");
    const auto ids = merges.encode("A drawing of a clock");
    for (const auto id : ids) std::printf("%d ", id);
    std::printf("\n%s\n", merges.decode(ids).c_str());
    if (merges.decode(ids) != "a drawing of a clock " || ids != vocab.encode("A drawing of a clock")) return 1;
  } catch (const clipx::error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  try {
    clipx::tokenizer::from_folder(folder + "/none", {});
  } catch (const clipx::error& e) {
    std::printf("%s: %s\n", e.at().file, e.what());
    return 0;
  }
  return 1;
}
