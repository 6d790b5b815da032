// load(), with_model(): a checkpoint's weights on a device, with its tokenizer and preprocessing: strings and pictures in, unit
// rows out.
#pragma once
#include <initializer_list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "../core/bf16.hpp"
#include "../model/modified_resnet.hpp"
#include "../model/vit.hpp"
#include "checkpoint.hpp"
#include "embeddings.hpp"
#include "retrieval.hpp"

namespace clipx {

namespace detail {
/// Weights may be used where the file maps them if the backend computes in host memory.
template <class B>
inline constexpr bool in_host_memory = requires {
  requires B::host_memory;
};

/// Memory that a backend was told will not change; told otherwise in the end.
template <class B>
class frozen_memory {
 public:
  explicit frozen_memory(B& device) : device_(&device) {}
  frozen_memory(frozen_memory&&) = default;
  frozen_memory& operator=(frozen_memory&&) = delete;
  ~frozen_memory() {
    if constexpr (requires(const void* p) { std::declval<B&>().thaw(p); })
      for (auto* p : places_) device_->thaw(p);
  }
  template <class Packed>
  void add(const void* data, dim bytes, Packed packed) {
    if constexpr (requires(B & b) { b.freeze(data, std::size_t{}, packed); }) {
      device_->freeze(data, static_cast<std::size_t>(bytes), packed);
      places_.push_back(data);
    }
  }

 private:
  B* device_;
  std::vector<const void*> places_;
};

/// What encode_pixels has recorded, where the device can: a number of pictures when it comes the second time, the first four of
/// them, because each has working memory of its own.
template <class Encoder, backend B>
struct replays {};
template <class Encoder, backend B>
requires(B::fast::replay) class replays<Encoder, B> {
 public:
  const replayed_pixels<Encoder, B>* find(const clip<Encoder, B>& model, std::size_t bytes, const preprocess_config& p) {
    const auto n = static_cast<std::size_t>(model.config().vision.image_size);
    const dim pictures = static_cast<dim>(bytes / (3 * n * n));
    for (auto& r : recorded_)
      if (r->pictures() == pictures) return r.get();
    if (std::exchange(last_, pictures) != pictures || recorded_.size() == 4) return nullptr;
    recorded_.push_back(std::make_unique<replayed_pixels<Encoder, B>>(model, pictures, p.mean, p.std));
    return recorded_.back().get();
  }

 private:
  std::vector<std::unique_ptr<replayed_pixels<Encoder, B>>> recorded_;
  dim last_ = 0;
};

/// The model's parameters from a checkpoint: mapped in place where file and device agree on type and order, else converted into
/// one buffer. Everything missing, extra or misshapen is one error.
template <class Encoder, backend B>
flat<B> bind_checkpoint(clip<Encoder, B>& model, const checkpoint& source, frozen_memory<B>& frozen) {
  using T = scalar_t<B>;
  B& device = model.device();
  constexpr dim align = 64;
  std::vector<std::pair<std::string, shape>> wanted;
  walk(model, [&](const std::string& name, auto&, const shape& s, role) { wanted.emplace_back(name, s); });
  const auto weights = source.match(wanted);  // in the order of `wanted`
  dim low = 0, high = 0;
  std::size_t i = 0;
  walk(model, [&]<class E>(const std::string&, mat<E>& m, const shape& s, role) {
    const auto& w = weights[i++];
    if constexpr (in_host_memory<B> && (std::is_same_v<E, float> || std::is_same_v<E, bf16>))
      m.data = static_cast<E*>(w.in_place(std::is_same_v<E, float> ? dtype::f32 : dtype::bf16));
    if (m)
      frozen.add(m.data, s.count() * static_cast<dim>(sizeof(E)),
                 [w](const void* data, std::size_t bytes) { w.release(data, bytes); });
    else (std::is_same_v<E, T> ? low : high) += (s.count() + align - 1) / align * align;
  });
  flat<B> memory{device.template alloc<T>(low), device.template alloc<accum_t<B>>(high)};
  low = high = 0, i = 0;
  std::vector<float> values;
  walk(model, [&]<class E>(const std::string&, mat<E>& m, const shape& s, role) {
    const auto& w = weights[i++];
    if (m) return;
    dim& at = std::is_same_v<E, T> ? low : high;
    if constexpr (std::is_same_v<E, T>) m.data = memory.low.data() + at;
    else m.data = memory.high.data() + at;
    at += (s.count() + align - 1) / align * align;
    values.resize(static_cast<std::size_t>(s.count()));
    w.read(values);
    device.upload(mat<const float>(values.data(), m.rows, m.cols), m);
    frozen.add(m.data, s.count() * static_cast<dim>(sizeof(E)), [](const void*, std::size_t) {});
  });
  device.sync();
  return memory;
}
}  // namespace detail

/// A trained model ready to answer. Errors name the file, what was expected and what was found.
template <class Encoder, backend B>
class pretrained {
 public:
  using A = accum_t<B>;
  pretrained(B& device, checkpoint source)
      : source_(std::move(source)),
        model_(device, source_.config(), {}),
        frozen_(device),
        memory_(detail::bind_checkpoint(model_, source_, frozen_)) {
    A t{}, b{};
    device.download(mat<const A>(model_.logit_scale), mat<A>(&t, 1, 1));
    if (model_.logit_bias) device.download(mat<const A>(model_.logit_bias), mat<A>(&b, 1, 1));
    device.sync();
    log_scale_ = static_cast<double>(t);
    if (model_.logit_bias) logit_bias_ = static_cast<double>(b);
    walk(model_,
         [&]<class E>(const std::string&, mat<E>&, const shape& s, role) { bytes_ += s.count() * static_cast<dim>(sizeof(E)); });
  }

  const clip<Encoder, B>& model() const { return model_; }
  const checkpoint& source() const { return source_; }
  double log_scale() const { return log_scale_; }
  /// Of a model of the sigmoid loss.
  std::optional<double> logit_bias() const { return logit_bias_; }
  /// Of the weights in the device's memory, or where the file is mapped.
  dim bytes() const { return bytes_; }

  /// Texts to unit rows (N, D).
  embeddings<A> encode_text(std::span<const std::string> texts) const {
    std::vector<std::vector<std::int32_t>> rows;
    rows.reserve(texts.size());
    for (auto& text : texts) rows.push_back(source_.text()(text));
    return embed_tokens(model_, rows);
  }
  embeddings<A> encode_text(std::initializer_list<std::string> texts) const {
    return encode_text(std::span<const std::string>(texts.begin(), texts.size()));
  }
  /// A picture, through the checkpoint's preprocessing, to a unit row (1, D).
  embeddings<A> encode_image(const image& picture) const { return encode_pixels(to_pixels(picture, source_.pixels()).data); }
  /// Pictures already brought to the model's size, (N, n n 3) 8-bit RGB, to unit rows (N, D).
  embeddings<A> encode_pixels(std::span<const std::uint8_t> rgb) const {
    if constexpr (B::fast::replay)
      if (auto* recorded = replays_.find(model_, rgb.size(), source_.pixels())) return (*recorded)(rgb);
    return embed_pixels(model_, rgb, source_.pixels().mean, source_.pixels().std);
  }

 private:
  checkpoint source_;
  clip<Encoder, B> model_;
  detail::frozen_memory<B> frozen_;
  flat<B> memory_;
  double log_scale_ = 0;
  std::optional<double> logit_bias_;
  dim bytes_ = 0;
  mutable detail::replays<Encoder, B> replays_;
};

/// A folder in open_clip's or Hugging Face's layout, or one safetensors file.
template <class Encoder, backend B>
pretrained<Encoder, B> load(B& device, const std::string& path, const checkpoint_options& options = {}) {
  return pretrained<Encoder, B>(device, checkpoint::open(path, options));
}
template <class Encoder, backend B>
pretrained<Encoder, B> load(B& device, checkpoint source) {
  return pretrained<Encoder, B>(device, std::move(source));
}

/// Where the file is to say which image tower there is: calls f with a pretrained<vit, B> or a pretrained<modified_resnet, B>.
template <backend B, class F>
auto with_model(B& device, const std::string& path, F&& f, const checkpoint_options& options = {}) {
  auto source = checkpoint::open(path, options);
  if (source.config().vision.is_resnet()) return f(load<modified_resnet>(device, std::move(source)));
  return f(load<vit>(device, std::move(source)));
}

/// (label, probability) falling, for the picture in row 0.
template <class Encoder, backend B>
std::vector<std::pair<dim, double>> rank(const pretrained<Encoder, B>& model, const embeddings<accum_t<B>>& picture,
                                         const embeddings<accum_t<B>>& labels) {
  const auto c = cosines(model.model().device(), picture, labels);
  return probabilities(std::span<const accum_t<B>>(c), model.log_scale());
}

}  // namespace clipx
