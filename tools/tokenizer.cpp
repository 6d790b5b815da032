// clipx tokenizer train: a vocabulary of one's own, learned from captions.
#include <algorithm>
#include <clipx/data/captions.hpp>
#include <clipx/text/bpe_train.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "common.hpp"

namespace cli {
namespace {

struct options {
  std::vector<std::string> files, shards;
  clipx::caption_config source;
  std::string separator, out;
  clipx::bpe_options bpe;
  bool json_output = false, strict = false;
};

/// All captions, in batches; and what was left out.
clipx::left_out read_captions(const options& o, clipx::bpe_trainer& trainer) {
  clipx::left_out skipped;
  std::uint64_t captions = 0;
  progress bar("captions", 0);
  std::vector<std::string> batch;
  std::size_t bytes = 0;  // of the batch
  const auto flush = [&] {
    trainer.add(std::span<const std::string>(batch));
    bar.advance(batch.size());
    captions += batch.size();
    batch.clear();
    bytes = 0;
  };
  const auto read = [&](const std::string& file) {
    clipx::for_each_caption(file, o.source, skipped, [&](std::string_view caption) {
      batch.emplace_back(caption);
      bytes += caption.size();
      if (batch.size() == 16384 || bytes > (4 << 20)) flush();
    });
  };
  for (auto& file : o.files) {
    clipx::expect(!clipx::is_shard_name(file),
                  [&] { return clipx::cat(file, ": expected a text file, .csv or .tsv; --shards takes shards"); });
    read(file);
  }
  for (auto& pattern : o.shards)
    for (auto& path : clipx::expand_braces(pattern)) {
      std::error_code none;
      const bool folder = std::filesystem::is_directory(path, none);
      clipx::expect(folder || clipx::is_shard_name(path),
                    [&] { return clipx::cat(path, ": expected a shard, NAME.tar or NAME.tar.gz, or a folder of shards"); });
      const auto shards = folder ? clipx::list_shards(path, skipped) : std::vector<std::string>{path};
      if (shards.empty()) skipped.add_unreadable(path + ": expected shards in this folder, found none");
      for (auto& shard : shards) read(shard);
    }
  flush();
  clipx::expect(captions > 0 || skipped.none(), clipx::error_kind::damaged,
                [&] { return "expected captions, got none; " + skipped.text(); });
  check_strict(o.strict, skipped);
  return skipped;
}

void print_facts(const clipx::learned_bpe& learned, bool json_output) {
  const auto per_caption = [&](std::uint64_t n) { return static_cast<double>(n) / static_cast<double>(learned.captions); };
  const json facts{{"vocab_size", learned.vocab_size},
                   {"merges", learned.vocab_size - 514},
                   {"captions", learned.captions},
                   {"words", learned.words},
                   {"distinct_words", learned.distinct_words},
                   {"bytes_per_caption", per_caption(learned.bytes)},
                   {"tokens_per_caption", per_caption(learned.tokens)}};
  if (json_output) {
    std::printf("%s\n", facts.dump().c_str());
    return;
  }
  for (auto& [key, value] : facts.items()) {
    if (value.is_number_float()) std::printf("%-20s %.2f\n", key.c_str(), value.get<double>());
    else std::printf("%-20s %s\n", key.c_str(), value.dump().c_str());
  }
}

int train(options o) {
  if (o.bpe.threads == 0) o.bpe.threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 256u));
  tried_threads(o.bpe.threads);
  if (!o.separator.empty()) o.source.separator = o.separator == "\\t" ? '\t' : o.separator[0];
  for (const std::string name : {"/vocab.json", "/merges.txt"}) {
    expect_no_input(o.out + name, o.files);
    expect_other_file(o.out + name, o.shards);
  }
  clipx::bpe_trainer trainer(o.bpe);
  const auto skipped = read_captions(o, trainer);
  const auto learned = [&] {
    terminal watch;
    return trainer.learn(watch);
  }();
  clipx::write_tokenizer(o.out, learned);
  if (learned.missing > 0)
    std::fprintf(stderr, "clipx: no further pair occurs %llu times in the captions: the vocabulary has %td ids instead of %td\n",
                 static_cast<unsigned long long>(o.bpe.min_frequency), learned.vocab_size, o.bpe.vocab_size);
  print_facts(learned, o.json_output);
  return tell_left_out(skipped);
}
}  // namespace

void add_tokenizer(command& app, action& run) {
  auto* verb = app.add_subcommand("tokenizer", "Trains tokenizers.");
  verb->require_subcommand(1);
  verb->footer("See clipx tokenizer train --help for more.");
  auto o = std::make_shared<options>();
  auto* task = verb->add_subcommand("train", "Trains a byte-level BPE vocabulary on captions.");
  auto* files =
      task->add_option("--captions", o->files, "text files with one caption per line (- for standard input), .csv or .tsv tables")
          ->type_name("FILE");
  auto* shards =
      task->add_option("--shards", o->shards, "WebDataset shards (name-{0000..0008}.tar), or folders of them")->type_name("TAR");
  task->add_option("--size", o->bpe.vocab_size, "vocabulary size: 512 bytes, the merges, start and end token")
      ->required()
      ->check(range(515, 49408, "515 to 49408"))
      ->type_name("N");
  task->add_option("--out", o->out, "output folder, created if missing")->required()->type_name("FOLDER");
  task->add_option("--column,--csv-caption-key", o->source.column, "tables: name of the caption column")
      ->capture_default_str()
      ->type_name("NAME");
  task->add_option("--separator,--csv-separator", o->separator, "tables: field separator (default: comma in .csv, tab in .tsv)")
      ->check(one_character())
      ->type_name("CHAR");
  task->add_option("--field", o->source.field,
                   "shards: the .json field that holds a caption or a list of captions (default: the .txt file)")
      ->type_name("NAME");
  task->add_option("--min-frequency", o->bpe.min_frequency, "pairs that occur less often are not merged")
      ->check(range(std::uint64_t(1), std::uint64_t(1) << 62))
      ->capture_default_str()
      ->type_name("K");
  o->bpe.threads = 0;
  task->add_option("--threads", o->bpe.threads, "number of threads; 0: one per processor; results do not depend on it")
      ->check(range(0, 256))
      ->capture_default_str()
      ->type_name("N");
  add_strict(*task, o->strict);
  task->add_flag("--json", o->json_output, "print JSON instead of text");
  task->footer(
      "Captions are cleaned and split into words as in openai/CLIP. The folder gets bpe_N.txt.gz, merges.txt and vocab.json, "
      "which\n"
      "--tokenizer, openai/CLIP, open_clip and transformers read.\n"
      "Example: clipx tokenizer train --shards \"train-{0000..0008}.tar\" --field captions --size 4096 --out words");
  task->callback([=, &run] {
    if (files->count() + shards->count() == 0) throw required_error("--captions or --shards");
    run = [=] { return train(*o); };
  });
}

}  // namespace cli
