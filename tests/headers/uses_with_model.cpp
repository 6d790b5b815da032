// What a unit costs that runs whichever model a folder holds by its type; measured by cmake/compile-time.sh.
#include <clipx/clipx.hpp>
#include <clipx/cpu.hpp>
#include <cstdio>

int main(int, char** argv) {
  clipx::cpu<float> device;
  clipx::with_model(device, argv[1], [&](const auto& model) {
    const auto labels = model.encode_text({"an apple", "a clock"});
    const auto image = model.encode_image(clipx::read_image(argv[2]));
    for (auto& [label, p] : clipx::rank(model, image, labels)) std::printf("%td %.3f\n", label, p);
  });
}
