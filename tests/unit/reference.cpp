#include "reference.hpp"

#include <clipx/clipx.hpp>
#include <clipx/eigen.hpp>
#include <clipx/run/load_any.hpp>

namespace reference {

using namespace clipx;

any_model in_double(const std::string& folder) { return load_any<eigen<double>>(checkpoint::open(folder)); }
any_model in_float(const std::string& folder) { return load_any<eigen<float>>(checkpoint::open(folder)); }

std::vector<double> images(const std::string& folder, const std::vector<std::string>& files) {
  eigen<double> device;
  const auto model = load<vit>(device, folder);
  std::vector<double> out;
  for (auto& file : files) {
    const auto e = model.encode_image(read_image(file));
    out.insert(out.end(), e.values.begin(), e.values.end());
  }
  return out;
}

std::vector<double> texts(const std::string& folder, const std::vector<std::string>& texts) {
  eigen<double> device;
  return load<vit>(device, folder).encode_text(texts).values;
}

std::vector<double> probabilities(const std::string& folder, const std::string& image, const std::vector<std::string>& labels) {
  eigen<double> device;
  const auto model = load<vit>(device, folder);
  const auto encode = [&](std::span<const std::string> t) { return model.encode_text(t); };
  const auto classes = make_classifier(make_prompts(labels, default_templates()), encode);
  std::vector<double> p(labels.size());
  for (auto [label, value] : rank(model, model.encode_image(read_image(image)), classes.weights))
    p[static_cast<std::size_t>(label)] = value;
  return p;
}

}  // namespace reference
