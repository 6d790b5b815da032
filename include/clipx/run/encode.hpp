// Any number of texts or images for an any_model, in batches.
#pragma once
#include <optional>

#include "../data/images.hpp"
#include "any_model.hpp"

namespace clipx {

/// Any number of texts to L2-normalized embeddings (N, D), 256 at a time. The observer's stage is "texts". Errors: those of
/// any_model::encode_text; cancelled.
any_rows encode_texts(const any_model& model, std::span<const std::string> texts, observer& watch = no_observer());

/// How images are decoded, resized and batched.
struct encode_options {
  std::size_t batch_size = 32;       // images in one forward pass
  int threads = 0;                   // that decode and resize, the caller's included; 0: as many as the machine has
  std::optional<resampler> loops{};  // for resizing; null: any_model::image_resampler()
};

/// Takes a batch of images and their embeddings (N, D).
using encoded_sink = function_ref<void(const image_batch& batch, const any_rows& rows)>;

/// Decodes, resizes and encodes every image of a stream, batch by batch. For each batch first failed() is called for each image of
/// it that could not be read, then consume(); all on the caller's thread. Memory: one batch. What the stream and the sinks throw
/// ends the call and passes through it. Errors: a batch size of 0; those of any_model::encode_pixels.
void for_each_encoded(const any_model& model, image_stream images, const encode_options& options, encoded_sink consume,
                      image_failure_sink failed);

/// The embeddings of images, and what could not be read.
struct encoded_images {
  /// An image that could not be read.
  struct failure {
    std::size_t index = 0;  // in the input
    std::string name;       // of the source
    error reason;           // whose message begins with the name
  };
  any_rows rows;                     // (M, D): L2-normalized embeddings of the images that could be read, in order
  std::vector<std::size_t> indices;  // M: the index in the input of each row
  std::vector<failure> failed;       // the images that could not
};

/// Images to L2-normalized embeddings: files, encoded bytes, decoded images and frames, mixed as you like. An image that cannot be
/// read does not end the call. Memory: one batch beside the result. The observer's stage is "images"; it gets the model's warnings
/// first. Errors: those of for_each_encoded; cancelled. Thread-safe.
encoded_images encode_images(const any_model& model, std::span<const image_source> images, const encode_options& options = {},
                             observer& watch = no_observer());
/// The same for files.
encoded_images encode_images(const any_model& model, std::span<const std::string> files, const encode_options& options = {},
                             observer& watch = no_observer());

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "encode-inl.hpp"
#endif
