// clipx curate: image-text pairs chosen as CLIP's and MetaCLIP's were.
#include "curate.hpp"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "flags.hpp"
#include "stop.hpp"

namespace cli {

void curate_options::add_data(command& verb) {
  verb.add_option("--data", data.data,
                  "shards (name-{0000..0008}.tar), folders of shards, or text files with one caption per line, whose key is the "
                  "line's index from 0")
      ->required()
      ->type_name("PATH");
  verb.add_option("--caption-field", data.caption_field,
                  "shards: the .json field that holds a caption or a list of captions (default: the .txt file)")
      ->type_name("NAME");
}

void add_part(command& verb, std::string& part, const std::string& of) {
  verb.add_option("--part", part, "process only every N-th " + of + ", from index I on (0 to N - 1); N processes share --out")
      ->check({[](const std::string& text) {
        clipx::stage_config config;
        try {
          clipx::read_part(text, config);
        } catch (const clipx::error& e) { return std::string(e.what()); }
        return std::string();
      }})
      ->type_name("I/N")
      ->capture_default_str();
}

void curate_options::add_run(command& verb) {
  add_part(verb, part, "part of the data");
  common.add_threads(verb);
  common.add_json(verb);
}

clipx::stage_config curate_options::stage() const {
  clipx::stage_config config;
  clipx::read_part(part, config);
  config.threads = common.device.threads;
  return config;
}

json caption_facts(const clipx::caption_report& r) {
  return {{"samples", r.samples},         {"captions", r.captions},     {"empty", r.empty},
          {"uncaptioned", r.uncaptioned}, {"unreadable", r.unreadable}, {"broken_shards", r.broken_shards},
          {"left_out", r.skipped.count}};
}

void print_facts(const json& facts, bool json_output) {
  if (json_output) {
    std::printf("%s\n", facts.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
    return;
  }
  for (auto& [key, value] : facts.items()) {
    if (value.is_number_float()) std::printf("%-20s %.6g\n", key.c_str(), value.get<double>());
    else std::printf("%-20s %s\n", key.c_str(), value.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
  }
}

int not_whole(std::size_t missing, std::size_t parts) {
  const bool stopped = told_to_stop() != 0;
  std::fprintf(stderr, "clipx: %s; %zu of %zu parts are not done: %s\n", stopped ? "stopped" : "this part is done", missing, parts,
               stopped ? "the same command continues from here"
                       : "the last of the processes writes the result, or the same command without --part");
  return stopped ? 130 : 0;
}

void add_curate(command& app, action& run) {
  auto* verb = app.add_subcommand(
      "curate",
      "Curates image-text pairs: queries, matching and balancing as in MetaCLIP; filtering; deduplication; decontamination.");
  verb->require_subcommand(1);
  for (auto* add : {add_curate_queries, add_curate_match, add_curate_balance, add_curate_filter, add_curate_dedup,
                    add_curate_decontaminate, add_curate_run})
    add(*verb, run);
  verb->footer(
      "Every verb runs in bounded memory and resumes where it was interrupted.\n"
      "Example:\n"
      "  clipx curate queries --text wikipedia.txt --wordnet --out queries.txt\n"
      "  clipx curate match --queries queries.txt --data \"pool-{0000..0999}.tar\" --out matched\n"
      "  clipx curate balance --counts matched/counts.tsv --t 20000 --data \"pool-{0000..0999}.tar\" --out kept");
}

}  // namespace cli
