// Stages: what is done stays done, other options and inputs are done anew, processes share the work.
#include <atomic>
#include <clipx/curate/stage.hpp>
#include <filesystem>

#include "catch.hpp"
#include "temporary.hpp"
#include "watch.hpp"

namespace test_curate_stage {

using namespace clipx;
namespace fs = std::filesystem;

namespace {
struct place {
  temporary_folder dir;
  std::vector<stage_item> items{{"a"}, {"b"}, {"c"}, {"d"}, {"e"}};
  std::atomic<int> worked = 0;
  std::vector<recorder::call> told;

  stage_config config(const std::string& options = "x", int threads = 1, std::uint64_t part = 0, std::uint64_t parts = 1) {
    return {dir / "state", options, threads, part, parts};
  }
  bool run(stage& s, int until = 1000) {
    recorder watch([&] { return worked >= until; });
    const bool all = s.run(
        [&](std::size_t i, file_writer put) {
          ++worked;
          const std::string text = cat("result ", i);
          put(std::as_bytes(std::span(text)));
        },
        watch, "texts");
    told = watch.told;
    return all;
  }
  static std::string text(const stage& s, std::size_t i) {
    const auto file = s.result(i);
    return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  }
};
}  // namespace

TEST_CASE("a stage does what is missing, and nothing twice") {
  place p;
  for (int threads : {1, 3}) {
    p.worked = 0;
    {
      stage s(p.items, p.config("x", threads));
      CHECK(s.size() == 5);
      CHECK(s.missing() == 5);
      CHECK_THAT(message([&] { s.result(2); }), Contains("item 2 is not done"));
      CHECK_FALSE(p.run(s, 2));  // stopped; what was begun is ended
      CHECK(s.missing() <= 3);
      CHECK(s.missing() + static_cast<std::size_t>(p.worked) == 5);
    }
    {
      stage s(p.items, p.config("x", threads));
      const auto missing = s.missing();
      CHECK(p.run(s));
      CHECK(p.worked == 5);
      CHECK(p.told.front() == recorder::call{"texts", 5 - missing, 5});
      CHECK(p.told.back() == recorder::call{"texts", 5, 5});
      CHECK(s.missing() == 0);
      for (std::size_t i = 0; i < 5; ++i) CHECK(p.text(s, i) == cat("result ", i));
      CHECK(p.run(s));
      CHECK(p.worked == 5);
    }
    fs::remove_all(p.dir.path / "state");
  }
}

TEST_CASE("other options and inputs are done anew, and what was left behind goes") {
  place p;
  {
    stage s(p.items, p.config());
    p.run(s);
  }
  write_file(p.dir / "state/2-abc.tmp.17", "of a process that was killed");
  {
    stage s(p.items, p.config("y"));
    CHECK(s.missing() == 5);
    CHECK_FALSE(fs::exists(p.dir / "state/2-abc.tmp.17"));
    p.run(s);
  }
  p.items[1].facts = "other";
  stage s(p.items, p.config("y"));
  CHECK(s.missing() == 1);
  p.worked = 0;
  p.run(s);
  CHECK(p.worked == 1);
  CHECK(std::distance(fs::directory_iterator(p.dir.path / "state"), {}) == 6);  // and the lock
}

TEST_CASE("processes of different parts share a folder") {
  place p;
  stage one(p.items, p.config("x", 1, 0, 2)), two(p.items, p.config("x", 1, 1, 2));
  CHECK_THAT(message([&] { stage(p.items, p.config("x", 1, 1, 2)); }), Contains("another process") && Contains("1/2"));
  CHECK(p.run(one));
  CHECK(p.worked == 3);
  CHECK(one.missing() == 2);
  CHECK(p.run(two));
  CHECK(two.missing() == 0);
  CHECK(p.worked == 5);
  CHECK(p.text(one, 3) == "result 3");
  CHECK(two.claim());
  CHECK_FALSE(one.claim());
  CHECK(two.claim());
  two = stage(p.items, p.config("x", 1, 2, 3));
  CHECK(one.claim());
}

TEST_CASE("errors of a stage") {
  place p;
  stage s(p.items, p.config("x", 2));
  CHECK(message([&] { s.run([](std::size_t i, file_writer) { expect(i != 1, "item 1 is bad"); }); }) == "item 1 is bad");
  CHECK_FALSE(fs::exists(p.dir / "state/1"));
  for (const auto& entry : fs::directory_iterator(p.dir.path / "state"))
    CHECK(entry.path().string().find(".tmp") == std::string::npos);
  CHECK_THAT(message([&] { file_facts(p.dir / "none"); }), Contains("none: cannot be opened"));
  CHECK_THAT(message([&] { file_facts(p.dir.path.string()); }), Contains("got a folder"));
  write_file(p.dir / "file", "x");
  CHECK_THAT(message([&] { stage(p.items, {p.dir / "file", "x", 1}); }), Contains("file: cannot be created as a folder"));
  CHECK_THAT(message([&] { stage(p.items, p.config("x", 1, 2, 2)); }), Contains("expected a part from 0"));
  CHECK_THAT(message([&] { stage(p.items, p.config("x", -1)); }), Contains("threads"));
  stage_config c;
  read_part("3/7", c);
  CHECK(c.part == 3);
  CHECK(c.parts == 7);
  for (auto* wrong : {"", "1", "2/2", "a/2", "1/b", "1/2/3", "/2", "-1/2"})
    CHECK_THAT(message([&] { read_part(wrong, c); }), Contains("expected I/N"));
}

}  // namespace test_curate_stage
