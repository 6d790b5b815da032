// One model on one device, asked by many threads at once: every answer has the bits of a serial run.
#pragma once
#include <clipx/checkpoint/pretrained.hpp>
#include <functional>
#include <mutex>
#include <thread>

#include "golden_file.hpp"

namespace cases {

/// What is wrong with the answers of `threads` threads, each of which asks for images and texts in an order of its own, `rounds`
/// times.
template <class Encoder, class Backend>
std::vector<std::string> ask_in_threads(Backend& d, const std::string& name, std::size_t threads, std::size_t rounds) {
  using answer = std::vector<clipx::accum_t<Backend>>;
  const std::string folder = CLIPX_SOURCE_DIR "/tests/golden/models/" + name;
  const auto model = clipx::load<Encoder>(d, folder);
  const auto tokens = golden_file(folder + "/golden.safetensors").tokens();
  const auto n = static_cast<std::size_t>(clipx::image_size(model.source().config()).area());
  std::vector<std::uint8_t> rgb(3 * n * 3);
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<std::uint8_t>(i * 2654435761u >> 20);
  std::vector<std::function<answer()>> questions;
  for (std::size_t images : {1u, 3u, 2u})
    questions.push_back([&, images] { return model.encode_pixels(std::span(rgb).first(images * n * 3)).values; });
  for (dim at_once : {4096, 1})
    questions.push_back([&, at_once] { return clipx::embed_tokens(model.model(), tokens, at_once).values; });

  std::vector<answer> want;
  for (auto& ask : questions) want.push_back(ask());
  std::mutex guard;
  std::vector<std::string> wrong;
  const auto work = [&](std::size_t thread) {
    for (std::size_t i = 0; i < rounds * questions.size(); ++i) {
      const std::size_t q = (i + thread) % questions.size();
      std::string what;
      try {
        if (questions[q]() != want[q]) what = "other bits";
      } catch (const std::exception& e) { what = e.what(); }
      if (what.empty()) continue;
      const std::lock_guard lock(guard);
      wrong.push_back(clipx::cat(name, ", thread ", thread, ", question ", q, ": ", what));
    }
  };
  std::vector<std::thread> all;
  for (std::size_t t = 0; t < threads; ++t) all.emplace_back(work, t);
  for (auto& t : all) t.join();
  return wrong;
}

}  // namespace cases

#ifdef CATCH_VERSION_MAJOR
TEST_CASE("threads that share a model get the answers of a serial run") {
  const std::size_t rounds = backend_t::fast::replay ? 1 : 4;  // emulated devices are slow
  for (auto* name : {"vit_quick_gelu", "hf_eos"})
    CHECK(cases::ask_in_threads<clipx::vit>(device(), name, 8, rounds) == std::vector<std::string>{});
  CHECK(cases::ask_in_threads<clipx::modified_resnet>(device(), "resnet", 8, rounds) == std::vector<std::string>{});
}
#endif
