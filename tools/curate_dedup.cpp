// clipx curate dedup and decontaminate: images that were met before, and those of evaluation sets.
#include "curate_pipeline.hpp"

namespace cli {
namespace {
struct dedup_options : pipeline_options {
  clipx::duplicate_rules rules;
  clipx::semantic_config semantic;
  std::string keep = "farthest";
};
struct decontaminate_options : pipeline_options {
  clipx::decontaminate_config how;
  double cosine = 0.95;
};

int dedup(dedup_options o, bool semantic) {
  if (o.rules.bytes || o.rules.decodes()) o.pipeline.steps.push_back({"dedup", o.rules});
  o.semantic.rule.keep_farthest = o.keep == "farthest";
  if (semantic) o.pipeline.steps.push_back({"semantic", o.semantic});
  return o.run();
}

int decontaminate(decontaminate_options o, bool by_cosine) {
  if (by_cosine) o.how.cosine = o.cosine;
  o.pipeline.steps.push_back({"decontaminate", o.how});
  return o.run();
}

option* add_cosine(command& verb, double& cosine, const char* help) {
  return verb.add_option("--cosine", cosine, help)->check(range(-1.0, 1.0))->type_name("X")->group("Rules");
}
}  // namespace

void add_duplicate_rules(command& verb, clipx::duplicate_rules& rules) {
  verb.add_flag("!--no-bytes", rules.bytes, "do not compare files byte for byte")->group("Rules");
  verb.add_flag("!--no-pixels", rules.pixels, "do not compare decoded pixels")->group("Rules");
  verb.add_option("--distance", rules.distance, "how many of 64 bits perceptual hashes may differ in; -1: do not compare them")
      ->check(range(-1, clipx::hamming_index::most_distance))
      ->type_name("D")
      ->capture_default_str()
      ->group("Rules");
}

void add_curate_dedup(command& curate, action& run) {
  auto* verb = curate.add_subcommand("dedup", "Drops images that duplicate an earlier one.");
  auto o = std::make_shared<dedup_options>();
  o->add_data(*verb);
  add_duplicate_rules(*verb, o->rules);
  auto* cosine =
      add_cosine(*verb, o->semantic.rule.cosine,
                 "also compare embeddings (SemDeDup): drop images with a higher cosine in their k-means cell (default: off)");
  const auto add = [&](const char* name, auto& value, const char* type, const char* help) {
    return verb->add_option(name, value, help)->type_name(type)->capture_default_str()->group("Rules");
  };
  add("--cells", o->semantic.cells, "N", "number of k-means cells; 0: the square root of the number of images")
      ->check(range(0, 1 << 24));
  add("--seed", o->semantic.seed, "S", "random seed of k-means");
  add("--keep", o->keep, "WHICH", "which of a cell's duplicates to keep: the one farthest from the centroid or nearest to it")
      ->check(is_member({"farthest", "nearest"}));
  verb->add_flag("--chains", o->semantic.rule.chains,
                 "also drop images that are close only to a dropped one, as SemDeDup's own code does")
      ->group("Rules");
  o->add_run(*verb);
  o->add_model(*verb);
  verb->footer(
      "Of duplicates, the first in the order of the data is kept. FOLDER receives shards with each sample's hashes in its .json\n"
      "under \"curate\", removed.jsonl with each duplicate's original, and report.html. The same command resumes after a kill.\n"
      "Example: clipx curate dedup --data \"pool-{0000..0999}.tar\" --distance 4 --cosine 0.97 --out unique");
  verb->callback([=, &run] {
    const bool semantic = cosine->count() > 0;
    if (!semantic && !o->rules.bytes && !o->rules.decodes()) throw required_error("a rule (bytes, pixels, --distance or --cosine)");
    o->model.check_engine();
    run = [=] { return dedup(*o, semantic); };
  });
}

void add_curate_decontaminate(command& curate, action& run) {
  auto* verb = curate.add_subcommand("decontaminate", "Drops images that also occur in evaluation sets.");
  auto o = std::make_shared<decontaminate_options>();
  o->add_data(*verb);
  verb->add_option("--against", o->how.against, "shards of evaluation sets, or folders of them")->required()->type_name("PATH");
  add_duplicate_rules(*verb, o->how.rules);
  auto* cosine =
      add_cosine(*verb, o->cosine, "also compare embeddings: drop images at least so close to an evaluation image (default: off)");
  o->add_run(*verb);
  o->add_model(*verb);
  verb->footer(
      "FOLDER/removed.jsonl names, for each removed sample, the evaluation image that it matches and the rule that found it.\n"
      "Example: clipx curate decontaminate --data \"pool-{0000..0999}.tar\" --against \"eval/{caltech101,cifar10}/test.tar\" --out "
      "clean");
  verb->callback([=, &run] {
    const bool by_cosine = cosine->count() > 0;
    if (!o->how.rules.bytes && !o->how.rules.decodes()) throw required_error("a rule (bytes, pixels or --distance)");
    o->model.check_engine();
    run = [=] { return decontaminate(*o, by_cosine); };
  });
}

}  // namespace cli
