// clipx curate balance: keeps of the captions of frequent entries as many as of the others.
#include <clipx/curate/balance.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "curate.hpp"
#include "stop.hpp"

namespace cli {
namespace {
namespace fs = std::filesystem;

struct options : curate_options {
  std::string counts, padding = "spaces";
  double tail = 0.06;
  clipx::balance_options how;
};

json facts_of(const clipx::entry_counts& counts, const clipx::balance_options& how, const clipx::balance_result& r) {
  const auto sum = [](const std::vector<std::uint64_t>& all) { return std::accumulate(all.begin(), all.end(), std::uint64_t{0}); };
  std::size_t head = 0;
  for (const auto c : counts.counts) head += c >= how.t ? 1 : 0;
  json facts = caption_facts(r.captions);
  facts.update(json{{"matched", r.matched},
                    {"kept", r.kept},
                    {"expected", r.expected},
                    {"t", how.t},
                    {"seed", how.seed},
                    {"entries", counts.entries.size()},
                    {"head_entries", head},
                    {"tail_share", clipx::tail_share(counts.counts, how.t)},
                    {"matches_before", sum(r.before)},
                    {"matches_after", sum(r.after)},
                    {"tail_share_before", clipx::tail_share(r.before, how.t)},
                    {"tail_share_after", clipx::tail_share(r.after, how.t)}});
  return facts;
}

int balance(options o, bool by_tail) {
  listen_for_stop();
  std::error_code none;
  clipx::expect(!fs::equivalent(o.counts, fs::path(o.out) / "counts.tsv", none), [&] {
    return clipx::cat(o.out, ": expected another folder to write than that of ", o.counts, ", which would be overwritten");
  });
  const auto counts = clipx::read_counts(o.counts);
  if (by_tail) o.how.t = clipx::threshold_of_tail(counts.counts, o.tail);
  o.how.rule = clipx::padding_by_name(o.padding);
  const auto r = [&] {
    terminal watch;
    return clipx::balance_captions(counts, o.data, o.out, o.how, o.stage(), watch);
  }();
  if (!r.whole) return not_whole(r.missing, r.parts);
  print_facts(facts_of(counts, o.how, r), o.common.json_output);
  return tell_left_out(r.captions.skipped);
}
}  // namespace

void add_curate_balance(command& curate, action& run) {
  auto* verb =
      curate.add_subcommand("balance", "Balances entries: keeps samples of rare ones and subsamples those of frequent ones.");
  auto o = std::make_shared<options>();
  verb->add_option("--counts", o->counts, "counts.tsv of the whole pool, as written by clipx curate match")
      ->required()
      ->type_name("TSV");
  auto* t = verb->add_option("--t", o->how.t, "an entry with c captions keeps each with probability t / max(c, t)")
                ->check(range(std::uint64_t(1), std::uint64_t(1) << 62))
                ->type_name("N")
                ->capture_default_str();
  auto* tail = verb->add_option("--tail-share", o->tail,
                                "instead of --t: the t for which entries with lower counts have about this fraction of all matches")
                   ->check(range(0.0, 1.0))
                   ->type_name("P");
  verb->add_option("--seed", o->how.seed, "random seed")->type_name("S")->capture_default_str();
  o->add_data(*verb);
  verb->add_option("--out", o->out, "output folder, created if missing")->required()->type_name("FOLDER");
  verb->add_option("--padding", o->padding, "the --padding of clipx curate match")
      ->check(is_member({"spaces", "script"}))
      ->type_name("RULE")
      ->capture_default_str();
  verb->add_flag("!--no-decisions", o->how.decisions, "do not write kept.jsonl");
  o->add_run(*verb);
  add_strict(*verb, o->data.strict);
  verb->footer(
      "A sample is kept if any of its entries wins its draw, a function of the seed, the sample's key and the entry alone.\n"
      "FOLDER gets shard N of the data as NNNNN.tar, kept captions of texts as kept.txt, kept.jsonl with\n"
      "{\"key\":..,\"p\":..,\"entries\":[..]} for each kept sample, and the counts after: counts.tsv, counts.svg.\n"
      "Example: clipx curate balance --counts matched/counts.tsv --t 20000 --seed 1 --data \"pool-{0000..0999}.tar\" --out kept");
  verb->callback([=, &run] {
    if (t->count() && tail->count()) throw excludes_error("--t", "--tail-share");
    const bool by_tail = tail->count() > 0;
    run = [=] { return balance(*o, by_tail); };
  });
}

}  // namespace cli
