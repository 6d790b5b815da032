#include "open_clip_flags.hpp"

#include <algorithm>
#include <clipx/core/error.hpp>
#include <filesystem>
#include <string_view>

namespace cli {
namespace {
struct answer {
  std::string_view flag, what;
};

constexpr std::string_view one_device = "training runs in one process, on one device";
constexpr std::string_view adamw = "the optimizer is AdamW: --lr, --beta1, --beta2, --eps, --wd";
constexpr std::string_view cosine = "the schedule is linear warm-up (--warmup), then a cosine to 0";
constexpr std::string_view config = "the configuration decides: --model takes a file like open_clip's, with preprocess_cfg";
constexpr std::string_view whole_tower = "towers are locked whole: --lock-image, --lock-text";
constexpr std::string_view nothing = "clipx has nothing like it";
constexpr std::string_view not_needed = "clipx is compiled; nothing has to be traced";
constexpr std::string_view no_wandb = "clipx reports to its own files and to TensorBoard (--report-to tensorboard)";
constexpr std::string_view no_network = "clipx reads and writes no network: copy the run's folder";

/// All flags of open_clip 3.3's parser that `clipx train` lacks.
constexpr answer answers[] = {
    {"--train-data-upsampling-factors", "name a source several times in --train-data"},
    {"--val-num-samples", "all pairs of --val-data are read"},
    {"--dataset-resampled", "every epoch reads every shard once, in a new order"},
    {"--imagenet-val", "--zeroshot-data FOLDER --classes FILE, every --zeroshot-frequency epochs"},
    {"--imagenet-v2", "--zeroshot-data FOLDER --classes FILE, every --zeroshot-frequency epochs"},
    {"--cache-dir", "nothing is downloaded: --model and --tokenizer take files and folders"},
    {"--log-local", one_device},
    {"--epochs-cooldown", cosine},
    {"--momentum", adamw},
    {"--opt", adamw},
    {"--use-bn-sync", one_device},
    {"--skip-scheduler", cosine},
    {"--lr-scheduler", cosine},
    {"--lr-cooldown-end", cosine},
    {"--lr-cooldown-power", cosine},
    {"--save-most-recent", "the last checkpoints are kept by themselves: --save-frequency, --keep-last"},
    {"--pretrained-image", "--pretrained takes a whole model"},
    {"--lock-image-unlocked-groups", whole_tower},
    {"--lock-image-freeze-bn-stats", "--freeze-bn-stats"},
    {"--lock-text-unlocked-layers", whole_tower},
    {"--lock-text-freeze-layer-norm", "--lock-text locks LayerNorm too"},
    {"--image-mean", config},
    {"--image-std", config},
    {"--image-interpolation", config},
    {"--image-resize-mode", config},
    {"--local-loss", one_device},
    {"--gather-with-grad", one_device},
    {"--force-context-length", config},
    {"--force-image-size", config},
    {"--force-quick-gelu", "--model NAME-quickgelu, or \"quick_gelu\": true in the configuration"},
    {"--force-custom-text", "both forms of text tower are read, one is written"},
    {"--torchscript", not_needed},
    {"--torchcompile", not_needed},
    {"--trace", not_needed},
    {"--dist-url", one_device},
    {"--dist-backend", one_device},
    {"--horovod", one_device},
    {"--ddp-static-graph", one_device},
    {"--no-set-device-rank", one_device},
    {"--wandb-notes", no_wandb},
    {"--wandb-project-name", no_wandb},
    {"--debug", nothing},
    {"--copy-codebase", nothing},
    {"--coca-caption-loss-weight", "clipx trains no CoCa"},
    {"--coca-contrastive-loss-weight", "clipx trains no CoCa"},
    {"--remote-sync", no_network},
    {"--remote-sync-frequency", no_network},
    {"--remote-sync-protocol", no_network},
    {"--delete-previous-checkpoint", "--keep-last 1"},
    {"--distill-model", nothing},
    {"--distill-pretrained", nothing},
    {"--use-bnb-linear", nothing},
    {"--loss-dist-impl", one_device},
};

/// Whether the text names the flag: "--opt", "--opt=x", but not "--optimal".
bool names(const std::string& text, std::string_view flag) {
  for (std::size_t at = 0; (at = text.find(flag, at)) != std::string::npos; at += flag.size()) {
    const std::size_t end = at + flag.size();
    if ((at == 0 || text[at - 1] == ' ') && (end == text.size() || text[end] == ' ' || text[end] == '=' || text[end] == ','))
      return true;
  }
  return false;
}
}  // namespace

std::string answer_open_clip_flags(const std::string& verb, const std::string& wrong) {
  if (!verb.ends_with(" train") || verb.ends_with("tokenizer train")) return wrong;
  std::string out = wrong;
  for (auto& a : answers)
    if (names(wrong, a.flag)) out += clipx::cat("\n  open_clip's ", a.flag, ": ", a.what);
  return out;
}

std::string dataset_type_usage(const std::string& type, const std::vector<std::string>& sources) {
  if (type == "synthetic") return "--dataset-type synthetic: clipx has no synthetic data; clipx-bench train times steps";
  if (type == "auto") return {};
  for (auto& source : sources) {
    const bool table = source.ends_with(".csv") || source.ends_with(".tsv");
    std::error_code none;
    const bool folder = std::filesystem::is_directory(source, none);
    if (type == "csv" && !table) return clipx::cat("--dataset-type csv: expected a table NAME.csv or NAME.tsv, got ", source);
    if (type == "webdataset" && table) return clipx::cat("--dataset-type webdataset: expected shards, got the table ", source);
    if (type == "webdataset" && !folder && !source.ends_with(".tar"))
      return clipx::cat("--dataset-type webdataset: expected shards NAME.tar, got ", source);
  }
  return {};
}

}  // namespace cli
