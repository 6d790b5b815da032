// What a unit costs that runs whichever model a folder holds as an any_model; measured by cmake/compile-time.sh.
#include <clipx/cpu.hpp>
#include <clipx/run/encode.hpp>
#include <clipx/run/load_any.hpp>
#include <cstdio>

int main(int, char** argv) {
  const auto model = clipx::load_any<clipx::cpu<float>>(clipx::checkpoint::open(argv[1]), clipx::cpu_options{.threads = 1});
  const auto classes = model.keep_classes({{"an apple", "a clock"}, {{"an apple"}, {"a clock"}}});
  const std::string files[] = {argv[2]};
  const auto images = clipx::encode_images(model, files);
  for (auto& [label, p] : model.rank(model.scores(images.rows, classes), 0)) std::printf("%td %.3f\n", label, p);
}
