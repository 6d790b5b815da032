// clipx train: its options, by open_clip's names. The run itself is train_run.cpp.
#include <algorithm>
#include <charconv>

#include "train_run.hpp"

namespace cli {
namespace {

value_check at_least(double low) {
  return {[low](const std::string& s) {
    double v = 0;
    const auto end = std::from_chars(s.data(), s.data() + s.size(), v);
    return end.ec == std::errc{} && v >= low ? std::string() : clipx::cat("expected a number from ", low, ", got ", s);
  }};
}
value_check share() { return range(0.0, 1.0); }

/// "0.5,1" or "(0.5, 1)": so many numbers.
std::vector<double> numbers(const std::string& option, std::string text, std::size_t least, std::size_t most) {
  std::vector<double> out;
  for (char& c : text)
    if (c == '(' || c == ')' || c == '[' || c == ']' || c == ',') c = ' ';
  const char *at = text.data(), *end = at + text.size();
  for (;;) {
    while (at < end && *at == ' ') ++at;
    if (at == end) break;
    double v = 0;
    const auto r = std::from_chars(at, end, v);
    if (r.ec != std::errc{} || out.size() == most)
      throw usage_error(clipx::cat("--aug-cfg ", option, ": expected ", most, " numbers, got \"", text, "\""));
    out.push_back(v);
    at = r.ptr;
  }
  if (out.size() < least) throw usage_error(clipx::cat("--aug-cfg ", option, ": expected ", most, " numbers"));
  return out;
}

/// open_clip's --aug-cfg: NAME=VALUE, several of them.
clipx::augmentation read_augmentation(const std::vector<std::string>& settings) {
  clipx::augmentation a;
  for (auto& setting : settings) {
    const auto equals = setting.find('=');
    const auto name = setting.substr(0, equals), value = equals == std::string::npos ? "" : setting.substr(equals + 1);
    const auto one = [&](double& to) { to = numbers(name, value, 1, 1)[0]; };
    if (name == "scale") {
      const auto v = numbers(name, value, 2, 2);
      a.scale_min = v[0];
      a.scale_max = v[1];
    } else if (name == "ratio") {
      const auto v = numbers(name, value, 2, 2);
      a.ratio_min = v[0];
      a.ratio_max = v[1];
    } else if (name == "color_jitter") {  // one for the first three, or three, or four
      auto v = numbers(name, value, 1, 4);
      if (v.size() == 1) v = {v[0], v[0], v[0]};
      a.brightness = v[0];
      a.contrast = v.size() > 1 ? v[1] : 0;
      a.saturation = v.size() > 2 ? v[2] : 0;
      a.hue = v.size() > 3 ? v[3] : 0;
      if (a.jitter == 0) a.jitter = 1;
    } else if (name == "hflip") one(a.flip);
    else if (name == "color_jitter_prob") one(a.jitter);
    else if (name == "gray_scale_prob") one(a.gray);
    else if (name == "coarse_prob") one(a.coarse);
    else if (name == "coarse_min") one(a.coarse_min);
    else
      throw usage_error(clipx::cat("--aug-cfg ", name,
                                   ": expected scale, ratio, hflip, color_jitter, color_jitter_prob, gray_scale_prob, "
                                   "coarse_prob or coarse_min"));
  }
  try {
    clipx::check_augmentation(a);
  } catch (const clipx::error& e) { throw usage_error(clipx::cat("--aug-cfg: ", e.what())); }
  return a;
}

/// open_clip joins several sources by "::".
std::vector<std::string> split_sources(const std::vector<std::string>& given) {
  std::vector<std::string> out;
  for (auto& text : given)
    for (std::size_t at = 0; at <= text.size();) {
      const auto end = std::min(text.find("::", at), text.size());
      if (end > at) out.push_back(text.substr(at, end - at));
      at = end + 2;
    }
  return out;
}

void read_precision(std::string& name) {  // open_clip's names
  if (name == "fp32") name = "f32";
  if (name == "amp_bf16" || name == "pure_bf16") name = "bf16";
}

/// Options of one group of --help.
struct option_group {
  command& verb;
  const char* name;
  template <class T>
  option* add(const char* option, T& value, const char* type, const char* help) const {
    return verb.add_option(option, value, help)->type_name(type)->group(name);
  }
  /// With its default in the help.
  template <class T>
  option* show(const char* option, T& value, const char* type, const char* help) const {
    return add(option, value, type, help)->capture_default_str();
  }
  void flag(const char* option, bool& value, const char* help) const { verb.add_flag(option, value, help)->group(name); }
};

/// Options that are read once all of them are there.
struct train_texts {
  std::vector<std::string> augmentation;
  std::string separator, reports;
};

void add_data(const option_group& g, train_options& o, train_texts& texts) {
  g.add("--train-data", o.run.data.data, "PATH",
        "shards (name-{0000..0008}.tar), .csv or .tsv tables, folders; several, or joined by ::")
      ->required();
  g.add("--val-data", o.val_data, "PATH", "held-out pairs, for val_loss and recall; as --train-data");
  g.show("--hold-out", o.run.data.hold_out, "N", "without --val-data: one pair in N is held out, by a hash of its name; 0: none");
  g.show("--csv-img-key", o.run.data.image_column, "NAME", "of tables: the column of pictures");
  g.show("--csv-caption-key", o.run.data.caption_column, "NAME", "of tables: the column of captions");
  g.add("--csv-separator", texts.separator, "CHAR", "of tables (default: comma in .csv, tab in .tsv)")
      ->check({[](const std::string& s) {
        return s.size() == 1 || s == "\\t" ? "" : "expected one character or \\t, got \"" + s + "\"";
      }});
  g.add("--caption-field", o.run.data.caption_field, "NAME",
        "of shards: the field of .json that holds a caption, or a list of which one is drawn each time (default: the .txt)");
  g.show("--shuffle-buffer", o.run.data.shuffle, "N", "pairs that wait, of which one is drawn at a time; 0: the data's own order");
  g.show("--workers", o.run.data.threads, "N", "threads that decode; 0: as many as processors")->check(range(0, 4096));
  g.add("--aug-cfg", texts.augmentation, "NAME=VALUE",
        "scale=0.9,1 ratio=0.75,1.333 hflip=0 color_jitter=B,C,S,H color_jitter_prob=P gray_scale_prob=P coarse_prob=P "
        "coarse_min=0.25 (the picture is first made small, to a side drawn from there up to its own)");
}

void add_optimization(const option_group& g, train_options& o) {
  g.show("--epochs", o.run.data.epochs, "N", "")->check(at_least(1));
  g.show("--accum-freq", o.accum_freq, "N", "batches of which one step is made, exactly as of one large batch (gradient caching)")
      ->check(range(1, 65536));
  g.show("--lr", o.lr, "X", "peak of the learning rate")->check(at_least(0));
  g.show("--warmup", o.warmup, "N", "steps of linear warm-up, before the cosine")->check(at_least(0));
  g.show("--wd", o.trainer.optimizer.weight_decay, "X", "weight decay of matrices")->check(at_least(0));
  g.show("--beta1", o.trainer.optimizer.beta1, "X", "of AdamW")->check(share());
  g.add("--beta2", o.beta2, "X", "(default: 0.98 for a ViT, 0.999 for a ResNet)")->check(share());
  g.add("--eps", o.eps, "X", "(default: 1e-6 for a ViT, 1e-8 for a ResNet)")->check(at_least(0));
  g.show("--grad-clip-norm", o.trainer.optimizer.max_norm, "X", "gradients are scaled down to this length; 0: never")
      ->check(at_least(0));
  g.show("--ema", o.trainer.optimizer.average, "X", "decay of the running average of the weights, which is the result; 0: none")
      ->check(range(0.0, 0.999999));
  g.show("--force-patch-dropout", o.trainer.patch_dropout, "X", "share of a ViT's patches left out of each picture")
      ->check(range(0.0, 0.99));
  g.show("--whole-epochs", o.whole_epochs, "N", "the last epochs, in which no patch is left out")->check(at_least(0));
  g.show("--seed", o.trainer.seed, "N", "of the weights, the order and all that is drawn");
}

void add_beginning(const option_group& g, train_options& o) {
  g.add("--pretrained", o.pretrained, "PATH", "begin from a trained model instead of random weights");
  g.add("--loss", o.loss, "NAME",
        "contrastive, sigmoid (SigLIP's, its scale beginning at 10, its bias at -10), ngram-naive or ngram-jm (Visual "
        "N-Grams: the image tower of --model and a dictionary) (default: what --model says)")
      ->check(is_member({"contrastive", "sigmoid", "ngram-naive", "ngram-jm"}, ""));
  g.flag("--siglip", o.siglip, "--loss sigmoid");
  g.add("--ngrams", o.ngrams, "FILE", "of --loss ngram-naive and ngram-jm: the dictionary, as clipx ngrams writes it");
  g.add("--lambda", o.lambda, "X",
        "of ngram-jm: the weight of the longest n-gram; of ngram-naive: that of a step of back-off (default: 0.2)")
      ->check(range(1e-6, 1 - 1e-6));
  g.flag("--ngram-batch-only", o.batch_only,
         "of ngram-naive and ngram-jm: the softmax is over the n-grams of the batch's captions");
  g.flag("--lock-image", o.lock_image, "the image tower stays as it is");
  g.flag("--lock-text", o.lock_text, "the text tower stays as it is");
  g.flag("--freeze-bn-stats", o.freeze_statistics, "BatchNorm keeps its running statistics and uses them");
  g.flag("--grad-checkpointing", o.checkpointing, "less memory: activations are computed a second time");
}

void add_run(const option_group& g, train_options& o, train_texts& texts) {
  g.show("--logs", o.logs, "FOLDER", "where runs are");
  g.show("--name", o.name, "NAME", "the run's folder in it");
  g.add("--resume", o.run.resume, "FILE", "go on from a checkpoint of this run, or from its `latest`");
  g.show("--save-frequency", o.run.save_every, "N", "epochs between checkpoints; may be a fraction; 0: only at the end")
      ->check(at_least(0));
  g.show("--keep-last", o.run.keep_last, "N", "checkpoints that are kept; 0: all")->check(at_least(0));
  g.show("--log-every-n-steps", o.run.log_every, "N", "steps of which a line of metrics is the mean")->check(at_least(1));
  g.show("--val-frequency", o.run.validate_every, "N", "epochs between looks at the held-out pairs; 0: none")->check(at_least(0));
  g.show("--zeroshot-frequency", o.run.look_every, "N", "epochs between zero-shot evaluations; 0: none")->check(at_least(0));
  auto* data = g.add("--zeroshot-data", o.zeroshot_data, "PATH", "labelled pictures, as clipx eval zeroshot takes them");
  data->needs(g.add("--classes", o.classes, "FILE", "of --zeroshot-data"));
  g.add("--templates", o.templates, "FILE", "of --zeroshot-data (default: built in)");
  g.add("--report-to", texts.reports, "NAME", "tensorboard: event files beside the JSON lines")
      ->check(is_member({"tensorboard"}, ""));
}
}  // namespace

void add_train(command& app, action& run) {
  auto* verb = app.add_subcommand("train", "Trains a model on pairs of pictures and captions.");
  auto o = std::make_shared<train_options>();
  auto texts = std::make_shared<train_texts>();
  add_data({*verb, "Data"}, *o, *texts);
  add_optimization({*verb, "Training"}, *o);
  add_beginning({*verb, "Training"}, *o);
  add_run({*verb, "Run"}, *o, *texts);

  o->model.add_training(*verb);
  verb->footer(
      "The run's folder gets metrics.jsonl, checkpoints/ and model/, which --model takes. Ctrl-C saves; --resume latest goes on.\n"
      "Example: clipx train --train-data \"pairs-{0000..0008}.tar\" --model ViT-B-32 --tokenizer bpe_simple_vocab_16e6.txt.gz\n"
      "  --batch-size 256 --epochs 30 --lr 1e-3 --warmup 200 --precision bf16");
  verb->callback([=, &run] {
    o->run.data.data = split_sources(o->run.data.data);
    o->val_data = split_sources(o->val_data);
    if (!texts->separator.empty()) o->run.data.separator = texts->separator == "\\t" ? '\t' : texts->separator[0];
    o->run.data.augment = read_augmentation(texts->augmentation);
    read_precision(o->model.device.precision);
    o->model.check_engine();
    o->run.tensorboard = !texts->reports.empty();
    run = [=] { return train(*o); };
  });
}

}  // namespace cli
