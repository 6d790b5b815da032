// Locks between processes, and temporary files: always new ones, and those of dead processes go.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <clipx/io/file.hpp>
#include <clipx/io/lock.hpp>
#include <filesystem>

#include "catch.hpp"
#include "temporary.hpp"

namespace test_locks {

using namespace clipx;
namespace fs = std::filesystem;

namespace {
/// Runs `what` in a process of its own, which then waits to be killed.
template <class What>
pid_t other_process(const What& what) {
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      what([&] {
        if (::write(ready[1], "x", 1) == 1)
          for (;;) ::pause();
      });
    } catch (...) {}
    ::_exit(1);
  }
  ::close(ready[1]);
  char byte = 0;
  CHECK(::read(ready[0], &byte, 1) == 1);
  ::close(ready[0]);
  return child;
}
void kill_and_wait(pid_t child) {
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}
}  // namespace

TEST_CASE("lock: one holder at a time, and none after a kill") {
  const temporary_folder dir;
  const auto path = dir / "lock";
  {
    const auto mine = file_lock::try_take(path);
    CHECK(static_cast<bool>(mine));
    CHECK_FALSE(static_cast<bool>(file_lock::try_take(path)));  // nor another object of this process
  }
  CHECK(fs::exists(path));
  file_lock::try_take(path).remove_with();
  CHECK_FALSE(fs::exists(path));
  const auto child = other_process([&](auto wait) {
    const auto theirs = file_lock::try_take(path);
    wait();
  });
  CHECK_FALSE(static_cast<bool>(file_lock::try_take(path)));
  kill_and_wait(child);
  CHECK(static_cast<bool>(file_lock::try_take(path)));
  CHECK_THAT(message([&] { file_lock::try_take(dir / "none/lock"); }), Contains("none/lock: cannot be written"));
  fs::create_symlink(dir / "elsewhere", dir / "link");
  CHECK_THAT(message([&] { file_lock::try_take(dir / "link"); }), Contains("cannot be written"));
  CHECK_FALSE(fs::exists(dir / "elsewhere"));
}

TEST_CASE("lock: of a folder") {
  const temporary_folder dir;
  const auto folder = dir / "a/b";
  {
    const folder_lock mine(folder);
    CHECK_THAT(message([&] { folder_lock other(folder); }), Contains("a/b: another process is writing to this folder"));
    CHECK(fs::exists(folder));
  }
  CHECK(dir.files() == 0);  // nothing was written: the folders go as they came
  {
    const folder_lock mine(folder + "/");
    write_file(folder + "/result", "x");
  }
  CHECK(std::distance(fs::directory_iterator(folder), fs::directory_iterator{}) == 1);
  const auto child = other_process([&](auto wait) {
    const folder_lock theirs(folder);
    wait();
  });
  CHECK_THAT(message([&] { folder_lock mine(folder); }), Contains("another process is writing"));
  kill_and_wait(child);
  CHECK(message([&] { folder_lock mine(folder); }) == "no error");
  CHECK_THAT(message([&] { folder_lock mine(folder + "/result"); }), Contains("cannot be created as a folder"));
}

TEST_CASE("a temporary file is new, and goes with its process") {
  const temporary_folder dir;
  const auto path = dir / "f";
  const auto names = [&] {
    std::vector<std::string> out;
    for (auto& entry : fs::directory_iterator(dir.path)) out.push_back(entry.path().filename().string());
    std::sort(out.begin(), out.end());
    return out;
  };
  using list = std::vector<std::string>;
  SECTION("two writers of one path") {
    new_file a(path), b(path);
    CHECK(names() == list{"f.tmp.0", "f.tmp.1"});
    a.write(std::as_bytes(std::span("a", 1)));
    b.write(std::as_bytes(std::span("b", 1)));
    a.commit();
    b.commit();
    CHECK(contents(path) == "b");
    CHECK(names() == list{"f"});
  }
  SECTION("what a killed process left is removed, what a live one writes is not") {
    const auto child = other_process([&](auto wait) {
      new_file theirs(path), more(path);
      wait();
    });
    CHECK(names() == list{"f.tmp.0", "f.tmp.1"});
    write_file(path, "mine");
    CHECK(names() == list{"f", "f.tmp.0", "f.tmp.1"});
    kill_and_wait(child);
    CHECK(names() == list{"f", "f.tmp.0", "f.tmp.1"});
    write_file(path, "again");
    CHECK(names() == list{"f"});
    CHECK(contents(path) == "again");
  }
  SECTION("links are not followed, and what is no file of ours stays") {
    write_file(dir / "victim", "precious");
    fs::create_symlink(dir / "victim", dir / "f.tmp.0");
    fs::create_directory(dir / "f.tmp.1");
    REQUIRE(::mkfifo((dir / "f.tmp.2").c_str(), 0600) == 0);
    write_file(path, "mine");
    CHECK(contents(path) == "mine");
    CHECK(contents(dir / "victim") == "precious");
    CHECK(names() == list{"f", "f.tmp.0", "f.tmp.1", "f.tmp.2", "victim"});
  }
}

}  // namespace test_locks
