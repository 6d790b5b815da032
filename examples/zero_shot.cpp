// Which of these labels fits this image?
//   zero_shot MODEL IMAGE LABEL...        MODEL: a folder in open_clip's or Hugging Face's layout
#include <clipx/clipx.hpp>
#include <clipx/cpu.hpp>
#include <cstdio>

int main(int argc, char** argv) try {
  if (argc < 4) {
    std::fprintf(stderr, "usage: zero_shot MODEL IMAGE LABEL...\n");
    return 2;
  }
  const std::vector<std::string> names(argv + 3, argv + argc);
  std::vector<std::string> prompts;
  for (auto& name : names) prompts.push_back("an image of " + name);

  clipx::cpu<float> device;                                    // the only line that changes with the backend
  clipx::with_model(device, argv[1], [&](const auto& model) {  // a ViT or a ResNet; load<vit>() where that is known
    const auto labels = model.encode_text(prompts);
    const auto image = model.encode_image(clipx::read_image(argv[2]));
    for (auto [label, p] : clipx::rank(model, image, labels))
      std::printf("%.3f  %s\n", p, names[static_cast<std::size_t>(label)].c_str());
  });
} catch (const clipx::error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
