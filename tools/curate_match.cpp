// clipx curate match: in how many captions each entry of a query list occurs.
#include <clipx/curate/counts.hpp>
#include <clipx/curate/match.hpp>
#include <nlohmann/json.hpp>

#include "curate.hpp"
#include "stop.hpp"

namespace cli {
namespace {

struct options : curate_options {
  std::string queries, padding = "spaces";
  bool matches = false;
};

int match(const options& o) {
  listen_for_stop();
  expect_no_input(o.out + "/counts.tsv", {o.queries});
  const clipx::query_matcher queries(clipx::read_queries(o.queries), clipx::padding_by_name(o.padding));
  const auto r = [&] {
    terminal watch;
    return clipx::match_captions(queries, o.data, o.out, o.matches, o.stage(), watch);
  }();
  if (!r.whole) return not_whole(r.missing, r.parts);
  std::size_t found = 0;
  for (const auto c : r.counts) found += c > 0 ? 1 : 0;
  json facts = caption_facts(r.captions);
  facts.update(json{{"matched", r.matched}, {"matches", r.matches}, {"entries", r.counts.size()}, {"entries_found", found}});
  print_facts(facts, o.common.json_output);
  return tell_left_out(r.captions.skipped);
}
}  // namespace

void add_curate_match(command& curate, action& run) {
  auto* verb = curate.add_subcommand("match", "Counts the captions that contain each entry of a query list.");
  auto o = std::make_shared<options>();
  verb->add_option("--queries", o->queries, "one entry per line, as written by clipx curate queries")
      ->required()
      ->type_name("FILE");
  o->add_data(*verb);
  verb->add_option("--out", o->out, "output folder, created if missing")->required()->type_name("FOLDER");
  verb->add_flag("--matches", o->matches, "also write each caption's entries: matches.jsonl");
  verb->add_option("--padding", o->padding,
                   "spaces: entries match between spaces (MetaCLIP 1); script: only where the script uses spaces (MetaCLIP 2)")
      ->check(is_member({"spaces", "script"}))
      ->type_name("RULE")
      ->capture_default_str();
  o->add_run(*verb);
  add_strict(*verb, o->data.strict);
  verb->footer(
      "FOLDER/counts.tsv has a line for each entry: entry, tab, number of captions, in the list's order. With --matches\n"
      "FOLDER/matches.jsonl has {\"key\":..,\"entries\":[..]} for each caption with an entry. What is done is in FOLDER/state.\n"
      "Captions that cannot be read are named, and the exit code is 1.\n"
      "Example: clipx curate match --queries queries.txt --data captions.txt --out matched");
  verb->callback([=, &run] { run = [=] { return match(*o); }; });
}

}  // namespace cli
