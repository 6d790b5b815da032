// What readers refuse, whatever they are given: endless files, JSON that is too deep or too long, and that cost grows with the
// text.
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <clipx/core/json-inl.hpp>
#include <clipx/core/threads.hpp>
#include <clipx/zero_shot/prompts.hpp>
#include <fstream>
#include <numeric>

#include "catch.hpp"
#include "temporary.hpp"

namespace test_limits {

using namespace clipx;

TEST_CASE("limits: an endless file is read up to a limit") {
  const std::vector<std::string> templates{"{}"};
  for (auto* path : {"/dev/zero", "/dev/urandom"}) {
    CHECK_THAT(message([&] { read_lines(path); }), Contains(path) && Contains("larger than 67108864 bytes"));
    CHECK_THAT(message([&] { read_prompts(path, templates); }), Contains("larger than"));
    CHECK_THAT(message([&] { read_templates(path); }), Contains("larger than"));
    CHECK_THAT(message([&] { tokenizer::from_merges(path); }), Contains("larger than"));
  }
}

TEST_CASE("limits: JSON is parsed in one pass, as deep as it may be") {
  std::string text = "{";
  for (int i = 0; i < 100'000; ++i) text += cat(i ? "," : "", "\"t", i, "\":{\"a\":[", i, ",{\"b\":null}]}");
  text += "}";
  std::vector<std::string> keys;
  const auto value = detail::parse_json(text, "f", 5, &keys);  // minutes, if each member cost a look at all before it
  CHECK(value.size() == 100'000);
  REQUIRE(keys.size() == 100'000);
  CHECK(keys[99'999] == "t99999");
  CHECK(value["t99999"].dump() == "{\"a\":[99999,{\"b\":null}]}");
  const auto refusal = [](const std::string& json, int depth = 3) {
    return message([&] { detail::parse_json(json, "f", depth); });
  };
  CHECK(detail::parse_json("[[[1]]]", "f", 3).dump() == "[[[1]]]");
  CHECK(refusal("[[[[]]]]") == "f: JSON nested deeper than 3 levels");
  CHECK(refusal("{\"a\":{\"b\":1,\"c\":2,\"b\":3}}") == "f: key \"b\" appears twice");
  CHECK_THAT(refusal("{\"a\":1"), Contains("f: not valid JSON") && Contains("line 1, column"));
  CHECK_THAT(refusal(""), Contains("not valid JSON"));
  CHECK_THAT(refusal("1 2"), Contains("not valid JSON"));
  std::string many = "[0";
  for (int i = 0; i < 2'000'000; ++i) many += ",0";
  CHECK_THAT(refusal(many + "]"), Contains("more than 2,000,000 values"));
  CHECK(detail::parse_json("[true,null,-1,18446744073709551615,1.5,\"\\u00e9\"]", "f", 1).dump() ==
        "[true,null,-1,18446744073709551615,1.5,\"\xc3\xa9\"]");
}

TEST_CASE("limits: fewer threads where the system grants no more") {
#ifdef CLIPX_TESTS_ASAN
  WARN("skipped: a sanitizer takes more address space than a limit can leave");
#else
  std::vector<int> done(64);
  const auto work = [&](std::size_t k) {
    ++done[k];
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // so that all are there at once
  };
  CHECK(detail::in_threads(0, work) == 0);
  CHECK(detail::in_threads(4, work) == 4);
  CHECK(std::accumulate(done.begin(), done.end(), 0) == 4);
  std::fill(done.begin(), done.end(), 0);
  std::size_t pages = 0;  // of address space in use
  std::ifstream("/proc/self/statm") >> pages;
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_AS, &before) == 0);
  rlimit tight = before;
  tight.rlim_cur = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + (std::size_t{128} << 20);
  REQUIRE(::setrlimit(RLIMIT_AS, &tight) == 0);
  const auto granted = detail::in_threads(64, work);  // a stack takes 8 MiB
  REQUIRE(::setrlimit(RLIMIT_AS, &before) == 0);
  CHECK(granted > 1);
  CHECK(granted < 64);
  CHECK(done == std::vector<int>(64, 1));
#endif
}

}  // namespace test_limits
