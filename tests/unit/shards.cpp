// Shards: brace patterns, tar archives as they come from several writers, and archives that are damaged or lie.
#include <clipx/data/folders.hpp>
#include <clipx/data/shards.hpp>
#include <cstring>

#include "catch.hpp"
#include "tar.hpp"
#include "temporary.hpp"

namespace test_shards {

using namespace clipx;
using list = std::vector<std::string>;

namespace {

const auto& end = end_of_tar;
std::string pax(const std::string& key, const std::string& value) {
  const std::string rest = " " + key + "=" + value + "\n";
  std::size_t n = rest.size() + 1;
  while (std::to_string(n).size() + rest.size() != n) ++n;
  return std::to_string(n) + rest;
}

/// "key: suffix=bytes suffix=bytes" for each sample.
list samples(const std::string& tar) {
  list out;
  for_each_sample(std::as_bytes(std::span(tar)), "x.tar", [&](const sample& s) {
    std::string text = s.key + ":";
    for (auto& [suffix, bytes] : s.members)
      text += " " + suffix + "=" + std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    out.push_back(text);
  });
  return out;
}
std::string refusal(const std::string& tar) {
  return message([&] { samples(tar); });
}

}  // namespace

TEST_CASE("braces") {
  CHECK(expand_braces("a.tar") == list{"a.tar"});
  CHECK(expand_braces("x-{0000..0003}.tar") == list{"x-0000.tar", "x-0001.tar", "x-0002.tar", "x-0003.tar"});
  CHECK(expand_braces("{9..11}") == list{"9", "10", "11"});
  CHECK(expand_braces("{09..11}") == list{"09", "10", "11"});
  CHECK(expand_braces("{2..0}") == list{"2", "1", "0"});
  CHECK(expand_braces("{a,b}{1..2}") == list{"a1", "a2", "b1", "b2"});
  CHECK(expand_braces("{x{1,2},y}") == list{"x1", "x2", "y"});
  CHECK(expand_braces("{a,,b}") == list{"a", "", "b"});
  CHECK(expand_braces("{a}b{}") == list{"{a}b{}"});
  CHECK(expand_braces("a{0..1}::b") == list{"a0", "a1", "b"});
  CHECK(expand_braces("{0..999}{0..999}").size() == 1'000'000);
  const auto refused = [](const std::string& p) { return message([&] { expand_braces(p); }); };
  CHECK_THAT(refused(""), Contains("empty"));
  CHECK_THAT(refused("a::"), Contains("empty"));
  CHECK_THAT(refused("{0..3"), Contains("not closed"));
  CHECK_THAT(refused("{0..1000000}"), Contains("at most 1000000"));
  CHECK_THAT(refused("{0..999}{0..999}{0..1}"), Contains("at most 1000000"));
  CHECK_THAT(refused("{0..99999999999999999999}"), Contains("at most"));
  CHECK_THAT(refused(std::string(20, '{') + "a,b" + std::string(20, '}')), Contains("nested deeper"));
  CHECK_THAT(refused(std::string(400, 'a') + "{0..999999}"), Contains("bytes in all"));
}

TEST_CASE("shards: what a sample is") {
  SECTION("neighbors that share a key; the suffix begins at the base name's first dot, in lower case") {
    CHECK(samples(member("a.jpg", "1") + member("a.TXT", "2") + member("b/c.d.seg.PNG", "3") + member("b/c.cls", "4") + end) ==
          list{"a: jpg=1 txt=2", "b/c: d.seg.png=3 cls=4"});
  }
  SECTION("a key or a suffix that comes again begins a new sample") {
    CHECK(samples(member("a.jpg", "1") + member("b.jpg", "2") + member("a.txt", "3") + end) ==
          list{"a: jpg=1", "b: jpg=2", "a: txt=3"});
    CHECK(samples(member("a.jpg", "1") + member("a.txt", "2") + member("a.JPG", "3") + end) == list{"a: jpg=1 txt=2", "a: jpg=3"});
  }
  SECTION("what belongs to no sample") {
    CHECK(samples(member("dir.d/", "", '5') + member("a.jpg", "1") + member("README", "x") + member(".hidden", "x") +
                  member("__meta__", "x") + member("__key__/x.jpg", "x") + member("a.txt", "2") + member("l.jpg", "", '2') + end) ==
          list{"a: jpg=1 txt=2"});
  }
  SECTION("the image is the first of jpg, png, jpeg, webp") {
    std::string found;
    const auto tar = member("a.webp", "w") + member("a.jpeg", "e") + member("a.png", "p") + end;
    for_each_sample(std::as_bytes(std::span(tar)), "x", [&](const sample& s) {
      found += static_cast<char>((*s.image())[0]);
      CHECK_FALSE(s.find("jpg"));
      CHECK(s.find("webp"));
    });
    CHECK(found == "p");
    const auto none = member("a.txt", "w") + end;
    for_each_sample(std::as_bytes(std::span(none)), "x", [&](const sample& s) { CHECK_FALSE(s.image()); });
  }
  SECTION("empty members and members of exactly a block") {
    const std::string block(512, 'b');
    CHECK(samples(member("a.txt", "") + member("a.jpg", block) + end) == list{"a: txt= jpg=" + block});
  }
}

TEST_CASE("shards: several writers") {
  const std::string longer(180, 'n');
  SECTION("ustar's prefix") { CHECK(samples(member("a.txt", "1", '0', "some/dir") + end) == list{"some/dir/a: txt=1"}); }
  SECTION("GNU's long name") {
    CHECK(samples(member("././@LongLink", longer + ".txt" + std::string(1, '\0'), 'L') + member("short", "1") +
                  member("b.txt", "2") + end) == list{longer + ": txt=1", "b: txt=2"});
  }
  SECTION("pax path and size") {
    auto header = member("a.txt", "12345");
    put(header, 124, octal(0, 11));
    auto first = header.substr(0, 512);
    seal(first);
    CHECK(samples(member("x", pax("path", longer + ".txt") + pax("size", "5") + pax("mtime", "1.5"), 'x') + first +
                  header.substr(512) + member("b.txt", "2") + end) == list{longer + ": txt=12345", "b: txt=2"});
    CHECK(samples(member("g", pax("path", "everyone.txt"), 'g') + member("a.txt", "1") + end) == list{"a: txt=1"});
  }
  SECTION("a size in base 256, an old archive without ustar, a zero type, a sum of signed chars") {
    auto m = member("a.txt", "123", '\0');
    std::string big(12, '\0');
    big[0] = '\x80';
    big[11] = 3;
    put(m, 124, big);
    put(m, 257, std::string(8, '\0'));
    auto header = m.substr(0, 512);
    seal(header);
    CHECK(samples(header + m.substr(512) + end) == list{"a: txt=123"});
    auto umlaut = member("\xc3\xa4.txt", "1");
    int sum = 0;
    put(umlaut, 148, std::string(8, ' '));
    for (std::size_t i = 0; i < 512; ++i) sum += static_cast<signed char>(umlaut[i]);
    put(umlaut, 148, octal(static_cast<std::uint64_t>(sum), 6) + std::string("\0 ", 2));
    CHECK(samples(umlaut + end) == list{"\xc3\xa4: txt=1"});
  }
  SECTION("the first block of zeros is the end, as for Python's tarfile") {
    for (std::size_t blocks : {1u, 2u, 3u})
      CHECK(samples(member("a.txt", "1") + std::string(512 * blocks, '\0') + member("b.txt", "2") + end) == list{"a: txt=1"});
    CHECK(samples(std::string(512, '\0') + member("a.txt", "1") + end).empty());
  }
  SECTION("no blocks of zeros at the end, or padding after them") {
    CHECK(samples(member("a.txt", "1")) == list{"a: txt=1"});
    CHECK(samples(member("a.txt", "1") + end + std::string(8192, '\0')) == list{"a: txt=1"});
    CHECK(samples(member("a.txt", "1") + std::string(512, '\0')) == list{"a: txt=1"});
  }
}

TEST_CASE("shards: damaged and lying archives") {
  const auto good = member("a.txt", std::string(700, 'x')) + member("a.jpg", "1") + end;
  CHECK(refusal(good) == "no error");
  CHECK_THAT(refusal(""), Contains("x.tar") && Contains("empty"));
  CHECK_THAT(refusal(std::string(600, 'x')), Contains("not a tar file"));
  CHECK_THAT(refusal("\x1f\x8b" + std::string(600, 'x')), Contains("gzip") && Contains("unpack"));
  CHECK_THAT(refusal(good.substr(0, 300)), Contains("byte 0") && Contains("expected a header of 512 bytes, got 300"));
  CHECK_THAT(refusal(good.substr(0, 900)), Contains("expected 700 bytes of member, got 388"));
  CHECK_THAT(refusal(good.substr(0, 1536 + 100)), Contains("byte 1536") && Contains("expected a header of 512 bytes, got 100"));
  CHECK(refusal(good.substr(0, 1536)) == "no error");
  for (std::size_t at : {0u, 99u, 100u, 124u, 135u, 156u, 200u, 257u, 345u, 511u}) {  // one changed byte in the second header
    auto bad = good;
    bad[1536 + at] = static_cast<char>(bad[1536 + at] ^ 1);
    INFO(at);
    CHECK_THAT(refusal(bad), Contains("byte 1536") && Contains("checksum"));
  }
  const auto with = [](std::size_t at, const std::string& text, char type = '0') {
    auto m = member("a.txt", "123", type);
    put(m, at, text);
    auto header = m.substr(0, 512);
    seal(header);
    return refusal(header + m.substr(512) + end);
  };
  CHECK_THAT(with(124, "77777777777"), Contains("bytes of member"));
  CHECK_THAT(with(124, std::string("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12)), Contains("bytes of member"));
  CHECK_THAT(with(124, std::string(12, '\xff')), Contains("at most 64 bits"));
  CHECK_THAT(with(124, "12x"), Contains("size: expected octal digits"));
  CHECK_THAT(with(0, "a.txt", 'S'), Contains("sparse"));
  CHECK_THAT(refusal(member("x", pax("GNU.sparse.major", "1"), 'x') + member("a.txt", "1") + end), Contains("sparse"));
  CHECK_THAT(refusal(member("x", "no record\n", 'x') + end), Contains("pax record"));
  CHECK_THAT(refusal(member("x", "99 path=a\n", 'x') + end), Contains("pax record"));
  CHECK_THAT(refusal(member("x", pax("size", "12a"), 'x') + end), Contains("pax size="));
  CHECK_THAT(refusal(member("L", std::string(70'000, 'n'), 'L') + end), Contains("at most 65536"));
  CHECK_THAT(refusal(member("x", pax("path", std::string(70'000, 'n')), 'x') + end), Contains("at most 65536"));
  for (const std::string& last :
       {member("x", pax("mtime", "1"), 'x'), member("g", pax("comment", "1"), 'g'), member("L", "b.txt", 'L')})
    for (const std::string& zeros : {std::string(), std::string(512, '\0'), end})
      CHECK_THAT(refusal(member("a.txt", "1") + last + zeros), Contains("byte 2048: expected a member behind its pax header"));
  std::string many;
  for (int i = 0; i <= 10'000; ++i) many += member("a." + std::to_string(i), "");
  CHECK_THAT(refusal(many + end), Contains("at most 10000 members"));
}

TEST_CASE("shards: files and folders") {
  const temporary_folder dir;
  const auto named = [&](const std::string& path) { return message([&] { for_each_sample(path, [](const sample&) {}); }); };
  write_file(dir / "a.tar", member("a.txt", "1") + end);
  int seen = 0;
  for_each_sample(dir / "a.tar", [&](const sample&) { ++seen; });
  CHECK(seen == 1);
  CHECK_THAT(named(dir / "none.tar"), Contains("none.tar") && Contains("cannot be opened"));
  CHECK_THAT(named(dir.path.string()), Contains("directory"));
  write_file(dir / "empty.tar", "");
  CHECK_THAT(named(dir / "empty.tar"), Contains("empty.tar") && Contains("empty"));

  CHECK_THAT(message([&] { list_images(dir.path.string()); }), Contains("expected images") && Contains("got none"));
  CHECK_THAT(message([&] { list_images(dir / "a.tar"); }), Contains("expected a folder"));
  std::filesystem::create_directories(dir.path / "b/c.png");  // a folder with an image's name
  for (auto* name : {"z.PNG", "b/y.jpeg", "b/c.png/x.gif", "notes.txt"}) write_file(dir / name, "x");
  CHECK(list_images(dir.path.string()) == list{dir / "b/c.png/x.gif", dir / "b/y.jpeg", dir / "z.PNG"});
}

}  // namespace test_shards
