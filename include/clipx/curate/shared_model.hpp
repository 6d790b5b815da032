// A model as the steps of curation use it: by several threads, one of which encodes at a time.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "../data/images.hpp"
#include "../run/any_model.hpp"

namespace clipx {

/// Wraps a model, which must outlive this object. Thread-safe.
class shared_model {
 public:
  /// `facts`: any text that identifies the model; if it changes, results computed with the model are recomputed. Of `images`, the
  /// batch size and the resampling loops are used.
  shared_model(any_model& model, std::string facts, const image_batch_config& images);
  ~shared_model();
  const std::string& facts() const;  // as given
  std::size_t batch_size() const;    // images or texts that the model takes at once
  /// Number of values of an embedding.
  dim cols() const;
  /// Bytes per image in the model's input.
  std::size_t pixel_bytes() const;

  /// Decodes an image to the model's pixels and appends them. Errors: those of read_pixels.
  void append_pixels(std::span<const std::byte> file, const std::string& name, std::vector<std::uint8_t>& rgb) const;
  /// The same for a decoded image.
  void append_pixels(const image& decoded, std::vector<std::uint8_t>& rgb) const;
  /// L2-normalized embeddings (N, D) of such pixels, or of texts, in batches.
  std::vector<float> encode_pixels(std::span<const std::uint8_t> rgb);
  /// Texts to L2-normalized embeddings (N, D).
  std::vector<float> encode_texts(std::span<const std::string> texts);

  /// Keeps embeddings (M, D) on the device for comparisons. They must not outlive this object.
  device_rows keep(std::span<const float> rows);
  /// The row with the highest cosine, the first of several, and that cosine.
  struct nearest_row {
    std::size_t row = 0;  // its index
    double cosine = 0;    // with it
  };
  /// For each image, as in encode_pixels, among kept rows.
  std::vector<nearest_row> nearest(std::span<const std::uint8_t> rgb, const device_rows& kept);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "shared_model-inl.hpp"
#endif
