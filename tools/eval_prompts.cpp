// clipx eval prompts: what prompt templates, context and ensembling are worth on a set of labeled images.
#include <algorithm>
#include <clipx/eval/compare_prompts.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "common.hpp"
#include "eval.hpp"

namespace cli {
namespace {

struct options {
  model_options model;
  std::string data, classes, templates, single = "a photo of a {}.", context, contexts;
  bool strict = false;
};

/// A context for each class, which may be empty.
std::vector<std::string> contexts_of(const options& o, std::size_t classes) {
  if (o.contexts.empty()) return std::vector<std::string>(classes, o.context);
  auto lines = clipx::read_texts(o.contexts);
  clipx::expect(lines.size() == classes, [&] {
    return clipx::cat("--contexts ", o.contexts, ": expected a line for each of ", classes, " classes, got ", lines.size());
  });
  return lines;
}

std::vector<clipx::prompt_arm> arms_of(const options& o, const std::vector<std::string>& classes, const clipx::checkpoint& model) {
  using enum clipx::prompt_ensemble;
  std::vector<clipx::prompt_arm> arms;
  const std::vector<std::string> nothing(classes.size());
  const auto add = [&](const std::string& name, const std::vector<std::string>& templates, const std::vector<std::string>& contexts,
                       clipx::prompt_ensemble how) {
    auto prompts = clipx::make_prompts(classes, templates);
    for (std::size_t c = 0; c < classes.size(); ++c)
      for (auto& text : prompts.prompts[c]) text = clipx::add_context(text, contexts[c]);
    arms.push_back({name, std::move(prompts), how});
  };
  const bool with_context = !o.context.empty() || !o.contexts.empty();
  const auto contexts = contexts_of(o, classes.size());
  const std::string shown_context = o.context.empty() ? "CONTEXT" : o.context;
  const std::vector<std::string> bare{"{}"}, single{o.single};
  add("{}", bare, nothing, embeddings);
  add(o.single, single, nothing, embeddings);
  if (with_context) {
    add(clipx::add_context("{}", shown_context), bare, contexts, embeddings);
    add(clipx::add_context(o.single, shown_context), single, contexts, embeddings);
  }
  const auto templates = clipx::choose_templates(o.templates, model);
  const auto ensemble = clipx::cat(templates.size(), " templates");
  add(ensemble + ", embeddings averaged", templates, nothing, embeddings);
  add(ensemble + ", probabilities averaged", templates, nothing, probabilities);
  if (with_context) {
    add(ensemble + " and context, embeddings averaged", templates, contexts, embeddings);
    add(ensemble + " and context, probabilities averaged", templates, contexts, probabilities);
  }
  for (auto& t : templates) add(clipx::cat("template alone: ", t), {t}, nothing, embeddings);
  return arms;
}

int compare(const options& o) {
  const auto classes = clipx::read_classes(o.classes);
  const auto data = clipx::image_dataset::labeled(o.data, classes);
  check_strict(o.strict, data.skipped());
  auto model = o.model.load();
  const auto arms = arms_of(o, classes, model.source());
  const auto results = [&] {
    terminal watch;
    return clipx::compare_prompts(model, data, arms, o.model.encoding(), watch);
  }();
  const auto& skipped = results[0].skipped;
  check_strict(o.strict, skipped);
  const auto shared = results[0].shared_names.images;
  if (o.model.json_output) {
    json line{{"dataset", dataset_name(o.data)}, {"model", model.source().config().name}, {"task", "prompt_comparison"}};
    line.update({{"images", results[0].metrics.images}, {"shared_name_images", shared}, {"arms", json::array()}});
    for (auto& r : results) {
      json arm{{"prompts", r.name}, {"acc1", r.metrics.acc1}, {"acc5", r.metrics.acc5}};
      arm["mean_per_class_recall"] = r.metrics.mean_per_class_recall;
      if (shared) arm["shared_name_recall"] = r.shared_names.mean_per_class;
      line["arms"].push_back(arm);
    }
    line.update({{"left_out", skipped.count}, {"pretrained", find_model(o.model.path)}, {"language", "en"}});
    std::printf("%s\n", line.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
    return measured(skipped);
  }
  std::size_t width = 7;
  for (auto& r : results) width = std::max(width, r.name.size());
  std::printf("%-*s  %8s %8s %8s%s\n", static_cast<int>(width), "prompts", "acc1", "acc5", "recall", shared ? "    sense" : "");
  for (auto& r : results) {
    const auto& m = r.metrics;
    std::printf("%-*s  %8.4f %8.4f %8.4f", static_cast<int>(width), r.name.c_str(), m.acc1, m.acc5, m.mean_per_class_recall);
    if (shared) std::printf(" %8.4f", r.shared_names.mean_per_class);
    std::printf("\n");
  }
  if (skipped.count > 0) std::printf("left_out  %llu\n", static_cast<unsigned long long>(skipped.count));
  return measured(skipped);
}

}  // namespace

void add_eval_prompts(command& eval, action& run) {
  auto* task = eval.add_subcommand("prompts", "Compares bare class names, a template, context, and ensembles of templates.");
  auto o = std::make_shared<options>();
  task->add_option("--data", o->data, "labeled images, as for zeroshot")->required()->type_name("PATH");
  task->add_option("--classes", o->classes,
                   "one class name per line, line n (from 0) for label n, or a JSON list (default: the classnames.txt of the data)")
      ->type_name("FILE");
  task->add_option("--templates", o->templates, "templates of the ensembles, as for zeroshot")->type_name("FILE");
  task->add_option("--template", o->single, "the single template")->capture_default_str()->type_name("TEXT");
  auto* one = task->add_option("--context", o->context, "one context for all classes, such as \"a type of pet\"");
  one->type_name("TEXT");
  task->add_option("--contexts", o->contexts, "a context for each class, one per line")->excludes(one)->type_name("FILE");
  task->footer(
      "recall is the mean per-class recall. If several classes share a name, such as the two senses of a word, sense is the\n"
      "fraction of their images whose class has the highest score among the classes of that name, averaged over these classes:\n"
      "0.5 for two senses with the same prompts.\n"
      "Example: clipx eval prompts --data test.tar --classes classes.txt --context \"a type of pet\"");
  add_strict(*task, o->strict);
  o->model.add_json(*task);
  o->model.add_model(*task);
  o->model.add_engine(*task);
  o->model.add_images(*task);
  task->callback([o, &run] {
    o->model.check_engine();
    o->classes = classes_of(o->classes, o->data);
    run = [o] { return compare(*o); };
  });
}

}  // namespace cli
