#pragma once
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "../core/error.hpp"
#include "../core/hash.hpp"
#include "../core/threads.hpp"
#include "../io/descriptor-inl.hpp"
#include "../io/lock.hpp"
#include "stage.hpp"

namespace clipx {
namespace detail {

/// 32 hexadecimal digits.
CLIPX_INLINE std::string fingerprint(std::string_view options, std::string_view facts) {
  const std::string all = cat(options.size(), " ", options, facts);
  std::string out;
  for (const std::uint64_t half : {hash_of(all), hash_of(cat("again ", all))})
    for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[half >> shift & 15];
  return out;
}

/// The number at the beginning of the name of a result, or of its temporary file; nothing for other names.
CLIPX_INLINE std::optional<std::uint64_t> item_of(const std::string& name) {
  std::uint64_t item = 0;
  const auto end = std::from_chars(name.data(), name.data() + name.size(), item);
  if (end.ec != std::errc{} || *end.ptr != '-') return {};
  return item;
}

}  // namespace detail

CLIPX_INLINE std::string file_facts(const std::string& path) {
  struct stat facts {};
  const bool there = ::stat(path.c_str(), &facts) == 0;
  expect(there, system_error_kind(errno), [&] { return cat(path, ": cannot be opened: ", detail::reason()); });
  expect(!S_ISDIR(facts.st_mode), error_kind::io, [&] { return cat(path, ": expected a file, got a folder"); });
  return cat(path, " ", facts.st_size, " ", facts.st_mtim.tv_sec, ".", facts.st_mtim.tv_nsec);
}

CLIPX_INLINE void read_part(std::string_view text, stage_config& config) {
  const auto slash = std::min(text.find('/'), text.size());
  const auto number = [](std::string_view digits, std::uint64_t& out) {
    const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return end.ec == std::errc{} && end.ptr == digits.data() + digits.size();
  };
  expect(slash < text.size() && number(text.substr(0, slash), config.part) && number(text.substr(slash + 1), config.parts) &&
             config.part < config.parts,
         [&] { return cat("part: expected I/N with I from 0 to N - 1, as in 0/4, got \"", text, "\""); });
}

struct stage::state {
  stage_config config;
  std::vector<std::string> names;  // of the results, by item
  file_lock lock;                  // of the part
  file_lock claimed;

  state(const std::vector<stage_item>& items, stage_config c) : config(std::move(c)) {
    namespace fs = std::filesystem;
    expect(config.parts > 0 && config.part < config.parts,
           [&] { return cat("stage: expected a part from 0 to ", config.parts, " - 1, got ", config.part); });
    expect(config.threads >= 0 && config.threads <= 4096,
           [&] { return cat("stage: expected 0 to 4096 threads, got ", config.threads); });
    if (config.threads == 0) config.threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 4096u));
    std::error_code problem, none;
    fs::create_directories(config.folder, problem);
    expect(fs::is_directory(config.folder, none), error_kind::io, [&] {
      return cat(config.folder, ": cannot be created as a folder: ", problem ? problem.message() : std::string("a file is there"));
    });
    const std::size_t width = std::to_string(items.size()).size();
    names.reserve(items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      const std::string digits = std::to_string(i);
      names.push_back(
          cat(std::string(width - digits.size(), '0'), digits, "-", detail::fingerprint(config.options, items[i].facts)));
    }
    take_lock();
    remove_others();
  }

  bool mine(std::uint64_t item) const { return item % config.parts == config.part; }
  std::string path(std::size_t i) const { return config.folder + "/" + names[i]; }
  bool done(std::size_t i) const {
    std::error_code none;
    return std::filesystem::exists(path(i), none);
  }

  /// Empty where another process has it.
  file_lock locked(const std::string& name) const { return file_lock::try_take(cat(config.folder, "/lock.", name)); }
  void take_lock() {
    lock = locked(cat(config.part, "-of-", config.parts));
    expect(static_cast<bool>(lock), error_kind::io, [&] {
      return cat(config.folder, ": another process is at part ", config.part, "/", config.parts,
                 " of this work; wait for its end, or take another part");
    });
  }
  /// Removes results of other options or inputs, and what killed processes have left.
  void remove_others() const {
    namespace fs = std::filesystem;
    std::error_code problem, none;
    std::vector<fs::path> others;
    for (fs::directory_iterator at(config.folder, problem), end; !problem && at != end; at.increment(problem)) {
      const std::string name = at->path().filename().string();
      const auto item = detail::item_of(name);
      if (item && mine(*item) && (*item >= names.size() || names[*item] != name)) others.push_back(at->path());
    }
    expect(!problem, system_error_kind(problem.value()),
           [&] { return cat(config.folder, ": cannot be listed: ", problem.message()); });
    for (auto& path : others) fs::remove(path, none);
  }
};

CLIPX_INLINE stage::stage(std::vector<stage_item> items, stage_config config)
    : state_(std::make_unique<state>(items, std::move(config))) {}
CLIPX_INLINE stage::~stage() = default;
CLIPX_INLINE stage::stage(stage&&) noexcept = default;
CLIPX_INLINE stage& stage::operator=(stage&&) noexcept = default;

CLIPX_INLINE bool stage::run(function_ref<void(std::size_t, file_writer)> work, observer& watch, const std::string& name) {
  std::vector<std::size_t> left;
  std::size_t total = 0;
  for (std::size_t i = 0; i < size(); ++i) {
    if (!state_->mine(i)) continue;
    ++total;
    if (!state_->done(i)) left.push_back(i);
  }
  std::mutex one_at_a_time;
  std::size_t next = 0, done = total - left.size();
  std::exception_ptr failed;
  if (!left.empty()) watch.progress(name, done, total);
  const auto take = [&]() -> std::optional<std::size_t> {
    const std::lock_guard guard(one_at_a_time);
    if (failed || next == left.size() || watch.cancelled()) return {};
    return left[next++];
  };
  const auto thread = [&](std::size_t) {
    try {
      while (const auto i = take()) {
        write_file(state_->path(*i), [&](file_writer put) { work(*i, put); });
        const std::lock_guard guard(one_at_a_time);
        watch.progress(name, ++done, total);
      }
    } catch (...) {
      const std::lock_guard guard(one_at_a_time);
      if (!failed) failed = std::current_exception();
    }
  };
  const auto threads = std::min(static_cast<std::size_t>(state_->config.threads), left.size());
  const auto granted = detail::in_threads(threads, thread);
  if (granted < threads) watch.warning(cat("the system granted ", granted, " of ", threads, " threads"));
  if (failed) std::rethrow_exception(failed);
  return done == total;
}

CLIPX_INLINE std::size_t stage::size() const { return state_->names.size(); }
CLIPX_INLINE std::size_t stage::missing() const {
  std::size_t out = 0;
  for (std::size_t i = 0; i < size(); ++i) out += state_->done(i) ? 0 : 1;
  return out;
}
CLIPX_INLINE bool stage::claim() {
  if (!state_->claimed) state_->claimed = state_->locked("result");
  return static_cast<bool>(state_->claimed);
}
CLIPX_INLINE mapped_file stage::result(std::size_t i) const {
  expect(i < size() && state_->done(i), [&] { return cat(state_->config.folder, ": item ", i, " is not done"); });
  return mapped_file::open(state_->path(i));
}

}  // namespace clipx
