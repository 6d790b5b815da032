// engine over a backend: each unit that includes this instantiates the towers for one device type.
#pragma once
#include <clipx/zero_shot/pretrained.hpp>

#include "engine.hpp"

namespace cli {

template <class Encoder, class B>
class engine_of final : public engine {
 public:
  using A = clipx::accum_t<B>;
  template <class... DeviceOptions>
  engine_of(clipx::checkpoint c, DeviceOptions&&... options)
      : engine(std::move(c)), device_(std::forward<DeviceOptions>(options)...), model_(clipx::load<Encoder>(device_, source_)) {}

  clipx::embeddings<double> images(std::span<const std::uint8_t> rgb) override { return widen(model_.encode_pixels(rgb)); }
  clipx::embeddings<double> texts(std::span<const std::string> texts) override { return widen(model_.encode_text(texts)); }
  std::vector<double> cosines(const clipx::embeddings<double>& x, const clipx::embeddings<double>& y) override {
    const auto c = clipx::cosines(device_, narrow(x), narrow(y));
    return {c.begin(), c.end()};
  }
  double log_scale() override { return model_.log_scale(); }
  std::optional<double> logit_bias() override { return model_.logit_bias(); }
  engine_memory memory() override { return {model_.bytes(), device_.memory().peak(), device_.memory().capacity()}; }

 private:
  static clipx::embeddings<double> widen(const clipx::embeddings<A>& e) { return {{e.values.begin(), e.values.end()}, e.cols}; }
  static clipx::embeddings<A> narrow(const clipx::embeddings<double>& e) {
    clipx::embeddings<A> out{{}, e.cols};
    for (double v : e.values) out.values.push_back(static_cast<A>(v));
    return out;
  }
  B device_;
  clipx::pretrained<Encoder, B> model_;
};

template <class B, class... DeviceOptions>
std::unique_ptr<engine> make(clipx::checkpoint c, DeviceOptions... options) {
  if (c.config().vision.is_resnet()) return std::make_unique<engine_of<clipx::modified_resnet, B>>(std::move(c), options...);
  return std::make_unique<engine_of<clipx::vit, B>>(std::move(c), options...);
}

}  // namespace cli
