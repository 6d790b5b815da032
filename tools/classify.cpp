// clipx classify: labels ranked for each image.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "common.hpp"
#include "flags.hpp"

namespace cli {
namespace {

struct options {
  model_options model;
  std::string labels, classes, templates;
  std::vector<std::string> images;
  bool strict = false;
};

clipx::prompt_set prompts(const options& o, const clipx::checkpoint& model) {
  const auto templates = clipx::choose_templates(o.templates, model);
  if (!o.classes.empty()) return clipx::read_prompts(o.classes, templates);
  std::vector<std::string> names;
  std::istringstream list(o.labels);
  for (std::string name; std::getline(list, name, ',');) {
    name = clipx::trimmed(name);
    clipx::expect(!name.empty(), "--labels: expected names between commas, got an empty one");
    names.push_back(name);
  }
  clipx::expect(!names.empty(), "--labels: expected at least one label, got none");
  return clipx::make_prompts(names, templates);
}

/// The labels of one image, best first.
void print(const options& o, const std::string& image, const std::vector<std::pair<clipx::dim, double>>& ranked,
           const std::vector<std::string>& labels) {
  const auto label_of = [&](clipx::dim label) -> auto& { return labels[static_cast<std::size_t>(label)]; };
  if (o.model.json_output) {
    json line{{"image", image}, {"labels", json::array()}};
    for (auto [label, p] : ranked) line["labels"].push_back(json{{"label", label_of(label)}, {"p", p}});
    std::printf("%s\n", line.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
    return;
  }
  std::printf("%s\n", printable(image).c_str());
  for (std::size_t k = 0; k < std::min<std::size_t>(ranked.size(), 5); ++k)
    std::printf("  %6.2f %%  %s\n", 100 * ranked[k].second, printable(label_of(ranked[k].first)).c_str());
}

int classify(const options& o) {
  auto source = o.model.open();
  const auto set = prompts(o, source);
  clipx::left_out skipped;
  const auto files = clipx::image_paths(o.images, skipped);
  check_strict(o.strict, skipped);
  auto model = load_model(std::move(source), o.model.device);
  const auto classes = keep_classes(model, set);
  progress bar("images", files.size(), isatty(1) != 0);  // on a terminal the answers are the progress
  bool all = true;
  const auto stream = [&](clipx::function_ref<void(clipx::image_source)> next) {
    for (auto& file : files) next({file, {}});
  };
  clipx::for_each_encoded(
      model, clipx::image_stream(stream), o.model.encoding(),
      [&](const clipx::image_batch& batch, const clipx::any_rows& rows) {
        const auto scores = model.scores(rows, classes);
        bar.advance(batch.names.size());
        for (std::size_t i = 0; i < batch.names.size(); ++i)
          print(o, batch.names[i], model.rank(scores, static_cast<clipx::dim>(i)), set.classes);
        std::fflush(stdout);
      },
      [&](std::size_t, const std::string&, const clipx::error& why) {
        if (o.strict) throw why;
        complain(why.what());
        all = false;
      });
  const int code = tell_left_out(skipped);
  return all ? code : 1;
}
}  // namespace

void add_classify(command& app, action& run) {
  auto* verb = app.add_subcommand("classify", "Ranks labels for images.");
  auto o = std::make_shared<options>();
  verb->add_option("image", o->images, "images or folders of images; - for standard input")->required()->type_name("PATH");
  auto* labels = verb->add_option("--labels", o->labels, "comma-separated labels")->type_name("A,B,...");
  auto* classes =
      verb->add_option("--classes", o->classes,
                       "instead of --labels: one class per line, or JSON: [classes] or {class: [texts]}, or class<TAB>text lines; "
                       "- for standard input")
          ->type_name("FILE");
  verb->add_option("--templates", o->templates,
                   "prompt templates with {} or {c} for the label, one per line or as a JSON list (default: the model's, else "
                   "built-in ones)")
      ->type_name("FILE");
  add_strict(*verb, o->strict);
  o->model.add_json(*verb);
  o->model.add_model(*verb);
  o->model.add_engine(*verb);
  o->model.add_images(*verb);
  verb->footer(
      "Probabilities are a softmax over the given labels: they tell which label fits best, not whether any does. A model trained\n"
      "with the sigmoid loss gives each label an independent probability.\n"
      "Example: clipx classify *.jpg --labels \"a cat,a dog,a red car\"");
  verb->callback([=, &run] {
    if (labels->count() && classes->count()) throw excludes_error("--labels", "--classes");
    if (labels->count() + classes->count() == 0) throw required_error("--labels or --classes");
    o->model.check_engine();
    run = [=] { return classify(*o); };
  });
}

}  // namespace cli
