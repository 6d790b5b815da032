// The loss of Visual N-Grams: every backend against eigen<double>, gradients against the complex step, and what must hold of it.
#pragma once
#include <clipx/loss/ngrams.hpp>

#include "harness.hpp"

namespace cases {

/// Captions over a dictionary of 6 unigrams, 4 bigrams and 3 trigrams: unknown words (13), captions shorter than a trigram, one of
/// unknown words alone, n-grams that come twice, columns that nobody has.
inline clipx::packed_texts few_captions(dim N) {
  const std::vector<std::vector<std::int32_t>> rows{
      {0, 1, 6, 2, 7, 10}, {3}, {13, 13}, {0, 13, 1, 5, 8, 5}, {2, 2, 9, 4, 12, 0, 1, 6}};
  clipx::packed_texts out;
  for (dim i = 0; i < N; ++i) {
    const auto& row = rows[static_cast<std::size_t>(i) % rows.size()];
    out.ids.insert(out.ids.end(), row.begin(), row.end());
    out.lengths.push_back(static_cast<std::int32_t>(row.size()));
  }
  out.positions.resize(out.ids.size());
  return out;
}

struct ngram_case {
  dim N = 7, D = 16;
  clipx::ngram_smoothing smoothing = clipx::ngram_smoothing::jelinek_mercer;
  bool batch_only = false;
  dim tile = 0;
  static constexpr dim V = 13;
  static clipx::ngrams::config config(clipx::ngram_smoothing smoothing, bool batch_only) {
    return {{.orders = {6, 4, 3}, .smoothing = smoothing, .lambda = 0.3, .batch_only = batch_only}};
  }
  std::string name() const {
    return clipx::cat("n-grams ", N, "x", D, smoothing == clipx::ngram_smoothing::none ? " naive" : " Jelinek-Mercer",
                      batch_only ? ", of the batch" : "", tile ? clipx::cat(", tile ", tile) : "");
  }
  double reduction() const { return static_cast<double>(std::max(V, D)); }
  double constant() const { return 16; }

  template <class B>
  void run(harness<B>& h) const {
    auto u = h.input("u", N, D), table = h.input("table", V, D, 0.5);
    const auto captions = few_captions(N);
    using loss_type = clipx::ngrams::loss<B>;
    loss_type loss(config(smoothing, batch_only)), grad;
    const clipx::pair_features<B> features{.image = u, .text = table, .captions = &captions, .tile = tile};
    h.output("loss", loss.forward(h.s, features));
    if constexpr (!harness<B>::is_complex) {
      auto du = h.s.make(N, D), d_table = h.s.zeros(V, D);
      h.output("loss with gradients", loss.backward(h.s, features, grad, du, d_table));
      h.gradient("u", du);
      h.gradient("table", d_table);
    }
  }
};

template <class F>
void each_ngram_case(F&& f) {
  for (auto smoothing : {clipx::ngram_smoothing::none, clipx::ngram_smoothing::jelinek_mercer})
    for (bool batch_only : {false, true})
      for (dim tile : {0, 4, 5, 13}) f(ngram_case{7, 16, smoothing, batch_only, tile});
  f(ngram_case{1, 8});
  f(ngram_case{70, 40, clipx::ngram_smoothing::jelinek_mercer, false, 6});
}

}  // namespace cases

#ifdef CATCH_VERSION_MAJOR
#include <clipx/architectures/list.hpp>
#include <clipx/checkpoint/pretrained.hpp>
#include <clipx/run/any_model_of.hpp>
#include <clipx/train/state.hpp>
#include <clipx/train/trained_model.hpp>

#include "../unit/tiny_model.hpp"
#include "driver.hpp"
#include "golden_file.hpp"

TEST_CASE("n-gram losses against eigen<double>") {
  cases::each_ngram_case([](const auto& c) { cases::test(device(), c); });
}

TEST_CASE("n-gram losses: captions without a known word give no loss and no gradient") {
  using B = std::remove_reference_t<decltype(device())>;
  using T = clipx::scalar_t<B>;
  cases::harness<B> h(device(), cases::rounding_of<T>());
  auto u = h.input("u", 2, 8), table = h.input("table", 13, 8);
  clipx::packed_texts captions;
  captions.ids = captions.positions = {13, 13, 13};
  captions.lengths = {1, 2};
  clipx::ngrams::loss<B> loss(cases::ngram_case::config(clipx::ngram_smoothing::jelinek_mercer, true)), grad;
  auto du = h.s.make(2, 8), d_table = h.s.zeros(13, 8);
  device().fill(du, T(1));
  h.output("loss", loss.backward(h.s, {.image = u, .text = table, .captions = &captions}, grad, du, d_table));
  h.output("du", du);
  h.output("d table", d_table);
  for (auto& [name, values] : h.outputs)
    for (double v : values) CHECK(v == 0);
}

namespace cases {

inline clipx::ngram_dictionary few_ngrams() {
  return clipx::ngram_dictionary::from_counts({{"[BEGIN]", 4},
                                               {"[END]", 4},
                                               {"a", 5},
                                               {"cat", 3},
                                               {"red", 2},
                                               {"house", 1},
                                               {"a cat", 2},
                                               {"red house", 1},
                                               {"[BEGIN] a", 3},
                                               {"a red house", 1}});
}

/// Image i of four is dark, red, green or blue.
inline std::vector<std::uint8_t> four_images(const clipx::extent& n) {
  std::vector<std::uint8_t> rgb;
  for (unsigned i = 0; i < 4; ++i)
    for (dim p = 0; p < n.area(); ++p)
      for (unsigned c = 0; c < 3; ++c) rgb.push_back(static_cast<std::uint8_t>(c + 1 == i ? 200 : 30 + 5 * (p % 7)));
  return rgb;
}

/// Trains the image tower of a configuration with n-grams, and asks what is loaded again.
template <class Architecture, class B>
void train_ngrams(B& d, clipx::checkpoint_config config, clipx::ngram_smoothing smoothing, bool batch_only) {
  INFO(config.model.vision.policy().name());
  const auto dictionary = few_ngrams();
  clipx::ngrams::config loss{{.orders = dictionary.orders(), .smoothing = smoothing, .batch_only = batch_only}};
  config.model = clipx::with_ngrams(config.model, loss);
  config.text.context_length = config.model.text.context_length;
  const auto text = clipx::tokenizer::from_ngrams(dictionary);
  const std::vector<std::string> captions{"A cat!", "a red house", "the red, red cat", "a cat"};
  std::vector<std::vector<std::int32_t>> ids;
  for (auto& caption : captions) ids.push_back(text(caption));
  const auto rgb = four_images(clipx::image_size(config.model));
  clipx::trainer_options o;
  o.schedule = {1e-2, 0, 100};
  clipx::trainer<Architecture, B, clipx::ngrams> t(d, config, o);
  t.step(rgb, ids);
  const double first = t.loss();
  while (t.count() < 20) t.step(rgb, ids);
  CAPTURE(first, t.loss());
  CHECK(t.loss() < 0.8 * first);

  const temporary_folder dir;
  clipx::write_model(dir.path.string(), t, text);
  t.step(rgb, ids);
  const double loss_then = t.loss();  // of the weights that were written
  auto source = clipx::checkpoint::open(dir.path.string());
  CHECK(source.config().vision == config.model.vision);
  CHECK(source.config().loss == config.model.loss);
  CHECK(source.text().ngrams()->text() == dictionary.text());
  const auto summary = source.summary();
  CHECK_THAT(summary, Contains("VisualNGrams") && Contains("\"ngrams\":10"));
  source.write(dir / "copy", clipx::layout::open_clip, "bf16");
  CHECK(clipx::checkpoint::open(dir / "copy").text().ngrams()->text() == dictionary.text());
  CHECK_THAT(message([&] { source.write(dir / "hf", clipx::layout::hf, "f32"); }), Contains("Hugging Face's layout has no"));
  const auto model = clipx::load<Architecture>(d, source);
  auto any = clipx::borrow_any(d, model, model.source());
  const auto rows = any.encode_pixels(rgb);
  const auto images = any.keep(rows);
  const auto values = [](const clipx::any_rows& r) {
    return std::visit([](auto& v) { return host(v.begin(), v.end()); }, r.values);
  };
  const double tolerance = std::is_same_v<clipx::scalar_t<B>, clipx::bf16> ? 0.03 : 1e-4;
  if (!batch_only) {  // the loss of training is minus the mean log-probability of the captions
    const auto log_p = values(any.caption_log_probabilities(captions, images));
    double mean = 0;
    for (std::size_t i = 0; i < 4; ++i) mean -= log_p[i * 4 + i] / 4;
    CAPTURE(mean, loss_then);
    CHECK(std::abs(mean - loss_then) <= tolerance * loss_then);
  }
  // A phrase's probability by hand, from those of its n-grams.
  const auto tags = any.tags(rows, 10);
  REQUIRE(tags[0].size() == 7);  // without those of [BEGIN] and [END]
  const auto log_p_of = [&](std::size_t image, const char* words) {
    for (auto& [id, score] : tags[image])
      if (dictionary.words(id) == words) return score;
    FAIL("no tag " << words);
    return 0.0;
  };
  const std::vector<std::string> names{"red house", "blue house", "cat", "dog"};
  const std::vector<std::string> as_is{"{}"};
  const auto classes = any.keep_classes(clipx::make_prompts(names, as_is));
  const auto scores = any.scores(rows, classes);
  const auto s = values(scores);
  for (std::size_t i = 0; i < 4; ++i) {
    const double house = std::exp(log_p_of(i, "house")), both = std::exp(log_p_of(i, "red house"));
    const bool naive = smoothing == clipx::ngram_smoothing::none;
    CHECK(std::abs(s[i * 4] - std::log(naive ? both : 0.2 * both + 0.8 * house)) < 2e-3);
    CHECK(std::abs(s[i * 4 + 1] - std::log((naive ? 0.2 : 0.8) * house)) < 2e-3);  // back-off
    CHECK(std::abs(s[i * 4 + 2] - log_p_of(i, "cat")) < 2e-3);
    CHECK(s[i * 4 + 3] == -std::numeric_limits<double>::infinity());  // nobody has said "dog"
  }
  const std::vector<std::string> strangers{"dog", "red bird"};
  CHECK_THAT(message([&] { any.keep_classes(clipx::make_prompts(strangers, as_is)); }), Contains("\"dog\""));
  const auto ranked = any.rank(scores, 1);
  CHECK(ranked.back() == std::pair<dim, double>(3, 0));
  CHECK_THAT(message([&] { any.encode_text(captions); }), Contains("no embeddings of texts"));
}

}  // namespace cases

TEST_CASE("Visual N-Grams train, save, load and score") {
  using namespace cases;
  using clipx::ngram_smoothing;
  train_ngrams<clipx::with_text<clipx::vit, clipx::ngram_table>>(device(), tiny::vit(), ngram_smoothing::jelinek_mercer, false);
  train_ngrams<clipx::with_text<clipx::modified_resnet, clipx::ngram_table>>(device(), tiny::resnet(), ngram_smoothing::none, true);
}

#ifdef CLIPX_REFERENCE
TEST_CASE("gradients of the n-gram losses against the complex step") {
  cases::each_ngram_case([](const auto& c) { cases::grad(c); });
}

TEST_CASE("the naive n-gram loss is one dense softmax count") {  // dL/dz = (M p - counts) / N (docs/clip.md section 12)
  using namespace cases;
  clipx::eigen<double> d;
  harness<clipx::eigen<double>> h(d, to_float);
  const ngram_case c{7, 16, clipx::ngram_smoothing::none};
  c.run(h);
  const auto captions = few_captions(c.N);
  const auto u = draw("u", c.N * c.D, 1), table = draw("table", c.V * c.D, 0.5);
  host du(u.size());
  double loss = 0;
  std::size_t at = 0;
  for (dim i = 0; i < c.N; ++i) {
    const auto row = [&](const host& x, dim r, dim k) { return to_float(x[static_cast<std::size_t>(r * c.D + k)]); };
    host z(static_cast<std::size_t>(c.V)), counts(z.size());
    double sum = 0, M = 0;
    for (dim w = 0; w < c.V; ++w) {
      for (dim k = 0; k < c.D; ++k) z[static_cast<std::size_t>(w)] += row(u, i, k) * row(table, w, k);
      sum += std::exp(z[static_cast<std::size_t>(w)]);
    }
    for (const std::size_t end = at + static_cast<std::size_t>(captions.lengths[static_cast<std::size_t>(i)]); at < end; ++at)
      if (captions.ids[at] < c.V) {
        counts[static_cast<std::size_t>(captions.ids[at])] += 1;
        M += 1;
      }
    for (dim w = 0; w < c.V; ++w) {
      const auto at_w = static_cast<std::size_t>(w);
      loss += counts[at_w] * (std::log(sum) - z[at_w]) / static_cast<double>(c.N);
      const double dz = (M * std::exp(z[at_w]) / sum - counts[at_w]) / static_cast<double>(c.N);
      for (dim k = 0; k < c.D; ++k) du[static_cast<std::size_t>(i * c.D + k)] += dz * row(table, w, k);
    }
  }
  CHECK(std::abs(h.outputs["loss"][0] - loss) < 1e-12 * loss);
  compare("du", h.gradients["u"], du, 1e-12);
}

TEST_CASE("n-gram losses equal PyTorch's, by autograd") {
  using namespace cases;
  const golden_file golden(CLIPX_SOURCE_DIR "/tests/golden/ngrams.safetensors");
  const auto image = golden.values("image"), table = golden.values("table"), grams = golden.values("grams");
  const dim N = golden.rows("image"), V = golden.rows("table"), D = static_cast<dim>(image.size()) / N;
  const auto word = [](double id) { return id < 0 ? std::string("unknown") : clipx::cat("w", static_cast<int>(id)); };
  std::vector<std::pair<std::string, std::uint64_t>> counts;
  for (dim w = 0; w < V; ++w) {
    std::string words;
    for (dim k = 0; k < 3; ++k)
      if (const double id = grams[static_cast<std::size_t>(3 * w + k)]; id >= 0) words += (words.empty() ? "" : " ") + word(id);
    counts.emplace_back(words, static_cast<std::uint64_t>(100 - w));  // falling: sorted as in the file
  }
  const auto dictionary = clipx::ngram_dictionary::from_counts(counts);
  clipx::packed_texts captions;
  std::size_t at = 0;
  const auto words = golden.values("words");
  for (double n : golden.values("lengths")) {
    std::vector<std::string> caption;
    for (const auto end = at + static_cast<std::size_t>(n); at < end; ++at) caption.push_back(word(words[at]));
    const auto before = captions.ids.size();
    dictionary.append(caption, captions.ids);
    captions.lengths.push_back(static_cast<std::int32_t>(captions.ids.size() - before));
  }
  clipx::eigen<double> d;
  for (int variant = 0; variant < 4; ++variant) {
    const bool naive = variant % 2 == 0, batch_only = variant >= 2;
    const std::string name = std::string(naive ? "_naive" : "_jelinek_mercer") + (batch_only ? "_of_batch" : "");
    INFO(name);
    harness<clipx::eigen<double>> h(d, to_float);
    auto x = h.s.make(N, D), e = h.s.make(V, D), dx = h.s.make(N, D), de = h.s.zeros(V, D);
    d.upload(mat<const double>(image.data(), N, D), x);
    d.upload(mat<const double>(table.data(), V, D), e);
    clipx::ngrams::loss<clipx::eigen<double>> grad,
        loss({{.orders = dictionary.orders(),
               .smoothing = naive ? clipx::ngram_smoothing::none : clipx::ngram_smoothing::jelinek_mercer,
               .batch_only = batch_only}});
    h.output("loss", loss.backward(h.s, {.image = x, .text = e, .captions = &captions}, grad, dx, de));
    h.output("image", dx);
    h.output("table", de);
    compare("loss", h.outputs["loss"], golden.values("loss" + name), 1e-12);
    compare("d image", h.outputs["image"], golden.values("d_image" + name), 1e-12);
    compare("d table", h.outputs["table"], golden.values("d_table" + name), 1e-12);
  }
  CHECK(golden.unread("").empty());
}

TEST_CASE("Jelinek-Mercer's weights of a mixture") {  // a_k = lambda (1 - lambda)^(K - k), a_1 = (1 - lambda)^(K - 1)
  const auto terms =
      clipx::jelinek_mercer_terms(cases::few_captions(1), cases::ngram_case::config(clipx::ngram_smoothing::jelinek_mercer, false));
  // {0 | 1, 6 | 2, 7, 10}: a word, a bigram that ends with the second, a bigram and a trigram that end with the third
  REQUIRE(terms.first_of_mixture == std::vector<std::int32_t>{0, 1, 3, 6});
  const std::vector<double> want{1, 0.7, 0.3, 0.7 * 0.7, 0.3 * 0.7, 0.3};
  for (std::size_t t = 0; t < want.size(); ++t) CHECK(std::abs(std::exp(terms.log_weights[t]) - want[t]) < 1e-12);
  CHECK(terms.counts == std::vector<float>{3});
}
#endif
#endif
