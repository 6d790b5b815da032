// The same on a GPU; where there is none, the library says why.
#include <clipx/core/error.hpp>
#include <clipx/cuda.hpp>
#include <cstdio>

int main() {
  if (const auto missing = clipx::cuda_missing(); !missing.empty()) {
    std::printf("skipped: no device: %s\n", missing.c_str());
    return 0;
  }
  try {
    clipx::cuda<float> device;
    const float values[4] = {1, 2, 3, 4}, identity[4] = {1, 0, 0, 1};
    float c[4] = {};
    auto a = device.memory().take<float>(2, 2), b = device.memory().take<float>(2, 2), product = device.memory().take<float>(2, 2);
    device.upload(clipx::mat<const float>(values, 2, 2), a);
    device.upload(clipx::mat<const float>(identity, 2, 2), b);
    device.gemm(clipx::op::none, clipx::op::none, 1.0f, clipx::mat<const float>(a), clipx::mat<const float>(b), 0.0f, product);
    device.download(clipx::mat<const float>(product), clipx::mat<float>(c, 2, 2));
    std::printf("clipx on %s: %g\n", device.describe().c_str(), static_cast<double>(c[3]));
    return c[3] == 4 ? 0 : 1;
  } catch (const clipx::error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
