// clipx-bench loader: training pairs to batches of pixels and captions, as training takes them.
#include <clipx/clipx.hpp>
#include <clipx/cpu.hpp>
#include <clipx/data/loader.hpp>
#include <memory>

#include "bench.hpp"

namespace bench {
namespace {

struct options {
  clipx::loader_config config;
  clipx::augmentation augment;
  std::uint64_t pairs = 16384;
  int runs = 3;
  bool plain = false, json_output = false;
};

/// Reads o.pairs pairs from the beginning of the first epoch on, and as many batches before as are read ahead.
void loader(const options& o) {
  auto config = o.config;
  config.augment = o.augment;
  if (!o.plain) config.loops = clipx::cpu<float>::pixels_resampler();
  clipx::pair_batch batch;
  const auto batches = std::max<std::uint64_t>(1, o.pairs / static_cast<std::uint64_t>(config.batch));
  clipx::loader_report sum;
  const auto ms = time_runs(1, o.runs, [&] {
    clipx::loader loader(config);
    while (loader.report().batches < batches) loader.next(batch);
    sum = loader.report();
  });
  const auto pairs = static_cast<double>(sum.pairs);
  auto facts = result(ms);
  facts["pairs"] = sum.pairs;
  facts["skipped"] = sum.skipped.count;
  facts["threads"] = config.threads;
  facts["pairs_per_s"] = pairs / median(ms) * 1e3;
  for (auto [name, seconds] : {std::pair("read_ms", sum.read_seconds),
                               {"caption_ms", sum.caption_seconds},
                               {"decode_ms", sum.decode_seconds},
                               {"augment_ms", sum.augment_seconds}})
    facts[name] = seconds * 1e3 / pairs;  // of a thread, a pair
  facts["decoder"] = clipx::jpeg_decoder();
  print(facts, o.json_output);
}
}  // namespace

void add_loader(cli::command& app, std::function<void()>& run) {
  auto* verb = app.add_subcommand("loader", "Training pairs to batches: read in order, decode, crop and resize, in threads.");
  auto o = std::make_shared<options>();
  auto& c = o->config;
  auto side = std::make_shared<clipx::dim>(112);
  c.threads = 1;
  verb->add_option("--data", c.data, "shards, tables, folders, or patterns of them")->required();
  verb->add_option("--size", *side, "pixels a side")->check(cli::positive_number());
  verb->add_option("--batch", c.batch)->check(cli::positive_number());
  verb->add_option("--threads", c.threads, "0: all")->check(cli::non_negative_number());
  verb->add_option("--shuffle", c.shuffle, "samples that wait to be drawn");
  verb->add_option("--caption-field", c.caption_field, "of the JSON beside the image; none: the txt");
  verb->add_option("--scale", o->augment.scale_min, "smallest area of a crop, as a fraction of the image");
  verb->add_option("--flip", o->augment.flip, "probability");
  verb->add_option("--jitter", o->augment.jitter, "probability of 0.4, 0.4, 0.4, 0.1");
  verb->add_option("--pairs", o->pairs, "of a run")->check(cli::positive_number());
  verb->add_option("--runs", o->runs)->check(cli::positive_number());
  verb->add_flag("--plain", o->plain, "resize by plain loops");
  verb->add_flag("--json", o->json_output);
  verb->callback([=, &run] {
    auto& a = o->augment;
    if (a.jitter > 0) {
      a.brightness = a.contrast = a.saturation = 0.4;
      a.hue = 0.1;
    }
    o->config.preprocess.size = *side;
    run = [=] { loader(*o); };
  });
}

}  // namespace bench
