// clipx-bench tokenize: all lines of a file to ids, one thread.
#include <clipx/clipx.hpp>
#include <memory>

#include "bench.hpp"

namespace bench {
namespace {

struct options {
  std::string bpe, model, texts, out;
  int runs = 7, warmup = 1;
  bool json_output = false;
};

void tokenize(const options& o) {
  const double start = now();
  const auto words = o.bpe.empty() ? clipx::checkpoint::open(o.model).text() : clipx::tokenizer::from_merges(o.bpe);
  const double loaded = now();
  const auto lines = lines_of(o.texts);
  std::size_t bytes = 0;
  for (auto& line : lines) bytes += line.size();
  std::vector<std::vector<std::int32_t>> ids;
  const auto work = [&] {
    ids.clear();
    for (auto& line : lines) ids.push_back(words(line));
  };
  const double ready = now();
  work();
  const double first = now() - ready;
  const auto ms = time_runs(o.warmup, o.runs, work);
  auto facts = result(ms);
  facts["load_ms"] = (loaded - start) * 1e3;
  facts["first_ms"] = first * 1e3;  // its word cache is empty
  facts["texts"] = lines.size();
  facts["texts_per_s"] = static_cast<double>(lines.size()) / median(ms) * 1e3;
  facts["mb_per_s"] = static_cast<double>(bytes) / median(ms) / 1e3;
  if (!o.out.empty())
    clipx::write_file(o.out, [&](const clipx::file_writer& write) {
      for (auto& row : ids) {
        const auto line = json(row).dump() + "\n";
        write(std::as_bytes(std::span(line)));
      }
    });
  print(facts, o.json_output);
}
}  // namespace

void add_tokenize(cli::command& app, std::function<void()>& run) {
  auto* verb = app.add_subcommand("tokenize", "All lines of a file to ids, one thread.");
  auto o = std::make_shared<options>();
  auto* bpe = verb->add_option("--bpe", o->bpe, "merges file, as openai/CLIP reads it");
  auto* model = verb->add_option("--model", o->model, "folder with a tokenizer")->excludes(bpe);
  verb->add_option("--texts", o->texts, "file, a text a line")->required();
  verb->add_option("--runs", o->runs)->check(cli::positive_number());
  verb->add_option("--warmup", o->warmup);
  verb->add_option("--out", o->out, "ids, a JSON array a line");
  verb->add_flag("--json", o->json_output);
  verb->callback([=, &run] {
    if (bpe->count() + model->count() == 0) throw cli::required_error("--bpe or --model");
    run = [=] { tokenize(*o); };
  });
}

}  // namespace bench
