// The smallest user of clipx: prompts, a model of random weights on the reference backend, one embedding.
#include <clipx/core/error.hpp>
#include <clipx/core/mat.hpp>
#include <clipx/eigen.hpp>
#include <clipx/zero_shot/prompts.hpp>
#include <cstdio>
#include <string>
#include <vector>

int main() {
  try {
    const std::vector<std::string> classes{"cat", "dog"};
    const auto set = clipx::make_prompts(classes, clipx::default_templates());
    clipx::eigen<float> device;
    float a[4] = {1, 2, 3, 4}, b[4] = {1, 0, 0, 1}, c[4] = {};
    device.gemm(clipx::op::none, clipx::op::none, 1.0f, clipx::mat<const float>(a, 2, 2), clipx::mat<const float>(b, 2, 2), 0.0f,
                clipx::mat<float>(c, 2, 2));
    std::printf("clipx: %zu classes, first prompt '%s', %g\n", set.classes.size(), set.prompts[0][0].c_str(),
                static_cast<double>(c[3]));
    return c[3] == 4 ? 0 : 1;
  } catch (const clipx::error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
