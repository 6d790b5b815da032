// A training run on disk: all that a trainer needs to go on, in one safetensors file, and the model that it yields, as a folder.
#pragma once
#include <charconv>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "../zero_shot/checkpoint.hpp"
#include "trainer.hpp"

namespace clipx {

/// What is known besides the tensors: names and texts, in the file's metadata. "steps" is the trainer's own.
using state_facts = std::vector<std::pair<std::string, std::string>>;

namespace detail {
template <class A>
inline constexpr dtype dtype_of = std::is_same_v<A, double> ? dtype::f64 : dtype::f32;

/// Writes the tensors of a trainer's state that rename(name) keeps (it gives the name in the file, or "").
template <class Encoder, backend B>
void write_state(const std::string& path, trainer<Encoder, B>& t, function_ref<std::string(const std::string&)> rename, dtype type,
                 const state_facts& facts) {
  using A = accum_t<B>;
  std::vector<tensor_to_write> tensors;
  std::vector<mat<A>> views;
  t.optimizer().each_state([&](const std::string& name, const shape& s, mat<A> m) {
    const auto to = rename(name);
    if (to.empty()) return;
    tensors.push_back({to, type, s.sizes});
    views.push_back(m);
  });
  B& device = t.model().device();
  write_safetensors(
      path, tensors,
      [&](std::size_t i, std::span<double> out) {
        device.download(mat<const A>(views[i]), mat<double>(out.data(), views[i].rows, views[i].cols));
        device.sync();
      },
      facts);
}
}  // namespace detail

/// Weights (masters), moments, average and statistics, exactly as they are; the file appears whole or not at all. Errors: a disk
/// that is full, a folder that is not there.
template <class Encoder, backend B>
void write_training_state(const std::string& path, trainer<Encoder, B>& t, state_facts facts) {
  t.fit_average();
  facts.emplace_back("steps", cat(t.count()));
  detail::write_state(
      path, t, [](const std::string& name) { return name; }, detail::dtype_of<accum_t<B>>, facts);
}

/// The trainer as it was when the file was written. Returns the file's facts. One error lists what is missing or has another shape
/// or type.
template <class Encoder, backend B>
state_facts read_training_state(const std::string& path, trainer<Encoder, B>& t) {
  using A = accum_t<B>;
  const auto file = safetensors::open(path);
  const auto find = [&](std::string_view key) {
    for (auto& [name, value] : file.metadata())
      if (name == key) return value;
    fail(cat(path, ": expected the state of a training run, got a file without \"", key, "\""));
  };
  const auto steps = find("steps");
  dim count = -1;
  std::from_chars(steps.data(), steps.data() + steps.size(), count);
  expect(count >= 0, [&] { return cat(path, ": expected a number of steps, got \"", steps, "\""); });
  std::string wrong;
  t.optimizer().each_state([&](const std::string& name, const shape& s, mat<A>) {
    const auto* found = file.find(name);
    if (!found) wrong += cat("\n  missing: ", name, " ", s.text());
    else if (found->shape != s.sizes || found->type != detail::dtype_of<A>)
      wrong += cat("\n  ", name, ": expected ", name_of(detail::dtype_of<A>), " ", s.text(), ", got ", name_of(found->type), " of ",
                   found->count(), " values");
  });
  expect(wrong.empty(), [&] { return cat(path, " is the state of another model or of other options:", wrong); });
  t.optimizer().each_state([&](const std::string& name, const shape&, mat<A> m) {
    std::vector<A> values(static_cast<std::size_t>(m.rows * m.cols));
    std::memcpy(values.data(), file.find(name)->data, values.size() * sizeof(A));
    t.model().device().upload(mat<const A>(values.data(), m.rows, m.cols), m);
    t.model().device().sync();
  });
  t.restored(count);
  return file.metadata();
}

/// Begins from a trained model instead of initial weights: weights and average, no steps done.
template <class Encoder, backend B>
void read_weights(const checkpoint& from, trainer<Encoder, B>& t) {
  using A = accum_t<B>;
  const auto shapes = parameter_shapes(t.model().config());
  const auto sources = from.match(shapes);
  t.optimizer().each_state([&](const std::string& name, const shape& s, mat<A> m) {
    for (std::string_view prefix : {"weights.", "average."})
      for (std::size_t i = 0; name.starts_with(prefix) && i < shapes.size(); ++i)
        if (shapes[i].first == name.substr(prefix.size())) {
          std::vector<float> values(static_cast<std::size_t>(s.count()));
          sources[i].read(values);
          t.model().device().upload(mat<const float>(values.data(), m.rows, m.cols), m);
          t.model().device().sync();
        }
  });
  t.restored(0);
}

/// Writes what training has yielded so far (the average where one is kept, else the weights) to a folder that is there, in
/// open_clip's layout, which load() and `--model` take: weights in f32, vocab.json, merges.txt, open_clip_config.json. Each file is
/// written whole or not at all, the config last.
template <class Encoder, backend B>
void write_model(const std::string& folder, trainer<Encoder, B>& t, const checkpoint_config& config, const tokenizer& text) {
  const std::string_view prefix = t.options().optimizer.average > 0 ? "average." : "weights.";
  t.fit_average();
  detail::write_state(
      folder + "/open_clip_model.safetensors", t,
      [&](const std::string& name) { return name.starts_with(prefix) ? name.substr(prefix.size()) : std::string(); }, dtype::f32,
      {{"format", "pt"}});
  write_file(folder + "/vocab.json", text.vocab_text());
  write_file(folder + "/merges.txt", text.merges_text());
  write_file(folder + "/open_clip_config.json", open_clip_config_text(config));
}

}  // namespace clipx
