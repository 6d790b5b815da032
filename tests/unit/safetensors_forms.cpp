// safetensors: what the format's own library accepts and refuses (asked of safetensors 0.8 by the Python package's deserialize()).
#include <clipx/core/json-inl.hpp>
#include <clipx/io/safetensors.hpp>
#include <cstdint>
#include <cstring>

#include "catch.hpp"
#include "temporary.hpp"

namespace test_safetensors_forms {

using namespace clipx;

namespace {

safetensors parse(const std::string& header, std::size_t data) {
  const std::uint64_t n = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &n, 8);
  bytes += header + std::string(data, '\1');
  const auto owner = std::make_shared<const std::string>(std::move(bytes));
  return safetensors::open(file_set::memory({{"x.safetensors", std::as_bytes(std::span(*owner)), owner}}), "x.safetensors");
}
std::string refusal(const std::string& header, std::size_t data) {
  return message([&] { parse(header, data); });
}
std::string tensor(const std::string& name, std::size_t begin, std::size_t end, const std::string& type = "F32",
                   const std::string& shape = "[1]", const std::string& more = "") {
  return cat("\"", name, "\":{\"dtype\":\"", type, "\",\"shape\":", shape, ",\"data_offsets\":[", begin, ",", end, "]", more, "}");
}

}  // namespace

TEST_CASE("safetensors: white space before and behind the header's object") {
  for (const std::string space : {"    ", "\n", "\t", "\r\n "}) {
    CHECK(parse(space + "{" + tensor("a", 0, 4) + "}", 4).find("a") != nullptr);
    CHECK(parse("{" + tensor("a", 0, 4) + "}" + space, 4).find("a") != nullptr);
  }
  for (const std::string other : {"\xc2\xa0", "\xef\xbb\xbf"})
    CHECK_THAT(refusal(other + "{" + tensor("a", 0, 4) + "}", 4), Contains("begins with \"{\""));
  for (std::size_t zeros : {1u, 3u})
    CHECK_THAT(refusal("{" + tensor("a", 0, 4) + "}" + std::string(zeros, '\0'), 4), Contains("not valid JSON: byte"));
  CHECK_THAT(refusal("   ", 0), Contains("begins with"));
}

TEST_CASE("safetensors: metadata") {
  const auto a = tensor("a", 0, 4);
  CHECK(parse("{\"__metadata__\":null," + a + "}", 4).metadata().empty());
  const auto twice = parse("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}," + a + "}", 4);
  CHECK(twice.metadata() == std::vector<std::pair<std::string, std::string>>{{"k", "2"}});
  CHECK_THAT(refusal("{\"__metadata__\":{},\"__metadata__\":{}," + a + "}", 4), Contains("\"__metadata__\" appears twice"));
  CHECK_THAT(refusal("{\"__metadata__\":{\"k\":null}," + a + "}", 4), Contains("expected a string"));
}

TEST_CASE("safetensors: a tensor that the header names twice is the last one") {
  const auto file = parse("{" + tensor("a", 0, 8, "F32", "[2]") + "," + tensor("a", 0, 4) + "}", 4);
  REQUIRE(file.tensors().size() == 1);
  CHECK(file.tensors()[0].shape == std::vector<dim>{1});
  CHECK_THAT(refusal("{" + tensor("a", 0, 4) + "," + tensor("a", 4, 8) + "}", 8), Contains("\"a\": a hole before it"));
  CHECK_THAT(refusal("{" + tensor("a", 0, 4, "F32", "[1]", ",\"dtype\":\"F32\"") + "}", 4), Contains("\"dtype\" appears twice"));
  CHECK(parse("{" + tensor("a", 0, 4, "F32", "[1]", ",\"more\":{}") + "}", 4).find("a") != nullptr);
  CHECK_THAT(refusal("{\"b\":null," + tensor("a", 0, 4) + "}", 4), Contains("tensor \"b\"") && Contains("expected dtype"));
  // another format's objects repeat nothing
  CHECK_THAT(message([] { detail::parse_json("{\"a\":1,\"b\":2,\"a\":3}", "x", 4); }), Contains("\"a\" appears twice"));
}

TEST_CASE("safetensors: types that no weight has, also of less than a byte") {
  for (const std::string type :
       {"F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F4", "F6_E2M3", "F6_E3M2", "C64"}) {
    INFO(type);
    const std::size_t bytes = type == "F4" ? 2 : type.starts_with("F6") ? 3 : type == "C64" ? 32 : 4;
    const auto file = parse("{" + tensor("w", 0, 4) + "," + tensor("x", 4, 4 + bytes, type, "[4]") + "}", 4 + bytes);
    CHECK(name_of(file.find("x")->type) == type);
    CHECK(file.find("x")->bytes == bytes);
    CHECK(bits_of(file.find("x")->type) == static_cast<dim>(2 * bytes));
    CHECK_THAT(refusal("{" + tensor("x", 0, bytes + 1, type, "[4]") + "}", bytes + 1), Contains("its shape takes"));
  }
  CHECK_THAT(refusal("{" + tensor("x", 0, 2, "F4", "[3]") + "}", 2), Contains("12 bits, which is not a whole number of bytes"));
  CHECK_THAT(refusal("{" + tensor("x", 0, 2, "I4", "[4]") + "}", 2), Contains("unknown dtype I4"));
}

TEST_CASE("safetensors: a header of any length, whatever its first byte stands for elsewhere") {
  const auto header = "{" + tensor("a", 0, 4) + "}";
  for (std::size_t more = 0; more < 256; ++more) CHECK(parse(header + std::string(more, ' '), 4).find("a") != nullptr);
}

TEST_CASE("safetensors: a Git LFS pointer says what it is") {
  const temporary_folder dir;
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
      "size 605143316\n";
  write_file(dir / "model.safetensors", pointer);
  CHECK_THAT(message([&] { safetensors::open(dir / "model.safetensors"); }),
             Contains("model.safetensors: a Git LFS pointer, not the file itself") && Contains("git lfs pull"));
  write_file(dir / "model.safetensors.index.json", pointer);
  CHECK_THAT(message([&] { safetensors::open(dir / "model.safetensors.index.json"); }), Contains("a Git LFS pointer"));
}

}  // namespace test_safetensors_forms
