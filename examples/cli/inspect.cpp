// clipx inspect: what a checkpoint is; clipx convert: the same weights in the other layout or precision.
#include <cstdio>

#include "common.hpp"

namespace cli {
namespace {

struct options {
  model_options model;
  std::string layout = "open_clip", dtype = "f32", out;
};

int inspect(const options& o) {
  const auto source = o.model.open();
  const auto facts = json::parse(source.summary());
  if (o.model.json_output) {
    std::printf("%s\n", facts.dump().c_str());
    return 0;
  }
  for (auto& [key, value] : facts.items())
    std::printf("%-16s %s\n", key.c_str(), value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
  return 0;
}

int convert(const options& o) {
  o.model.open().write(o.out, o.layout == "hf" ? clipx::layout::hf : clipx::layout::open_clip, o.dtype);
  return 0;
}
}  // namespace

void add_inspect(CLI::App& app, action& run) {
  auto* verb = app.add_subcommand("inspect", "Shows a checkpoint's architecture, sizes, preprocessing and precision.");
  auto o = std::make_shared<options>();
  o->model.add_model(*verb), o->model.add_json(*verb);
  verb->add_option("path", o->model.path, "folder or file")->excludes("--model");
  verb->callback([=, &run] { run = [=] { return inspect(*o); }; });
}

void add_convert(CLI::App& app, action& run) {
  auto* verb = app.add_subcommand("convert", "Writes a checkpoint in open_clip's or Hugging Face's layout.");
  auto o = std::make_shared<options>();
  o->model.add_model(*verb);
  verb->add_option("--layout", o->layout, "open_clip or hf")->capture_default_str()->check(CLI::IsMember({"open_clip", "hf"}));
  verb->add_option("--dtype", o->dtype, "f32, f16 or bf16")->capture_default_str()->check(CLI::IsMember({"f32", "f16", "bf16"}));
  verb->add_option("--out", o->out, "folder to write")->required();
  verb->callback([=, &run] { run = [=] { return convert(*o); }; });
}

}  // namespace cli
