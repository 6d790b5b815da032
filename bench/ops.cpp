// clipx-bench ops: the perf driver of the tests' cases, at the sizes that CLIP models have.
#include <cases/models.hpp>
#include <cases/ops.hpp>
#include <cstdio>
#include <memory>

#include "devices.hpp"

namespace bench {
namespace {
using clipx::dim;

struct options {
  device_options device;
  std::string filter;
  int runs = 20, warmup = 3;
  dim images = 1;
  bool in_place = false, json_output = false;
};

/// Calls f with every case. `images` is the batch size of the convolutions.
template <class F>
void each_case(dim images, F&& f) {
  using namespace cases;
  for (const dim width : {768, 1024})  // ViT-B/32, ViT-L/14
    for (const dim rows : {50, 257, 800}) {
      f(linear_case{rows, width, 3 * width}), f(linear_case{rows, width, width, false, true});
      f(linear_case{rows, width, 4 * width, true}), f(linear_case{rows, 4 * width, width, false, true});
    }
  std::vector<std::int32_t> captions;  // 64, of 10 tokens on average
  for (int i = 0; i < 64; ++i) captions.push_back(6 + i * 7 % 9);
  for (const std::size_t n : {1u, 16u})
    f(attention_case{std::vector<std::int32_t>(n, 50), 12, 64}), f(attention_case{std::vector<std::int32_t>(n, 257), 16, 64});
  f(attention_case{captions, 8, 64, true});
  for (const dim rows : {50, 800}) f(layernorm_case{rows, 768});
  f(layernorm_case{257, 1024}), f(layernorm_case{640, 512});
  const auto conv = [&](dim side, dim in, dim out, dim kernel, dim stride = 1, bool residual = false) {
    f(conv_case{images, side, side, in, out, kernel, stride, true, false, residual});
  };
  const auto train = [&](dim side, dim in, dim out, dim kernel, dim stride = 1) {
    f(conv_case{images, side, side, in, out, kernel, stride, true, true, false});
  };
  conv(224, 3, 32, 3, 2);  // RN50: stem, then a block of each stage
  conv(112, 32, 32, 3);
  conv(112, 32, 64, 3);
  conv(56, 256, 64, 1);
  conv(56, 64, 64, 3);
  conv(56, 64, 256, 1, 1, true);
  conv(28, 512, 128, 1);
  conv(28, 128, 128, 3);
  conv(28, 128, 512, 1, 1, true);
  conv(14, 1024, 256, 1);
  conv(14, 256, 256, 3);
  conv(14, 256, 1024, 1, 1, true);
  conv(7, 2048, 512, 1);
  conv(7, 512, 512, 3);
  conv(7, 512, 2048, 1, 1, true);
  train(224, 3, 32, 3, 2);
  train(112, 32, 64, 3);
  train(56, 64, 64, 3);
  train(28, 128, 128, 3);
  train(28, 512, 128, 1);
  train(14, 256, 256, 3);
  train(7, 512, 512, 3);
  for (const dim n : {256, 2048}) f(loss_case<clipx::contrastive>{n, 512});
}

template <class B, class Case>
void time_case(B& device, const Case& c, const options& o, double peak, json& lines) {
  using T = clipx::scalar_t<B>;
  cases::harness<B> h(device, cases::to_float);
  std::vector<const void*> frozen;
  if (!o.in_place)
    h.drawn = [&](clipx::mat<const T> input) {
      device.freeze(input, clipx::frozen_role::linear);
      frozen.push_back(input.data);
    };
  h.timer = [&](const std::string& part, const std::function<void()>& work) {
    const auto ms = time_runs(o.warmup, o.runs, [&] {
      clipx::scratch<B> here(h.s);
      work();
      device.sync();
    });
    work();
    json line{{"case", c.name()}, {"part", part}, {"median_ms", median(ms)}, {"min_ms", *std::min_element(ms.begin(), ms.end())}};
    const double passes = part == "backward" ? 2 : part == "both" ? 3 : 1;
    if constexpr (requires { c.flops(); }) {
      const double rate = passes * c.flops() / (median(ms) * 1e6);
      line["gflops"] = rate;
      if (peak > 0) line["percent"] = 100 * rate / peak;
    } else {
      line["gbs"] = passes * c.moved() * sizeof(T) / (median(ms) * 1e6);
    }
    if (!o.json_output) {
      std::printf("%-44s %-10s %9.3f %9.3f", c.name().c_str(), part.c_str(), line["median_ms"].get<double>(),
                  line["min_ms"].get<double>());
      if (line.contains("gflops")) std::printf(" %8.1f GF/s", line["gflops"].get<double>());
      else std::printf(" %8.1f GB/s", line["gbs"].get<double>());
      if (line.contains("percent")) std::printf(" %5.1f %%", line["percent"].get<double>());
      std::printf("\n"), std::fflush(stdout);
    }
    lines.push_back(std::move(line));
  };
  c.run(h);
  for (auto* p : frozen) device.thaw(p);
}

template <class B>
void ops(B& device, const options& o) {
  const int threads = o.device.backend == "eigen" ? 1 : o.device.threads;
  const bool low = o.device.precision == "bf16", gpu = o.device.backend == "cuda";
  const auto ceiling = gpu ? ceilings{} : measure_ceilings(threads);
  const double peak = low ? ceiling.bf16_gflops : ceiling.f32_gflops;
  json lines = json::array();
  if (!o.json_output) {
    if (!gpu) std::printf("peak %.0f GF/s %s, %d threads\n", peak, low ? ("bf16, " + ceiling.bf16_unit).c_str() : "f32", threads);
    std::printf("%-44s %-10s %9s %9s\n", "case", "part", "median ms", "min ms");
  }
  each_case(o.images, [&](const auto& c) {
    if (c.name().find(o.filter) != std::string::npos) time_case(device, c, o, peak, lines);
  });
  clipx::expect(!lines.empty(), [&] { return clipx::cat("no case has \"", o.filter, "\" in its name"); });
  if (o.json_output)
    print({{"backend", o.device.backend},
           {"precision", o.device.precision},
           {"threads", threads},
           {"peak_gflops", peak},
           {"ops", lines}},
          true);
}
}  // namespace

void add_ops(cli::command& app, std::function<void()>& run) {
  auto* verb = app.add_subcommand("ops", "Single ops, forward and backward: the tests' cases at the sizes of real models.");
  auto o = std::make_shared<options>();
  verb->add_option("--filter", o->filter, "only cases with this in their name");
  verb->add_option("--images", o->images, "batch size of the convolutions")->check(cli::positive_number());
  verb->add_option("--runs", o->runs)->check(cli::positive_number());
  verb->add_option("--warmup", o->warmup);
  verb->add_flag("--in-place", o->in_place, "weights that may change, as in training: none is packed");
  verb->add_flag("--json", o->json_output);
  o->device.add(*verb);
  verb->callback([=, &run] { run = [=] { with_device(o->device, [&](auto& device) { ops(device, *o); }); }; });
}

}  // namespace bench
