// An architecture and a loss from outside include/: trained on every backend, saved, loaded and evaluated.
#pragma once
#include <clipx/architectures/list.hpp>
#include <clipx/checkpoint/pretrained.hpp>
#include <clipx/core/bf16.hpp>
#include <clipx/train/state.hpp>
#include <clipx/zero_shot/accuracy.hpp>
#include <clipx/zero_shot/rank.hpp>

#include "../unit/tiny_model.hpp"
#include "harness.hpp"

namespace outside {

using clipx::dim, clipx::mat, clipx::scalar_t, clipx::accum_t;

struct flat_image;

/// Sizes of an image tower that is one matrix over all pixels of an image.
struct flat_config {
  using policy = flat_image;
  static constexpr std::string_view name = "FlatImage";
  dim image_size = 4;
  bool operator==(const flat_config&) const = default;
};

template <clipx::backend_types B>
struct flat_tower {
  using T = scalar_t<B>;
  clipx::linear<B> fc;
  flat_config config;

  flat_tower() = default;
  explicit flat_tower(const clipx::clip_config& c)
      : fc(3 * c.vision.as<flat_config>().image_size * c.vision.as<flat_config>().image_size, c.embed_dim),
        config(c.vision.as<flat_config>()) {}
  template <class V>
  void visit(V& v) {
    v("fc", fc);
  }
  struct saved {
    mat<const T> x;  // (N, 3 n n)
  };
  mat<T> forward(clipx::step<B>& s, mat<const T> pixels, saved& k, bool /*training*/ = false,
                 std::span<const std::int32_t> patches = {}) const {
    clipx::expect(patches.empty(), "a flat image has no patches");
    const dim N = pixels.rows / (config.image_size * config.image_size);
    k.x = pixels.reshape(N, fc.in);
    auto y = s.make(N, fc.out);  // (N, D)
    fc.forward(s, k.x, y);
    return y;
  }
  void backward(clipx::step<B>& s, const saved& k, mat<const T> dy, flat_tower& grad) const { fc.backward(s, k.x, dy, grad.fc); }
};

struct flat_image {
  using config = flat_config;
  using text = clipx::causal_text;
  template <clipx::backend_types B>
  using tower = flat_tower<B>;
  static constexpr clipx::adam_defaults optimizer{.beta2 = 0.98, .eps = 1e-6};
  static constexpr std::string_view telltale = "visual.fc.weight";

  static bool claims(clipx::layout, const clipx::fields&, const clipx::fields& vision) { return vision.has("flat"); }
  static config read(clipx::tower_reader& r) {
    r.tower.only("flat", true);
    return {.image_size = r.tower.size("image_size", 4)};
  }
  static void write(const config& v, const clipx::clip_config&, clipx::layout, clipx::field_writer& to) {
    to.put("flat", true);
    to.put("image_size", v.image_size);
  }
  static config infer(clipx::shape_reader& r) {
    config v;
    const dim pixels = r.sizes("visual.fc.weight", 2)[1] / 3;
    while (v.image_size * v.image_size < pixels) ++v.image_size;
    return v;
  }
  static void check(const config& v, clipx::issue_list& issues) {
    if (v.image_size > 64) issues.add("flat image: at most 64 pixels a side");
  }
  static clipx::key_source source_of(std::string_view name, clipx::layout) { return {{clipx::cat("visual.", name)}}; }
  static clipx::initial_values initial(std::string_view name, const clipx::shape& s, const config&) {
    return name == "fc.bias" ? clipx::initial_values{} : clipx::fan_in(s.cols());
  }
  static std::vector<clipx::model_fact> facts(const config& v) { return {{"pixels", v.image_size * v.image_size}}; }
  static std::span<const clipx::clip_config> presets() { return {}; }
  static double flops(const config& v, const clipx::clip_config& c) {
    return 6 * static_cast<double>(v.image_size * v.image_size * c.embed_dim);
  }
};

/// The mean of |x - y|^2 / 2 over pairs of L2-normalized features, and (offset - 1)^2 / 2 for a parameter of its own.
struct alignment {
  struct config {
    using policy = alignment;
    static constexpr std::string_view name = "alignment";
    double offset = 3;
    bool operator==(const config&) const = default;
  };
  template <clipx::backend_types B>
  struct loss;
  static bool claims(const clipx::fields& model) { return model.has("alignment_offset"); }
  static constexpr std::string_view telltale = "offset";
  static config read(clipx::fields& model) { return {model.number("alignment_offset", 3)}; }
  static void write(const config& c, clipx::field_writer& model) { model.put("alignment_offset", c.offset); }
  static std::vector<std::pair<std::string, clipx::shape>> shapes() { return {{"offset", {}}}; }
  static clipx::initial_values initial(std::string_view, const config& c) { return clipx::initial_values::constant(c.offset); }
  static void score(std::span<double> cosines, std::span<const double>) {
    for (double& c : cosines) c = (1 + c) / 2;
  }
  static void add_pair_loss(clipx::cosine_at at, dim n, dim N, std::span<const double>, double& mean) {
    for (dim i = 0; i < n; ++i) mean += (1 - at(i, i)) / static_cast<double>(N);
  }
};

template <clipx::backend_types B>
struct alignment::loss {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<A> offset;  // (1, 1)
  template <class V>
  void visit(V& v) {
    v("offset", offset, {});
  }
  mat<A> forward(clipx::step<B>& s, const clipx::pair_features<B>& f) const { return run(s, f, nullptr, {}, {}); }
  mat<A> backward(clipx::step<B>& s, const clipx::pair_features<B>& f, loss& grad, mat<T> d_image, mat<T> d_text) const {
    return run(s, f, &grad, d_image, d_text);
  }
  void clamp(B& device) { device.clamp(offset, -100, 100); }

 private:
  mat<A> run(clipx::step<B>& s, const clipx::pair_features<B>& f, loss* grad, mat<T> d_image, mat<T> d_text) const {
    const dim N = f.image.rows, D = f.image.cols;
    auto out = s.make_accum(1, 1), gap = s.make_accum(1, 1);                                    // (1, 1)
    auto x = s.make_accum(N, D), y = s.make_accum(N, D), diff = s.make_accum(N, D);             // (N, D)
    auto x_norm = s.make_accum(N, 1), y_norm = s.make_accum(N, 1), minus = s.make_accum(N, D);  // (N, 1), (N, D)
    B& d = s.device;
    d.normalize(f.image, x, x_norm);
    d.normalize(f.text, y, y_norm);
    d.copy(mat<const A>(x), diff);
    d.add(A(-1), mat<const A>(y), A(1), diff);
    d.fill(out, A(0));
    d.sum_squares(mat<const A>(diff.reshape(1, N * D)), out);
    d.fill(gap, A(-1));
    d.add(A(1), mat<const A>(offset), A(1), gap);
    auto half = s.make_accum(1, 1);
    d.copy(mat<const A>(out), half);
    d.fill(out, A(0));
    d.sum_squares(mat<const A>(gap), out);
    d.add(A(1.0 / (2.0 * static_cast<double>(N))), mat<const A>(half), A(0.5), out);
    if (!grad) return out;
    d.add(A(1), mat<const A>(gap), A(1), grad->offset);
    const A per_pair = A(1.0 / static_cast<double>(N));
    d.copy(mat<const A>(diff), minus);
    d.add(A(0), mat<const A>(diff), per_pair, diff);
    d.normalize_backward(mat<const A>(x), mat<const A>(x_norm), mat<const A>(diff), d_image);
    d.add(A(0), mat<const A>(minus), -per_pair, minus);
    d.normalize_backward(mat<const A>(y), mat<const A>(y_norm), mat<const A>(minus), d_text);
    return out;
  }
};

inline clipx::checkpoint_config tiny_config() {
  clipx::checkpoint_config c = tiny::vit();
  c.model.vision = flat_config{.image_size = 4};
  c.model.loss = alignment::config{};
  c.pixels.size = 4;
  c.pixels.mean = {0.2f, 0.3f, 0.4f};
  return c;
}

}  // namespace outside

#ifdef CATCH_VERSION_MAJOR
TEST_CASE("an architecture and a loss from outside train, save, load and score") {
  using B = std::remove_reference_t<decltype(device())>;
  using clipx::dim;
  auto& d = device();
  const auto config = outside::tiny_config();
  const temporary_folder dir;
  clipx::write_file(dir / "merges.txt", tiny::merges);
  const auto text = clipx::tokenizer::from_merges(dir / "merges.txt", config.text);
  clipx::trainer_options o;
  o.schedule = {1e-2, 0, 100};
  clipx::trainer<outside::flat_image, B, outside::alignment> t(d, config, o);
  const std::vector<std::string> captions{"the cat", "red", "of an", "cat of the"};
  std::vector<std::vector<std::int32_t>> ids;
  for (auto& caption : captions) ids.push_back(text(caption));
  std::vector<std::uint8_t> rgb;
  for (unsigned i = 0; i < 4 * 4 * 4 * 3; ++i) rgb.push_back(static_cast<std::uint8_t>(i * 2654435761u >> 20));
  t.step(rgb, ids);
  const double first = t.loss();
  while (t.count() < 30) t.step(rgb, ids);
  CAPTURE(first, t.loss());
  CHECK(t.loss() < 0.7 * first);
  CHECK(t.score().parameters()[0] < 3);

  std::filesystem::create_directories(dir / "model");
  clipx::write_model(dir / "model", t, text);
  const auto unknown = message([&] { clipx::checkpoint::open(dir / "model"); });  // clipx's own lists do not know them
  CAPTURE(unknown);
  CHECK(unknown.find("flat") != std::string::npos);
  clipx::checkpoint_options options;
  options.policies.losses = {&clipx::loss_policy::of<outside::alignment>()};
  const auto model = clipx::load<outside::flat_image>(d, dir / "model", options);
  CHECK(model.source().config().vision == config.model.vision);
  CHECK(model.source().pixels().mean == config.pixels.mean);
  CHECK(model.score().loss().name() == "alignment");
  CHECK(std::abs(model.score().parameters()[0] - t.score().parameters()[0]) < 1e-6);
  const auto images = model.encode_pixels(rgb), texts = model.encode_text(captions);
  const auto before = clipx::embed_pixels(t.model().towers, rgb, config.pixels.mean, config.pixels.std);
  double worst = 0;  // the file holds float32
  for (std::size_t i = 0; i < images.values.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(images.values[i]) - static_cast<double>(before.values[i])));
  CHECK(worst <= (std::is_same_v<clipx::scalar_t<B>, clipx::bf16> ? 0x1p-7 : 1e-6));
  const auto scores = clipx::cosines(d, images, texts);
  const std::vector<dim> labels{0, 1, 2, 3};
  using A = clipx::accum_t<B>;
  CHECK(clipx::evaluate_zero_shot<A>(scores, labels, 4).images == 4);
  const auto best = clipx::rank(std::span<const A>(scores).first(4), model.score());
  CHECK(best[0].second == (1 + static_cast<double>(scores[static_cast<std::size_t>(best[0].first)])) / 2);
  CHECK(clipx::with_model<clipx::type_list<outside::flat_image>>(
            d, dir / "model", [](const auto& loaded) { return loaded.model().visual.config.image_size; }, options) == 4);
}
#endif
