// Definitions of shared_model.hpp.
#pragma once
#include <algorithm>
#include <mutex>

#include "../core/error.hpp"
#include "../image/preprocess.hpp"
#include "../run/encode.hpp"
#include "shared_model.hpp"

namespace clipx {

struct shared_model::state {
  any_model& model;
  std::string facts;
  preprocess_config pixels;
  resampler loops;
  std::size_t batch_size;
  std::mutex one_at_a_time;
};

CLIPX_INLINE shared_model::shared_model(any_model& model, std::string facts, const image_batch_config& images)
    : state_(new state{
          model, std::move(facts), model.source().pixels(), images.loops, std::max<std::size_t>(images.batch_size, 1), {}}) {}
CLIPX_INLINE shared_model::~shared_model() = default;

CLIPX_INLINE const std::string& shared_model::facts() const { return state_->facts; }
CLIPX_INLINE std::size_t shared_model::batch_size() const { return state_->batch_size; }
CLIPX_INLINE dim shared_model::cols() const { return state_->model.source().config().embed_dim; }
CLIPX_INLINE std::size_t shared_model::pixel_bytes() const { return static_cast<std::size_t>(3 * state_->pixels.size.area()); }

CLIPX_INLINE void shared_model::append_pixels(std::span<const std::byte> file, const std::string& name,
                                              std::vector<std::uint8_t>& rgb) const {
  const auto pixels = read_pixels(file, name, state_->pixels, state_->loops);
  rgb.insert(rgb.end(), pixels.begin(), pixels.end());
}

CLIPX_INLINE void shared_model::append_pixels(const image& decoded, std::vector<std::uint8_t>& rgb) const {
  const image out = to_pixels(decoded, state_->pixels, state_->loops);
  rgb.insert(rgb.end(), out.data.begin(), out.data.end());
}

CLIPX_INLINE std::vector<float> shared_model::encode_pixels(std::span<const std::uint8_t> rgb) {
  std::vector<float> out;
  const std::size_t most = state_->batch_size * pixel_bytes();
  const std::lock_guard guard(state_->one_at_a_time);
  for (; !rgb.empty(); rgb = rgb.subspan(std::min(most, rgb.size())))
    state_->model.encode_pixels(rgb.first(std::min(most, rgb.size()))).append_to(out);
  return out;
}

CLIPX_INLINE std::vector<float> shared_model::encode_texts(std::span<const std::string> texts) {
  std::vector<float> out;
  if (texts.empty()) return out;
  const std::lock_guard guard(state_->one_at_a_time);
  clipx::encode_texts(state_->model, texts).append_to(out);
  return out;
}

CLIPX_INLINE device_rows shared_model::keep(std::span<const float> rows) {
  const std::lock_guard guard(state_->one_at_a_time);
  const std::string any[] = {"a"};
  any_rows all = state_->model.encode_text(any);  // in the model's own type
  std::visit([&](auto& values) { values.assign(rows.begin(), rows.end()); }, all.values);
  return state_->model.keep(all);
}

CLIPX_INLINE std::vector<shared_model::nearest_row> shared_model::nearest(std::span<const std::uint8_t> rgb,
                                                                          const device_rows& kept) {
  std::vector<nearest_row> out;
  const std::size_t most = state_->batch_size * pixel_bytes();
  const auto read = [&](const auto& cosines) {
    const auto columns = static_cast<std::size_t>(kept.rows());
    for (std::size_t from = 0; from < cosines.size(); from += columns) {
      const auto begin = cosines.begin() + static_cast<std::ptrdiff_t>(from);
      const auto best = std::max_element(begin, begin + static_cast<std::ptrdiff_t>(columns));
      out.push_back({static_cast<std::size_t>(best - begin), static_cast<double>(*best)});
    }
  };
  const std::lock_guard guard(state_->one_at_a_time);
  for (; !rgb.empty(); rgb = rgb.subspan(std::min(most, rgb.size()))) {
    const auto rows = state_->model.encode_pixels(rgb.first(std::min(most, rgb.size())));
    std::visit(read, state_->model.scores(rows, kept).values);
  }
  return out;
}

}  // namespace clipx
