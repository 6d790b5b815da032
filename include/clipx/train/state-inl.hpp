// Definitions of state.hpp.
#pragma once
#include <charconv>

#include "state.hpp"

namespace clipx::detail {

CLIPX_INLINE std::vector<stored_tensor> open_clip_tensors(const clip_config& config, const std::string& name, const shape& s) {
  return stored_tensors(source_of(config, name, layout::open_clip), s);
}

CLIPX_INLINE void write_model_files(const std::string& folder, const checkpoint_config& config, const tokenizer& text) {
  for (auto& [name, bytes] : text.files()) write_file(folder + "/" + name, bytes);
  write_file(folder + "/open_clip_config.json", open_clip_config_text(config));
}

CLIPX_INLINE dim steps_of(const safetensors& file, const std::string& path) {
  std::string steps;
  for (auto& [name, value] : file.metadata())
    if (name == "steps") steps = value;
  expect(!steps.empty(), error_kind::damaged,
         [&] { return cat(path, ": expected the state of a training run, got a file without \"steps\""); });
  dim count = -1;
  const auto read = std::from_chars(steps.data(), steps.data() + steps.size(), count);
  expect(read.ec == std::errc{} && read.ptr == steps.data() + steps.size() && count >= 0 && count <= dim{1} << 53,
         error_kind::damaged, [&] { return cat(path, ": expected a number of steps, got \"", steps, "\""); });
  return count;
}

CLIPX_INLINE void check_described(const named_shapes& parameters, const checkpoint_config& config, const tokenizer& text) {
  check_config(config);
  const auto expected = parameter_shapes(config.model);
  issue_list issues(error_kind::mismatch);
  std::size_t i = 0;
  for (auto& [name, s] : parameters) {
    if (i >= expected.size()) issues.add(cat("not described: ", name, " ", s.text()));
    else if (expected[i].first != name || expected[i].second != s)
      issues.add(cat("described: ", expected[i].first, " ", expected[i].second.text(), ", the model has ", name, " ", s.text()));
    ++i;
  }
  for (; i < expected.size(); ++i) issues.add(cat("described: ", expected[i].first, ", the model has no such parameter"));
  const dim rows = config.model.text.vocab_size;
  const bool fits = text.vocab_size() == rows || (text.vocab_size() < rows && config.text.allows_spare_rows());
  if (config.model.vision.policy().has_text() && !fits)
    issues.add(cat("the text tower has ", config.model.text.vocab_size, " tokens, the tokenizer ", text.vocab_size()));
  issues.raise("the model is not what its configuration describes", 24);
}

}  // namespace clipx::detail
