// clipx-bench encode: a tower of a checkpoint, end to end from pixels or texts to L2-normalized embeddings, or from device memory
// to device memory.
#include <clipx/clipx.hpp>
#include <cstdio>
#include <random>

#include "devices.hpp"

namespace bench {
namespace {
using clipx::dim;
using clipx::mat;

struct options {
  device_options device;
  timing time;
  std::string model, tower = "image", input, texts, tokens, out;
  int batch = 1;
  bool resident = false;
};

/// (batch, H W 3) normalized, from (N, 3, H, W); or drawn.
std::vector<float> pixels(const options& o, const clipx::extent& n) {
  std::vector<float> values(static_cast<std::size_t>(o.batch * n.area() * 3));
  if (o.input.empty()) {
    std::mt19937 bits(1);
    std::normal_distribution<float> normal;
    for (auto& v : values) v = normal(bits);
    return values;
  }
  const auto array = clipx::read_npy(o.input);
  clipx::expect(array.shape.size() == 4 && array.shape[0] >= o.batch && array.shape[1] == 3 && array.shape[2] == n.height &&
                    array.shape[3] == n.width,
                [&] { return clipx::cat(o.input, ": expected ", o.batch, " images of 3 x ", clipx::sides_of(n)); });
  for (dim i = 0; i < o.batch; ++i)
    for (dim c = 0; c < 3; ++c)
      for (dim p = 0; p < n.area(); ++p)
        values[static_cast<std::size_t>((i * n.area() + p) * 3 + c)] =
            array.values[static_cast<std::size_t>((i * 3 + c) * n.area() + p)];
  return values;
}

/// Rows of ids: of a file of texts, again from its start where it is too short, or of one of ids.
std::vector<std::vector<std::int32_t>> ids(const options& o, const clipx::checkpoint& source) {
  std::vector<std::vector<std::int32_t>> rows;
  if (o.tokens.empty()) {
    const auto lines = lines_of(o.texts);
    for (int i = 0; i < o.batch; ++i) rows.push_back(source.text()(lines[static_cast<std::size_t>(i) % lines.size()]));
    return rows;
  }
  const auto array = clipx::read_npy(o.tokens);
  clipx::expect(array.shape.size() == 2 && array.shape[0] >= o.batch,
                [&] { return clipx::cat(o.tokens, ": expected ", o.batch, " rows of ids"); });
  for (dim i = 0; i < o.batch; ++i) {
    const auto* row = array.values.data() + i * array.shape[1];
    rows.emplace_back(row, row + array.shape[1]);
  }
  return rows;
}

/// The tower alone: what goes in is in device memory, in four copies that take turns so that no cache holds it, and what comes out
/// stays there.
template <class Encoder, class B>
std::function<void()> resident(B& device, const clipx::clip<Encoder, B>& model, const std::vector<float>& values) {
  using T = clipx::scalar_t<B>;
  const dim rows = static_cast<dim>(values.size()) / 3;
  auto copies = std::make_shared<std::vector<clipx::buffer<T>>>();
  for (int i = 0; i < 4; ++i) {
    copies->push_back(device.template alloc<T>(rows * 3));
    device.upload(mat<const float>(values.data(), rows, 3), copies->back().as_mat(rows, 3));
  }
  device.sync();
  const auto forward = [&, rows, copies](std::size_t i) {
    clipx::step<B> s(device);
    typename clipx::clip<Encoder, B>::saved k;
    model.encode_image(s, mat<const T>(copies->at(i).as_mat(rows, 3)), k);
  };
  if constexpr (B::fast::replay) {  // as encode_pixels does
    auto recorded = std::make_shared<std::vector<typename B::recording>>();
    for (std::size_t i = 0; i < copies->size(); ++i) recorded->push_back(device.record([&] { forward(i); }));
    return [&, recorded, turn = std::size_t{0}]() mutable {
      device.replay(recorded->at(turn++ % recorded->size()));
      device.sync();
    };
  } else {
    return [&, forward, turn = std::size_t{0}]() mutable {
      forward(turn++ % 4);
      device.sync();
    };
  }
}
template <class Encoder, class B>
std::function<void()> resident(B& device, const clipx::clip<Encoder, B>& model,
                               const std::vector<std::vector<std::int32_t>>& tokens) {
  return [&, packed = clipx::packed_texts::pack(tokens, model.config().text)] {
    clipx::step<B> s(device);
    typename clipx::clip<Encoder, B>::saved k;
    model.encode_text(s, packed, k);
    device.sync();
  };
}

template <class Encoder, class B>
void encode(B& device, const options& o, clipx::checkpoint source, double start) {
  const auto model = clipx::load<Encoder>(device, std::move(source));
  const auto& config = model.source().config();
  const double loaded = now();
  clipx::embeddings<float> rows;
  std::function<void()> work, tower;
  double flops = 0;
  if (o.tower == "text") {
    const auto tokens = ids(o, model.source());
    for (auto& row : tokens)
      flops += config.vision.policy().text_flops(config, static_cast<dim>(clipx::packed_texts::pooled(row, config.text)) + 1);
    work = [&, tokens] { rows = clipx::embed_tokens(model.model(), tokens, dim{1} << 20); };
    if (o.resident) tower = resident(device, model.model(), tokens);
  } else {
    flops = config.vision.policy().image_flops(config) * o.batch;
    if (o.input.empty() && !o.resident) {
      std::mt19937 bits(1);
      std::vector<std::uint8_t> rgb(static_cast<std::size_t>(o.batch * clipx::image_size(config).area() * 3));
      for (auto& b : rgb) b = static_cast<std::uint8_t>(bits());
      work = [&, rgb] { rows = model.encode_pixels(rgb); };
    } else {
      const auto values = pixels(o, clipx::image_size(config));
      work = [&, values] { rows = clipx::embed_normalized(model.model(), std::span<const float>(values)); };
      if (o.resident) tower = resident(device, model.model(), values);
    }
  }
  const double ready = now();
  work();
  const json facts{{"load_ms", (loaded - start) * 1e3}, {"first_ms", (now() - ready) * 1e3}};
  if (!o.out.empty()) clipx::write_npy(o.out, rows.values, {rows.rows(), rows.cols});
  o.time.report(facts, o.resident ? tower : work, [&](json& line) {
    add_memory(line, device, model.bytes());
    add_rate(line, flops, o.device);
  });
}
}  // namespace

void add_encode(cli::command& app, std::function<void()>& run) {
  auto* verb = app.add_subcommand("encode", "A tower of a checkpoint.");
  auto o = std::make_shared<options>();
  verb->add_option("--model", o->model)->required();
  verb->add_option("--tower", o->tower)->check(cli::is_member({"image", "text"}));
  verb->add_option("--batch", o->batch)->check(cli::positive_number());
  verb->add_option("--input", o->input, "pixels, (N, 3, n, n) float32 .npy (default: random)");
  auto* texts = verb->add_option("--texts", o->texts, "file, a text a line");
  auto* tokens = verb->add_option("--tokens", o->tokens, "instead: rows of ids as .npy, padded behind the end token");
  verb->add_option("--out", o->out, "L2-normalized embeddings as .npy");
  verb->add_flag("--resident", o->resident, "only the tower is timed, from device memory to device memory");
  o->device.add(*verb);
  o->time.add(*verb);
  verb->callback([=, &run] {
    if (o->tower == "text" && texts->count() + tokens->count() != 1) throw cli::required_error("one of --texts and --tokens");
    run = [=] {
      const double start = now();
      auto source = clipx::checkpoint::open(o->model);
      with_device(o->device, [&](auto& device) {
        const auto config = source.config();
        clipx::visit_architecture(config, [&]<class Architecture>(std::type_identity<Architecture>) {
          encode<Architecture>(device, *o, std::move(source), start);
        });
      });
    };
  });
}

}  // namespace bench
