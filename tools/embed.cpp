// clipx embed: L2-normalized embeddings of images or texts as .npy; clipx preprocess and clipx tokenize: what goes into the towers.
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common.hpp"
#include "flags.hpp"

namespace cli {
namespace {

struct options {
  model_options model;
  std::vector<std::string> images;
  std::string texts, out, bpe;
  bool strict = false;
};

/// Neither --out nor the list of what failed may be among what is read.
void expect_own_files(const options& o, const std::vector<std::string>& inputs) {
  for (auto* end : {"", ".failed"}) expect_no_input(o.out + end, inputs);
}

int write_texts(const options& o) {
  expect_own_files(o, {o.texts});
  const auto texts = clipx::read_texts(o.texts);
  auto model = o.model.load();
  clipx::expect_towers(model.source().config(), clipx::tower_set::text);
  expect_own_files(o, model.source().inputs());
  terminal watch;
  const auto rows = clipx::encode_texts(model, texts, watch);
  std::vector<float> values;
  rows.append_to(values);
  clipx::write_npy(o.out, values, {rows.rows(), rows.cols});
  return 0;
}

/// Runs `rows` on every batch of images and writes what it appends; images that fail are listed in FILE.npy.failed.
template <class Rows>
int write_rows(const options& o, const clipx::preprocess_config& config, std::vector<clipx::dim> shape, Rows&& rows) {
  clipx::left_out skipped;
  const auto files = clipx::image_paths(o.images, skipped);
  check_strict(o.strict, skipped);
  expect_own_files(o, files);
  auto batches = o.model.batches();
  batches.preprocess = config;
  progress bar("images", files.size());
  std::vector<float> values;
  std::string failed;
  clipx::dim count = 0;
  clipx::for_each_image_batch(
      files, batches,
      [&](const clipx::image_batch& batch) {
        rows(batch.rgb, values);
        count += static_cast<clipx::dim>(batch.names.size());
        bar.advance(batch.names.size());
      },
      [&](std::size_t, const std::string& name, const clipx::error& why) {
        if (o.strict) throw why;
        complain(why.what());
        failed += printable(name) + "\n";
      });
  const int code = tell_left_out(skipped);
  shape.insert(shape.begin(), count);
  clipx::write_npy(o.out, values, shape);
  if (failed.empty()) {
    std::filesystem::remove(o.out + ".failed");
    return code;
  }
  clipx::write_file(o.out + ".failed", failed);
  return 1;
}

int embed(const options& o) {
  clipx::expect_writable(o.out);
  if (!o.texts.empty()) return write_texts(o);
  auto model = o.model.load();
  expect_own_files(o, model.source().inputs());
  clipx::expect_towers(model.source().config(), clipx::tower_set::image);
  clipx::expect(
      model.source().config().text.pool != clipx::text_pool::none, clipx::error_kind::unsupported,
      "embed: expected a model with embeddings in one space, got a Visual N-Grams model, which has probabilities of n-grams: "
      "classify and eval take it");
  return write_rows(o, model.source().pixels(), {model.source().config().embed_dim},
                    [&](std::span<const std::uint8_t> rgb, std::vector<float>& out) { model.encode_pixels(rgb).append_to(out); });
}

int preprocess(const options& o) {
  clipx::expect_writable(o.out);
  const auto source = o.model.open();
  clipx::expect_towers(source.config(), clipx::tower_set::image);
  expect_own_files(o, source.inputs());
  const auto config = source.pixels();
  const auto one = static_cast<std::size_t>(3 * config.size.area());
  const std::vector<clipx::dim> shape{3, config.size.height, config.size.width};
  return write_rows(o, config, shape, [&](std::span<const std::uint8_t> rgb, std::vector<float>& out) {
    for (std::size_t at = 0; at < rgb.size(); at += one) {
      out.resize(out.size() + one);
      clipx::to_tensor(rgb.subspan(at, one), config, out.data() + out.size() - one);
    }
  });
}

/// The tokenizer of a model; or, with --bpe or with --tokenizer alone, one without a model.
clipx::tokenizer open_words(const options& o) {
  using clipx::tokenizer, clipx::tokenizer_options;
  const auto& path = o.model.checkpoint.tokenizer;
  if (!o.bpe.empty()) return tokenizer::from_merges(o.bpe, tokenizer_options::openai());
  if (path.empty() || !o.model.path.empty()) return o.model.open().text();
  return tokenizer::open(path);
}

int tokenize(const options& o) {
  const auto words = open_words(o);
  std::string text;
  while (std::getline(std::cin, text)) {
    if (text.ends_with('\r')) text.pop_back();
    std::printf("%s\n", json(words(text)).dump().c_str());
  }
  return 0;
}
}  // namespace

void add_embed(command& app, action& run) {
  auto* verb = app.add_subcommand(
      "embed", "Writes L2-normalized embeddings of images or texts to a .npy file: float32, one row per input, in order.");
  auto o = std::make_shared<options>();
  auto* images = verb->add_option("--images", o->images, "images or folders of images; - for standard input")->type_name("PATH");
  auto* texts =
      verb->add_option("--texts", o->texts, "instead of --images: one text per line; - for standard input")->type_name("FILE");
  verb->add_option("--out", o->out, "output .npy file; paths that cannot be read are listed in FILE.failed")
      ->required()
      ->type_name("FILE");
  add_strict(*verb, o->strict);
  o->model.add_model(*verb);
  o->model.add_engine(*verb);
  o->model.add_images(*verb);
  verb->footer(
      "An image that cannot be read is reported and gets no row, and the exit code is 1.\n"
      "Example: clipx embed --images images/ --out images.npy");
  verb->callback([=, &run] {
    if (images->count() && texts->count()) throw excludes_error("--images", "--texts");
    if (images->count() + texts->count() == 0) throw required_error("--images or --texts");
    o->model.check_engine();
    run = [=] { return embed(*o); };
  });
}

void add_preprocess(command& app, action& run) {
  auto* verb = app.add_subcommand(
      "preprocess", "Writes preprocessed images, the input of the image tower, to a .npy file: (N, 3, H, W) float32.");
  auto o = std::make_shared<options>();
  verb->add_option("image", o->images, "images or folders of images; - for standard input")->required()->type_name("PATH");
  verb->add_option("--out", o->out, "output .npy file; paths that cannot be read are listed in FILE.failed")
      ->required()
      ->type_name("FILE");
  add_strict(*verb, o->strict);
  o->model.add_model(*verb);
  o->model.add_threads(*verb);
  o->model.add_images(*verb);
  verb->footer("Example: clipx preprocess photo.jpg --out photo.npy");
  verb->callback([=, &run] { run = [=] { return preprocess(*o); }; });
}

void add_tokenize(command& app, action& run) {
  auto* verb = app.add_subcommand("tokenize", "Tokenizes standard input, one text per line, to JSON arrays of token ids.");
  auto o = std::make_shared<options>();
  verb->add_option("--bpe", o->bpe,
                   "instead of --model: a merges file such as bpe_simple_vocab_16e6.txt.gz, used as openai/CLIP does")
      ->type_name("FILE");
  o->model.add_model(*verb);
  verb->footer(
      "The ids include the start and end tokens, and are truncated to the model's context length and padded as it requires.\n"
      "With --tokenizer and without --model, the tokenizer's own files determine the special tokens and the truncation.\n"
      "Example: echo \"a photo of a cat\" | clipx tokenize");
  verb->callback([=, &run] {
    if (!o->bpe.empty() && !o->model.path.empty()) throw excludes_error("--bpe", "--model");
    run = [=] { return tokenize(*o); };
  });
}

}  // namespace cli
