// Encoded images, from files, standard input or memory, to batches of pixels:
// decoded and resized by threads, one batch at a time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "../core/error.hpp"
#include "../core/function_ref.hpp"
#include "../image/preprocess.hpp"
#include "left_out.hpp"

namespace clipx {

/// One image: a file, an encoded file in memory (owned or borrowed), an image that is decoded already, or a frame. What is borrowed
/// must live until the call that takes the source returns.
struct image_source {
  std::string name;  // in messages; of a file its path, and "-" is standard input
  std::variant<std::monostate, std::vector<std::byte>, std::span<const std::byte>, const image*, frame> content{};  // none: a file
};

/// The pixels (H W, 3), H and W those of config.size, of one image. A file is mapped while it is decoded. Errors: those of reading,
/// decoding and to_pixels, after the source's name. Thread-safe.
std::vector<std::uint8_t> read_pixels(const image_source& source, const preprocess_config& config,
                                      const resampler& loops = plain_resampler());

/// The image files that these paths stand for, in order: a folder stands for the images in it and below it, sorted by path; "-",
/// which is standard input, for itself. `skipped` gets what list_images() leaves out, and folders without images. Error: no image.
std::vector<std::string> image_paths(std::span<const std::string> paths, left_out& skipped);

/// How a stream of images becomes batches.
struct image_batch_config {
  preprocess_config preprocess{};       // applied to each image
  std::size_t batch_size = 32;          // images of a batch, at least 1
  int threads = 0;                      // that decode, including the caller's; 0: one for each processor
  resampler loops = plain_resampler();  // for resizing
};

/// The images of a batch that could be decoded.
struct image_batch {
  std::vector<std::size_t> indices;  // N, index of each image in the stream
  std::vector<std::string> names;    // N
  std::vector<std::uint8_t> rgb;     // (N, n n 3), 8-bit RGB
};

/// Calls its argument with each image in turn.
using image_stream = function_ref<void(function_ref<void(image_source)>)>;
/// Receives a batch, which lives until the call returns.
using image_batch_sink = function_ref<void(const image_batch&)>;
/// Takes the place in the stream of an image that could not be decoded, its name, and why; why.what() begins with the name.
using image_failure_sink = function_ref<void(std::size_t index, const std::string& name, const error& why)>;

/// Decodes every image of the stream and resizes it for config.preprocess. Both sinks are called on the caller's thread: for
/// each batch first failed(), image by image, then consume(), unless none of its images could be decoded. Memory: one batch,
/// including its encoded bytes. Standard input ("-") is read when its turn comes. Exceptions from the stream and the sinks
/// reach the caller.
void for_each_image_batch(image_stream images, const image_batch_config& config, image_batch_sink consume,
                          image_failure_sink failed);
/// The same for files.
void for_each_image_batch(std::span<const std::string> files, const image_batch_config& config, image_batch_sink consume,
                          image_failure_sink failed);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "images-inl.hpp"
#endif
