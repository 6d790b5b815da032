// clipx-bench train: steps of training (the gradients of a batch of pairs, AdamW), on images and texts that are drawn, or on the
// first pairs of shards by a model in a folder.
#include <clipx/clipx.hpp>
#include <clipx/data/loader.hpp>
#include <clipx/train/state.hpp>
#include <memory>
#include <optional>
#include <random>

#include "devices.hpp"

namespace bench {
namespace {
using clipx::dim;
using clipx::mat;

struct options {
  device_options device;
  timing time;
  std::string preset, folder;
  std::vector<std::string> shards;
  dim image_size = 96, patch = 14, width = 0, layers = 6, heads = 0, embed = 256, batch = 128, chunk = 0, tokens = 12;
  dim text_width = 192, text_layers = 4, text_heads = 3, context = 32, vocabulary = 4096;
  std::vector<dim> stages;

  /// The preset, or the sizes that were given: a ModifiedResNet with --resnet, else a vision transformer.
  clipx::clip_config config() const {
    if (!preset.empty()) return clipx::presets::find(preset);
    clipx::expect(stages.empty() || stages.size() == 4, "--resnet: expected blocks of four stages, e.g. 2,2,2,2");
    clipx::clip_config c;
    c.name = "bench";
    c.embed_dim = embed;
    if (stages.empty()) {
      const dim w = width > 0 ? width : 192;
      c.vision = clipx::vit_config{.image_size = image_size,
                                   .patch_size = patch,
                                   .width = w,
                                   .heads = heads > 0 ? heads : w / 64,
                                   .mlp_width = 4 * w,
                                   .layers = layers};
    } else {
      const dim w = width > 0 ? width : 32;
      c.vision = clipx::modified_resnet_config{.image_size = image_size,
                                               .width = w,
                                               .heads = heads > 0 ? heads : w / 4,
                                               .stages = {stages[0], stages[1], stages[2], stages[3]}};
    }
    c.text = {.context_length = context,
              .vocab_size = vocabulary,
              .width = text_width,
              .heads = text_heads,
              .layers = text_layers,
              .mlp_width = 4 * text_width,
              .pool = clipx::text_pool::argmax};
    return c;
  }
};

/// A batch in memory.
struct pairs {
  std::vector<std::uint8_t> rgb;
  std::vector<std::vector<std::int32_t>> texts;
  dim tokens() const {
    dim all = 0;
    for (auto& text : texts) all += static_cast<dim>(text.size());
    return all;
  }
};
pairs drawn(const options& o, const clipx::clip_config& config) {
  const dim n = clipx::image_size(config).area();
  clipx::expect(o.tokens > 0 && o.tokens <= config.text.context_length, "--tokens: more than the context holds");
  pairs out;
  std::mt19937 bits(1);
  out.rgb.resize(static_cast<std::size_t>(o.batch * n * 3));
  for (auto& v : out.rgb) v = static_cast<std::uint8_t>(bits());
  const auto end = static_cast<std::int32_t>(config.text.vocab_size - 1);
  out.texts.resize(static_cast<std::size_t>(o.batch));
  for (auto& text : out.texts) {
    for (dim i = 1; i < o.tokens; ++i) text.push_back(static_cast<std::int32_t>(bits() % static_cast<std::uint32_t>(end)));
    text.push_back(end);
  }
  return out;
}
pairs read(const options& o, const clipx::checkpoint& from) {
  clipx::loader_config c;
  c.data = o.shards;
  c.batch = o.batch;
  c.shuffle = 0;
  c.draw_captions = false;
  c.augment.reset();
  c.preprocess = from.pixels();
  c.epochs = 1;
  c.prefetch = 1;
  clipx::pair_batch batch;
  clipx::loader(c).next(batch);
  pairs out{batch.pixels, {}};
  for (auto& caption : batch.captions) out.texts.push_back(from.text()(caption));
  return out;
}

template <class Architecture, class B>
void train(B& device, const options& o, const clipx::checkpoint* from) {
  using T = clipx::scalar_t<B>;
  const auto settings = from ? from->settings() : clipx::default_config(o.config());
  const auto& config = settings.model;
  const dim n = clipx::image_size(config).area();
  const auto batch = from ? read(o, *from) : drawn(o, config);
  clipx::trainer<Architecture, B> trainer(device, settings, {});
  if (from) clipx::read_weights(*from, trainer);
  auto& model = trainer.model();
  auto grad = model.zeros_like();
  auto& optimizer = trainer.optimizer();
  const clipx::gradient_options how{.chunk = o.chunk};
  clipx::pair_gradients gradients(model, settings.pixels, how);

  // The forward pass once more and alone, to know its share: of a batch as in pair_gradients.
  const auto pixels = device.template alloc<T>(o.batch * n * 3);
  {
    const std::vector<float> values(batch.rgb.begin(), batch.rgb.end());
    device.upload(mat<const float>(values.data(), o.batch * n, 3), mat<T>(pixels.data(), o.batch * n, 3));
  }
  const auto packed = clipx::packed_texts::pack(batch.texts, config.text);
  const auto forward = [&] {
    clipx::step<B> s(device, how.kept);
    typename clipx::clip<Architecture, B>::saved k;
    model.towers.encode_image(s, mat<const T>(pixels.data(), o.batch * n, 3), k, true);
    model.towers.encode_text(s, packed, k);
    device.sync();
  };
  std::vector<double> forwards, both, updates, losses;
  const auto time = [&](std::vector<double>& ms, const auto& work) {
    const double start = now();
    work();
    device.sync();
    ms.push_back((now() - start) * 1e3);
  };
  const auto part = [&](const std::vector<double>& ms) {
    return median({ms.begin() + std::min<std::ptrdiff_t>(o.time.warmup, std::ssize(ms) - 1), ms.end()});
  };
  const double first = now();
  double forward_first = 0;
  o.time.report(
      {{"model", config.name},
       {"precision", o.device.precision},
       {"threads", o.device.threads},
       {"batch", o.batch},
       {"tokens", batch.tokens()}},
      [&] {
        time(both, [&] { gradients({batch.rgb, packed, {}}, grad); });
        losses.push_back(gradients.loss());
        time(updates, [&] { optimizer.update(grad.memory(), 1e-4); });
        if (forward_first == 0) forward_first = now() - first;
      },
      [&](json& line) {
        if (o.chunk == 0 || o.chunk >= o.batch) {
          for (int i = 0; i < o.time.warmup + std::min(o.time.runs, 5); ++i) time(forwards, forward);
          line["forward_ms"] = part(forwards);
          line["backward_ms"] = part(both) - part(forwards);
        }
        line["update_ms"] = part(updates);
        line["first_ms"] = forward_first * 1e3;
        line["loss"] = losses.front();
        line["pairs_per_s"] = static_cast<double>(o.batch) * 1e3 / line["median_ms"].get<double>();
        add_memory(line, device, (model.memory().low.size() * static_cast<dim>(sizeof(T))));
        add_rate(
            line,
            3 * static_cast<double>(o.batch) *
                (config.vision.policy().image_flops(config) + config.vision.policy().text_flops(config, batch.tokens() / o.batch)),
            o.device);
      });
}
}  // namespace

void add_train(cli::command& app, std::function<void()>& run) {
  auto* verb = app.add_subcommand("train", "Steps of training: gradients of a batch of drawn pairs, and AdamW.");
  auto o = std::make_shared<options>();
  verb->add_option("--model", o->preset, "a preset, e.g. RN50 or ViT-B-32 (default: the sizes below)");
  auto* folder = verb->add_option("--folder", o->folder, "a model in open_clip's layout, with --shards");
  folder->needs(verb->add_option("--shards", o->shards, "WebDataset shards, whose first pairs are trained on")->needs(folder));
  verb->add_option("--image-size", o->image_size, "pixels")->check(cli::positive_number());
  auto* patch = verb->add_option("--patch", o->patch, "of a vision transformer")->check(cli::positive_number());
  verb->add_option("--resnet", o->stages, "a ModifiedResNet: blocks of its stages, e.g. 2,2,2,2")->delimiter(',')->excludes(patch);
  verb->add_option("--width", o->width, "default: 192, of a ModifiedResNet 32")->check(cli::positive_number());
  verb->add_option("--layers", o->layers, "of a vision transformer")->check(cli::positive_number());
  verb->add_option("--heads", o->heads, "default: width / 64, of a ModifiedResNet width / 4")->check(cli::positive_number());
  verb->add_option("--embed", o->embed, "joint width")->check(cli::positive_number());
  verb->add_option("--text-width", o->text_width)->check(cli::positive_number());
  verb->add_option("--text-layers", o->text_layers)->check(cli::positive_number());
  verb->add_option("--text-heads", o->text_heads)->check(cli::positive_number());
  verb->add_option("--context", o->context)->check(cli::positive_number());
  verb->add_option("--vocabulary", o->vocabulary)->check(cli::positive_number());
  verb->add_option("--tokens", o->tokens, "of each text")->check(cli::positive_number());
  verb->add_option("--batch", o->batch, "pairs")->check(cli::positive_number());
  verb->add_option("--chunk", o->chunk, "pairs at once, by gradient caching; 0: all")->check(cli::non_negative_number());
  o->device.add(*verb);
  o->time.add(*verb);
  verb->callback([=, &run] {
    run = [=] {
      std::optional<clipx::checkpoint> from;
      if (!o->folder.empty()) from = clipx::checkpoint::open(o->folder);
      const auto config = from ? from->config() : o->config();
      with_device(o->device, [&](auto& device) {
        clipx::visit_architecture(config, [&]<class Architecture>(std::type_identity<Architecture>) {
          train<Architecture>(device, *o, from ? &*from : nullptr);
        });
      });
    };
  });
}

}  // namespace bench
