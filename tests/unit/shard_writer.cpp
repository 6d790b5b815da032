// Shards written: what is read back, by our own reader and by the layout of ustar; and what leaves nothing behind.
#include <clipx/data/shard_writer.hpp>

#include "catch.hpp"
#include "temporary.hpp"

namespace test_shard_writer {

using namespace clipx;

namespace {

std::span<const std::byte> bytes_of(const std::string& s) { return std::as_bytes(std::span(s)); }

struct made {
  std::string key;
  std::vector<std::pair<std::string, std::string>> members;
  sample view() const {
    sample s{key, {}};
    for (auto& [suffix, data] : members) s.members.emplace_back(suffix, bytes_of(data));
    return s;
  }
  bool operator==(const made&) const = default;
};

std::vector<made> read(const std::string& shard) {
  std::vector<made> out;
  for_each_sample(shard, [&](const sample& s) {
    out.push_back({s.key, {}});
    for (auto& [suffix, b] : s.members)
      out.back().members.emplace_back(suffix, std::string(reinterpret_cast<const char*>(b.data()), b.size()));
  });
  return out;
}

std::string every_byte(std::size_t n) {
  std::string out(n, '\0');
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<char>(i * 7 + i / 256);
  return out;
}

std::vector<made> awkward() {
  return {{"000000000", {{"jpg", every_byte(512)}, {"txt", "a caption"}, {"json", "{}"}}},
          {"000000001", {{"seg.png", every_byte(1)}, {"txt", ""}}},
          {"a/b c/" + std::string(90, 'd'), {{"jpg", every_byte(513)}}},              // 100 bytes and a folder
          {std::string(150, 'e') + "/" + std::string(80, 'f'), {{"jpg", "prefix"}}},  // ustar's prefix
          {std::string(300, 'g'), {{"jpg", "pax"}, {"txt", every_byte(3'000'000)}}},  // pax, and more than the buffer
          {"\xc3\xa4\xe6\xbc\xa2", {{"jpg", "not ASCII"}}},
          {"bytes\xff", {{"txt", "not UTF-8"}}}};
}

}  // namespace

TEST_CASE("shards written: read back with every byte") {
  temporary_folder dir;
  const auto all = awkward();
  for (const char* name : {"a.tar", "b.tar"}) {
    tar_writer out(dir / name);
    for (auto& s : all) out.add(s.view());
    CHECK(out.samples() == all.size());
    out.commit();
  }
  CHECK(read(dir / "a.tar") == all);
  CHECK(contents(dir / "a.tar") == contents(dir / "b.tar"));
  CHECK(contents(dir / "a.tar").size() % 512 == 0);
}

TEST_CASE("shards written: in their folder, with sizes.json") {
  temporary_folder dir;
  const std::string folder = dir / "new/deep";
  shard_writer out(folder, 3);
  for (int i = 0; i < 7; ++i) out.add(made{"k" + std::to_string(i), {{"txt", std::to_string(i)}}}.view());
  out.finish();
  CHECK(read(folder + "/00000.tar").size() == 3);
  CHECK(read(folder + "/00002.tar") == std::vector<made>{{"k6", {{"txt", "6"}}}});
  CHECK(contents(folder + "/sizes.json") == "{\n \"00000.tar\": 3,\n \"00001.tar\": 3,\n \"00002.tar\": 1\n}\n");
  CHECK(shard_name(123456) == "123456.tar");
}

TEST_CASE("shards written: whole or not at all") {
  temporary_folder dir;
  {
    tar_writer out(dir / "a.tar");
    out.add(made{"a", {{"txt", "x"}}}.view());
  }
  CHECK(dir.files() == 0);
  {
    tar_writer out(dir / "a.tar");
    CHECK_THAT(message([&] { out.commit(); }), Contains("at least one sample"));
  }
  {
    shard_writer out(dir.path.string(), 2);
    for (const char* key : {"a", "b", "c"}) out.add(made{key, {{"txt", "x"}}}.view());
    CHECK_THAT(message([&] { out.add(made{"c", {{"txt", "y"}}}.view()); }), Contains("twice in a row"));
  }
  CHECK(dir.files() == 1);
  CHECK(read(dir / "00000.tar").size() == 2);
  CHECK_THAT(message([] { shard_writer("/dev/null/x"); }), Contains("cannot be made"));
}

TEST_CASE("shards written: a full disk") {
  if (!std::filesystem::exists("/dev/full")) return;
  tar_writer out("/dev/full");
  const auto big = every_byte(3'000'000);
  CHECK_THAT(message([&] { out.add(made{"a", {{"jpg", big}}}.view()); }), Contains("/dev/full: cannot be written: No space left"));
  tar_writer small("/dev/full");
  small.add(made{"a", {{"jpg", "x"}}}.view());
  CHECK_THAT(message([&] { small.commit(); }), Contains("No space left"));
}

TEST_CASE("shards written: names that would not come back") {
  temporary_folder dir;
  tar_writer out(dir / "a.tar");
  const auto refusal = [&](const std::string& key, const std::string& suffix) {
    return message([&] { out.add(made{key, {{suffix, "x"}}}.view()); });
  };
  for (const char* key : {"", "a.b", "__x__/a", "a/"}) CHECK_THAT(refusal(key, "jpg"), Contains("expected a key"));
  for (const char* suffix : {"", "JPG", "a/b"}) CHECK_THAT(refusal("a", suffix), Contains("a suffix in lower case"));
  CHECK_THAT(refusal(std::string("a\0b", 3), "jpg"), Contains("expected a key"));
  CHECK_THAT(refusal(std::string(70'000, 'a'), "jpg"), Contains("at most 65536 bytes"));
  CHECK_THAT(message([&] { out.add({"a", {}}); }), Contains("with members"));
  CHECK_THAT(message([&] { out.add(made{"a", {{"x", "1"}, {"x", "2"}}}.view()); }), Contains("\"x\" twice"));
  CHECK(out.samples() == 0);
}

}  // namespace test_shard_writer
