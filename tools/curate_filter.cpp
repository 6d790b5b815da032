// clipx curate filter: keeps the samples that pass rules.
#include <algorithm>

#include "curate_pipeline.hpp"

namespace cli {
namespace {
struct options : pipeline_options {
  clipx::size_filter size;
  clipx::basic_filter basic;
  clipx::language_filter language;
  std::vector<std::string> languages;
  std::string offensive;
  double min_cosine = 0.28;
  bool score = false, by_size = false, by_basic = false;
};

const auto positive = [] { return range(clipx::dim(0), clipx::dim(1) << 30); };

std::vector<option*> add_size(command& verb, options& o) {
  auto& f = o.size;
  return {verb.add_flag("--size", o.by_size, "LAION-400M's rule: the next two, at their defaults or as given")->group("Rules"),
          verb.add_option("--min-bytes", f.min_bytes, "minimum size of the encoded image")
              ->check(positive())
              ->type_name("N")
              ->capture_default_str()
              ->group("Rules"),
          verb.add_option("--min-length", f.min_characters, "minimum length of the caption, in characters")
              ->check(positive())
              ->type_name("N")
              ->capture_default_str()
              ->group("Rules")};
}

std::vector<option*> add_basic(command& verb, options& o) {
  auto& f = o.basic;
  const auto add = [&](const char* name, auto& value, const char* help) {
    return verb.add_option(name, value, help)->check(positive())->type_name("N")->capture_default_str()->group("Rules");
  };
  return {verb.add_flag("--basic", o.by_basic, "DataComp's basic filter: the next four options, at their defaults or as given")
              ->group("Rules"),
          add("--min-words", f.min_words, "minimum number of words in the caption"),
          add("--min-characters", f.min_characters, "minimum number of characters in the caption"),
          add("--min-side", f.min_side, "minimum length of the image's short side, in pixels"),
          verb.add_option("--max-aspect", f.max_aspect, "maximum ratio of the image's long side to its short side")
              ->check(range(1.0, 1e9))
              ->type_name("X")
              ->capture_default_str()
              ->group("Rules")};
}

std::vector<option*> add_language(command& verb, options& o) {
  return {verb.add_option("--language", o.languages, "languages to keep, by cld2's codes (en, de, zh, ..)")
              ->type_name("CODE")
              ->group("Rules"),
          verb.add_option("--min-percent", o.language.min_percent, "minimum percentage of letters in that language")
              ->check(range(0, 100))
              ->type_name("N")
              ->capture_default_str()
              ->group("Rules"),
          verb.add_flag("--reliable", o.language.reliable, "keep only what cld2 calls reliable")->group("Rules")};
}

/// A limit that is given without the flag of its rule, the first option, is applied alone: the others of the rule are lifted.
template <class Limit>
void lift_unless_given(const std::vector<option*>& rule, std::size_t option, Limit& limit, Limit lifted) {
  if (rule[0]->count() == 0 && rule[option]->count() == 0) limit = lifted;
}

bool any(const std::vector<option*>& options) {
  return std::any_of(options.begin(), options.end(), [](auto* one) { return one->count() > 0; });
}

int filter(options o, bool language, bool threshold) {
  clipx::filter_config f;
  if (o.by_size) f.rules.size = o.size;
  if (o.by_basic) f.rules.basic = o.basic;
  if (!o.languages.empty()) o.language.languages = {o.languages.begin(), o.languages.end()};
  if (language) f.rules.language = o.language;
  if (!o.offensive.empty()) f.rules.offensive = clipx::word_list::read(o.offensive);
  if (threshold) f.min_cosine = o.min_cosine;
  f.score = o.score;
  o.pipeline.steps.push_back({"filter", f});
  return o.run();
}
}  // namespace

void add_curate_filter(command& curate, action& run) {
  auto* verb = curate.add_subcommand("filter", "Filters samples by rules.");
  auto o = std::make_shared<options>();
  o->add_data(*verb);
  const auto size = add_size(*verb, *o), basic = add_basic(*verb, *o), language = add_language(*verb, *o);
  auto* offensive = verb->add_option("--offensive", o->offensive,
                                     "word list, one entry per line: drop captions that contain one as whole words, in any case")
                        ->type_name("FILE")
                        ->group("Rules");
  auto* threshold = verb->add_option("--min-cosine", o->min_cosine,
                                     "minimum cosine of image and caption; LAION-5B used 0.28 with ViT-B/32 (default: none)")
                        ->check(range(-1.0, 1.0))
                        ->type_name("X")
                        ->group("Rules");
  auto* score = verb->add_flag("--score", o->score, "write the cosine to the metadata, without a threshold")->group("Rules");
  o->add_run(*verb);
  o->add_model(*verb);
  verb->footer(
      "A limit given without the flag of its rule is applied alone. A sample with several captions passes a rule if one of them\n"
      "does, and passes --offensive only if all of them do. FOLDER receives shards with each sample's measurements in its .json\n"
      "under \"curate\", removed.jsonl with the reasons, and report.html. The same command resumes after a kill.\n"
      "Example: clipx curate filter --data \"pool-{0000..0999}.tar\" --basic --language en --offensive words.txt --out filtered");
  verb->callback([=, &run] {
    o->by_size = any(size);
    o->by_basic = any(basic);
    lift_unless_given<clipx::dim>(size, 1, o->size.min_bytes, 0);
    lift_unless_given<clipx::dim>(size, 2, o->size.min_characters, 0);
    lift_unless_given<clipx::dim>(basic, 1, o->basic.min_words, 0);
    lift_unless_given<clipx::dim>(basic, 2, o->basic.min_characters, 0);
    lift_unless_given<clipx::dim>(basic, 3, o->basic.min_side, 0);
    lift_unless_given<double>(basic, 4, o->basic.max_aspect, 1e9);
    const bool by_language = any(language), by_cosine = threshold->count() > 0;
    if (!o->by_size && !o->by_basic && !by_language && !by_cosine && offensive->count() + score->count() == 0)
      throw required_error("a rule (--size, --basic, --language, --offensive, --min-cosine or --score)");
    o->model.check_engine();
    run = [=] { return filter(*o, by_language, by_cosine); };
  });
}

}  // namespace cli
