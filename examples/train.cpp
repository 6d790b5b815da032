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

  clipx::clip_config model;  // sizes are values
  model.embed_dim = 256;
  model.vision = clipx::vit_config{.image_size = 112, .patch_size = 14, .width = 192, .heads = 3, .mlp_width = 768, .layers = 6};
  model.text = {.context_length = 32, .width = 192, .heads = 3, .layers = 4, .mlp_width = 768};
  auto config = clipx::default_config(model);  // with preprocessing and tokenization at these sizes
  const auto text = clipx::tokenizer::from_folder(argv[2], config.text);
  config.model.text.vocab_size = text.vocab_size();

  clipx::loader_config data;
  data.data = {argv[1]}, data.batch = 32, data.preprocess = config.pixels, data.text = text;
  data.text_side = config.model.text;
  clipx::loader pairs(data);

  clipx::trainer_options options;
  options.schedule = {1e-3, steps / 10, steps};
  options.optimizer.max_norm = 1;
  clipx::cpu<float> device;  // the only line that changes with the backend
  clipx::trainer<clipx::vit, clipx::cpu<float>> trainer(device, config, options);

  clipx::pair_batch batch;
  while (trainer.count() < steps) {
    if (!pairs.next(batch)) continue;  // the end of an epoch
    trainer.step(batch.pixels, batch.texts);
    std::printf("step %td  loss %.4f\n", trainer.count(), trainer.loss());
  }
  std::filesystem::create_directories(argv[3]);
  clipx::write_model(argv[3], trainer, text);
} catch (const clipx::error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
