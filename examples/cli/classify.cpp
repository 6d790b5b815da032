// clipx classify: labels ranked for each picture.
#include <clipx/zero_shot/classifier.hpp>
#include <clipx/zero_shot/retrieval.hpp>
#include <cstdio>
#include <sstream>

#include "common.hpp"

namespace cli {
namespace {

struct options {
  model_options model;
  std::string labels, classes, templates;
  std::vector<std::string> images;
};

clipx::prompt_set prompts(const options& o, const clipx::checkpoint& model) {
  const auto templates = choose_templates(o.templates, model);
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

int classify(const options& o) {
  const auto model = o.model.open();
  const auto set = prompts(o, model);
  const auto pictures = open_pictures(o.images);
  const auto engine = make_engine(model, o.model.device);
  const auto classes = clipx::make_classifier(set, [&](std::span<const std::string> texts) { return embed_texts(*engine, texts); });
  progress bar("pictures", pictures.size(), isatty(1) != 0);  // on a terminal the answers are the progress
  bool all = true;
  for_each_batch(
      pictures, engine->source().pixels(), o.model.batch_size, o.model.device.threads,
      [&](std::span<const std::size_t> indices, std::span<const std::uint8_t> rgb) {
        if (indices.empty()) return;
        const auto cosines = engine->cosines(engine->images(rgb), classes.weights);
        bar.advance(indices.size());
        for (std::size_t i = 0; i < indices.size(); ++i) {
          const auto ranked = clipx::probabilities(
              std::span<const double>(cosines).subspan(i * set.classes.size(), set.classes.size()), engine->log_scale());
          const auto& name = pictures[indices[i]].name;
          if (o.model.json_output) {
            json line{{"image", name}, {"labels", json::array()}};
            for (auto [label, p] : ranked)
              line["labels"].push_back(json{{"label", set.classes[static_cast<std::size_t>(label)]}, {"p", p}});
            std::printf("%s\n", line.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
          } else {
            std::printf("%s\n", name.c_str());
            for (std::size_t k = 0; k < std::min<std::size_t>(ranked.size(), 5); ++k)
              std::printf("  %6.2f %%  %s\n", 100 * ranked[k].second,
                          set.classes[static_cast<std::size_t>(ranked[k].first)].c_str());
          }
        }
        std::fflush(stdout);
      },
      [&](std::size_t, const std::string& message) {
        std::fprintf(stderr, "clipx: %s\n", message.c_str());
        all = false;
      });
  return all ? 0 : 1;
}
}  // namespace

void add_classify(CLI::App& app, action& run) {
  auto* verb = app.add_subcommand("classify", "Ranks labels for pictures.");
  auto o = std::make_shared<options>();
  verb->add_option("image", o->images, "pictures or folders of pictures; - for standard input")->required()->type_name("PATH");
  auto* labels = verb->add_option("--labels", o->labels, "labels, separated by commas")->type_name("A,B,...");
  auto* classes = verb->add_option("--classes", o->classes,
                                   "instead of --labels: a class a line, or JSON {class: [texts]}, or class<TAB>text lines; - for "
                                   "standard input")
                      ->type_name("FILE");
  verb->add_option("--templates", o->templates,
                   "prompt templates with {} for the label, a line each (default: the model's own, else built in)")
      ->type_name("FILE");
  o->model.add_json(*verb), o->model.add_model(*verb), o->model.add_engine(*verb);
  verb->footer(
      "Probabilities are over the labels given: they say which label fits best, not whether any does.\n"
      "Example: clipx classify *.jpg --labels \"a cat,a dog,a red car\"");
  verb->callback([=, &run] {
    if (labels->count() && classes->count()) throw CLI::ExcludesError("--labels", "--classes");
    if (labels->count() + classes->count() == 0) throw CLI::RequiredError("--labels or --classes");
    o->model.check_engine();
    run = [=] { return classify(*o); };
  });
}

}  // namespace cli
