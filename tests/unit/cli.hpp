// The clipx program for the tests of its verbs: a folder with a model and images that the test wrote, and what came of a run.
#pragma once
#include <sys/wait.h>

#include <clipx/clipx.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "reference.hpp"
#include "tiny_model.hpp"

namespace program {

using namespace clipx;
namespace fs = std::filesystem;
using json = nlohmann::ordered_json;
using list = std::vector<std::string>;

struct result {
  int code = -1;
  std::string out, err;
  list lines() const {
    list all;
    for (std::size_t from = 0; from < out.size();) {
      const auto end = std::min(out.find('\n', from), out.size());
      all.push_back(out.substr(from, end - from));
      from = end + 1;
    }
    return all;
  }
};

inline std::string quoted(const std::string& text) {
  std::string s = "'";
  for (char c : text) s += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return s + "'";
}

/// A folder with a model `m`, three images and one file that is none; and the program, run in it.
struct workplace {
  temporary_folder dir;
  std::string model = dir / "m";
  list images{dir / "p/apple.png", dir / "p/clock.png", dir / "p/sun.png"};
  std::string broken = dir / "broken.png", program = CLIPX_PROGRAM;

  workplace() {
    tiny::write_folder(model);
    fs::create_directory(dir.path / "p");
    for (auto& p : images) fs::copy_file(fs::path(CLIPX_SOURCE_DIR "/examples/images") / fs::path(p).filename(), p);
    write_file(broken, "no picture");
  }
  /// `shell` comes before the program: limits, variables.
  result run(const list& arguments, const std::string& input = "", const std::string& shell = "",
             const std::string& to = "") const {
    write_file(dir / "in", input);
    std::string command = shell + " " + quoted(program);
    for (auto& a : arguments) command += " " + quoted(a);
    command = "unset CLIPX_MODEL; export OMP_NUM_THREADS=2; " + command + " < " + quoted(dir / "in") + " > " +
              quoted(to.empty() ? dir / "out" : to) + " 2> " + quoted(dir / "err");
    const int status = std::system(command.c_str());
    result r{WIFEXITED(status) ? WEXITSTATUS(status) : -1, to.empty() ? contents(dir / "out") : "", contents(dir / "err")};
    for (auto* file : {"in", "out", "err"}) fs::remove(dir.path / file);
    return r;
  }
  /// Exit code 1, nothing on standard output, one message.
  std::string refusal(const list& arguments, const std::string& input = "", const std::string& shell = "") const {
    const auto r = run(arguments, input, shell);
    INFO(r.out << r.err);
    CHECK(r.code == 1);
    CHECK(r.out.empty());
    CHECK(r.err.starts_with("clipx: "));
    return r.err;
  }
  list with_model(list arguments) const {
    arguments.insert(arguments.end(), {"--model", model});
    return arguments;
  }
};

}  // namespace program
