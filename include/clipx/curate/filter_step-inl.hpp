// Definitions of filter_step.hpp.
#pragma once
#include <utility>

#include "../core/error.hpp"
#include "../image/decode.hpp"
#include "../io/fields-inl.hpp"
#include "curation-inl.hpp"
#include "filter_step.hpp"
#include "filters-inl.hpp"
#include "semantic.hpp"
#include "shared_model-inl.hpp"

namespace clipx {
namespace detail {

/// The samples of a shard that wait for their cosines.
class scored_batch {
 public:
  scored_batch(const filter_config& config, shared_model* model, const std::string& step)
      : config_(config), model_(model), step_(step) {}

  /// `facts` is added, together with the cosine, to the decision at index `place`.
  void add(std::size_t place, const image& decoded, std::span<const std::string_view> captions, field_writer facts) {
    model_->append_pixels(decoded, rgb_);
    waiting_.push_back({place, captions.size(), std::move(facts)});
    texts_.insert(texts_.end(), captions.begin(), captions.end());
  }
  bool full() const { return waiting_.size() >= model_->batch_size(); }
  void decide(std::vector<decision>& all) {
    if (waiting_.empty()) return;
    const auto images = model_->encode_pixels(rgb_), texts = model_->encode_texts(texts_);
    const dim cols = static_cast<dim>(images.size() / waiting_.size());
    const float *image = images.data(), *text = texts.data();
    for (auto& one : waiting_) {
      double best = -2;
      dim which = 0;
      for (std::size_t c = 0; c < one.captions; ++c, text += cols)
        if (const auto cosine = static_cast<double>(cosine_of(image, text, cols)); cosine > best) {
          best = cosine;
          which = static_cast<dim>(c);
        }
      image += cols;
      decide(all[one.place], one.facts, best, which);
    }
    rgb_.clear();
    texts_.clear();
    waiting_.clear();
  }

 private:
  struct scored {
    std::size_t place, captions;
    field_writer facts;
  };

  void decide(decision& d, field_writer& facts, double cosine, dim caption) const {
    const bool keep = !config_.min_cosine || cosine >= *config_.min_cosine;
    field_writer mine;
    mine.put("cosine", cosine);
    mine.put("caption", caption);
    mine.put("keep", keep);
    facts.put("clip_score", mine);
    add_facts(d, step_, facts.get().object.dump());
    if (keep) return;
    d.step = step_;
    d.why = {"clip_score", cat("cosine ", cosine, ", expected ", *config_.min_cosine, " or more")};
  }

  const filter_config& config_;
  shared_model* model_;
  const std::string& step_;
  std::vector<std::uint8_t> rgb_;
  std::vector<std::string> texts_;
  std::vector<scored> waiting_;
};

/// Applies the rules before the cosine. The decoded image is left in `decoded` if one was needed.
CLIPX_INLINE verdict judge(const filter_config& config, const captioned_sample& s, image& decoded, field_writer& facts) {
  const auto file = *s.members->image();
  if (auto v = judge_bytes(config.rules, file.size(), facts); !v.keep()) return v;
  if (auto v = judge_texts(config.rules, s.captions, facts); !v.keep()) {
    if (!s.uncaptioned.empty()) v.as = dropped_as::missing;
    return v;
  }
  if (config.scores() && s.captions.empty())
    return {"no caption", "expected one that is UTF-8 and not empty",
            s.uncaptioned.empty() ? dropped_as::judged : dropped_as::missing};
  if (!config.rules.basic && !config.scores()) return {};
  try {
    decoded = decode_image(file, std::string(s.key), std::move(decoded));
  } catch (const error& e) { return {"image", e.what(), dropped_as::unreadable}; }
  return judge_sides(config.rules, decoded.width, decoded.height, facts);
}

}  // namespace detail

CLIPX_INLINE std::string describe(const filter_config& config) {
  detail::json out = detail::json::object();
  const auto& r = config.rules;
  if (r.size) out["size"] = {{"min_bytes", r.size->min_bytes}, {"min_characters", r.size->min_characters}};
  if (r.basic)
    out["basic"] = {{"min_words", r.basic->min_words},
                    {"min_characters", r.basic->min_characters},
                    {"min_side", r.basic->min_side},
                    {"max_aspect", r.basic->max_aspect}};
  if (r.language)
    out["language"] = {{"languages", r.language->languages},
                       {"min_percent", r.language->min_percent},
                       {"reliable", r.language->reliable},
                       {"by", language_detector()}};
  if (r.offensive) out["offensive"] = {{"entries", r.offensive->size()}, {"hash", r.offensive->hash()}};
  if (config.min_cosine) out["min_cosine"] = *config.min_cosine;
  if (config.score) out["score"] = true;
  return out.dump();
}

CLIPX_INLINE void filter_samples(curation& here, const std::string& step, const filter_config& config, shared_model* model) {
  expect(!config.scores() || model, [&] { return cat(step, ": the cosine of image and caption needs a model, got none"); });
  if (config.min_cosine)
    expect(*config.min_cosine >= -1 && *config.min_cosine <= 1,
           [&] { return cat(step, ": min_cosine: expected -1 to 1, got ", *config.min_cosine); });
  if (config.rules.basic)
    expect(config.rules.basic->max_aspect >= 1,
           [&] { return cat(step, ": max_aspect: expected 1 or more, got ", config.rules.basic->max_aspect); });
  const auto options = cat(describe(config), " ", config.scores() ? model->facts() : "");
  here.run(step, options, [&](std::size_t shard, std::vector<decision>& all) {
    detail::scored_batch batch(config, model, step);
    image decoded;
    here.walk(shard, [&](const captioned_sample& s, decision&& before) {
      all.push_back(std::move(before));
      auto& d = all.back();
      if (!d.kept()) return;
      field_writer facts;
      auto why = detail::judge(config, s, decoded, facts);
      if (why.keep() && config.scores()) {
        batch.add(all.size() - 1, decoded, s.captions, std::move(facts));
        if (batch.full()) batch.decide(all);
        return;
      }
      add_facts(d, step, facts.get().object.dump());
      if (why.keep()) return;
      d.step = step;
      d.why = std::move(why);
    });
    batch.decide(all);
  });
}

}  // namespace clipx
