// clipx-bench loss: the contrastive loss of N matching pairs and its gradients, features and gradients in the device's memory.
#include <clipx/clipx.hpp>
#include <cmath>
#include <memory>
#include <random>

#include "devices.hpp"

namespace bench {
namespace {
using clipx::dim;
using clipx::mat;

struct options {
  device_options device;
  timing time;
  dim n = 1024, width = 512, tile = 0;
  bool forward = false;
  std::string input, out;
};

/// Images' features, then texts': (2n, width).
std::vector<float> features(const options& o) {
  std::vector<float> values(static_cast<std::size_t>(2 * o.n * o.width));
  if (o.input.empty()) {
    std::mt19937 bits(1);
    std::normal_distribution<float> normal;
    for (auto& v : values) v = normal(bits);
    return values;
  }
  auto array = clipx::read_npy(o.input);
  clipx::expect(array.shape == std::vector<dim>{2 * o.n, o.width},
                [&] { return clipx::cat(o.input, ": expected shape (", 2 * o.n, ", ", o.width, ")"); });
  return std::move(array.values);
}

template <class B>
void loss(B& device, const options& o) {
  using T = clipx::scalar_t<B>;
  using A = clipx::accum_t<B>;
  const auto rows = device.template alloc<T>(2 * o.n * o.width);
  const auto scales = device.template alloc<A>(2);  // log scale, and its gradient
  const mat<T> x(rows.data(), 2 * o.n, o.width);
  const mat<A> scale(scales.data(), 1, 1), d_scale(scales.data() + 1, 1, 1);
  {
    const auto values = features(o);
    const float start = std::log(1 / 0.07f);
    device.upload(mat<const float>(values.data(), 2 * o.n, o.width), x);
    device.upload(mat<const float>(&start, 1, 1), scale);
    device.sync();
  }
  float value = 0;
  clipx::contrastive::loss<B> contrastive, grad;
  contrastive.logit_scale = scale;
  grad.logit_scale = d_scale;
  // use(loss, gradient of the images' features) while the step that holds their memory is there
  const auto work = [&](auto&& use) {
    clipx::step<B> s(device);
    const clipx::pair_features<B> pairs{.image = x.row_range(0, o.n), .text = x.row_range(o.n, o.n), .tile = o.tile};
    mat<T> d_image, d_text;  // (n, width)
    if (!o.forward) {
      d_image = s.make(o.n, o.width);
      d_text = s.make(o.n, o.width);
    }
    use(o.forward ? contrastive.forward(s, pairs) : contrastive.backward(s, pairs, grad, d_image, d_text), d_image);
    device.sync();
  };
  const double start = now();
  std::vector<float> gradient;
  work([&](mat<A> result, mat<T> d_image) {
    device.download(mat<const A>(result), mat<float>(&value, 1, 1));
    if (o.out.empty() || o.forward) return;
    gradient.resize(static_cast<std::size_t>(o.n * o.width));
    device.download(mat<const T>(d_image), mat<float>(gradient.data(), o.n, o.width));
  });
  if (!gradient.empty()) clipx::write_npy(o.out, gradient, {o.n, o.width});
  const json facts{{"n", o.n}, {"width", o.width}, {"tile", o.tile}, {"loss", value}, {"first_ms", (now() - start) * 1e3}};
  const double flops = 2.0 * static_cast<double>(o.n) * static_cast<double>(o.n) * static_cast<double>(o.width) *
                       (o.forward                    ? 1
                        : o.tile > 0 && o.tile < o.n ? 4
                                                     : 3);
  o.time.report(
      facts, [&] { work([](mat<A>, mat<T>) {}); },
      [&](json& line) {
        add_memory(line, device, 0);
        add_rate(line, flops, o.device);
      });
}
}  // namespace

void add_loss(cli::command& app, std::function<void()>& run) {
  auto* verb = app.add_subcommand("loss", "The contrastive loss and its gradients.");
  auto o = std::make_shared<options>();
  verb->add_option("--n", o->n, "pairs")->check(cli::positive_number());
  verb->add_option("--dim", o->width, "width of the features")->check(cli::positive_number());
  verb->add_option("--tile", o->tile, "rows and columns of the logits that exist at once; 0: all")
      ->check(cli::non_negative_number());
  verb->add_flag("--forward", o->forward, "without the gradients");
  verb->add_option("--input", o->input, "features, (2 n, dim) .npy: images', then texts' (default: random)");
  verb->add_option("--out", o->out, "gradient of the images' features as .npy");
  o->device.add(*verb);
  o->time.add(*verb);
  verb->callback([=, &run] { run = [=] { with_device(o->device, [&](auto& device) { loss(device, *o); }); }; });
}

}  // namespace bench
