// clipx curate queries: a query list from one's own text.
#include <clipx/curate/queries.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "curate.hpp"
#include "stop.hpp"

namespace cli {
namespace {

struct options : curate_options {
  clipx::query_sources sources;
  std::uint64_t memory = 1024;  // MiB
};

int queries(options o) {
  listen_for_stop();
  expect_other_file(o.out, o.sources.text);
  if (!o.sources.titles.empty()) expect_other_file(o.out, {o.sources.titles});
  clipx::expect_writable(o.out);
  o.sources.memory = static_cast<std::size_t>(o.memory) << 20;
  const auto r = [&] {
    terminal watch;
    return clipx::build_queries(o.sources, o.out, o.stage(), watch);
  }();
  if (!r.whole) return not_whole(r.missing, r.parts);
  const json facts{{"entries", r.entries.size()},
                   {"numbers", r.numbers},
                   {"synsets", r.synsets},
                   {"unigrams", r.unigrams},
                   {"bigrams", r.bigrams},
                   {"titles", r.titles},
                   {"over_limit", r.over_limit},
                   {"punctuation", r.punctuation},
                   {"words", r.words},
                   {"distinct_words", r.distinct_words},
                   {"distinct_pairs", r.distinct_pairs},
                   {"unreadable", r.unreadable},
                   {"left_out", r.skipped.count}};
  print_facts(facts, o.common.json_output);
  return tell_left_out(r.skipped);
}
}  // namespace

void add_curate_queries(command& curate, action& run) {
  auto* verb = curate.add_subcommand("queries", "Builds a query list from texts, titles and WordNet.");
  auto o = std::make_shared<options>();
  const auto add = [&](const char* name, auto& value, const char* type, const char* help) {
    return verb->add_option(name, value, help)->type_name(type)->capture_default_str();
  };
  add("--text", o->sources.text, "FILE", "plain text, one paragraph per line, whose unigrams and bigrams are counted");
  add("--unigram-min", o->sources.unigram_min, "N", "minimum count of a unigram");
  add("--bigram-pmi", o->sources.bigram_pmi, "X", "minimum pointwise mutual information of a bigram, in bits")
      ->check(range(-1000.0, 1000.0));
  add("--titles", o->sources.titles, "TSV", "titles, such as Wikipedia's: title, tab, number of views");
  add("--titles-min", o->sources.titles_min, "N", "minimum number of views of a title; titles with a ':' are left out");
  auto* wordnet = verb->add_flag("--wordnet", o->sources.wordnet, "add the names of WordNet's synsets (Debian: wordnet-base)");
  verb->add_option("--wordnet-folder", o->sources.wordnet_folder, "folder of data.noun and the others (default: the usual places)")
      ->needs(wordnet)
      ->type_name("FOLDER");
  add("--limit", o->sources.limit, "N", "maximum number of entries")->check(range(std::size_t(1), std::size_t(8'388'607)));
  verb->add_option("--out", o->out, "output file, one entry per line")->required()->type_name("FILE");
  add("--memory", o->memory, "MIB", "memory for counting; the rest is spilled to disk in FILE.state; results do not depend on it")
      ->check(range(std::uint64_t(1), std::uint64_t(1) << 30));
  o->add_run(*verb);
  add_strict(*verb, o->sources.strict);
  verb->footer(
      "Order: \"0\" to \"99\", synsets, words, pairs, titles; duplicates are left out. Case matters.\n"
      "Example: clipx curate queries --text wikipedia.txt --titles views.tsv --wordnet --out queries.txt");
  verb->callback([=, &run] {
    if (o->sources.text.empty() && o->sources.titles.empty() && !o->sources.wordnet)
      throw required_error("--text, --titles or --wordnet");
    run = [=] { return queries(*o); };
  });
}

}  // namespace cli
