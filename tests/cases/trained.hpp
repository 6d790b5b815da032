// The model in training, as it answers on its own device: what load() would make of it from a folder.
#pragma once
#include <clipx/core/bf16.hpp>
#include <clipx/train/state.hpp>
#include <clipx/train/trained_model.hpp>

#include "../unit/tiny_model.hpp"
#include "batches.hpp"

namespace cases {

/// With one step and with the losses of each step on the way.
template <class Encoder, class Backend>
void test_trained_model(Backend& d, clipx::clip_config model, double average, dim steps) {
  using A = clipx::accum_t<Backend>;
  const auto text = clipx::tokenizer::from_merges_bytes(tiny::merges, clipx::tokenizer_options::openai());
  model.text.vocab_size = tiny::vocabulary;
  model.text.eos_id = tiny::vocabulary - 1;
  const auto config = clipx::default_config(model);
  clipx::trainer_options o;
  o.seed = 3;
  o.schedule = {1e-2, 0, 100};
  o.optimizer.average = average;
  clipx::trainer<Encoder, Backend> t(d, config, o);
  std::vector<double> each, late(static_cast<std::size_t>(steps));
  for (dim i = 1; i <= steps; ++i) train_to(t, i), each.push_back(t.loss());
  t.losses(late);
  CHECK(late == each);
  const temporary_folder dir;
  clipx::write_model(dir.path.string(), t, text);
  const auto loaded = clipx::load<Encoder>(d, dir.path.string());
  const drawn_batch batch(config.model, 50);
  const auto images = loaded.encode_pixels(batch.rgb), texts = clipx::embed_tokens(loaded.model(), batch.texts);
  {
    const clipx::trained_model now(t, text);
    const auto same = [&](const clipx::embeddings<A>& got, const clipx::embeddings<A>& want) {
      CHECK(got.cols == want.cols);
      if constexpr (std::is_same_v<A, float>) {
        CHECK(got.values == want.values);
      } else {  // the file's weights are floats
        REQUIRE(got.values.size() == want.values.size());
        for (std::size_t i = 0; i < got.values.size(); ++i) CHECK(std::abs(got.values[i] - want.values[i]) < 1e-5);
      }
    };
    same(now.encode_pixels(batch.rgb), images);
    same(now.encode_tokens(batch.texts), texts);
    same(now.encode_packed(clipx::packed_texts::pack(batch.texts, config.model.text)), texts);
    CHECK(std::abs(now.score().parameters()[0] - loaded.score().parameters()[0]) < 1e-6);
  }
  train_to(t, steps + 1);  // the device knows again that weights change
  const clipx::trained_model later(t, text);
  CHECK(later.encode_pixels(batch.rgb).values != images.values);
}

}  // namespace cases

#ifdef CATCH_VERSION_MAJOR
TEST_CASE("the model in training answers as load() of what is written") {
  cases::test_trained_model<clipx::vit>(device(), cases::tiny_vit(), 0, 3);
  cases::test_trained_model<clipx::vit>(device(), cases::tiny_vit(), 0.5, 3);
  cases::test_trained_model<clipx::modified_resnet>(device(), cases::tiny_resnet(), 0.5, 1);
}
#endif
