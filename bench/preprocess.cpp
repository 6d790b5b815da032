// clipx-bench preprocess: image files to what the image tower sees, (3, n, n) normalized float32 each.
#include <clipx/clipx.hpp>
#include <memory>

#include "bench.hpp"

namespace bench {
namespace {

struct options {
  std::vector<std::string> files;
  std::string out;
  clipx::dim size = 224;
  int threads = 1, runs = 7, warmup = 1;
  bool json_output = false;
};

void preprocess(const options& o) {
  const clipx::preprocess_config config{.size = o.size};
  const auto one = static_cast<std::size_t>(3 * o.size * o.size), count = o.files.size();
  std::vector<float> tensor(count * one);  // (N, 3, n, n)
  image_times sum;
  const auto work = [&] {
    const auto t = each_image(o.files, config, o.threads, [&](std::size_t i, const clipx::image& pixels) {
      clipx::to_tensor(pixels.data, config, tensor.data() + i * one);
    });
    sum.decode += t.decode;
    sum.resize += t.resize;
    sum.use += t.use;
  };
  for (int i = 0; i < o.warmup; ++i) work();
  sum = {};
  const auto ms = time_runs(0, o.runs, work);
  const double images = static_cast<double>(count), each = images * o.runs;
  auto facts = result(ms);
  facts["pictures"] = count;
  facts["pictures_per_s"] = images / median(ms) * 1e3;
  facts["decode_ms"] = sum.decode / each;  // an image, from here on
  facts["resize_ms"] = sum.resize / each;
  facts["normalise_ms"] = sum.use / each;
  facts["decoder"] = clipx::jpeg_decoder();
  if (!o.out.empty()) clipx::write_npy(o.out, tensor, {static_cast<clipx::dim>(count), 3, o.size, o.size});
  print(facts, o.json_output);
}
}  // namespace

void add_preprocess(cli::command& app, std::function<void()>& run) {
  auto* verb = app.add_subcommand("preprocess", "Image files to normalized pixels: decode, exact resize and crop, float32.");
  auto o = std::make_shared<options>();
  verb->add_option("--size", o->size, "pixels a side")->check(cli::positive_number());
  verb->add_option("files", o->files, "images")->required();
  verb->add_option("--threads", o->threads)->check(cli::positive_number());
  verb->add_option("--runs", o->runs)->check(cli::positive_number());
  verb->add_option("--warmup", o->warmup);
  verb->add_option("--out", o->out, "(N, 3, n, n) float32 .npy");
  verb->add_flag("--json", o->json_output);
  verb->callback([=, &run] { run = [=] { preprocess(*o); }; });
}

}  // namespace bench
