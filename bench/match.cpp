// clipx-bench match: the entries of a query list in all lines of a file, one thread.
#include <clipx/curate/matching.hpp>
#include <clipx/io/file.hpp>
#include <memory>

#include "bench.hpp"

namespace bench {
namespace {

struct options {
  std::string queries, texts, out, padding = "spaces";
  int runs = 7, warmup = 1;
  bool normalized = false, json_output = false;
};

void match(const options& o) {
  auto entries = clipx::read_queries(o.queries);
  const auto lines = lines_of(o.texts);
  const double start = now();
  const clipx::query_matcher queries(std::move(entries), clipx::padding_by_name(o.padding));
  const double built = now();
  std::size_t bytes = 0, matches = 0;
  std::vector<std::string> texts(lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    bytes += lines[i].size();
    clipx::normalize_caption(lines[i], texts[i]);
  }
  std::vector<std::uint32_t> ids;
  std::string scratch;
  const auto one = [&](std::size_t i) {
    if (o.normalized) queries.automaton().match(texts[i], ids);
    else queries(lines[i], ids, scratch);
  };
  const auto ms = time_runs(o.warmup, o.runs, [&] {
    matches = 0;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      one(i);
      matches += ids.size();
    }
  });
  auto facts = result(ms);
  facts["build_ms"] = (built - start) * 1e3;
  facts["entries"] = queries.entries().size();
  facts["states"] = queries.automaton().states();
  facts["automaton_mb"] = static_cast<double>(queries.automaton().bytes()) / 1e6;
  facts["texts"] = lines.size();
  facts["matches"] = matches;
  facts["mb_per_s"] = static_cast<double>(bytes) / median(ms) / 1e3;
  if (!o.out.empty())
    clipx::write_file(o.out, [&](const clipx::file_writer& write) {
      for (std::size_t i = 0; i < lines.size(); ++i) {
        one(i);
        const auto line = json(ids).dump() + "\n";
        write(std::as_bytes(std::span(line)));
      }
    });
  print(facts, o.json_output);
}
}  // namespace

void add_match(cli::command& app, std::function<void()>& run) {
  auto* verb = app.add_subcommand("match", "The entries of a query list in all lines of a file, one thread.");
  auto o = std::make_shared<options>();
  verb->add_option("--queries", o->queries, "file, an entry a line")->required();
  verb->add_option("--texts", o->texts, "file, a caption a line")->required();
  verb->add_option("--padding", o->padding, "spaces, script");
  verb->add_flag("--normalized", o->normalized, "captions are normalized before the clock starts");
  verb->add_option("--runs", o->runs)->check(cli::positive_number());
  verb->add_option("--warmup", o->warmup);
  verb->add_option("--out", o->out, "places of entries, a JSON array a line");
  verb->add_flag("--json", o->json_output);
  verb->callback([=, &run] { run = [=] { match(*o); }; });
}

}  // namespace bench
