#pragma once
#include <map>
#include <string_view>

#include "../zero_shot/classifier.hpp"
#include "compare_prompts.hpp"
#include "evaluate-inl.hpp"

namespace clipx {

CLIPX_INLINE std::string add_context(std::string text, const std::string& context) {
  if (context.empty()) return text;
  const bool stop = text.ends_with('.');
  if (stop) text.pop_back();
  return text + ", " + context + (stop ? "." : "");
}

CLIPX_INLINE shared_name_counter::shared_name_counter(std::span<const std::string> classes)
    : name_of_(classes.size()), images_(classes.size()), right_(classes.size()) {
  std::map<std::string_view, std::size_t> names;
  for (std::size_t c = 0; c < classes.size(); ++c) {
    const auto [at, fresh] = names.emplace(classes[c], namesakes_.size());
    if (fresh) namesakes_.emplace_back();
    namesakes_[name_of_[c] = at->second].push_back(static_cast<dim>(c));
  }
}

CLIPX_INLINE void shared_name_counter::add(std::span<const double> scores, std::span<const dim> labels) {
  const std::size_t C = name_of_.size();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto& rivals = namesakes_[name_of_[static_cast<std::size_t>(labels[i])]];
    if (rivals.size() < 2) continue;
    const auto row = scores.subspan(i * C, C);
    const auto lower = [&](dim a, dim b) { return row[static_cast<std::size_t>(a)] < row[static_cast<std::size_t>(b)]; };
    ++images_[static_cast<std::size_t>(labels[i])];
    right_[static_cast<std::size_t>(labels[i])] += *std::max_element(rivals.begin(), rivals.end(), lower) == labels[i];
  }
}

CLIPX_INLINE shared_name_metrics shared_name_counter::metrics() const {
  shared_name_metrics m;
  fraction_sum recalls;
  for (std::size_t c = 0; c < images_.size(); ++c) {
    m.images += images_[c];
    m.right += right_[c];
    if (images_[c] > 0) recalls.add(right_[c], images_[c]);
  }
  m.mean_per_class = recalls.mean();
  return m;
}

namespace detail {

/// The classifiers of all arms on the model's device, without duplicates.
class prompt_classifiers {
 public:
  prompt_classifiers(const any_model& model, std::span<const prompt_arm> arms, observer& watch) : model_(model) {
    encode_all(arms, watch);
    for (auto& arm : arms) {
      auto& own = of_arm_.emplace_back();
      if (arm.ensemble == prompt_ensemble::embeddings) {
        own.push_back(kept(arm.prompts));
        continue;
      }
      const std::size_t texts = arm.prompts.prompts.at(0).size();
      for (std::size_t t = 0; t < texts; ++t) {
        prompt_set one{arm.prompts.classes, {}};
        for (auto& list : arm.prompts.prompts) {
          expect(list.size() == texts, [&] {
            return cat("prompts \"", arm.name, "\": expected as many texts for each class where probabilities are averaged, got ",
                       texts, " and ", list.size());
          });
          one.prompts.push_back({list[t]});
        }
        own.push_back(kept(one));
      }
    }
    rows_ = {};
  }

  std::size_t size() const { return classifiers_.size(); }
  const device_rows& classifier(std::size_t i) const { return classifiers_[i]; }
  const std::vector<std::size_t>& of_arm(std::size_t arm) const { return of_arm_[arm]; }

 private:
  void encode_all(std::span<const prompt_arm> arms, observer& watch) {
    std::vector<std::string> texts;
    for (auto& arm : arms)
      for (auto& list : arm.prompts.prompts)
        for (auto& text : list)
          if (place_.emplace(text, static_cast<dim>(texts.size())).second) texts.push_back(text);
    constexpr std::size_t most = std::size_t{1} << 22;
    expect(texts.size() <= most,
           [&] { return cat("compare_prompts: expected at most ", most, " distinct texts of all arms, got ", texts.size()); });
    rows_ = encode_texts(model_, texts, watch);
  }
  /// The index of the classifier for these prompts, which is made if it does not exist yet.
  std::size_t kept(const prompt_set& prompts) {
    const auto [at, added] = index_.emplace(prompts.prompts, classifiers_.size());
    if (added) classifiers_.push_back(std::visit([&](const auto& rows) { return classifier_of(prompts, rows); }, rows_.values));
    return at->second;
  }
  template <class A>
  device_rows classifier_of(const prompt_set& prompts, const std::vector<A>& rows) {
    const auto averaged = make_classifier(prompts, [&](std::span<const std::string> texts) {
      embeddings<double> out{{}, rows_.cols};
      for (auto& text : texts) {
        const auto from = rows.begin() + place_.at(text) * rows_.cols;
        out.values.insert(out.values.end(), from, from + rows_.cols);
      }
      return out;
    });
    std::vector<A> weights;
    for (double w : averaged.weights.values) weights.push_back(static_cast<A>(w));
    return model_.keep({std::move(weights), rows_.cols});
  }

  const any_model& model_;
  std::map<std::string, dim> place_;  // row of each text in rows_
  any_rows rows_;                     // the embeddings of all texts
  std::vector<device_rows> classifiers_;
  std::map<std::vector<std::vector<std::string>>, std::size_t> index_;  // index into classifiers_, by the prompts' texts
  std::vector<std::vector<std::size_t>> of_arm_;
};

CLIPX_INLINE void check_arms(const any_model& model, std::span<const prompt_arm> arms) {
  expect(!arms.empty(), "compare_prompts: expected at least one arm, got none");
  expect(
      model.source().text().ngrams() == nullptr, error_kind::unsupported,
      "compare_prompts: expected a model with a text tower, got a Visual N-Grams model, which scores class names without prompts");
  for (auto& arm : arms) {
    const auto C = arms[0].prompts.classes.size();
    expect(C > 0 && arm.prompts.classes.size() == C && arm.prompts.prompts.size() == C, [&] {
      return cat("prompts \"", arm.name, "\": expected texts for each of ", C, " classes, got ", arm.prompts.prompts.size());
    });
  }
}

}  // namespace detail

CLIPX_INLINE std::vector<prompt_comparison> compare_prompts(const any_model& model, const image_dataset& data,
                                                            std::span<const prompt_arm> arms, const encode_options& options,
                                                            observer& watch) {
  detail::check_arms(model, arms);
  const detail::prompt_classifiers classifiers(model, arms, watch);
  const auto& classes = arms[0].prompts.classes;
  const std::size_t C = classes.size();
  std::vector<zero_shot_counter> counters(arms.size(), zero_shot_counter(static_cast<dim>(C)));
  std::vector<shared_name_counter> senses(arms.size(), shared_name_counter(classes));
  left_out skipped;
  detail::for_each_encoded(model, data, options, watch, skipped, [&](const image_batch& batch, const any_rows& images) {
    const auto labels = detail::labels_of(data, batch);
    std::vector<std::vector<double>> scores;  // of each classifier, (N, C)
    for (std::size_t i = 0; i < classifiers.size(); ++i)
      std::visit([&](const auto& values) { scores.emplace_back(values.begin(), values.end()); },
                 model.scores(images, classifiers.classifier(i)).values);
    for (std::size_t a = 0; a < arms.size(); ++a) {
      std::vector<double> of_arm(labels.size() * C);
      for (std::size_t own : classifiers.of_arm(a)) {
        if (arms[a].ensemble == prompt_ensemble::embeddings) {
          of_arm = scores[own];
          continue;
        }
        auto p = scores[own];
        for (std::size_t row = 0; row < labels.size(); ++row) model.score().probabilities(std::span(p).subspan(row * C, C));
        for (std::size_t i = 0; i < p.size(); ++i) of_arm[i] += p[i] / static_cast<double>(classifiers.of_arm(a).size());
      }
      counters[a].add(std::span<const double>(of_arm), std::span(labels));
      senses[a].add(of_arm, labels);
    }
  });
  std::vector<prompt_comparison> out;
  for (std::size_t a = 0; a < arms.size(); ++a) out.push_back({arms[a].name, counters[a].metrics(), senses[a].metrics(), skipped});
  return out;
}

}  // namespace clipx
