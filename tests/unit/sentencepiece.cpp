// spiece.model, sentencepiece's own file, as transformers' SiglipTokenizer reads it: ids, and errors of damaged files.
#include <bit>
#include <clipx/io/file_set.hpp>
#include <clipx/text/bpe.hpp>

#include "catch.hpp"

namespace test_sentencepiece {

using namespace clipx;
using ids = std::vector<std::int32_t>;

namespace {
// A field of a protobuf message.
std::string field(int number, std::string_view bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + std::string(bytes);
}
std::string field(int number, char value) {
  std::string out{static_cast<char>(number << 3)};
  if (number > 15) out = {static_cast<char>((number << 3 & 0x7F) | 0x80), static_cast<char>(number >> 4)};
  return out + value;
}
std::string piece(std::string_view text, float score, char type = 1) {
  std::string number;
  for (unsigned k = 0; k < 4; ++k) number += static_cast<char>(std::bit_cast<std::uint32_t>(score) >> (8 * k) & 0xFFU);
  const auto kind = type == 1 ? std::string() : field(3, type);
  return field(1, field(1, text) + static_cast<char>(2 << 3 | 5) + number + kind);
}
std::string pieces() {
  return piece("<pad>", 0, 3) + piece("</s>", 0, 3) + piece("<unk>", 0, 2) + piece("▁", -2) + piece("a", -1) + piece("▁a", -1.5F) +
         piece("b", -3) + piece("▁ab", -9);
}
const std::string trainer = field(2, field(1, "corpus") + field(3, char{1}) + field(35, char{0}));
const std::string rules = field(3, field(1, "identity") + field(3, char{1}) + field(4, char{1}));

tokenizer open(const std::string& model, const std::string& type = "SiglipTokenizer", const char* name = "spiece.model") {
  const auto config = "{\"tokenizer_class\": \"" + type + "\", \"eos_token\": \"</s>\", \"pad_token\": \"</s>\"}";
  std::vector<named_bytes> files;
  files.push_back({name, std::as_bytes(std::span(model)), nullptr});
  files.push_back({"tokenizer_config.json", std::as_bytes(std::span(config)), nullptr});
  auto o = tokenizer_options::hf();
  detail::clean_as(type, o);
  return tokenizer::from_files(file_set::memory(std::move(files)), o);
}
std::string refusal(const std::string& model, const std::string& type = "SiglipTokenizer", const char* name = "spiece.model") {
  try {
    open(model, type, name);
  } catch (const error& e) { return e.what(); }
  return "no error";
}
}  // namespace

TEST_CASE("spiece.model: ids", "[text]") {
  const auto t = open(pieces() + trainer + rules);
  CHECK(t.vocab_size() == 8);
  CHECK(t("a") == ids{5, 1});
  CHECK(t("A ab, AAB.") == ids{5, 5, 6, 5, 4, 6, 1});  // lower case, no punctuation; "▁ab" is worse than "▁a", "b"
  CHECK(t("xy a") == ids{3, 2, 5, 1});
  CHECK(t("a </s> a") == ids{5, 1, 4, 1});
  CHECK(t("") == ids{1});
  CHECK(open(pieces())("ab") == t("ab"));  // what it does not say is sentencepiece's default
  REQUIRE(t.files().size() == 3);
  CHECK(t.files()[2].first == "spiece.model");
  CHECK(t.files()[2].second == pieces() + trainer + rules);
}

TEST_CASE("spiece.model: errors", "[text]") {
  CHECK_THAT(refusal(pieces() + field(2, field(3, char{2}))), Contains("model_type 2 is not supported"));
  CHECK_THAT(refusal(pieces() + field(2, field(35, char{1}))), Contains("byte_fallback is not supported"));
  CHECK_THAT(refusal(pieces() + field(2, field(24, char{1}))), Contains("treat_whitespace_as_suffix"));
  CHECK_THAT(refusal(pieces() + field(3, field(4, char{0}))), Contains("remove_extra_whitespaces"));
  CHECK_THAT(refusal(pieces() + piece("<0x41>", 0, 6)), Contains("\"<0x41>\" is of type 6"));
  CHECK_THAT(refusal(pieces() + piece("\xFF", 0)), Contains("spiece.model: expected a model of sentencepiece"));
  CHECK_THAT(refusal(pieces() + piece("inf", std::numeric_limits<float>::infinity())), Contains("expected a model"));
  CHECK_THAT(refusal(trainer), Contains("expected a model"));
  CHECK_THAT(refusal("\x0F\x01"), Contains("expected a model"));
  const auto whole = pieces() + trainer + rules;
  int refused = 0;
  for (std::size_t n = 0; n < whole.size(); ++n) refused += refusal(whole.substr(0, n)) != "no error";
  CHECK(refused > static_cast<int>(whole.size()) * 9 / 10);  // between two fields a message is whole
  for (const char* name : {"spiece.model", "tokenizer.model", "sentencepiece.bpe.model"})
    CHECK_THAT(refusal(whole, "T5Tokenizer", name), Contains(name) && Contains("save_pretrained"));
}

}  // namespace test_sentencepiece
