// The loss of Visual N-Grams (Li et al. 2017), naive or with Jelinek-Mercer smoothing. It trains an image tower with a dictionary
// of n-grams as the text side (architectures/ngram_table.hpp).
#pragma once
#include "dictionary.hpp"

namespace clipx {

/// The mean over images of the negative log-likelihood of their captions' n-grams, by one softmax over the dictionary:
/// l = - sum of ln p over the mixtures described at ngram_terms. It has no parameters: the dictionary belongs to the text side.
///
/// The naive loss models no conditional probability: at test time the score of a phrase that is not in the dictionary is lambda
/// times that of the phrase without its first word (stupid back-off). phrase without its first word (stupid back-off).
struct ngrams {
  /// What a configuration says about the loss and the dictionary.
  struct config : ngram_loss_config {
    using policy = ngrams;
    static constexpr std::string_view name = "ngrams";
    friend bool operator==(const config&, const config&) = default;
  };

  /// The loss on backend B.
  template <backend_types B>
  struct loss;
  static constexpr bool over_table = true;  // requires a text side with has_table

  ///@{
  /// As in loss_policy.
  static bool claims(const fields& model) { return model.has("ngram_loss"); }
  static constexpr std::string_view telltale = "";  // a bare file does not show it
  static config read(fields& model);
  static void write(const config& c, field_writer& model);
  static std::vector<std::pair<std::string, shape>> shapes() { return {}; }
  static initial_values initial(std::string_view, const config&) { return {}; }
  ///@}
  /// A softmax over the labels' log-probabilities: p(label | image), given that it is one of them.
  static void score(std::span<double> log_p, std::span<const double>);
  /// Minus the log-probability of each text given its own image.
  static void add_pair_loss(cosine_at log_p, dim n, dim N, std::span<const double>, double& mean);
};

/// The loss of a batch and its gradients; it has no parameters.
template <backend_types B>
struct ngrams::loss {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  config how;  // smoothing, counts of the dictionary

  loss() = default;
  explicit loss(const config& c) : how(c) {}  // of a configuration
  void visit(auto&) {}

  /// The mean over the images, (1, 1), in A for any type of features. f.text is the dictionary (V, D).
  mat<A> forward(step<B>& s, const pair_features<B>& f) const {
    auto out = s.make_accum(1, 1);  // (1, 1)
    scratch<B> here(s);
    const auto terms = terms_of(f);
    if (terms.mixture_count() == 0) s.device.fill(out, A(0));
    else detail::dictionary_softmax<B>(s, f, terms, how.batch_only).forward(out);
    return out;
  }

  /// The loss and its gradients: that of the images (N, D) is written to d_image, that of the dictionary (V, D) is added to d_text.
  mat<A> backward(step<B>& s, const pair_features<B>& f, loss&, mat<T> d_image, mat<T> d_text) const {
    auto out = s.make_accum(1, 1);  // (1, 1)
    scratch<B> here(s);
    const auto terms = terms_of(f);
    if (terms.mixture_count() > 0) {
      detail::dictionary_softmax<B>(s, f, terms, how.batch_only).backward(out, d_image, d_text);
    } else {
      s.device.fill(out, A(0));
      s.device.fill(d_image, T(0));
    }
    return out;
  }

  void clamp(B&) {}  // does nothing

 private:
  ngram_terms terms_of(const pair_features<B>& f) const {
    expect(f.captions && f.captions->count() == f.image.rows,
           [&] { return cat("n-gram loss: expected ", f.image.rows, " captions, got ", f.captions ? f.captions->count() : 0); });
    expect(f.text.rows == how.size(),
           [&] { return cat("n-gram loss: expected a dictionary of ", how.size(), " n-grams, got ", f.text.rows); });
    return caption_terms(*f.captions, how);
  }
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "ngrams-inl.hpp"
#endif
