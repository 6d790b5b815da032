#pragma once
#include <algorithm>

#include "encode.hpp"

namespace clipx {

CLIPX_INLINE any_rows encode_texts(const any_model& model, std::span<const std::string> texts, observer& watch) {
  any_rows out;
  report(watch, "texts", 0, texts.size());
  for (std::size_t from = 0; from < texts.size(); report(watch, "texts", from, texts.size())) {
    const auto part = texts.subspan(from, std::min<std::size_t>(256, texts.size() - from));
    out.append(model.encode_text(part));
    from += part.size();
  }
  return out;
}

CLIPX_INLINE void for_each_encoded(const any_model& model, image_stream images, const encode_options& o, encoded_sink consume,
                                   image_failure_sink failed) {
  const image_batch_config config{.preprocess = model.source().pixels(),
                                  .batch_size = o.batch_size,
                                  .threads = o.threads,
                                  .loops = o.loops ? *o.loops : model.image_resampler()};
  for_each_image_batch(
      images, config, [&](const image_batch& batch) { consume(batch, model.encode_pixels(batch.rgb)); }, failed);
}

CLIPX_INLINE encoded_images encode_images(const any_model& model, std::span<const image_source> images, const encode_options& o,
                                          observer& watch) {
  for (auto& warning : model.warnings()) watch.warning(warning);
  report(watch, "images", 0, images.size());
  encoded_images out;
  std::size_t done = 0;
  const auto stream = [&](function_ref<void(image_source)> next) {
    for (auto& source : images) next(source);
  };
  const auto consume = [&](const image_batch& batch, const any_rows& rows) {
    out.rows.append(rows);
    out.indices.insert(out.indices.end(), batch.indices.begin(), batch.indices.end());
    report(watch, "images", done = std::max(done, batch.indices.back() + 1), images.size());
  };
  const auto failed = [&](std::size_t index, const std::string& name, const error& why) {
    out.failed.push_back({index, name, why});
    if (index >= done + o.batch_size) report(watch, "images", done = index, images.size());  // whole batches that failed
  };
  for_each_encoded(model, image_stream(stream), o, consume, failed);
  if (done < images.size()) report(watch, "images", images.size(), images.size());  // the last ones failed
  return out;
}

CLIPX_INLINE encoded_images encode_images(const any_model& model, std::span<const std::string> files, const encode_options& o,
                                          observer& watch) {
  std::vector<image_source> sources;
  sources.reserve(files.size());
  for (auto& file : files) sources.push_back({file, {}});
  return encode_images(model, std::span<const image_source>(sources), o, watch);
}

}  // namespace clipx
