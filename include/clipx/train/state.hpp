// A training run on disk: everything that a trainer needs to continue, in one safetensors file, and the resulting model,
// as a folder.
#pragma once
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "../checkpoint/checkpoint.hpp"
#include "../io/lock.hpp"
#include "../io/safetensors.hpp"
#include "trainer.hpp"

namespace clipx {

/// What is stored besides tensors: names and texts, in the file's metadata. "steps" and "checksum" are reserved.
using state_facts = std::vector<std::pair<std::string, std::string>>;

namespace detail {
template <class A>
inline constexpr dtype dtype_of = std::is_same_v<A, double> ? dtype::f64 : dtype::f32;

/// The values of a stored tensor, read from the parameter of this shape that it holds or is a part of.
template <class B, class E>
void download_stored(B& device, mat<E> m, const shape& s, const stored_tensor& to, std::span<double> out) {
  std::vector<double> ours(to.transposed ? out.size() : 0);
  const auto part = m.reshape(1, m.size()).col_range(to.offset, to.count());
  device.download(mat<const E>(part), mat<double>(to.transposed ? ours.data() : out.data(), 1, part.cols));
  device.sync();
  const auto rows = static_cast<std::size_t>(s.rows()), cols = static_cast<std::size_t>(s.cols());
  for (std::size_t k = 0; k < ours.size(); ++k) out[k] = ours[k % rows * cols + k / rows];
}

/// Writes those tensors of an optimizer's state for which place(name, shape), the tensors in the file, is not empty.
template <backend B>
void write_state(const std::string& path, B& device, optimizer<B>& state,
                 function_ref<std::vector<stored_tensor>(const std::string&, const shape&)> place, dtype type,
                 const state_facts& facts, bool checked) {
  std::vector<tensor_to_write> tensors;
  std::vector<std::function<void(std::span<double>)>> reads;
  state.each_state([&](const std::string& name, const shape& s, mat<accum_t<B>> m) {
    for (auto& to : place(name, s)) {
      tensors.push_back({to.name, type, to.sizes});
      reads.push_back([&device, m, s, to](std::span<double> out) { download_stored(device, m, s, to, out); });
    }
  });
  const auto values = [&](std::size_t i, std::span<double> out) { reads[i](out); };
  if (checked) write_checked_safetensors(path, tensors, values, facts);
  else write_safetensors(path, tensors, values, facts);
}

/// The state's values from a file, and the file's facts.
template <backend B>
state_facts read_state(const safetensors& file, const std::string& path, B& device, optimizer<B>& state) {
  using A = accum_t<B>;
  std::string wrong;
  state.each_state([&](const std::string& name, const shape& s, mat<A>) {
    const auto* found = file.find(name);
    if (!found) wrong += cat("\n  missing: ", name, " ", s.text());
    else if (found->shape != s.sizes || found->type != dtype_of<A>)
      wrong += cat("\n  ", name, ": expected ", name_of(dtype_of<A>), " ", s.text(), ", got ", name_of(found->type), " of ",
                   found->count(), " values");
  });
  expect(wrong.empty(), error_kind::mismatch,
         [&] { return cat(path, " is the state of another model or of other options:", wrong); });
  file.check();
  const auto values_of = [&](const std::string& name, mat<A> m) {
    std::vector<A> values(static_cast<std::size_t>(m.rows * m.cols));
    std::memcpy(values.data(), file.find(name)->data, values.size() * sizeof(A));
    return values;
  };
  state.each_state([&](const std::string& name, const shape&, mat<A> m) {  // before anything is changed
    const bool moment = name.starts_with("m.") || name.starts_with("v.");  // of huge gradients, it may be infinite
    for (const A v : values_of(name, m))
      expect(std::isfinite(v) || (moment && !std::isnan(v)), error_kind::damaged,
             [&] { return cat(path, ": ", name, ": expected numbers, got ", v); });
  });
  state.each_state([&](const std::string& name, const shape&, mat<A> m) {
    const auto values = values_of(name, m);
    device.upload(mat<const A>(values.data(), m.rows, m.cols), m);
    device.sync();
  });
  return file.metadata();
}

/// A checkpoint's weights as masters and average.
template <backend B>
void read_weights(const checkpoint& from, const clip_config& config, B& device, optimizer<B>& state) {
  const auto shapes = parameter_shapes(config);
  const auto sources = from.match(config);
  state.each_state([&](const std::string& name, const shape& s, mat<accum_t<B>> m) {
    for (std::string_view prefix : {"weights.", "average."})
      for (std::size_t i = 0; name.starts_with(prefix) && i < shapes.size(); ++i)
        if (shapes[i].first == name.substr(prefix.size())) {
          std::vector<float> values(static_cast<std::size_t>(s.count()));
          sources[i].read(values);
          device.upload(mat<const float>(values.data(), m.rows, m.cols), m);
          device.sync();
        }
  });
}

/// The tensors that hold a parameter in open_clip's layout, all of them in our order.
std::vector<stored_tensor> open_clip_tensors(const clip_config& config, const std::string& name, const shape& s);
/// The files of a model's folder besides its weights.
void write_model_files(const std::string& folder, const checkpoint_config& config, const tokenizer& text);
/// The number of steps in a state's metadata. Errors: there is none.
dim steps_of(const safetensors& file, const std::string& path);
/// Errors: those of clipx::check_described().
void check_described(const named_shapes& parameters, const checkpoint_config& config, const tokenizer& text);

template <backend B>
void write_model(const std::string& folder, B& device, const parameter_list<B>& parameters, const checkpoint_config& config) {
  std::vector<tensor_to_write> tensors;
  std::vector<std::function<void(std::span<double>)>> reads;
  for (auto& p : parameters)
    for (auto& to : open_clip_tensors(config.model, p.name, p.shape)) {
      tensors.push_back({to.name, dtype::f32, to.sizes});
      p.visit([&](auto m) {
        reads.push_back([&device, m, s = p.shape, to](std::span<double> out) { download_stored(device, m, s, to, out); });
      });
    }
  write_safetensors(folder + "/open_clip_model.safetensors", tensors, [&](std::size_t i, std::span<double> out) { reads[i](out); },
                    {{"format", "pt"}});
}
}  // namespace detail

/// Errors: the model's parameters differ from those that the configuration describes, or the tokenizer has another vocabulary.
template <class Model>
void check_described(Model& model, const checkpoint_config& config, const tokenizer& text) {
  named_shapes shapes;
  for (auto& p : parameters_of(model)) shapes.emplace_back(p.name, p.shape);
  detail::check_described(shapes, config, text);
}

/// Writes weights (masters), moments, average and statistics exactly, with a checksum; the file is written completely or not at
/// all. Errors: a full disk, a missing folder.
template <class Architecture, backend B, class Loss>
void write_training_state(const std::string& path, trainer<Architecture, B, Loss>& t, state_facts facts) {
  t.fit_average();
  facts.emplace_back("steps", cat(t.count()));
  const auto as_named = [](const std::string& name, const shape& s) { return std::vector<stored_tensor>{{name, s.sizes}}; };
  detail::write_state(path, t.model().device(), t.optimizer(), as_named, detail::dtype_of<accum_t<B>>, facts, true);
}

/// Restores the trainer to its state when the file was written. Returns the file's facts. Errors: a damaged file, by its checksum;
/// one lists what is missing or has another shape or type; others are a weight that is not finite, a moment that is NaN, no number
/// of steps. The trainer is then as it was.
template <class Architecture, backend B, class Loss>
state_facts read_training_state(const std::string& path, trainer<Architecture, B, Loss>& t) {
  const auto file = safetensors::open(path);
  const dim steps = detail::steps_of(file, path);
  auto facts = detail::read_state(file, path, t.model().device(), t.optimizer());
  t.restored(steps);
  return facts;
}

/// Starts from a trained model instead of initial weights: sets weights and average; the number of steps done is 0.
template <class Architecture, backend B, class Loss>
void read_weights(const checkpoint& from, trainer<Architecture, B, Loss>& t) {
  detail::read_weights(from, t.config().model, t.model().device(), t.optimizer());
  t.restored(0);
}

/// Writes the model so far (the average if one is kept, else the weights) to an existing folder in open_clip's layout, for load()
/// and `--model`: weights in f32, vocab.json, merges.txt, open_clip_config.json.
/// Each file is written completely or not at all, the config last.
template <class Architecture, backend B, class Loss>
void write_model(const std::string& folder, trainer<Architecture, B, Loss>& t, const tokenizer& text) {
  check_described(t.model(), t.config(), text);
  const folder_lock alone(folder);
  const std::string_view prefix = t.options().optimizer.average > 0 ? "average." : "weights.";
  t.fit_average();
  const auto place = [&, &model = t.config().model](const std::string& name, const shape& s) {
    return name.starts_with(prefix) ? detail::open_clip_tensors(model, name.substr(prefix.size()), s)
                                    : std::vector<stored_tensor>();
  };
  detail::write_state(folder + "/open_clip_model.safetensors", t.model().device(), t.optimizer(), place, dtype::f32,
                      {{"format", "pt"}}, false);
  detail::write_model_files(folder, t.config(), text);
}

/// The same for any model that has walk() and device(), a trainable or another. Errors: parameters that the configuration does not
/// describe, a tokenizer with another vocabulary; nothing is written then.
template <class Model>
requires requires(Model& m) { m.device(); }
void write_model(const std::string& folder, Model& model, const checkpoint_config& config, const tokenizer& text) {
  check_described(model, config, text);
  const folder_lock alone(folder);
  detail::write_model(folder, model.device(), parameters_of(model), config);
  detail::write_model_files(folder, config, text);
}

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "state-inl.hpp"
#endif
