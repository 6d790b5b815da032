// clipx ngrams: the dictionary of a Visual N-Grams model.
#include <clipx/curate/ngram_count.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "common.hpp"
#include "stop.hpp"

namespace cli {
namespace {

struct options {
  clipx::ngram_sources sources;
  std::string out, separator;
  bool strict = false;
  std::uint64_t memory = 1024;  // MiB
  bool json_output = false;
};

int ngrams(options o) {
  listen_for_stop();
  expect_other_file(o.out, o.sources.data);
  clipx::expect_writable(o.out);
  if (!o.separator.empty()) o.sources.captions.separator = o.separator == "\\t" ? '\t' : o.separator[0];
  o.sources.memory = static_cast<std::size_t>(o.memory) << 20;
  clipx::ngram_report report;
  const auto dictionary = [&] {
    terminal watch;
    return clipx::count_ngrams(o.sources, o.out + ".part", report, watch);
  }();
  check_strict(o.strict, report.skipped);
  clipx::expect(!o.strict || report.not_utf8 == 0, clipx::error_kind::damaged,
                [&] { return clipx::cat("--strict: ", report.not_utf8, " captions are not UTF-8"); });
  clipx::write_file(o.out, dictionary.text());
  if (report.not_utf8)
    std::fprintf(stderr, "clipx: left out %llu captions that are not UTF-8\n", static_cast<unsigned long long>(report.not_utf8));
  json facts{{"captions", report.captions},
             {"not_utf8", report.not_utf8},
             {"words", report.words},
             {"distinct", report.distinct},
             {"ngrams", dictionary.size()}};
  for (std::size_t n = 0; n < dictionary.orders().size(); ++n) facts[clipx::cat("of_", n + 1)] = dictionary.orders()[n];
  if (o.json_output) std::printf("%s\n", facts.dump().c_str());
  else
    for (auto& [key, value] : facts.items()) std::printf("%-20s %s\n", key.c_str(), value.dump().c_str());
  return tell_left_out(report.skipped);
}
}  // namespace

void add_ngrams(command& app, action& run) {
  auto* verb = app.add_subcommand("ngrams", "Counts the n-grams of captions, for the dictionary of a Visual N-Grams model.");
  auto o = std::make_shared<options>();
  verb->add_option("--train-data", o->sources.data,
                   "shards (name-{0000..0008}.tar), .csv or .tsv tables, text files with one caption per line, folders")
      ->required()
      ->type_name("PATH");
  verb->add_option("--caption-field", o->sources.captions.field,
                   "shards: the .json field that holds a caption or a list of captions (default: the .txt file)")
      ->type_name("NAME");
  verb->add_option("--csv-caption-key", o->sources.captions.column, "tables: name of the caption column")
      ->capture_default_str()
      ->type_name("NAME");
  verb->add_option("--csv-separator", o->separator, "tables: field separator (default: comma in .csv, tab in .tsv)")
      ->check(one_character())
      ->type_name("CHAR");
  verb->add_option("--max-n", o->sources.max_n, "length of the longest n-grams, in words")
      ->check(range(1, 64))
      ->capture_default_str()
      ->type_name("N");
  verb->add_option("--min-count", o->sources.min_count, "minimum count of an n-gram")
      ->check(range(std::uint64_t(1), std::uint64_t(1) << 62))
      ->capture_default_str()
      ->type_name("N");
  verb->add_option("--out", o->out, "output file, one line per n-gram: count, tab, words")->required()->type_name("FILE");
  verb->add_option("--memory", o->memory,
                   "memory for counting; the rest is spilled to disk beside FILE; results do not depend on it")
      ->check(range(std::uint64_t(1), std::uint64_t(1) << 30))
      ->capture_default_str()
      ->type_name("MIB");
  add_strict(*verb, o->strict);
  verb->add_flag("--json", o->json_output, "print JSON instead of text");
  verb->footer(
      "Captions are cleaned as for CLIP, stripped of punctuation, and enclosed in [BEGIN] and [END].\n"
      "Example: clipx ngrams --train-data \"train-{0000..0008}.tar\" --caption-field captions --max-n 5 --min-count 20 --out "
      "ngrams.tsv");
  verb->callback([=, &run] { run = [=] { return ngrams(*o); }; });
}

}  // namespace cli
