// A user of the shared libraries: what is common to a library and its user must be one thing on both sides. Exceptions are caught
// by type in both directions, a template's static object has one address, explicit instantiations of the library are linked.
#include <clipx/architectures/list.hpp>
#include <clipx/core/checks.hpp>
#include <clipx/core/error.hpp>
#include <clipx/eigen.hpp>
#include <clipx/io/file.hpp>
#include <clipx/run/load_any.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>

namespace {
int failures = 0;
void check(bool ok, const char* what) {
  std::printf("%s: %s\n", ok ? "ok" : "FAILED", what);
  failures += !ok;
}

struct mine : clipx::error {
  using error::error;
};
}  // namespace

int main(int, char** arguments) {
  const std::string model = arguments[1], folder = arguments[2];
  bool caught = false;
  try {
    clipx::load_any<clipx::eigen<float>>(clipx::checkpoint::open(folder + "/none"));
  } catch (const clipx::error& e) { caught = std::string(e.what()).find("none") != std::string::npos; }
  check(caught, "an error of the library is caught by the program");

  caught = false;
  try {
    clipx::write_file(folder + "/file", [](clipx::file_writer) { throw mine("of the program"); });
  } catch (const mine& e) { caught = e.what() == std::string("of the program"); }
  check(caught, "an error of the program passes through the library");
  check(std::filesystem::is_empty(folder), "and the library cleans up on its way");

  check(clipx::known_architectures().back() == &clipx::architecture::of<clipx::vit>(),
        "a template's static object has one address");

  clipx::eigen<float> device;
  const auto released = device.memory().here();
  const auto view = device.memory().take<float>(1, 8);
  device.memory().release(released);
  check(std::isnan(view.data[7]) == clipx::detail::checks_enabled(), "debug checks are on or off for all");

  const auto m = clipx::load_any<clipx::eigen<float>>(clipx::checkpoint::open(model));
  const auto rows = m.encode_text(std::vector<std::string>{"a drawing of a clock"});
  double norm = 0;
  for (const float v : std::get<std::vector<float>>(rows.values)) norm += static_cast<double>(v) * static_cast<double>(v);
  check(std::abs(norm - 1) < 1e-4, "a model encodes a text");
  return failures;
}
