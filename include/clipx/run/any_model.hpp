// any_model: a trained model on a device, both chosen at run time, behind one type without template, backend or architecture. It is
// made by load_any() of load_any.hpp.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "../checkpoint/checkpoint.hpp"
#include "../core/observer.hpp"
#include "../core/resampler.hpp"
#include "../zero_shot/prompts.hpp"

namespace clipx {

/// Rows in host memory, in the accumulation type of the model that computed them: float, or double for a model in double.
/// Only append_to() converts them.
struct any_rows {
  std::variant<std::vector<float>, std::vector<double>> values;  // (rows, cols)
  dim cols = 0;                                                  // values of a row

  dim rows() const;  // number of rows
  /// Takes the type of `more` if this object is empty. Errors: another type, another number of columns.
  void append(const any_rows& more);
  /// All values as float; doubles are rounded.
  void append_to(std::vector<float>& out) const;
};

/// Rows kept in device memory by an any_model: class weights, or embeddings to search. They must not outlive the model.
class device_rows {
 public:
  /// The memory; a model derives from it.
  struct held {
    dim rows = 0, cols = 0;       // sizes of the matrix
    const void* owner = nullptr;  // the model
    virtual ~held() = default;
  };
  /// For models: takes ownership.
  explicit device_rows(std::unique_ptr<held> rows) : held_(std::move(rows)) {}
  dim rows() const { return held_->rows; }    // number of rows
  dim cols() const { return held_->cols; }    // values of a row
  const held& get() const { return *held_; }  // for the model that holds them

 private:
  std::unique_ptr<held> held_;
};

/// Bytes on the device: the weights; the most working memory of a call of the calling thread; what that thread's working memory
/// holds for its next call. Each of the threads that call at the same time has working memory of its own.
struct model_memory {
  dim weights = 0, activations = 0, held = 0;  // bytes
};

/// n-grams, as ids in the model's dictionary, with their scores.
using ngram_tags = std::vector<std::pair<std::int32_t, double>>;

/// Movable; one that was moved from may only be assigned to or destroyed. Const members may be called from any number of threads at
/// once, as those of pretrained.
class any_model {
 public:
  /// Implemented by any_model_of.hpp for each architecture and device; the functions are those of any_model.
  struct implementation {
    virtual ~implementation() = default;
    ///@{
    /// As the member of any_model with this name.
    virtual const checkpoint& source() const = 0;
    virtual any_rows encode_pixels(std::span<const std::uint8_t> rgb) const = 0;
    virtual any_rows encode_text(std::span<const std::string> texts) const = 0;
    virtual device_rows keep(const any_rows& rows) const = 0;
    virtual device_rows keep_classes(const prompt_set& prompts, observer& watch) const = 0;
    virtual any_rows scores(const any_rows& rows, const device_rows& kept) const = 0;
    virtual any_rows text_scores(std::span<const std::string> texts, const device_rows& kept) const = 0;
    virtual any_rows caption_log_probabilities(std::span<const std::string> captions, const device_rows& kept) const = 0;
    virtual std::vector<ngram_tags> tags(const any_rows& images, dim k, bool calibrated) const = 0;
    virtual std::vector<std::pair<dim, double>> rank(const any_rows& scores, dim row) const = 0;
    virtual const scoring& score() const = 0;
    virtual model_memory memory() const = 0;
    virtual resampler image_resampler() const = 0;
    virtual std::vector<std::string> warnings() const = 0;
    ///@}
  };
  /// For load_any() and borrow_any(): takes ownership.
  explicit any_model(std::unique_ptr<implementation> model) : model_(std::move(model)) {}

  const checkpoint& source() const { return model_->source(); }  // where the weights come from

  /// Images of the model's size, (N, n n 3) 8-bit RGB, to L2-normalized embeddings (N, D). A Visual N-Grams model returns rows (N,
  /// D + 1) for its own use: features, and minus the log of its softmax's sum.
  any_rows encode_pixels(std::span<const std::uint8_t> rgb) const { return model_->encode_pixels(rgb); }
  /// Texts to L2-normalized embeddings (N, D). Errors: a Visual N-Grams model.
  any_rows encode_text(std::span<const std::string> texts) const { return model_->encode_text(texts); }

  /// Uploads rows, to be scored against repeatedly. Errors: rows of a type other than the model's.
  device_rows keep(const any_rows& rows) const { return model_->keep(rows); }
  /// The zero-shot classifier of these prompts, one row a class (paper section 3.1.4), averaged in double. The
  /// observer's stage is "texts", of which equal ones count once. Errors: those of expect_prompts and encode_text; cancelled.
  device_rows keep_classes(const prompt_set& prompts, observer& watch = no_observer()) const {
    return model_->keep_classes(prompts, watch);
  }

  /// Cosines of each row with each kept row, (N, kept.rows()), in the backend's precision; for a Visual N-Grams model, the
  /// log-probability of each kept class for each image. Errors: rows of a type other than the model's, of another width,
  /// or kept by another model.
  any_rows scores(const any_rows& rows, const device_rows& kept) const { return model_->scores(rows, kept); }
  /// Cosines of each text with each kept image, (N, kept.rows()); for a Visual N-Grams model, the log-probability of each caption
  /// minus its log-probability without an image (the calibrated score). Errors as above.
  any_rows text_scores(std::span<const std::string> texts, const device_rows& kept) const {
    return model_->text_scores(texts, kept);
  }
  /// For a Visual N-Grams model: the log-probability of each caption for each kept image, (N, kept.rows()); minus infinity if no
  /// word is in the dictionary. Errors: the model has no dictionary.
  any_rows caption_log_probabilities(std::span<const std::string> captions, const device_rows& kept) const {
    return model_->caption_log_probabilities(captions, kept);
  }
  /// The k best n-grams of each image by a Visual N-Grams model, in descending order of log p_obs; if calibrated, minus the
  /// log-probability without an image. Errors: the model has no dictionary.
  std::vector<ngram_tags> tags(const any_rows& images, dim k, bool calibrated = false) const {
    return model_->tags(images, k, calibrated);
  }
  /// (column, probability) in descending order for one row of scores, scored as the model was trained.
  std::vector<std::pair<dim, double>> rank(const any_rows& scores, dim row) const { return model_->rank(scores, row); }

  /// How the model was trained to score: its loss, and the loss's parameters.
  const scoring& score() const { return model_->score(); }
  model_memory memory() const { return model_->memory(); }  // what the model uses of its device
  /// The backend's loops for resizing images on the host, or the plain ones: all give the same pixels.
  resampler image_resampler() const { return model_->image_resampler(); }
  /// What makes this model slower on this machine than its type suggests, one sentence each; empty: nothing.
  std::vector<std::string> warnings() const { return model_->warnings(); }

 private:
  std::unique_ptr<implementation> model_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "any_model-inl.hpp"
#endif
