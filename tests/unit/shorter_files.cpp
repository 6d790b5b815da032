// Files that become shorter while they are read: an error, never the end of the process, and never a result made of zeros.
#include <unistd.h>

#include <clipx/data/loader.hpp>
#include <clipx/data/shards.hpp>
#include <clipx/io/file.hpp>
#include <clipx/io/npy.hpp>

#include "catch.hpp"
#include "tar.hpp"
#include "temporary.hpp"

namespace test_shorter_files {

using namespace clipx;

namespace {
constexpr std::size_t large = 6 << 20;  // such files are mapped

void shorten(const std::string& path, std::size_t bytes) { REQUIRE(::truncate(path.c_str(), static_cast<off_t>(bytes)) == 0); }

std::size_t sum(std::span<const std::byte> bytes) {
  std::size_t out = 0;
  for (std::byte b : bytes) out += static_cast<std::size_t>(b);
  return out;
}
}  // namespace

TEST_CASE("shorter files: a mapped one reads as zeros and is an error") {
  guard_mapped_files();
  guard_mapped_files();  // again is once
  const temporary_folder dir;
  const std::string content(large, '\1');
  write_file(dir / "a", content);
  write_file(dir / "other", content);
  const auto file = mapped_file::open(dir / "a");
  const auto other = mapped_file::open(dir / "other");
  CHECK(sum(file.bytes().first(10'000)) == 10'000);
  CHECK_NOTHROW(file.expect_whole());
  shorten(dir / "a", 100'000);
  CHECK(sum(file.bytes()) < large);
  CHECK(sum(other.bytes()) == large);
  CHECK_NOTHROW(other.expect_whole());
  SECTION("told by the file") {
    CHECK_THAT(message([&] { file.expect_whole(); }), Contains(dir / "a") && Contains("has become shorter while it was read"));
    CHECK_NOTHROW(write_file(dir / "b", "x"));  // it has been said
  }
  SECTION("told by the next file that would be put in place") {
    CHECK_THAT(message([&] { write_file(dir / "b", "x"); }), Contains(dir / "a") && Contains("has become shorter"));
    CHECK_FALSE(std::filesystem::exists(dir / "b"));
    CHECK(dir.files() == 2);
    CHECK_NOTHROW(write_file(dir / "b", "x"));
  }
  SECTION("told at the end of a program, when it is open no more") {
    { const auto gone = mapped_file::open(dir / "other"); }
    {
      const auto again = mapped_file::open(dir / "other");
      shorten(dir / "other", 1);
      CHECK(sum(again.bytes()) < large);
    }
    CHECK(message([] { expect_mapped_files_whole(); }) != "no error");
    CHECK(message([] { expect_mapped_files_whole(); }) != "no error");  // the other of the two
    CHECK_NOTHROW(expect_mapped_files_whole());
  }
}

TEST_CASE("shorter files: inside a page, where nothing faults") {
  guard_mapped_files();
  const temporary_folder dir;
  write_file(dir / "a", std::string(large + 100, '\1'));
  const auto file = mapped_file::open(dir / "a");
  shorten(dir / "a", large + 50);
  CHECK(sum(file.bytes()) < large + 100);
  CHECK_THAT(message([&] { file.expect_whole(); }), Contains("has become shorter"));
}

TEST_CASE("shorter files: a mapping keeps no descriptor, and another file under its name does not count") {
  const temporary_folder dir;
  const auto open_now = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator{});
  };
  write_file(dir / "a", std::string(large, '\1'));
  const auto before = open_now();
  const auto file = mapped_file::open(dir / "a");
  const auto spilled = mapped_file::spilled(dir / "a", file.bytes().first(100));
  CHECK(open_now() == before);
  write_file(dir / "a", "another");
  CHECK(sum(file.bytes()) == large);
  CHECK_NOTHROW(file.expect_whole());
  CHECK_NOTHROW(spilled.expect_whole());
}

TEST_CASE("shorter files: a small one is in memory") {
  const temporary_folder dir;
  write_file(dir / "a", std::string(100'000, '\1'));
  const auto file = mapped_file::open(dir / "a");
  shorten(dir / "a", 0);
  CHECK(sum(file.bytes()) == 100'000);
  file.release(file.bytes().data(), file.bytes().size());
  CHECK(sum(file.bytes()) == 100'000);
  CHECK_NOTHROW(file.expect_whole());
}

TEST_CASE("shorter files: a shard") {
  const temporary_folder dir;
  const auto path = dir / "s.tar";
  const std::string body(20'000, 'x');
  write_file(path, member("a.jpg", body) + member("b.jpg", body) + member("c.jpg", body) + end_of_tar);
  std::size_t seen = 0;
  const auto read = [&](std::size_t bytes) {
    left_out skipped;
    seen = 0;
    for_each_sample(path, skipped, [&](const sample& s) {
      if (seen++ == 0) shorten(path, bytes);
      CHECK(sum(s.members.at(0).second) == body.size() * 'x');
    });
    return skipped;
  };
  const auto skipped = read(30'000);
  CHECK(seen == 1);
  CHECK(skipped.unreadable == 1);
  CHECK_THAT(skipped.first.at(0), Contains("s.tar: expected") && Contains("has become shorter since it was opened; the rest"));
}

TEST_CASE("shorter files: training pairs") {
  const temporary_folder dir;
  std::string tar;
  for (int i = 0; i < 200; ++i)
    tar += member(cat(i, ".jpg"), "P6 20 20 255\n" + std::string(1200, static_cast<char>(i))) + member(cat(i, ".txt"), "a cat");
  write_file(dir / "s.tar", tar + end_of_tar);
  loader_config c;
  c.data = {dir / "s.tar"};
  c.preprocess.size = 8;
  c.batch = 4;
  c.threads = 1;
  c.prefetch = 1;
  c.shuffle = 0;
  c.epochs = 1;
  loader data(c);
  pair_batch batch;
  REQUIRE(data.next(batch));
  shorten(dir / "s.tar", 5000);
  std::size_t pairs = 4;
  while (data.next(batch)) pairs += 4;
  CHECK(pairs < 200);
  CHECK(data.report().skipped.unreadable > 0);
  CHECK_THAT(data.report().skipped.first.at(0), Contains("has become shorter"));
}

TEST_CASE("shards: many small ones are not all open at once") {
  const temporary_folder dir;
  for (int i = 0; i < 400; ++i)
    write_file(dir / cat(1000 + i, ".tar"),
               member(cat(i, ".jpg"), "P6 1 1 255\nabc") + member(cat(i, ".txt"), cat(i)) + end_of_tar);
  loader_config c;
  c.data = {dir / "{1000..1399}.tar"};
  c.preprocess.size = 1;
  c.batch = 400;
  c.shuffle = 400;
  c.threads = 2;
  c.epochs = 1;
  loader data(c);
  pair_batch batch;
  REQUIRE(data.next(batch));
  CHECK(data.report().skipped.none());
  CHECK_FALSE(data.next(batch));
}

}  // namespace test_shorter_files
