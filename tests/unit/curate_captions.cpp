// Captions with their keys, from shards, folders of shards and texts; what cannot be read is counted and named.
#include <clipx/curate/captions_source.hpp>
#include <filesystem>

#include "catch.hpp"
#include "tar.hpp"
#include "temporary.hpp"

namespace test_curate_captions {

using namespace clipx;
using list = std::vector<std::string>;

namespace {
struct seen {
  list keys, captions, uncaptioned;  // captions as "key caption", the last as "key: why"
  std::size_t members = 0;
  caption_report report;
};
seen read(const list& data, const std::string& field = "", std::uint64_t part_bytes = 1 << 20) {
  seen out;
  for (auto& part : list_caption_parts(data, out.report.skipped, part_bytes))
    for_each_captioned(part, field, out.report, [&](const captioned_sample& s) {
      out.keys.emplace_back(s.key);
      if (!s.uncaptioned.empty()) out.uncaptioned.push_back(cat(s.key, ": ", s.uncaptioned));
      for (auto caption : s.captions) out.captions.push_back(cat(s.key, " ", caption));
      out.members += s.members ? s.members->members.size() : 0;
    });
  return out;
}
}  // namespace

TEST_CASE("captions of a text: the key is the line's number") {
  const temporary_folder dir;
  write_file(dir / "t.txt", "\xef\xbb\xbf one\n\n two \r\n\tthree\n \xff\nlast");
  const list want{"0  one", "2  two \r", "3 \tthree", "5 last"};
  for (std::uint64_t bytes : {1u, 4u, 6u, 11u, 1000u}) {
    INFO(bytes);
    const auto s = read({dir / "t.txt"}, "", bytes);
    CHECK(s.captions == want);
    CHECK(s.keys == list{"0", "1", "2", "3", "4", "5"});
    CHECK(s.report.samples == 6);
    CHECK(s.report.captions == 4);
    CHECK(s.report.empty == 1);
    CHECK(s.report.unreadable == 1);
    CHECK(s.report.skipped.count == 1);
    CHECK(s.report.skipped.unreadable == 1);
    REQUIRE(s.report.skipped.first.size() == 1);
    CHECK_THAT(s.report.skipped.first[0], Contains("t.txt: 4: expected a caption in UTF-8"));
  }
  write_file(dir / "long", std::string(1 << 20, 'a') + "\n" + std::string((1 << 20) + 1, 'b') + "\nc\n");
  const auto s = read({dir / "long"});
  CHECK(s.keys == list{"0", "1", "2"});
  CHECK(s.report.captions == 2);
  CHECK_THAT(s.report.skipped.first.at(0), Contains("long: 1: ") && Contains("at most 1048576"));
  write_file(dir / "empty", "");
  left_out skipped;
  CHECK(list_caption_parts(list{dir / "empty"}, skipped).empty());
  CHECK(skipped.none());
}

TEST_CASE("captions of shards") {
  const temporary_folder dir;
  std::filesystem::create_directory(dir.path / "s");
  write_file(dir / "s/1.tar", member("a.txt", "one\n") + member("a.jpg", "x") + member("a.json", R"({"c": ["eins", " ", "uno"]})") +
                                  member("b.jpg", "x") + member("c.txt", "\xff") + member("c.json", R"({"c": "drei"})") +
                                  end_of_tar);
  write_file(dir / "s/0.tar", member("z/d.json", R"({"d": 3})") + member("z/d.txt", " ") + member("e.json", "{") + end_of_tar);
  const auto txt = read({dir / "s"});
  CHECK(txt.keys == list{"z/d", "e", "a", "b", "c"});
  CHECK(txt.captions == list{"a one\n"});
  CHECK(txt.members == 9);
  CHECK(txt.report.samples == 5);
  CHECK(txt.report.empty == 1);
  CHECK(txt.report.uncaptioned == 2);
  CHECK(txt.report.unreadable == 1);
  CHECK(txt.uncaptioned == list{"z/d: expected a caption, got an empty text", "e: expected a caption (txt), got none",
                                "b: expected a caption (txt), got none"});
  const auto field = read({dir / "s/{0..1}.tar"}, "c");
  CHECK(field.captions == list{"a eins", "a uno", "c drei"});
  CHECK(field.report.captions == 3);
  CHECK(field.report.empty == 1);
  CHECK(field.report.uncaptioned == 2);
  CHECK(field.report.unreadable == 1);
  REQUIRE(field.report.skipped.first.size() == 1);
  CHECK_THAT(field.report.skipped.first[0], Contains("0.tar: e: ") && Contains("not valid JSON"));
  REQUIRE(field.uncaptioned.size() == 2);
  CHECK_THAT(field.uncaptioned[0], Contains("z/d: ") && Contains("expected a field \"c\""));
}

TEST_CASE("a broken shard loses its rest, and no more") {
  const temporary_folder dir;
  auto broken = member("a.txt", "one") + member("b.txt", "two") + member("c.txt", "three");
  broken[2 * 1024 + 150] ^= 1;  // the checksum of c's header
  write_file(dir / "0.tar", broken + end_of_tar);
  write_file(dir / "1.tar", "");
  write_file(dir / "2.tar", member("d.txt", "four") + end_of_tar);
  const auto s = read({dir / "{0..2}.tar"});
  CHECK(s.captions.back() == "d four");
  CHECK(s.captions.front() == "a one");
  CHECK(s.report.broken_shards == 2);
  CHECK(s.report.skipped.unreadable == 2);
  REQUIRE(s.report.skipped.first.size() == 2);
  CHECK_THAT(s.report.skipped.first[0], Contains("0.tar: byte 2048") && Contains("the rest of the shard is left out"));
  CHECK_THAT(s.report.skipped.first[1], Contains("1.tar: expected a tar file, got an empty one"));
  // an error of the caller's is not the shard's
  caption_report report;
  const auto parts = list_caption_parts(list{dir / "2.tar"}, report.skipped);
  CHECK(message([&] { for_each_captioned(parts[0], "", report, [](const captioned_sample&) { fail("mine"); }); }) == "mine");
}

TEST_CASE("data that is not there") {
  const temporary_folder dir;
  left_out skipped;
  const auto parts_of = [&](const list& data) { return list_caption_parts(data, skipped); };
  CHECK_THAT(message([&] { parts_of({}); }), Contains("got none"));
  CHECK_THAT(message([&] { parts_of({dir / "{a,b}.tar"}); }), Contains("got none; left out 2, 2 of them unreadable") &&
                                                                  Contains("a.tar: cannot be opened") &&
                                                                  Contains("b.tar: cannot be opened"));
  CHECK_THAT(message([&] { parts_of({dir / "none"}); }), Contains("none: cannot be opened"));
  CHECK_THAT(message([&] { parts_of({dir.path.string()}); }), Contains("expected shards (.tar) in this folder"));
  write_file(dir / "t", "one\ntwo\n");
  const auto parts = parts_of({dir / "t"});
  write_file(dir / "t", "one\n");
  caption_report report;
  CHECK_THAT(message([&] { for_each_captioned(parts[0], "", report, [](const captioned_sample&) {}); }),
             Contains("t: expected at least 8 bytes"));
}

TEST_CASE("captions of data that is there in part: the rest is read") {
  const temporary_folder dir;
  std::filesystem::create_directories(dir.path / "s/deeper");
  std::filesystem::create_directories(dir.path / "s/state");
  std::filesystem::create_directories(dir.path / "empty");
  write_file(dir / "s/0.tar",
             member("a.txt", "one") + member("README", "x") + member("l.txt", "", '2') + member("b.txt", "two") + end_of_tar);
  write_file(dir / "s/photo.webp", "RIFF");
  write_file(dir / "s/sizes.json", "{}");
  write_file(dir / "s/state/0-a", "x");
  write_file(dir / "s/deeper/0.tar", "");
  const auto s = read({dir / "s", dir / "none.tar", dir / "none", dir / "empty"});
  CHECK(s.captions == list{"a one", "b two"});
  const auto& skipped = s.report.skipped;
  CHECK(s.report.broken_shards == 1);
  CHECK(skipped.count == 6);  // photo.webp, deeper/, the link, and the last three of the data
  CHECK(skipped.unreadable == 3);
  CHECK(skipped.other_files == 1);
  const auto told = skipped.text(8);
  for (auto* why : {"s/deeper: a folder beside shards", "s/photo.webp: an image beside shards", "0.tar: l.txt: a link",
                    "0.tar: README: expected a name", "none.tar: cannot be opened", "none: cannot be opened",
                    "empty: expected shards (.tar) in this folder"})
    CHECK_THAT(told, Contains(why));
  CHECK_THAT(told, !Contains("state") && !Contains("sizes.json"));
}

TEST_CASE("reports are added up") {
  caption_report a, b;
  a.captions = 2, b.captions = 3, b.unreadable = 4, b.broken_shards = 1;
  a.skipped.add_unreadable("a");
  b.skipped.add_unreadable("b", 5);
  a.add(b);
  CHECK(a.captions == 5);
  CHECK(a.unreadable == 4);
  CHECK(a.broken_shards == 1);
  CHECK(a.skipped.count == 6);
  CHECK(a.skipped.first == list{"a", "b"});
}

}  // namespace test_curate_captions
