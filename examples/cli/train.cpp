// clipx train: its options, by open_clip's names. The run itself is train_run.cpp.
#include "train_run.hpp"

namespace cli {
namespace {

CLI::Validator at_least(double low) {
  return {[low](std::string& s) {
            double v = 0;
            const auto end = std::from_chars(s.data(), s.data() + s.size(), v);
            return end.ec == std::errc{} && v >= low ? std::string() : clipx::cat("expected a number from ", low, ", got ", s);
          },
          ""};
}
CLI::Validator share() { return CLI::Range(0.0, 1.0).description(""); }

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
      throw CLI::ValidationError(clipx::cat("--aug-cfg ", option, ": expected ", most, " numbers, got \"", text, "\""));
    out.push_back(v), at = r.ptr;
  }
  if (out.size() < least) throw CLI::ValidationError(clipx::cat("--aug-cfg ", option, ": expected ", most, " numbers"));
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
      a.scale_min = v[0], a.scale_max = v[1];
    } else if (name == "ratio") {
      const auto v = numbers(name, value, 2, 2);
      a.ratio_min = v[0], a.ratio_max = v[1];
    } else if (name == "color_jitter") {  // one for the first three, or three, or four
      auto v = numbers(name, value, 1, 4);
      if (v.size() == 1) v = {v[0], v[0], v[0]};
      a.brightness = v[0], a.contrast = v.size() > 1 ? v[1] : 0, a.saturation = v.size() > 2 ? v[2] : 0;
      a.hue = v.size() > 3 ? v[3] : 0;
      if (a.jitter == 0) a.jitter = 1;
    } else if (name == "hflip") one(a.flip);
    else if (name == "color_jitter_prob") one(a.jitter);
    else if (name == "gray_scale_prob") one(a.gray);
    else if (name == "coarse_prob") one(a.coarse);
    else if (name == "coarse_min") one(a.coarse_min);
    else
      throw CLI::ValidationError(clipx::cat("--aug-cfg ", name,
                                            ": expected scale, ratio, hflip, color_jitter, color_jitter_prob, gray_scale_prob, "
                                            "coarse_prob or coarse_min"));
  }
  try {
    clipx::check_augmentation(a);
  } catch (const clipx::error& e) { throw CLI::ValidationError(clipx::cat("--aug-cfg: ", e.what())); }
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
}  // namespace

void add_train(CLI::App& app, action& run) {
  auto* verb = app.add_subcommand("train", "Trains a model on pairs of pictures and captions.");
  auto o = std::make_shared<train_options>();
  auto aug = std::make_shared<std::vector<std::string>>();
  auto separator = std::make_shared<std::string>(), reports = std::make_shared<std::string>();
  const char* group = "";
  const auto add = [&](const char* name, auto& value, const char* type, const char* help) {
    return verb->add_option(name, value, help)->type_name(type)->group(group);
  };
  const auto show = [&](const char* name, auto& value, const char* type, const char* help) {
    return add(name, value, type, help)->capture_default_str();
  };

  group = "Data";
  add("--train-data", o->train_data, "PATH",
      "shards (name-{0000..0008}.tar), .csv or .tsv tables, folders; several, or joined by ::")
      ->required();
  add("--val-data", o->val_data, "PATH", "held-out pairs, for val_loss and recall; as --train-data");
  show("--hold-out", o->data.hold_out, "N", "without --val-data: one pair in N is held out, by a hash of its name; 0: none");
  show("--csv-img-key", o->data.image_column, "NAME", "of tables: the column of pictures");
  show("--csv-caption-key", o->data.caption_column, "NAME", "of tables: the column of captions");
  add("--csv-separator", *separator, "CHAR", "of tables (default: comma in .csv, tab in .tsv)")->check([](const std::string& s) {
    return s.size() == 1 || s == "\\t" ? "" : "expected one character or \\t, got \"" + s + "\"";
  });
  add("--caption-field", o->data.caption_field, "NAME",
      "of shards: the field of .json that holds a caption, or a list of which one is drawn each time (default: the .txt)");
  show("--shuffle-buffer", o->data.shuffle, "N", "pairs that wait, of which one is drawn at a time; 0: the data's own order");
  show("--workers", o->data.threads, "N", "threads that decode; 0: as many as processors")
      ->check(CLI::Range(0, 4096).description(""));
  add("--aug-cfg", *aug, "NAME=VALUE",
      "scale=0.9,1 ratio=0.75,1.333 hflip=0 color_jitter=B,C,S,H color_jitter_prob=P gray_scale_prob=P coarse_prob=P "
      "coarse_min=0.25 (the picture is first made small, to a side drawn from there up to its own)");

  group = "Training";
  show("--epochs", o->data.epochs, "N", "")->check(at_least(1));
  show("--accum-freq", o->accum_freq, "N", "batches of which one step is made, exactly as of one large batch (gradient caching)")
      ->check(CLI::Range(1, 65536).description(""));
  show("--lr", o->lr, "X", "peak of the learning rate")->check(at_least(0));
  show("--warmup", o->warmup, "N", "steps of linear warm-up, before the cosine")->check(at_least(0));
  show("--wd", o->trainer.optimizer.weight_decay, "X", "weight decay of matrices")->check(at_least(0));
  show("--beta1", o->trainer.optimizer.beta1, "X", "of AdamW")->check(share());
  add("--beta2", o->beta2, "X", "(default: 0.98 for a ViT, 0.999 for a ResNet)")->check(share());
  add("--eps", o->eps, "X", "(default: 1e-6 for a ViT, 1e-8 for a ResNet)")->check(at_least(0));
  show("--grad-clip-norm", o->trainer.optimizer.max_norm, "X", "gradients are scaled down to this length; 0: never")
      ->check(at_least(0));
  show("--ema", o->trainer.optimizer.average, "X", "decay of the running average of the weights, which is the result; 0: none")
      ->check(CLI::Range(0.0, 0.999999).description(""));
  show("--force-patch-dropout", o->trainer.patch_dropout, "X", "share of a ViT's patches left out of each picture")
      ->check(CLI::Range(0.0, 0.99).description(""));
  show("--whole-epochs", o->whole_epochs, "N", "the last epochs, in which no patch is left out")->check(at_least(0));
  show("--seed", o->trainer.seed, "N", "of the weights, the order and all that is drawn");
  add("--pretrained", o->pretrained, "PATH", "begin from a trained model instead of random weights");
  verb->add_flag("--siglip", o->siglip, "the sigmoid loss of SigLIP, its scale beginning at 10, its bias at -10")->group(group);
  verb->add_flag("--lock-image", o->lock_image, "the image tower stays as it is")->group(group);
  verb->add_flag("--lock-text", o->lock_text, "the text tower stays as it is")->group(group);
  verb->add_flag("--freeze-bn-stats", o->freeze_statistics, "BatchNorm keeps its running statistics and uses them")->group(group);
  verb->add_flag("--grad-checkpointing", o->checkpointing, "less memory: activations are computed a second time")->group(group);

  group = "Run";
  show("--logs", o->logs, "FOLDER", "where runs are");
  show("--name", o->name, "NAME", "the run's folder in it");
  add("--resume", o->resume, "FILE", "go on from a checkpoint of this run, or from its `latest`");
  show("--save-frequency", o->save_frequency, "N", "epochs between checkpoints; may be a fraction; 0: only at the end")
      ->check(at_least(0));
  show("--keep-last", o->keep_last, "N", "checkpoints that are kept; 0: all")->check(at_least(0));
  show("--log-every-n-steps", o->log_every, "N", "steps of which a line of metrics is the mean")->check(at_least(1));
  show("--val-frequency", o->val_frequency, "N", "epochs between looks at the held-out pairs; 0: none")->check(at_least(0));
  show("--zeroshot-frequency", o->zeroshot_frequency, "N", "epochs between zero-shot evaluations; 0: none")->check(at_least(0));
  auto* data = add("--zeroshot-data", o->zeroshot_data, "PATH", "labelled pictures, as clipx eval zeroshot takes them");
  data->needs(add("--classes", o->classes, "FILE", "of --zeroshot-data"));
  add("--templates", o->templates, "FILE", "of --zeroshot-data (default: built in)");
  add("--report-to", *reports, "NAME", "tensorboard: event files beside the JSON lines")
      ->check(CLI::IsMember({"tensorboard"}).description(""));

  o->model.add_training(*verb);
  verb->footer(
      "The run's folder gets metrics.jsonl, checkpoints/ and model/, which --model takes. Ctrl-C saves; --resume latest goes on.\n"
      "Example: clipx train --train-data \"pairs-{0000..0008}.tar\" --model ViT-B-32 --tokenizer bpe_simple_vocab_16e6.txt.gz\n"
      "  --batch-size 256 --epochs 30 --lr 1e-3 --warmup 200 --precision bf16");
  verb->callback([=, &run] {
    o->train_data = split_sources(o->train_data), o->val_data = split_sources(o->val_data);
    if (!separator->empty()) o->data.separator = *separator == "\\t" ? '\t' : (*separator)[0];
    o->data.augment = read_augmentation(*aug);
    read_precision(o->model.device.precision);
    o->model.check_engine();
    o->tensorboard = !reports->empty();
    run = [=] { return train(*o); };
  });
}

}  // namespace cli
