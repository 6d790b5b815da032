// clipx train: its options, by open_clip's names. The run itself is train_run.cpp.
#include <algorithm>
#include <charconv>

#include "open_clip_flags.hpp"
#include "train_run.hpp"

namespace cli {
namespace {

value_check at_least(double low, double high = 1e9) {
  return {[low, high](const std::string& s) {
    double v = 0;
    const auto end = std::from_chars(s.data(), s.data() + s.size(), v);
    const bool good = end.ec == std::errc{} && v >= low && v <= high;
    return good ? std::string() : clipx::cat("expected a number from ", low, " to ", high, ", got ", s);
  }};
}
/// 0, which has a meaning of its own, or a number that is not next to nothing.
value_check zero_or(double low, double high) {
  return {[low, high](const std::string& s) {
    double v = 0;
    const auto end = std::from_chars(s.data(), s.data() + s.size(), v);
    const bool good = end.ec == std::errc{} && (v == 0 || (v >= low && v <= high));
    return good ? std::string() : clipx::cat("expected 0, or a number from ", low, " to ", high, ", got ", s);
  }};
}
/// From 0 to below 1: a decay.
value_check decay() { return at_least(0, 1 - 1e-9); }

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
  if (name == "amp_bf16" || name == "amp_bfloat16" || name == "pure_bf16") name = "bf16";
  if (name == "amp" || name == "fp16" || name == "pure_fp16")
    throw usage_error(clipx::cat("--precision ", name,
                                 ": clipx does not train in half precision; expected f32 (open_clip's fp32) or bf16 "
                                 "(amp_bf16)"));
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
  std::string separator, reports, type = "auto";
};

void add_data(const option_group& g, train_options& o, train_texts& texts) {
  g.add("--train-data", o.run.data.data, "PATH",
        "shards (name-{0000..0008}.tar), .csv or .tsv tables, folders of shards or of images; several may be joined by ::")
      ->required();
  g.show("--dataset-type", texts.type, "NAME",
         "webdataset or csv: what --train-data and --val-data must be; auto: either, by their names")
      ->check(is_member({"auto", "webdataset", "csv", "synthetic"}, ""));
  g.add("--train-num-samples", o.train_samples, "N",
        "number of pairs in --train-data; any other count is an error (default: count them)")
      ->check(at_least(1));
  g.add("--val-data", o.val_data, "PATH", "held-out pairs for val_loss and recall, in the form of --train-data");
  g.show("--hold-out", o.run.data.hold_out, "N", "without --val-data: hold out one pair in N, by a hash of its name; 0: none");
  g.flag("--strict", o.run.data.strict, "fail if any pair is left out: a damaged part, an image without a caption, another format");
  g.show("--csv-img-key", o.run.data.image_column, "NAME", "tables: name of the image column");
  g.show("--csv-caption-key", o.run.data.caption_column, "NAME", "tables: name of the caption column");
  g.add("--csv-separator", texts.separator, "CHAR", "tables: field separator (default: comma in .csv, tab in .tsv)")
      ->check(one_character());
  g.add("--caption-field", o.run.data.caption_field, "NAME",
        "shards: the .json field that holds a caption, or a list from which one is sampled each time (default: the whole .txt "
        "file, as one caption)");
  g.show("--shuffle-buffer", o.run.data.shuffle, "N", "size of the shuffle buffer, in pairs; 0: keep the order of the data");
  g.show("--workers", o.run.data.threads, "N", "decoding threads; 0: one per processor")->check(range(0, 4096));
  g.add("--aug-cfg", texts.augmentation, "NAME=VALUE",
        "scale=0.9,1 ratio=0.75,1.333 hflip=0 color_jitter=B,C,S,H color_jitter_prob=P gray_scale_prob=P coarse_prob=P "
        "coarse_min=0.25 (coarse: first downscale the image to a random fraction of its side, coarse_min or more)");
}

void add_optimization(const option_group& g, train_options& o) {
  g.show("--epochs", o.run.data.epochs, "N", "passes over the data")->check(at_least(1));
  g.show("--accum-freq", o.accum_freq, "N", "batches per step, with the gradient of one large batch (gradient caching)")
      ->check(range(1, 65536));
  g.show("--lr", o.lr, "X", "peak learning rate")->check(at_least(0));
  g.show("--warmup", o.warmup, "N", "linear warm-up steps, before the cosine decay")->check(at_least(0));
  g.show("--wd", o.trainer.optimizer.weight_decay, "X", "weight decay (of matrices only)")->check(at_least(0));
  g.show("--beta1", o.trainer.optimizer.beta1, "X", "AdamW's beta1")->check(decay());
  g.add("--beta2", o.beta2, "X", "AdamW's beta2 (default: 0.98 for a ViT, 0.999 for a ResNet)")->check(decay());
  g.add("--eps", o.eps, "X", "AdamW's epsilon, 1e-30 to 1 (default: 1e-6 for a ViT, 1e-8 for a ResNet)")->check(at_least(1e-30, 1));
  g.show("--grad-clip-norm", o.trainer.optimizer.max_norm, "X", "maximum norm of the gradient; 0: no clipping")
      ->check(zero_or(1e-12, 1e9));
  g.show("--ema", o.trainer.optimizer.average, "X",
         "decay of the exponential moving average of the weights, which becomes the model; 0: none")
      ->check(range(0.0, 0.999999));
  g.add("--force-patch-dropout", o.patch_dropout, "X",
        "fraction of a ViT's patches dropped from each image (default: patch_dropout of --model's configuration, usually 0)")
      ->check(range(0.0, 0.99));
  g.show("--whole-epochs", o.whole_epochs, "N", "number of final epochs without patch dropout, at most --epochs")
      ->check(at_least(0));
  g.show("--seed", o.trainer.seed, "N", "random seed of the initial weights, the data order and all sampling");
}

void add_beginning(const option_group& g, train_options& o) {
  g.add("--pretrained", o.pretrained, "PATH", "start from a trained model instead of random weights");
  g.add("--loss", o.loss, "NAME",
        "contrastive, sigmoid (SigLIP's, with initial scale 10 and bias -10), ngram-naive or ngram-jm (Visual "
        "N-Grams: the image tower of --model and a dictionary) (default: the loss of --model)")
      ->check(is_member({"contrastive", "sigmoid", "ngram-naive", "ngram-jm"}, ""));
  g.flag("--siglip", o.siglip, "same as --loss sigmoid");
  g.add("--ngrams", o.ngrams, "FILE", "for --loss ngram-naive and ngram-jm: the dictionary, as written by clipx ngrams");
  g.add("--lambda", o.lambda, "X", "ngram-jm: weight of the longest n-gram; ngram-naive: weight of a back-off step (default: 0.2)")
      ->check(range(1e-6, 1 - 1e-6));
  g.flag("--ngram-batch-only", o.batch_only, "ngram-naive and ngram-jm: take the softmax over the n-grams of the batch's captions");
  g.flag("--lock-image", o.lock_image, "freeze the image tower");
  g.flag("--lock-text", o.lock_text, "freeze the text tower");
  g.flag("--freeze-bn-stats", o.freeze_statistics, "freeze BatchNorm's running statistics and normalize with them");
  g.flag("--grad-checkpointing", o.checkpointing, "recompute activations in the backward pass, to save memory");
}

void add_run(const option_group& g, train_options& o, train_texts& texts) {
  g.show("--logs", o.logs, "FOLDER", "folder of all runs");
  g.show("--name", o.name, "NAME", "name of the run and of its folder in --logs");
  g.add("--resume", o.run.resume, "FILE", "resume from a checkpoint of this run, or from its `latest`");
  g.show("--save-frequency", o.run.save_every, "N", "epochs between checkpoints; may be a fraction; 0: only at the end")
      ->check(at_least(0));
  g.show("--keep-last", o.run.keep_last, "N", "number of checkpoints to keep; 0: all")->check(at_least(0));
  g.show("--log-every-n-steps", o.run.log_every, "N", "steps averaged in a line of metrics")->check(at_least(1));
  g.show("--val-frequency", o.run.validate_every, "N", "epochs between validations on the held-out pairs; 0: none")
      ->check(at_least(0));
  g.show("--zeroshot-frequency", o.run.look_every, "N", "epochs between zero-shot evaluations; 0: none")->check(at_least(0));
  auto* data = g.add("--zeroshot-data", o.zeroshot_data, "PATH", "labeled images, in any form that clipx eval zeroshot takes");
  data->needs(g.add("--classes", o.classes, "FILE", "classes of --zeroshot-data"));
  g.add("--templates", o.templates, "FILE", "templates of --zeroshot-data (default: built-in ones)");
  g.add("--report-to", texts.reports, "NAME", "tensorboard: also write TensorBoard event files")
      ->check(is_member({"tensorboard"}, ""));
}
}  // namespace

void add_train(command& app, action& run) {
  auto* verb = app.add_subcommand("train", "Trains a model on pairs of images and captions.");
  auto o = std::make_shared<train_options>();
  auto texts = std::make_shared<train_texts>();
  add_data({*verb, "Data"}, *o, *texts);
  add_optimization({*verb, "Training"}, *o);
  add_beginning({*verb, "Training"}, *o);
  add_run({*verb, "Run"}, *o, *texts);

  o->model.add_training(*verb);
  o->model.add_images(*verb);
  verb->footer(
      "The run's folder holds metrics.jsonl, checkpoints/ and model/, which the other verbs take as --model. Ctrl-C, SIGTERM,\n"
      "SIGUSR1 and SIGHUP save a checkpoint and end the run; --resume latest continues it.\n"
      "Example: clipx train --train-data \"pairs-{0000..0008}.tar\" --model ViT-B-32 --tokenizer bpe_simple_vocab_16e6.txt.gz\n"
      "  --batch-size 256 --epochs 30 --lr 1e-3 --warmup 200 --precision bf16");
  verb->callback([=, &run] {
    o->run.data.data = split_sources(o->run.data.data);
    o->val_data = split_sources(o->val_data);
    for (auto* sources : {&o->run.data.data, &o->val_data})
      if (const auto wrong = dataset_type_usage(texts->type, *sources); !wrong.empty()) throw usage_error(wrong);
    if (!texts->separator.empty()) o->run.data.separator = texts->separator == "\\t" ? '\t' : texts->separator[0];
    o->run.data.augment = read_augmentation(texts->augmentation);
    read_precision(o->model.device.precision);
    o->model.check_engine();
    if (o->whole_epochs > static_cast<clipx::dim>(o->run.data.epochs))
      throw usage_error(
          clipx::cat("--whole-epochs: expected 0 to ", o->run.data.epochs, ", the number of --epochs, got ", o->whole_epochs));
    o->run.tensorboard = !texts->reports.empty();
    run = [=] { return train(*o); };
  });
}

}  // namespace cli
