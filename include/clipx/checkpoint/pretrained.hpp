// load(), with_model(): a checkpoint's weights on a device, with its tokenizer and preprocessing. Input: strings and images;
// output: L2-normalized embeddings.
#pragma once
#include <cmath>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "../architectures/list.hpp"
#include "../core/bf16.hpp"
#include "../core/freeze.hpp"
#include "checkpoint.hpp"
#include "embeddings.hpp"

namespace clipx {

namespace detail {
/// Frozen memory, thawed by the destructor.
template <class B>
class frozen_memory {
 public:
  explicit frozen_memory(B& device) : device_(&device) {}
  frozen_memory(frozen_memory&&) = default;
  frozen_memory& operator=(frozen_memory&&) = delete;
  ~frozen_memory() {
    for (auto* p : places_) device_->thaw(p);
  }
  template <class E>
  void add(mat<const E> weight, frozen_role role, release_callback release = {}) {
    device_->freeze(weight, role, release);
    places_.push_back(weight.data);
  }

 private:
  B* device_;
  std::vector<const void*> places_;
};

/// The role of a parameter, from its name and its shape in the checkpoint.
inline frozen_role frozen_role_of(std::string_view name, const shape& s) {
  if (s.sizes.size() == 4) return frozen_role::convolution;
  if (s.sizes.size() != 2) return frozen_role::vector;
  for (auto* table : {"token_embedding.weight", "positional_embedding", "token_type_embedding"})
    if (name.ends_with(table)) return frozen_role::table;
  return frozen_role::linear;
}

/// Freezes all of them. Returns their bytes.
template <class B>
dim freeze(frozen_memory<B>& frozen, const parameter_list<B>& parameters) {
  dim bytes = 0;
  for (auto& p : parameters)
    p.visit([&]<class E>(const mat<E>& m) {
      frozen.add(mat<const E>(m), frozen_role_of(p.name, p.shape));
      bytes += m.size() * static_cast<dim>(sizeof(E));
    });
  return bytes;
}

/// Recordings of encode_pixels, if the device supports them: a batch size is recorded when it occurs for the second time; at
/// most four, because each recording has its own working memory.
template <class Architecture, backend B>
struct replays {};
template <class Architecture, backend B>
requires(B::fast::replay) class replays<Architecture, B> {
 public:
  std::unique_ptr<std::mutex> guard = std::make_unique<std::mutex>();  // one thread at a time uses the recordings

  const replayed_pixels<Architecture, B>* find(const clip<Architecture, B>& model, std::size_t bytes, const preprocess_config& p) {
    const dim images = static_cast<dim>(bytes) / (3 * extent(model.visual.config.image_size).area());
    for (auto& r : recorded_)
      if (r->images() == images) return r.get();
    if (std::exchange(last_, images) != images || recorded_.size() == 4) return nullptr;
    recorded_.push_back(std::make_unique<replayed_pixels<Architecture, B>>(model, images, p.mean, p.std));
    return recorded_.back().get();
  }

 private:
  std::vector<std::unique_ptr<replayed_pixels<Architecture, B>>> recorded_;
  dim last_ = 0;
};

/// A token table whose rows are converted as they are read, without a copy of it.
struct gathered_table {
  const void* weight = nullptr;  // the text tower's mat, which then has no memory
  row_source* rows = nullptr;    // what it reads instead
};
/// That of a model: where device memory is host memory, and the text tower has one.
template <class Architecture, backend B>
gathered_table table_of(clip<Architecture, B>& model) {
  if constexpr (B::host_memory && requires { model.text.token_embedding.rows; })
    return {&model.text.token_embedding.weight, &model.text.token_embedding.rows};
  else return {};
}

/// What bind_checkpoint has bound: the memory of what had to be converted, and the bytes of all.
template <backend B>
struct bound_memory {
  flat<B> converted;
  dim bytes = 0;
};

/// Points parameters at a checkpoint's weights: used in place in the mapped file where type and order agree with the device's, or,
/// of a token table, where its rows can be converted one by one; else converted into one buffer. One error lists everything
/// missing, unexpected or of a wrong shape.
template <backend B>
bound_memory<B> bind_checkpoint(B& device, const parameter_list<B>& parameters, const gathered_table& table,
                                const checkpoint& source, frozen_memory<B>& frozen) {
  constexpr dim align = 64;
  auto weights = source.match(source.config());  // the loss's, then the towers' in the order of walk()
  weights.erase(weights.begin(), weights.end() - static_cast<dim>(source.config().vision.policy().shapes(source.config()).size()));
  bound_memory<B> out;
  dim low = 0, high = 0;
  std::vector<std::size_t> converted;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto& p = parameters[i];
    const auto& w = weights[i];
    p.visit([&]<class E>(mat<E>& m) {
      if constexpr (B::in_place && (std::is_same_v<E, float> || std::is_same_v<E, bf16>))
        m.data = static_cast<E*>(w.in_place(std::is_same_v<E, float> ? dtype::f32 : dtype::bf16));
      if (!m && &m == table.weight && (*table.rows = w.rows())) {
        w.expect_finite();
        out.bytes += m.rows * table.rows->row_bytes;
        return;
      }
      out.bytes += m.size() * static_cast<dim>(sizeof(E));
      if (m) {
        w.expect_finite();
        frozen.add(mat<const E>(m), frozen_role_of(p.name, p.shape), w.on_release());
      } else {
        (p.low ? low : high) += (m.size() + align - 1) / align * align;
        converted.push_back(i);
      }
    });
  }
  out.converted = {device.template alloc<scalar_t<B>>(low), device.template alloc<accum_t<B>>(high)};
  low = high = 0;
  std::vector<float> values;
  for (std::size_t i : converted) {
    const auto& p = parameters[i];
    if (p.low) p.low->data = out.converted.low.data() + low;
    else p.high->data = out.converted.high.data() + high;
    (p.low ? low : high) += (p.shape.count() + align - 1) / align * align;
    values.resize(static_cast<std::size_t>(p.shape.count()));
    weights[i].read(values);
    p.visit([&]<class E>(const mat<E>& m) {
      device.upload(mat<const float>(values.data(), m.rows, m.cols), m);
      frozen.add(mat<const E>(m), frozen_role_of(p.name, p.shape));
    });
  }
  device.sync();
  return out;
}
/// A checkpoint's towers on a device, whatever their architecture: their answers, and the memory of their weights.
template <backend B>
struct bound_model {
  using A = accum_t<B>;
  explicit bound_model(B& device) : frozen(device) {}
  virtual ~bound_model() = default;
  bound_model(const bound_model&) = delete;
  ///@{
  /// As embed_tokens and embed_pixels.
  virtual embeddings<A> embed(std::span<const std::vector<std::int32_t>> tokens) const = 0;
  virtual embeddings<A> embed(std::span<const std::uint8_t> rgb, const preprocess_config& pixels) const = 0;
  ///@}
  frozen_memory<B> frozen;  // thawed after the memory is freed
  bound_memory<B> memory;
};
template <class Architecture, backend B>
struct bound_towers final : bound_model<B> {
  using A = accum_t<B>;
  bound_towers(B& device, const checkpoint& source) : bound_model<B>(device), model(device, source.config(), {}) {
    this->memory = bind_checkpoint(device, parameters_of(model), table_of(model), source, this->frozen);
  }
  embeddings<A> embed(std::span<const std::vector<std::int32_t>> tokens) const override { return embed_tokens(model, tokens); }
  embeddings<A> embed(std::span<const std::uint8_t> rgb, const preprocess_config& pixels) const override {
    if constexpr (B::fast::replay && !has_table<typename clip<Architecture, B>::text_type>)
      if (const std::unique_lock one(*recordings.guard, std::try_to_lock); one) {  // others do without
        const device_use<B> use(model.device());
        if (auto* recorded = recordings.find(model, rgb.size(), pixels)) return (*recorded)(rgb);
      }
    return embed_pixels(model, rgb, pixels.mean, pixels.std);
  }
  clip<Architecture, B> model;
  mutable replays<Architecture, B> recordings;
};

/// A bound model, and the towers in it.
template <class Architecture, backend B>
struct bound {
  std::unique_ptr<bound_model<B>> memory = {};
  const clip<Architecture, B>* towers = nullptr;
};
template <class Architecture, backend B>
bound<Architecture, B> bind_towers(B& device, const checkpoint& source) {
  auto made = std::make_unique<bound_towers<Architecture, B>>(device, source);
  const auto* towers = &made->model;
  return {std::move(made), towers};
}
/// The same, in the library that holds the towers (has_compiled_towers); defined in compiled_models.hpp.
template <class Architecture, backend B>
bound<Architecture, B> compiled_bind_towers(B& device, const checkpoint& source);

/// The loss's parameters, from the file.
inline scoring scoring_of(const checkpoint& source) {
  const auto& loss = source.config().loss.policy();
  if (source.config().towers != tower_set::both) return scoring(loss, std::vector<double>(loss.shapes().size()));  // never used
  const auto weights = source.match(source.config());
  std::vector<double> values;
  for (std::size_t i = 0; i < loss.shapes().size(); ++i) {
    std::vector<float> v(static_cast<std::size_t>(loss.shapes()[i].second.count()));
    weights[i].read(v);
    values.insert(values.end(), v.begin(), v.end());
  }
  scoring out(loss, std::move(values));
  double two[] = {1, 0};
  out.probabilities(two);
  expect(std::isfinite(two[0]) && std::isfinite(two[1]), error_kind::damaged, [&] {
    std::string text;
    for (std::size_t i = 0; i < loss.shapes().size(); ++i) text += cat(" ", loss.shapes()[i].first, " ", out.parameters()[i]);
    return cat(source.path(), ": the loss's parameters give no probabilities:", text);
  });
  return out;
}

/// The checkpoint as it is. Error: one of another architecture.
template <class Architecture>
checkpoint of_architecture(checkpoint source) {
  const auto& found = source.config().vision;
  expect(!found || found.template is<typename Architecture::config>(), error_kind::mismatch, [&] {
    return cat(source.path(), ": expected an architecture of the type ", Architecture::config::name,
               ", the configuration describes ", found.policy().name(), "; with_model() and load_any() take whichever it is");
  });
  return source;
}

/// Embeddings as they are. Error: one that is not finite. `what`: text or image.
template <class A>
embeddings<A> finite(embeddings<A> rows, const checkpoint& source, const char* what) {
  for (std::size_t i = 0; i < rows.values.size(); ++i)
    expect(std::isfinite(rows.values[i]), error_kind::damaged, [&] {
      return cat(source.path(), ": the embedding of ", what, " ", i / static_cast<std::size_t>(rows.cols),
                 " of the call is not finite: the model's weights are damaged or too large");
    });
  return rows;
}
}  // namespace detail

/// A trained model ready to answer. Errors name the file, what was expected and what was found.
///
/// Const members may be called from any number of threads at once, and give the same bits as if they ran alone: the weights are
/// shared, and each thread that is in a call has working memory of its own (the arena and what its backend keeps for a thread; on a
/// GPU also a stream). The device must outlive the model, and nothing else may use it meanwhile but models and steps.
template <class Architecture, backend B>
class pretrained {
 public:
  using A = accum_t<B>;
  /// Binds the checkpoint's weights. Errors: those of checkpoint::match(), another architecture. The device must outlive the model.
  pretrained(B& device, checkpoint source)
      : device_(&device), source_(detail::of_architecture<Architecture>(std::move(source))), score_(detail::scoring_of(source_)) {
    if constexpr (has_compiled_towers<Architecture, B>) bound_ = detail::compiled_bind_towers<Architecture, B>(device, source_);
    else bound_ = detail::bind_towers<Architecture, B>(device, source_);
  }

  B& device() const { return *device_; }                                 // where the weights are
  const clip<Architecture, B>& model() const { return *bound_.towers; }  // the towers
  const checkpoint& source() const { return source_; }                   // where the weights come from
  /// How the model scores: given by the loss that it was trained with, and that loss's parameters. Error: a tower alone, whose file
  /// has none.
  const scoring& score() const {
    expect_towers(source_.config(), tower_set::both);
    return score_;
  }
  /// Bytes of the weights, in device memory or in the mapped file.
  dim bytes() const { return bound_.memory->memory.bytes; }

  /// Texts to L2-normalized embeddings (N, D). Errors, as of images: one that is not finite, a model without this tower.
  embeddings<A> encode_text(std::span<const std::string> texts) const {
    std::vector<std::vector<std::int32_t>> rows;
    rows.reserve(texts.size());
    for (auto& text : texts) rows.push_back(source_.text()(text));
    return detail::finite(bound_.memory->embed(rows), source_, "text");
  }
  /// The same for a list in braces.
  embeddings<A> encode_text(std::initializer_list<std::string> texts) const {
    return encode_text(std::span<const std::string>(texts.begin(), texts.size()));
  }
  /// An image or a frame, through the checkpoint's preprocessing and the backend's resampler, to an L2-normalized embedding (1, D).
  embeddings<A> encode_image(const image& img) const {
    return encode_pixels(to_pixels(img, source_.pixels(), resampler_of<B>()).data);
  }
  /// The same for a frame.
  embeddings<A> encode_image(const frame& f) const { return encode_pixels(to_pixels(f, source_.pixels(), resampler_of<B>()).data); }
  /// Images that already have the model's size, (N, H W 3) 8-bit RGB, to L2-normalized embeddings (N, D). Errors: an incomplete
  /// image.
  embeddings<A> encode_pixels(std::span<const std::uint8_t> rgb) const {
    expect_towers(source_.config(), tower_set::image);
    detail::image_count(rgb.size(), image_size(source_.config()), "encode_pixels");
    return detail::finite(bound_.memory->embed(rgb, source_.pixels()), source_, "image");
  }

 private:
  B* device_;
  checkpoint source_;
  scoring score_;
  detail::bound<Architecture, B> bound_;
};

/// Loads a folder in open_clip's or Hugging Face's layout, or one file of weights. The architecture may be one that is not in
/// clipx's own list.
template <class Architecture, backend B>
pretrained<Architecture, B> load(B& device, const std::string& path, checkpoint_options options = {}) {
  options.policies.architectures.push_back(&architecture::of<Architecture>());
  return pretrained<Architecture, B>(device, checkpoint::open(path, options));
}
/// The same from an open checkpoint.
template <class Architecture, backend B>
pretrained<Architecture, B> load(B& device, checkpoint source) {
  return pretrained<Architecture, B>(device, std::move(source));
}

/// For an architecture that the file determines: calls f with a pretrained<vit, B>, or with another architecture of the list.
template <class List = architectures, backend B, class F>
auto with_model(B& device, const std::string& path, F&& f, checkpoint_options options = {}) {
  if constexpr (!std::is_same_v<List, architectures>)  // checkpoints find those of clipx's own list by themselves
    [&]<class... Architecture>(type_list<Architecture...>) {
      (options.policies.architectures.push_back(&architecture::of<Architecture>()), ...);
    }(List{});
  auto source = checkpoint::open(path, options);
  const auto config = source.config();
  return visit_architecture<List>(config, [&]<class Architecture>(std::type_identity<Architecture>) {
    return f(load<Architecture>(device, std::move(source)));
  });
}

}  // namespace clipx
