#pragma once
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <new>
#include <optional>
#include <thread>

#include "../core/error.hpp"
#include "../core/threads.hpp"
#include "../io/file.hpp"
#include "../text/gunzip.hpp"
#include "folders-inl.hpp"
#include "images.hpp"

namespace clipx {

CLIPX_INLINE std::vector<std::string> image_paths(std::span<const std::string> paths, left_out& skipped) {
  std::vector<std::string> out;
  std::string bare;  // the first folder without an image
  for (auto& path : paths) {
    std::error_code none;
    if (path != "-" && std::filesystem::is_directory(path, none)) {
      auto files = list_images(path, skipped);
      if (files.empty() && bare.empty()) bare = path;
      std::move(files.begin(), files.end(), std::back_inserter(out));
    } else {
      out.push_back(path);
    }
  }
  if (out.empty() && !bare.empty()) detail::fail_without_images(bare, skipped);
  if (!bare.empty()) skipped.add_unreadable(cat(bare, ": expected images (", detail::image_endings(), "), got none"));
  expect(!out.empty(), "no images: expected at least one image file, got none");
  return out;
}

CLIPX_INLINE std::vector<std::uint8_t> read_pixels(const image_source& source, const preprocess_config& config,
                                                   const resampler& loops) {
  const auto decoded = [&](std::span<const std::byte> file) { return read_pixels(file, source.name, config, loops); };
  const auto whole = [&](const auto& pixels) {
    try {
      return to_pixels(pixels, config, loops).data;
    } catch (const error& e) { throw e.in(source.name); }
  };
  const auto& content = source.content;
  if (auto* owned = std::get_if<std::vector<std::byte>>(&content)) return decoded(*owned);
  if (auto* borrowed = std::get_if<std::span<const std::byte>>(&content)) return decoded(*borrowed);
  if (auto* f = std::get_if<frame>(&content)) return whole(*f);
  if (auto* img = std::get_if<const image*>(&content)) {
    expect(*img != nullptr, [&] { return cat(source.name, ": expected an image, got a null pointer"); });
    return whole(**img);
  }
  const auto file = mapped_file::open(source.name);
  auto pixels = decoded(file.bytes());
  file.expect_whole();
  return pixels;
}

namespace detail {

/// The images that wait for their batch, and the batch that is made of them.
class image_batcher {
 public:
  image_batcher(const image_batch_config& config, image_batch_sink consume, image_failure_sink failed)
      : config_(config),
        consume_(consume),
        failed_(failed),
        threads_(config.threads > 0 ? static_cast<std::size_t>(config.threads)
                                    : std::max<std::size_t>(1, std::thread::hardware_concurrency())) {
    expect(config.batch_size > 0, "image batches: expected a batch size of at least 1, got 0");
    expect(config.threads >= 0 && config.threads <= 4096,
           [&] { return cat("image batches: expected 0 to 4096 threads, got ", config.threads); });
  }

  void add(image_source image) {
    if (image.content.index() == 0 && image.name == "-") image.content = standard_input();
    waiting_.push_back(std::move(image));
    if (waiting_.size() == config_.batch_size) flush();
  }

  /// Decodes the waiting images and passes them on.
  void flush() {
    decode_all();
    batch_.indices.clear();
    batch_.names.clear();
    batch_.rgb.clear();
    for (std::size_t i = 0; i < waiting_.size(); ++i) {
      if (errors_[i]) {
        failed_(first_ + i, waiting_[i].name, *errors_[i]);
        continue;
      }
      batch_.indices.push_back(first_ + i);
      batch_.names.push_back(std::move(waiting_[i].name));
      batch_.rgb.insert(batch_.rgb.end(), pixels_[i].begin(), pixels_[i].end());
    }
    if (!batch_.indices.empty()) consume_(batch_);
    first_ += waiting_.size();
    waiting_.clear();
  }

 private:
  static std::vector<std::byte> standard_input() {
    const auto file = read_file(stdin, "-", std::size_t{1} << 30);
    const auto bytes = std::as_bytes(std::span(file));
    return {bytes.begin(), bytes.end()};
  }

  void decode_all() {
    pixels_.resize(waiting_.size());
    errors_.assign(waiting_.size(), {});
    std::atomic<std::size_t> next{0};
    detail::in_threads(std::min(threads_, waiting_.size()), [&](std::size_t) {
      for (std::size_t i; (i = next++) < waiting_.size();) decode(i);
    });
  }

  void decode(std::size_t i) {
    try {
      pixels_[i] = read_pixels(waiting_[i], config_.preprocess, config_.loops);
    } catch (const error& e) { errors_[i] = e; } catch (const std::bad_alloc&) {
      errors_[i].emplace(error_kind::out_of_memory, waiting_[i].name + ": out of memory");
    } catch (const std::exception& e) { errors_[i].emplace(error_kind::unsupported, cat(waiting_[i].name, ": ", e.what())); }
  }

  const image_batch_config& config_;
  image_batch_sink consume_;
  image_failure_sink failed_;
  std::size_t threads_, first_ = 0;  // first_: the index in the stream of waiting_[0]
  std::vector<image_source> waiting_;
  std::vector<std::vector<std::uint8_t>> pixels_;  // of each waiting image
  std::vector<std::optional<error>> errors_;       // of each that waits; none: it was decoded
  image_batch batch_;
};

}  // namespace detail

CLIPX_INLINE void for_each_image_batch(image_stream images, const image_batch_config& config, image_batch_sink consume,
                                       image_failure_sink failed) {
  detail::image_batcher batcher(config, consume, failed);
  images([&](image_source image) { batcher.add(std::move(image)); });
  batcher.flush();
}

CLIPX_INLINE void for_each_image_batch(std::span<const std::string> files, const image_batch_config& config,
                                       image_batch_sink consume, image_failure_sink failed) {
  const auto stream = [&](function_ref<void(image_source)> next) {
    for (auto& file : files) next({file, {}});
  };
  for_each_image_batch(image_stream(stream), config, consume, failed);
}

}  // namespace clipx
