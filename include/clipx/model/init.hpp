// Initialisation as OpenAI and open_clip do it (spec section 9.3). Drawn on the host, so equal on every backend.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "clip.hpp"

namespace clipx {

namespace detail {
/// The values of one tensor after another, from a seed.
class initial_draws {
 public:
  explicit initial_draws(std::uint64_t seed);
  ~initial_draws();
  void fill(const std::string& name, const shape& s, const clip_config& c, std::span<float> values);

 private:
  struct generator;
  std::unique_ptr<generator> generator_;
};
}  // namespace detail

/// Fills every parameter from a seed.
template <class Encoder, backend B>
void initialise(clip<Encoder, B>& model, std::uint64_t seed) {
  detail::initial_draws draws(seed);
  std::vector<float> values;
  walk(model, [&]<class E>(const std::string& name, mat<E>& m, const shape& s, role) {
    values.resize(static_cast<std::size_t>(s.count()));
    draws.fill(name, s, model.config(), values);
    model.device().upload(mat<const float>(values.data(), m.rows, m.cols), m);
  });
}

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "init-inl.hpp"
#endif
