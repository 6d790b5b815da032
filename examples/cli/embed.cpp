// clipx embed: unit vectors of pictures or texts as .npy; clipx preprocess and clipx tokenize: what goes into the towers.
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "common.hpp"

namespace cli {
namespace {

struct options {
  model_options model;
  std::vector<std::string> images;
  std::string texts, out, bpe;
};

int embed_texts(const options& o) {
  const auto texts = clipx::read_lines(o.texts);
  clipx::expect(!texts.empty(), [&] { return clipx::cat(o.texts, ": expected a text a line, got none"); });
  const auto engine = o.model.load();
  progress bar("texts", texts.size());
  std::vector<float> rows;
  clipx::dim width = 0;
  for (std::size_t from = 0; from < texts.size(); from += 256) {
    const auto part =
        engine->texts(std::span<const std::string>(texts).subspan(from, std::min<std::size_t>(256, texts.size() - from)));
    for (double v : part.values) rows.push_back(static_cast<float>(v));
    width = part.cols;
    bar.advance(static_cast<std::size_t>(part.rows()));
  }
  clipx::write_npy(o.out, rows, {static_cast<clipx::dim>(texts.size()), width});
  return 0;
}

/// Runs `rows` on every batch of pictures and writes what it appends; pictures that fail are listed in FILE.npy.failed.
template <class Rows>
int write_rows(const options& o, const clipx::preprocess_config& config, std::vector<clipx::dim> shape, Rows&& rows) {
  const auto pictures = open_pictures(o.images);
  progress bar("pictures", pictures.size());
  std::vector<float> values;
  std::string failed;
  clipx::dim count = 0;
  for_each_batch(
      pictures, config, o.model.batch_size, o.model.device.threads,
      [&](std::span<const std::size_t> indices, std::span<const std::uint8_t> rgb) {
        if (!indices.empty()) rows(rgb, values);
        count += static_cast<clipx::dim>(indices.size());
        bar.advance(indices.size());
      },
      [&](std::size_t i, const std::string& message) {
        std::fprintf(stderr, "clipx: %s\n", message.c_str());
        failed += pictures[i].name + "\n";
      });
  shape.insert(shape.begin(), count);
  clipx::write_npy(o.out, values, shape);
  if (failed.empty()) {
    std::filesystem::remove(o.out + ".failed");
    return 0;
  }
  clipx::write_file(o.out + ".failed", failed);
  return 1;
}

int embed(const options& o) {
  if (!o.texts.empty()) return embed_texts(o);
  const auto engine = o.model.load();
  return write_rows(o, engine->source().pixels(), {engine->source().config().embed_dim},
                    [&](std::span<const std::uint8_t> rgb, std::vector<float>& out) {
                      for (double v : engine->images(rgb).values) out.push_back(static_cast<float>(v));
                    });
}

int preprocess(const options& o) {
  const auto source = o.model.open();
  const auto config = source.pixels();
  const auto n = static_cast<clipx::dim>(source.config().vision.image_size);
  return write_rows(o, config, {3, n, n}, [&](std::span<const std::uint8_t> rgb, std::vector<float>& out) {
    const auto one = static_cast<std::size_t>(3 * n * n);
    for (std::size_t at = 0; at < rgb.size(); at += one) {
      out.resize(out.size() + one);
      clipx::to_tensor(rgb.subspan(at, one), config, out.data() + out.size() - one);
    }
  });
}

int tokenize(const options& o) {
  const auto words =
      o.bpe.empty() ? o.model.open().text() : clipx::tokenizer::from_merges(o.bpe, clipx::tokenizer_options::openai());
  std::string text;
  while (std::getline(std::cin, text)) {
    if (text.ends_with('\r')) text.pop_back();
    std::printf("%s\n", json(words(text)).dump().c_str());
  }
  return 0;
}
}  // namespace

void add_embed(CLI::App& app, action& run) {
  auto* verb = app.add_subcommand("embed", "Writes unit vectors of pictures or texts: float32 rows, input order.");
  auto o = std::make_shared<options>();
  o->model.add_model(*verb), o->model.add_engine(*verb);
  auto* images = verb->add_option("--images", o->images, "pictures or folders of pictures");
  auto* texts = verb->add_option("--texts", o->texts, "file, a text a line; - for standard input");
  images->excludes(texts);
  verb->add_option("--out", o->out, "FILE.npy; paths that could not be read go to FILE.npy.failed")->required();
  verb->callback([=, &run] {
    if (images->count() + texts->count() == 0) throw CLI::RequiredError("--images or --texts");
    run = [=] { return embed(*o); };
  });
}

void add_preprocess(CLI::App& app, action& run) {
  auto* verb = app.add_subcommand("preprocess", "Writes what the image tower sees: (N, 3, H, W) float32.");
  auto o = std::make_shared<options>();
  o->model.add_model(*verb);
  verb->add_option("--threads", o->model.device.threads, "0: all processors")->capture_default_str();
  verb->add_option("image", o->images, "pictures or folders of pictures")->required();
  verb->add_option("--out", o->out, "FILE.npy")->required();
  verb->callback([=, &run] { run = [=] { return preprocess(*o); }; });
}

void add_tokenize(CLI::App& app, action& run) {
  auto* verb = app.add_subcommand("tokenize", "Texts on standard input, a line each, to JSON arrays of ids.");
  auto o = std::make_shared<options>();
  o->model.add_model(*verb);
  verb->add_option("--bpe", o->bpe, "merges file (bpe_simple_vocab_16e6.txt.gz or of that form), as openai/CLIP reads it")
      ->excludes("--model");
  verb->callback([=, &run] { run = [=] { return tokenize(*o); }; });
}

}  // namespace cli
