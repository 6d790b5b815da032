// clipx-bench encode: a tower of a checkpoint on the cpu (or eigen) backend, end to end from pixels or texts to unit rows.
#include <CLI/CLI.hpp>
#include <clipx/clipx.hpp>
#include <clipx/cpu.hpp>
#include <cstdio>
#include <random>

#include "bench.hpp"

namespace bench {
namespace {

struct options {
  std::string model, tower = "image", precision = "f32", input, texts, out;
  int batch = 1, threads = 2, runs = 10, warmup = 2;
  bool deterministic = false, json_output = false;
};

template <class Encoder, class T>
void encode(const options& o) {
  const double start = now();
  clipx::cpu<T> device({.threads = o.threads, .deterministic = o.deterministic});
  const auto model = clipx::load<Encoder>(device, o.model);
  const auto& config = model.source().config();
  const double loaded = now();
  clipx::embeddings<float> rows;
  std::function<void()> work;
  std::vector<std::uint8_t> rgb;
  std::vector<float> pixels;
  std::vector<std::vector<std::int32_t>> tokens;
  double flops = 0;
  if (o.tower == "text") {
    const auto lines = lines_of(o.texts);
    for (int i = 0; i < o.batch; ++i) {
      tokens.push_back(model.source().text()(lines[static_cast<std::size_t>(i) % lines.size()]));
      flops += text_flops(config, tokens.back().size());
    }
    work = [&] { rows = clipx::embed_tokens(model.model(), tokens, clipx::dim{1} << 20); };
  } else {
    const auto n = config.vision.image_size;
    if (!o.input.empty()) {
      auto array = clipx::read_npy(o.input);  // (N, 3, n, n) float32, as the peers take it
      clipx::expect(array.shape.size() == 4 && array.shape[1] == 3 && array.shape[2] == n && array.shape[0] >= o.batch,
                    [&] { return clipx::cat(o.input, ": expected ", o.batch, " pictures of 3 x ", n, " x ", n); });
      pixels.resize(static_cast<std::size_t>(o.batch * n * n * 3));
      for (clipx::dim i = 0; i < o.batch; ++i)
        for (clipx::dim c = 0; c < 3; ++c)
          for (clipx::dim p = 0; p < n * n; ++p)
            pixels[static_cast<std::size_t>((i * n * n + p) * 3 + c)] =
                array.values[static_cast<std::size_t>((i * 3 + c) * n * n + p)];
    } else {
      std::mt19937 bits(1);
      rgb.resize(static_cast<std::size_t>(o.batch * n * n * 3));
      for (auto& b : rgb) b = static_cast<std::uint8_t>(bits());
    }
    flops = image_flops(config) * o.batch;
    work = [&] {
      rows = rgb.empty() ? clipx::embed_normalized(model.model(), std::span<const float>(pixels)) : model.encode_pixels(rgb);
    };
  }
  work();
  const double first = now();
  const auto ms = time_runs(o.warmup, o.runs, work);
  auto facts = result(ms);
  facts["load_ms"] = (loaded - start) * 1e3;
  facts["first_ms"] = (first - loaded) * 1e3;
  add_rate(facts, flops, o.threads, o.precision == "bf16");
  if (!o.out.empty()) clipx::write_npy(o.out, rows.values, {rows.rows(), rows.cols});
  print(facts, o.json_output);
}

template <class T>
void encode_any(const options& o) {
  if (clipx::checkpoint::open(o.model).config().vision.is_resnet()) encode<clipx::modified_resnet, T>(o);
  else encode<clipx::vit, T>(o);
}
}  // namespace

void add_encode(CLI::App& app, std::function<void()>& run) {
  auto* verb = app.add_subcommand("encode", "A tower of a checkpoint.");
  auto o = std::make_shared<options>();
  verb->add_option("--model", o->model)->required();
  verb->add_option("--tower", o->tower)->check(CLI::IsMember({"image", "text"}));
  verb->add_option("--precision", o->precision)->check(CLI::IsMember({"f32", "bf16"}));
  verb->add_option("--batch", o->batch);
  verb->add_option("--threads", o->threads);
  verb->add_option("--runs", o->runs);
  verb->add_option("--warmup", o->warmup);
  verb->add_option("--input", o->input, "pixels, (N, 3, n, n) float32 .npy (default: random)");
  verb->add_option("--texts", o->texts, "file, a text a line");
  verb->add_option("--out", o->out, "unit rows as .npy");
  verb->add_flag("--deterministic", o->deterministic);
  verb->add_flag("--json", o->json_output);
  verb->callback([=, &run] { run = [=] { o->precision == "bf16" ? encode_any<clipx::bf16>(*o) : encode_any<float>(*o); }; });
}

void add_peak(CLI::App& app, std::function<void()>& run) {
  auto* verb = app.add_subcommand("peak", "The machine's ceilings.");
  auto threads = std::make_shared<int>(2);
  auto as_json = std::make_shared<bool>(false);
  verb->add_option("--threads", *threads);
  verb->add_flag("--json", *as_json);
  verb->callback([=, &run] {
    run = [=] {
      const auto c = measure_ceilings(*threads);
      print({{"cpu", cpu_name()},
             {"flags", cpu_flags()},
             {"threads", *threads},
             {"f32_gflops", c.f32_gflops},
             {"bf16_gflops", c.bf16_gflops},
             {"bf16_unit", c.bf16_unit},
             {"read_gbs", measure_reading(*threads)}},
            *as_json);
    };
  });
}

void print(const json& facts, bool as_json) {
  if (as_json) {
    std::printf("%s\n", facts.dump().c_str());
    return;
  }
  for (auto& [key, value] : facts.items())
    if (!value.is_array())
      std::printf("%-12s %s\n", key.c_str(), value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
}

}  // namespace bench
