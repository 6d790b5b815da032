// One text on every backend: the function below knows no device, and the answers agree to the precision of each.
//   swap_backend MODEL IMAGE LABEL...
#include <clipx/clipx.hpp>
#include <clipx/cpu.hpp>
#include <clipx/eigen.hpp>
#include <cstdio>

struct question {
  std::string model, image;
  std::vector<std::string> labels;
};

template <clipx::backend B>
void answer(const char* name, B&& device, const question& q) {
  clipx::with_model(device, q.model, [&](const auto& model) {
    const auto labels = model.encode_text(q.labels);
    const auto image = model.encode_image(clipx::read_image(q.image));
    const auto [label, p] = clipx::rank(model, image, labels).front();
    std::printf("%-14s  %.6f  %s\n", name, p, q.labels[static_cast<std::size_t>(label)].c_str());
  });
}

int main(int argc, char** argv) try {
  if (argc < 4) {
    std::fprintf(stderr, "usage: swap_backend MODEL IMAGE LABEL...\n");
    return 2;
  }
  const question q{argv[1], argv[2], {argv + 3, argv + argc}};
  answer("eigen<double>", clipx::eigen<double>(), q);
  answer("eigen<float>", clipx::eigen<float>(), q);
  answer("cpu<float>", clipx::cpu<float>(), q);
  answer("cpu<bf16>", clipx::cpu<clipx::bf16>(), q);
} catch (const clipx::error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
