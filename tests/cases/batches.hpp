// Batches of drawn pairs for trainers of tiny models.
#pragma once
#include <clipx/core/random.hpp>

#include "tiny.hpp"

namespace cases {

/// Four pairs of step `count` for a model.
struct drawn_batch {
  std::vector<std::uint8_t> rgb;
  std::vector<std::vector<std::int32_t>> texts = tiny_texts();
  drawn_batch(const clipx::clip_config& c, dim count) {
    const clipx::draws draw(count);
    for (dim i = 0; i < 4 * clipx::image_size(c).area() * 3; ++i)
      rgb.push_back(static_cast<std::uint8_t>(draw(static_cast<std::uint64_t>(i))));
  }
};

template <class Trainer>
void train_to(Trainer& t, dim count) {
  while (t.count() < count) {
    const drawn_batch b(t.model().config(), t.count());
    t.step(b.rgb, b.texts);
  }
}

}  // namespace cases
