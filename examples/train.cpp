// Trains a small CLIP on pairs and writes a folder that load() takes. Every line of the loop is here: change it.
//   train PAIRS TOKENIZER OUT [STEPS]      e.g. train "pairs-{0000..0008}.tar" words/ my-model/ 1000
#include <clipx/clipx.hpp>
#include <clipx/cpu.hpp>
#include <clipx/data/loader.hpp>
#include <clipx/train/state.hpp>
#include <cstdio>
#include <filesystem>

int main(int argc, char** argv) try {
  if (argc < 4) {
    std::fprintf(stderr, "usage: train PAIRS TOKENIZER OUT [STEPS]\n");
    return 2;
  }
  const clipx::dim steps = argc > 4 ? std::atoi(argv[4]) : 1000;

  clipx::checkpoint_config config;  // sizes are values
  config.model.embed_dim = 256;
  auto& image = config.model.vision;
  image.image_size = config.pixels.size = 112, image.patch_size = 14;
  image.width = 192, image.layers = 6, image.heads = 3, image.mlp_width = 768;
  auto& words = config.model.text;
  words.context_length = config.text.context_length = 32;
  words.width = 192, words.layers = 4, words.heads = 3, words.mlp_width = 768;
  const auto text = clipx::tokenizer::from_folder(argv[2], config.text);
  words.vocab_size = text.vocab_size();

  clipx::loader_config data;
  data.data = {argv[1]}, data.batch = 32, data.preprocess = config.pixels;
  clipx::loader pairs(data);

  clipx::trainer_options options;
  options.schedule = {1e-3, steps / 10, steps};
  options.optimizer.max_norm = 1;
  clipx::cpu<float> device;  // the only line that changes with the backend
  clipx::trainer<clipx::vit, clipx::cpu<float>> trainer(device, config.model, options);

  clipx::pair_batch batch;
  while (trainer.count() < steps) {
    if (!pairs.next(batch)) continue;  // the end of an epoch
    std::vector<std::vector<std::int32_t>> ids;
    for (auto& caption : batch.captions) ids.push_back(text(caption));
    trainer.step(batch.pixels, ids);
    std::printf("step %td  loss %.4f\n", trainer.count(), trainer.loss());
  }
  std::filesystem::create_directories(argv[3]);
  clipx::write_model(argv[3], trainer, config, text);
} catch (const clipx::error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
