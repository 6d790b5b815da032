// clipx eval: zero-shot classification, retrieval and tagging on WebDataset shards or a folder, reported in CLIP_benchmark's shape.
#include "eval.hpp"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

namespace cli {
namespace {

struct options {
  model_options model;
  std::string data, classes, templates;
  bool strict = false;
};

/// Prints a measure, and says what it is not a measure of. The result is the exit code.
int print(const options& o, const clipx::any_model& model, const char* task, const json& metrics, json more,
          const clipx::left_out& skipped) {
  check_strict(o.strict, skipped);
  if (o.model.json_output || skipped.count > 0) more["left_out"] = skipped.count;
  if (o.model.json_output) {
    json line{{"dataset", dataset_name(o.data)}, {"model", model.source().config().name}, {"task", task}, {"metrics", metrics}};
    line.update(more);
    line.update({{"pretrained", find_model(o.model.path)}, {"language", "en"}});
    std::printf("%s\n", line.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
    return measured(skipped);
  }
  for (auto* part : {&std::as_const(more), &metrics})
    for (auto& [key, value] : part->items()) {
      if (value.is_number_float()) std::printf("%-26s %.4f\n", key.c_str(), value.get<double>());
      else std::printf("%-26s %s\n", key.c_str(), value.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
    }
  return measured(skipped);
}

int zero_shot(const options& o) {
  auto model = o.model.load();
  const auto r = zero_shot_on(model, o.model, o.data, o.classes, o.templates, o.strict);
  const auto& m = r.metrics;
  const json ties(r.ties);
  return print(
      o, model, "zeroshot_classification", {{"acc1", m.acc1}, {"acc5", m.acc5}, {"mean_per_class_recall", m.mean_per_class_recall}},
      {{"pictures", m.images}, {"correct1", m.right_at_1}, {"correct5", m.right_at_5}, {"margin_below_1e-5", ties}}, r.skipped);
}

clipx::image_dataset captioned(const options& o) {
  auto data = clipx::image_dataset::captioned(o.data);
  check_strict(o.strict, data.skipped());
  return data;
}

int retrieval(const options& o) {
  const auto data = captioned(o);
  auto model = o.model.load();
  const auto m = [&] {
    terminal watch;
    return clipx::evaluate_retrieval(model, data, o.model.encoding(), watch);
  }();
  json metrics;
  for (std::size_t i = 0; i < m.k.size(); ++i) metrics[clipx::cat("image_retrieval_recall@", m.k[i])] = m.image_recall[i];
  for (std::size_t i = 0; i < m.k.size(); ++i) metrics[clipx::cat("text_retrieval_recall@", m.k[i])] = m.text_recall[i];
  return print(o, model, "zeroshot_retrieval", metrics, {{"pictures", m.images}, {"captions", m.captions}}, m.skipped);
}

int tagging(const options& o) {
  const auto data = captioned(o);
  auto model = o.model.load();
  const auto m = [&] {
    terminal watch;
    return clipx::evaluate_tagging(model, data, o.model.encoding(), watch);
  }();
  json metrics, lengths = json::object();
  for (std::size_t i = 0; i < m.k.size(); ++i) metrics[clipx::cat("tagging_recall@", m.k[i])] = m.recall[i];
  for (std::size_t i = 0; i < m.k.size(); ++i) metrics[clipx::cat("calibrated_tagging_recall@", m.k[i])] = m.calibrated_recall[i];
  metrics["perplexity"] = m.all.words > 0 ? json(m.all.perplexity()) : json();  // null: the dictionary has no word of the captions
  for (auto& [length, own] : m.lengths)
    lengths[clipx::cat(length, length == 20 ? "+" : "")] = {{"captions", own.captions}, {"perplexity", own.perplexity()}};
  return print(o, model, "tagging", metrics,
               {{"pictures", m.images}, {"captions", m.all_captions}, {"perplexity_by_length", lengths}}, m.skipped);
}
}  // namespace

clipx::zero_shot_report zero_shot_on(clipx::any_model& model, const model_options& options, const std::string& path,
                                     const std::string& classes, const std::string& templates, bool strict) {
  const auto on = open_labeled(path, classes, clipx::choose_templates(templates, model.source()), strict);
  terminal watch;
  return clipx::evaluate_zero_shot(model, on.data, on.prompts, options.encoding(), watch);
}

labeled_images open_labeled(const std::string& path, const std::string& classes, const std::vector<std::string>& templates,
                            bool strict) {
  auto prompts = clipx::read_prompts(classes, templates);
  auto data = clipx::image_dataset::labeled(path, prompts.classes);
  check_strict(strict, data.skipped());
  return {std::move(prompts), std::move(data)};
}

void add_eval(command& app, action& run) {
  auto* verb = app.add_subcommand("eval", "Measures a model on labeled or captioned images.");
  verb->require_subcommand(1);
  verb->footer("See clipx eval VERB --help for more.");
  auto o = std::make_shared<options>();
  const auto add = [&](const char* name, const char* help, const char* data, int (*what)(const options&)) {
    auto* task = verb->add_subcommand(name, help);
    task->add_option("--data", o->data, data)->required()->type_name("PATH");
    task->callback([o, what, &run] {
      o->model.check_engine();
      if (what == zero_shot) o->classes = classes_of(o->classes, o->data);
      run = [o, what] { return what(*o); };
    });
    return task;
  };
  auto* task = add("zeroshot", "Zero-shot classification: top-1 and top-5 accuracy, mean per-class recall.",
                   "WebDataset shards (name-{0000..0008}.tar), or a folder of them as for CLIP_benchmark, with a label in .cls, or "
                   "\"cls\" in .json; or a folder with a subfolder of images per class",
                   zero_shot);
  task->add_option("--classes", o->classes,
                   "one class per line, line n (from 0) for label n, or a JSON list of classes; or prompts as a JSON object or "
                   "tab-separated lines (default: the classnames.txt of the data)")
      ->type_name("FILE");
  task->add_option("--templates", o->templates,
                   "prompt templates with {} or {c} for the class, one per line or as a JSON list (default: the model's, else "
                   "built-in ones)")
      ->type_name("FILE");
  task->footer("Example: clipx eval zeroshot --data test.tar --classes classes.txt --templates templates.txt");
  auto* other = add("retrieval", "Image and text retrieval: recall at 1, 5 and 10.",
                    "WebDataset shards (name-{0000..0008}.tar), a folder of them, or a folder of images: with \"captions\" in the "
                    ".json beside each image, or a .txt with one caption per line",
                    retrieval);
  other->footer("Example: clipx eval retrieval --data test.tar");
  auto* tags = add("tagging", "Tagging by a Visual N-Grams model: recall of the captions' n-grams, and perplexity.",
                   "as for retrieval", tagging);
  tags->footer(
      "Recall@k is the mean fraction of a caption's n-grams among the k best of its image, by log-probability and, calibrated, by\n"
      "log-probability minus the n-gram's own log-frequency. Perplexity is per word of the dictionary,\n"
      "[BEGIN] and [END] included.\nExample: clipx eval tagging --data test.tar --model "
      "logs/vng/model");
  for (auto* t : {task, other, tags}) {
    add_strict(*t, o->strict);
    o->model.add_json(*t);
    o->model.add_model(*t);
    o->model.add_engine(*t);
    o->model.add_images(*t);
  }
  add_eval_prompts(*verb, run);
}

}  // namespace cli
