// clipx curate run: a pipeline from its file; and what it shares with filter, dedup and decontaminate.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "curate_pipeline.hpp"
#include "stop.hpp"

namespace cli {
namespace {
namespace fs = std::filesystem;

/// Which model it is and what computes it: the files of its folder, the backend.
std::string model_facts(const model_options& o, const std::string& path) {
  std::vector<std::string> files;
  if (!fs::is_directory(path)) files.push_back(path);
  else
    for (const auto& one : fs::directory_iterator(path))
      if (one.is_regular_file()) files.push_back(one.path().string());
  std::sort(files.begin(), files.end());
  std::string out = clipx::cat(o.device.backend, " ", o.device.precision, "\n");
  for (const auto& file : files) out += clipx::file_facts(file) + "\n";
  return out;
}

json facts_of(const clipx::curation_result& r) {
  json steps = json::array();
  for (const auto& [step, after] : r.steps) {
    json dropped = json::object();
    for (const auto& [reason, n] : after.dropped)
      if (reason.starts_with(step + ": ")) dropped[reason.substr(step.size() + 2)] = n;
    steps.push_back({{"step", step}, {"kept", after.kept}, {"dropped", dropped}});
  }
  const auto& last = r.steps.back().after;
  json facts = caption_facts(last.read);
  facts.update(json{{"kept", last.kept}, {"removed", r.output.removed}, {"shards", r.output.shards.size()}, {"steps", steps}});
  return facts;
}

void print_steps(const json& facts) {
  for (const auto& step : facts.at("steps")) {
    std::printf("%-20s %llu stay\n", step.at("step").get<std::string>().c_str(), step.at("kept").get<unsigned long long>());
    for (const auto& [reason, n] : step.at("dropped").items())
      std::printf("  %-30s %llu dropped\n", reason.c_str(), n.get<unsigned long long>());
  }
}
}  // namespace

void pipeline_options::add_data(command& verb) {
  auto& c = pipeline.curation;
  verb.add_option("--data", c.data, "shards (name-{0000..0008}.tar) or folders of shards")->required()->type_name("PATH");
  verb.add_option("--caption-field", c.caption_field,
                  "the .json field that holds a caption or a list of captions (default: the .txt file)")
      ->type_name("NAME");
  verb.add_option("--out", c.out, "output folder, created if missing")->required()->type_name("FOLDER");
  verb.add_option("--state", c.state, "folder of intermediate results (default: state/ in --out)")->type_name("FOLDER");
  verb.add_option("--samples-per-shard", c.samples_per_shard, "samples per output shard")
      ->check(range(std::uint64_t(1), std::uint64_t(1) << 40))
      ->type_name("N")
      ->capture_default_str();
  verb.add_flag("--number-keys", c.number_keys, "number the keys: five digits for the shard, four for the index in it");
}

void pipeline_options::add_run(command& verb) {
  add_part(verb, part, "shard");
  add_strict(verb, strict);
  model.add_json(verb);
}

void pipeline_options::add_model(command& verb) {
  model.add_model(verb);
  model.add_engine(verb);
}

int pipeline_options::run() const {
  listen_for_stop();
  auto own = pipeline;
  own.curation.strict |= strict;
  expect_other_folder(own.curation.out, own.curation.data);
  clipx::stage_config config;
  clipx::read_part(part, config);
  own.curation.part = config.part;
  own.curation.parts = config.parts;
  own.curation.threads = model.device.threads;
  std::optional<clipx::any_model> loaded;
  std::optional<clipx::shared_model> shared;
  if (own.needs_model()) {
    auto with = model;
    if (with.path.empty()) with.path = own.model;
    loaded.emplace(with.load());
    shared.emplace(*loaded, model_facts(with, find_model(with.path)), with.batches());
  }
  const auto result = [&] {
    terminal watch;
    return clipx::run_pipeline(own, shared ? &*shared : nullptr, watch);
  }();
  if (!result) {
    const bool stopped = told_to_stop() != 0;
    std::fprintf(stderr, "clipx: %s\n",
                 stopped ? "stopped; the same command continues from here"
                         : "this part of a step is done; once the other processes are done too, the same command continues");
    return stopped ? 130 : 0;
  }
  const auto facts = facts_of(*result);
  if (model.json_output) print_facts(facts, true);
  else print_steps(facts);
  return tell_left_out(result->steps.back().after.read.skipped);
}

void add_curate_run(command& curate, action& run) {
  auto* verb = curate.add_subcommand("run", "Runs the steps of a pipeline file in order.");
  auto o = std::make_shared<pipeline_options>();
  auto path = std::make_shared<std::string>();
  verb->add_option("pipeline", *path, "PIPELINE.json: data, out and steps (docs/curate.md)")->required()->type_name("FILE");
  o->add_run(*verb);
  o->add_model(*verb);
  verb->footer(
      "Steps: filter, dedup, semantic, decontaminate, match, balance. Samples that are kept are written to shards, with every\n"
      "decision in their .json; removed.jsonl lists the others; report.html shows both. The same command resumes after a kill.\n"
      "Example: clipx curate run pipeline.json --threads 16");
  verb->callback([=, &run] {
    o->model.check_engine();
    run = [=] {
      auto with = *o;
      with.pipeline = clipx::read_pipeline(*path);
      return with.run();
    };
  });
}

}  // namespace cli
