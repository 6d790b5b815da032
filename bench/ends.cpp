// clipx-bench ends: from files and texts to L2-normalized embeddings, and what each step of the way takes.
#include <clipx/clipx.hpp>
#include <memory>

#include "devices.hpp"

namespace bench {
namespace {

struct options {
  device_options device;
  std::string model, texts;
  std::vector<std::string> files;
  int runs = 7, warmup = 1;
  std::size_t batch = 16;
  bool json_output = false;
};

/// Images, a batch at a time: threads share decoding and resizing, then the tower takes the batch.
template <class Model>
json images(const Model& model, const options& o) {
  const auto& config = model.source().pixels();
  const auto one = static_cast<std::size_t>(3 * config.size.area());
  std::vector<std::uint8_t> rgb;
  double decode = 0, resize = 0, encode = 0;
  const auto work = [&] {
    for (std::size_t from = 0; from < o.files.size(); from += o.batch) {
      const auto part = std::span(o.files).subspan(from, std::min(o.batch, o.files.size() - from));
      rgb.resize(part.size() * one);
      const auto t = each_image(part, config, o.device.threads, [&](std::size_t i, const clipx::image& pixels) {
        std::copy(pixels.data.begin(), pixels.data.end(), rgb.begin() + static_cast<std::ptrdiff_t>(i * one));
      });
      const double start = now();
      model.encode_pixels(rgb);
      decode += t.decode;
      resize += t.resize;
      encode += (now() - start) * 1e3;
    }
  };
  for (int i = 0; i < o.warmup; ++i) work();
  decode = resize = encode = 0;
  const auto ms = time_runs(0, o.runs, work);
  const double count = static_cast<double>(o.files.size()), each = count * o.runs;
  auto facts = result(ms);
  facts["pictures_per_s"] = count / median(ms) * 1e3;
  facts["decode_ms"] = decode / each;  // an image; the first two are shared by the threads
  facts["resize_ms"] = resize / each;
  facts["encode_ms"] = encode / each;
  facts["flops"] = model.source().config().vision.policy().image_flops(model.source().config()) * count;
  return facts;
}

template <class Model>
json texts(const Model& model, const options& o) {
  const auto lines = lines_of(o.texts);
  const auto& words = model.source().text();
  std::vector<std::vector<std::int32_t>> ids;
  double tokenize = 0, encode = 0, flops = 0;
  const auto work = [&] {
    const double start = now();
    ids.clear();
    for (auto& line : lines) ids.push_back(words(line));
    const double ready = now();
    clipx::embed_tokens(model.model(), ids);
    tokenize += (ready - start) * 1e3;
    encode += (now() - ready) * 1e3;
  };
  for (int i = 0; i < o.warmup; ++i) work();
  tokenize = encode = 0;
  const auto ms = time_runs(0, o.runs, work);
  const double count = static_cast<double>(lines.size()), each = count * o.runs;
  for (auto& row : ids) flops += model.source().config().vision.policy().text_flops(model.source().config(), std::ssize(row));
  auto facts = result(ms);
  facts["texts_per_s"] = count / median(ms) * 1e3;
  facts["tokenize_ms"] = tokenize / each;  // a text
  facts["encode_ms"] = encode / each;
  facts["flops"] = flops;
  return facts;
}

template <class Encoder, class B>
void ends(B& device, const options& o, clipx::checkpoint source, double start) {
  const auto model = clipx::load<Encoder>(device, std::move(source));
  const double loaded = now();
  std::vector<json> sides;
  if (!o.files.empty()) sides.push_back(images(model, o));
  if (!o.texts.empty()) sides.push_back(texts(model, o));
  for (auto& facts : sides) {
    facts["load_ms"] = (loaded - start) * 1e3;
    const double flops = facts["flops"];
    facts.erase("flops");
    add_rate(facts, flops, o.device);
    print(facts, o.json_output);
  }
}
}  // namespace

void add_ends(cli::command& app, std::function<void()>& run) {
  auto* verb = app.add_subcommand(
      "ends", "From image files, or texts, to L2-normalized embeddings: decode, resize, tokenize, encode. A line each.");
  auto o = std::make_shared<options>();
  verb->add_option("--model", o->model)->required();
  auto* files = verb->add_option("files", o->files, "images");
  auto* lines = verb->add_option("--texts", o->texts, "file, a text a line");
  verb->add_option("--batch", o->batch, "images encoded at once")->check(cli::positive_number());
  verb->add_option("--runs", o->runs)->check(cli::positive_number());
  verb->add_option("--warmup", o->warmup);
  verb->add_flag("--json", o->json_output);
  o->device.add(*verb);
  verb->callback([=, &run] {
    if (files->count() + lines->count() == 0) throw cli::required_error("images or --texts");
    run = [=] {
      const double start = now();
      auto source = clipx::checkpoint::open(o->model);
      with_device(o->device, [&](auto& device) {
        const auto config = source.config();
        clipx::visit_architecture(config, [&]<class Architecture>(std::type_identity<Architecture>) {
          ends<Architecture>(device, *o, std::move(source), start);
        });
      });
    };
  });
}

}  // namespace bench
