// What the losses of Visual N-Grams share (Li et al. 2017; docs/clip.md section 12): one softmax over a dictionary of n-grams, from
// which captions select probabilities.
#pragma once
#include <cstdint>
#include <limits>
#include <vector>

#include "pairs.hpp"
#include "policy.hpp"

namespace clipx {

/// none: every n-gram of a caption is a separate observation (the naive loss).
/// jelinek_mercer: every word is predicted by a mixture.
enum class ngram_smoothing { none, jelinek_mercer };

/// What a loss over n-grams needs to know about its dictionary, and its constants.
struct ngram_loss_config {
  std::vector<dim> orders{};                          // number of n-grams of 1, 2, ... words
  ngram_smoothing smoothing = ngram_smoothing::none;  // which of the two losses
  /// Jelinek-Mercer's weight of the longest n-gram, and the factor per step of back-off. We could not confirm the paper's value.
  double lambda = 0.2;
  /// Restricts the softmax, and with it every update, to the n-grams that occur in the batch's captions (as the paper trains).
  bool batch_only = false;
  friend bool operator==(const ngram_loss_config&, const ngram_loss_config&) = default;

  dim size() const;  // n-grams of the dictionary
  /// Number of words of an n-gram; ids are sorted by it.
  dim order(std::int32_t id) const;
};

/// Captions as mixtures of probabilities of n-grams, in host memory. For a mixture g of image i, log p is the log-sum-exp over its
/// terms t of log_weights[t] + log p_obs(n-gram of t | i).
struct ngram_terms {
  std::vector<std::int32_t> images, ngrams;                  // of the entries: distinct pairs, sorted by n-gram, then by image
  std::vector<std::int32_t> entries, mixtures;               // of each term; the terms of a mixture are adjacent
  std::vector<double> log_weights;                           // of the terms
  std::vector<std::int32_t> first_of_mixture{0};             // where the terms of each mixture begin, and their end
  std::vector<std::int32_t> terms_by_entry, first_of_entry;  // the terms grouped by entry, and where each group begins
  std::vector<float> counts;                                 // number of mixtures of each image

  dim mixture_count() const { return static_cast<dim>(first_of_mixture.size()) - 1; }  // mixtures so far
  /// Ends a mixture; it must have terms.
  void end_mixture(dim image);
  /// Sorts the entries of all add() calls; call it once.
  void finish(dim images_in_all);
  /// Adds a term to the current mixture.
  void add(dim image, std::int32_t ngram, double log_weight);
};

/// Every n-gram of a caption that is in the dictionary is a separate observation: l = - sum of ln p_obs.
ngram_terms naive_terms(const packed_texts& captions, const ngram_loss_config& c);
/// Every word whose unigram is in the dictionary is predicted by a mixture of the n-grams that end with it,
/// p(w_{i-n+1..i}) = lambda p_obs(w_{i-n+1..i}) + (1 - lambda) p(w_{i-n+2..i}), down to p(w_i) = p_obs(w_i).
/// The paper writes conditional probabilities on both sides and does not say how they follow from one softmax: this joint form is
/// an interpretation. At the beginning of a caption, the recursion starts with the longest n-gram that exists.
ngram_terms jelinek_mercer_terms(const packed_texts& captions, const ngram_loss_config& c);
/// The weight of the n-gram of k words among those of up to `longest` words: lambda (1 - lambda)^(longest - k); for the unigram, (1
/// - lambda)^(longest - 1).
double jelinek_mercer_weight(dim k, dim longest, double lambda);
/// One of the two, according to c.smoothing.
ngram_terms caption_terms(const packed_texts& captions, const ngram_loss_config& c);

namespace detail {

/// The mean over N images of the negative log-likelihood of their captions, and its gradients, computed in tiles of the
/// dictionary's columns: no (N, V) matrix exists, unless one tile holds it.
template <backend_types B>
class dictionary_softmax {
 public:
  using T = scalar_t<B>;
  using A = accum_t<B>;

  dictionary_softmax(step<B>& s, const pair_features<B>& f, const ngram_terms& terms, bool batch_only)
      : s_(s), image_(f.image), terms_(terms), N_(f.image.rows), D_(f.image.cols) {
    expect(f.text.cols == D_ && f.text.rows > 0,
           [&] { return cat("n-gram loss: expected a dictionary (V, ", D_, "), got (", f.text.rows, ", ", f.text.cols, ")"); });
    columns_ = terms_.ngrams;
    if (batch_only) {
      for (auto id : terms_.ngrams)
        if (chosen_.empty() || chosen_.back() != id) chosen_.push_back(id);
      std::int32_t place = -1;
      for (std::size_t e = 0; e < columns_.size(); ++e) columns_[e] = place += e == 0 || terms_.ngrams[e] != terms_.ngrams[e - 1];
      chosen_ids_ = s.ids(chosen_);
      auto rows = s.make(static_cast<dim>(chosen_.size()), D_);  // (U, D)
      s.device.gather_rows(f.text, chosen_ids_, rows);
      table_ = rows;
    } else {
      table_ = f.text;
    }
    // The default tile is as large as the features of the batch would be: at least 1,024 columns, at most 2^24 logits.
    const dim V = table_.rows, most = std::max<dim>(1024, (dim{1} << 24) / N_);
    tile_ = std::min(V, f.tile > 0 ? f.tile : most);
    upload();
  }

  /// The loss, (1, 1).
  void forward(mat<A> loss) { mixtures(loss, {}); }

  /// The loss and its gradients: that of the images (N, D) is overwritten, that of the dictionary (V, D) is added to d_table.
  void backward(mat<A> loss, mat<T> d_image, mat<T> d_table) {
    auto d_entries = s_.make_accum(1, entry_count());  // (1, E)
    const auto logits = mixtures(loss, d_entries);
    auto d_rows = d_table;  // (U, D) if columns were chosen
    if (!chosen_.empty()) d_rows = s_.zeros(table_.rows, D_);
    auto dx = s_.make_accum(N_, D_);      // (N, D)
    auto weights = s_.make_accum(N_, 1);  // (N, 1), mixtures / N
    s_.device.copy(counts_, weights);
    s_.device.add(A(0), counts_, A(1.0 / static_cast<double>(N_)), weights);
    each_tile(
        [&](dim j, dim m, mat<A> z, dim first, dim n) {
          if (tile_ < table_.rows) fill_logits(j, m, z);
          // dL/dz = (mixtures p_obs - responsibilities) / N
          s_.device.softmax_tile_backward(z, sums_, weights, z);
          s_.device.add_picked(d_entries.col_range(first, n), ids_.col_range(first, n), z);
          const auto dz = narrowed(z);
          s_.device.gemm(op::none, op::none, A(1), dz, table_.row_range(j, m), A(j > 0), dx);
          s_.device.gemm(op::transpose, op::none, A(1), dz, image_, A(1), d_rows.row_range(j, m));
        },
        logits);
    s_.device.copy(mat<const A>(dx), d_image);
    if (!chosen_.empty()) s_.device.scatter_add_rows(mat<const T>(d_rows), chosen_ids_, d_table);
  }

 private:
  dim entry_count() const { return static_cast<dim>(columns_.size()); }

  void upload() {
    const auto numbers = [&]<class E>(const std::vector<E>& v, dim rows, dim cols) {
      auto m = s_.make_accum(rows, cols);
      s_.device.upload(mat<const E>(v.data(), rows, cols), m);
      return mat<const A>(m);
    };
    counts_ = numbers(terms_.counts, N_, 1);
    const dim P = static_cast<dim>(terms_.entries.size()), E = entry_count();
    in_.log_weights = numbers(terms_.log_weights, 1, P);
    in_.entries = s_.ids(terms_.entries);
    in_.mixtures = s_.ids(terms_.mixtures);
    in_.first_of_mixture = s_.ids(terms_.first_of_mixture);
    in_.terms_by_entry = s_.ids(terms_.terms_by_entry);
    in_.first_of_entry = s_.ids(terms_.first_of_entry);
    in_.counts = counts_;
    in_.scale = 1.0 / static_cast<double>(N_);
    // The row and the column in its tile of each entry.
    places_.assign(terms_.images.begin(), terms_.images.end());
    for (auto c : columns_) places_.push_back(static_cast<std::int32_t>(c % tile_));
    auto ids = s_.device.memory().template take<std::int32_t>(2, E);
    s_.device.upload(mat<const std::int32_t>(places_.data(), 2, E), ids);
    ids_ = ids;
    sums_ = s_.make_accum(N_, 2);
    s_.device.fill(sums_.col_range(0, 1), A(-std::numeric_limits<double>::infinity()));
    s_.device.fill(sums_.col_range(1, 1), A(0));
  }

  /// Calls use(first column, columns, logits (N, m), first entry, entries) for every tile of the dictionary.
  template <class Use>
  void each_tile(Use&& use, mat<A> logits) {
    dim first = 0;
    for (dim j = 0; j < table_.rows; j += tile_) {
      const dim m = std::min(tile_, table_.rows - j);
      dim end = first;
      while (end < entry_count() && columns_[static_cast<std::size_t>(end)] < j + m) ++end;
      use(j, m, mat<A>(logits.data, N_, m), first, end - first);
      first = end;
    }
  }
  void fill_logits(dim j, dim m, mat<A> z) {
    s_.device.gemm(op::none, op::transpose, A(1), image_, table_.row_range(j, m), A(0), z);
  }
  /// The loss from the softmax's sums and the picked logits; returns a tile's memory, which holds the logits of the last tile.
  mat<A> mixtures(mat<A> loss, mat<A> d_entries) {
    auto logits = s_.make_accum(N_, tile_), picked = s_.make_accum(1, entry_count());  // (N, tile), (1, E)
    each_tile(
        [&](dim j, dim m, mat<A> z, dim first, dim n) {
          fill_logits(j, m, z);
          s_.device.softmax_tile(z, sums_);
          s_.device.pick(z, ids_.col_range(first, n), picked.col_range(first, n));
        },
        logits);
    in_.logits = picked;
    in_.sums = sums_;
    s_.device.mixture_loss(in_, {.loss = loss, .log_p = s_.make_accum(1, terms_.mixture_count()), .dlogits = d_entries});
    return logits;
  }
  mat<const T> narrowed(mat<A> z) {
    if constexpr (std::is_same_v<T, A>) {
      return z;
    } else {
      if (!narrow_) narrow_ = s_.make(N_, tile_);
      const mat<T> to(narrow_.data, z.rows, z.cols);
      s_.device.copy(mat<const A>(z), to);
      return to;
    }
  }

  step<B>& s_;
  mat<const T> image_, table_;  // (N, D), (V, D)
  const ngram_terms& terms_;
  dim N_, D_, tile_;
  std::vector<std::int32_t> columns_, chosen_,
      places_;                                // of entries in table_; rows of the dictionary; the source of ids_
  mat<const std::int32_t> chosen_ids_, ids_;  // (1, U), (2, E)
  mat<const A> counts_;                       // (N, 1)
  mat<A> sums_;                               // (N, 2)
  mat<T> narrow_;
  mixture_input<A> in_{};
};

}  // namespace detail

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "dictionary-inl.hpp"
#endif
