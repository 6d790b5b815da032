// What readers refuse, whatever they are given: endless files, JSON that is too deep or too long, and that cost grows with the
// text.
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <clipx/core/arena.hpp>
#include <clipx/core/json-inl.hpp>
#include <clipx/core/threads.hpp>
#include <clipx/curate/semantic.hpp>
#include <clipx/curate/stage.hpp>
#include <clipx/data/loader.hpp>
#include <clipx/zero_shot/prompts.hpp>
#include <cmath>
#include <fstream>
#include <numeric>

#include "catch.hpp"
#include "temporary.hpp"
#include "tiny_model.hpp"

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

namespace {
/// While it lives, threads can take 128 MiB of address space in all; a stack takes 8 MiB.
class tight_memory {
 public:
  tight_memory() {
    std::size_t pages = 0;  // of address space in use
    std::ifstream("/proc/self/statm") >> pages;
    if (::getrlimit(RLIMIT_AS, &before_) != 0) throw std::runtime_error("getrlimit");
    rlimit tight = before_;
    tight.rlim_cur = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + (std::size_t{128} << 20);
    if (::setrlimit(RLIMIT_AS, &tight) != 0) throw std::runtime_error("setrlimit");
  }
  ~tight_memory() { ::setrlimit(RLIMIT_AS, &before_); }
  tight_memory(const tight_memory&) = delete;

 private:
  rlimit before_{};
};

/// Gets warnings.
struct listener : observer {
  std::string said;
  void warning(const std::string& message) override { said += message + "\n"; }
};
}  // namespace

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
  std::size_t granted = 0, counted = 0;
  {
    const tight_memory here;
    granted = detail::in_threads(64, work);
    counted = detail::granted_threads(64);
  }
  CHECK(granted > 1);
  CHECK(granted < 64);
  CHECK(done == std::vector<int>(64, 1));
  CHECK(counted > 1);
  CHECK(counted < 64);
  CHECK(detail::granted_threads(3) == 3);
#endif
}

TEST_CASE("limits: a stage of curation does with fewer threads, and says so") {
#ifdef CLIPX_TESTS_ASAN
  WARN("skipped: a sanitizer takes more address space than a limit can leave");
#else
  const temporary_folder dir;
  std::vector<stage_item> items;
  for (int i = 0; i < 64; ++i) items.push_back({cat(i)});
  stage s(items, {dir / "state", "x", 64});
  listener watch;
  bool whole = false;
  {
    const tight_memory here;
    whole = s.run(
        [](std::size_t, file_writer put) {
          std::this_thread::sleep_for(std::chrono::milliseconds(20));
          put({});
        },
        watch);
  }
  CHECK(whole);
  CHECK(s.missing() == 0);
  CHECK_THAT(watch.said, Contains("the system granted ") && Contains(" of 64 threads"));
#endif
}

TEST_CASE("limits: an arena whose blocks cannot become one goes on") {
  int left = 2;  // blocks that there is memory for
  const auto allocate = [](void* device, dim n) {
    expect(static_cast<int*>(device)[0]-- > 0, error_kind::out_of_memory, "no memory");
    return buffer<std::byte>(static_cast<std::byte*>(std::malloc(static_cast<std::size_t>(n))), n, std::free);
  };
  arena a(&left, allocate, [](void*, std::byte*, dim) {});
  const auto start = a.here();
  a.take<float>(1 << 20, 1);
  a.take<float>(1 << 20, 1);
  a.release(start);  // as the destructor of a step does, which must not throw
  CHECK(a.capacity() == 0);
  CHECK(message([&] { a.take<float>(1, 1); }) == "no memory");
  left = 1;
  CHECK(a.take<float>(1, 1).rows == 1);
}

TEST_CASE("limits: an exception on another thread reaches the caller") {
  for (const std::size_t thrower : {0, 1, 3}) {
    std::atomic<int> others{0};
    const auto work = [&](std::size_t k) {
      if (k == thrower) fail(cat("of ", k));
      ++others;
    };
    CHECK(message([&] { detail::in_threads(4, work); }) == cat("of ", thrower));
    CHECK(others == 3);
  }
}

TEST_CASE("limits: numbers that multiply to more than anything holds") {
  auto big = tiny::vit();
  check_config(big);
  big.model.vision = vit_config{32, 8, dim{1} << 24, 2, dim{1} << 24, 2};
  CHECK_THAT(message([&] { check_config(big); }), Contains("more than 1099511627776 parameters"));
  auto deep = tiny::vit();
  deep.model.text.width = deep.model.text.mlp_width = 65536;  // each tensor is fine
  deep.model.text.layers = 100;
  CHECK_THAT(message([&] { check_config(deep); }), Contains("more than 1099511627776 parameters"));
  CHECK_THAT(message([&] { read_open_clip_config(open_clip_config_text(deep), "f"); }), Contains("f:") && Contains("parameters"));

  const auto refusal = [](auto&& change) {
    loader_config c;
    c.data = {"/none.tar"};
    change(c);
    return message([&] { loader l(c); });
  };
  CHECK_THAT(refusal([](auto& c) { c.batch = dim{1} << 62; }), Contains("loader: batch: expected at most") && Contains("1 TiB"));
  CHECK_THAT(refusal([](auto& c) { c.threads = 5000; }), Contains("at most 4096 threads"));
  CHECK_THAT(refusal([](auto& c) { c.prefetch = dim{1} << 40; }), Contains("a prefetch of 1024"));
  CHECK_THAT(refusal([](auto& c) { c.preprocess.size = dim{1} << 40; }), Contains("a size of 1048576"));
  CHECK_THAT(refusal([](auto& c) { c.batch = 65536; }), Contains("/none.tar"));

  const std::vector<float> row{1, 0};
  kmeans_config k{.cells = 1, .iterations = -1};
  CHECK_THAT(message([&] { spherical_kmeans({row.data(), 1, 2}, k); }), Contains("0 iterations or more, got -1"));
  const std::vector<float> cosine{1};
  CHECK_THAT(message([&] { semantic_duplicates({row.data(), 1, 2}, cosine, {.cosine = std::nan("")}); }), Contains("-1 to 1, got"));
}

}  // namespace test_limits
