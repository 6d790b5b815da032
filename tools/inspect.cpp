// clipx inspect: what a checkpoint is; clipx convert: the same weights in the other layout or precision.
#include <cstdio>
#include <nlohmann/json.hpp>

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
    std::printf("%s\n", facts.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
    return 0;
  }
  for (auto& [key, value] : facts.items())
    std::printf("%-16s %s\n", key.c_str(), printable(value.is_string() ? value.get<std::string>() : value.dump()).c_str());
  return 0;
}

int convert(const options& o) {
  terminal watch;
  o.model.open().write(o.out, o.layout == "hf" ? clipx::layout::hf : clipx::layout::open_clip, o.dtype, watch);
  return 0;
}
}  // namespace

void add_inspect(command& app, action& run) {
  auto* verb = app.add_subcommand("inspect", "Shows a checkpoint's architecture, sizes, preprocessing and precision.");
  auto o = std::make_shared<options>();
  auto given = std::make_shared<std::string>();
  verb->add_option("path", *given, "the same as --model")->type_name("PATH");
  o->model.add_json(*verb);
  o->model.add_model(*verb);
  verb->footer("Example: clipx inspect path/to/model --json");
  verb->callback([=, &run] {
    if (!given->empty() && !o->model.path.empty()) throw excludes_error("path", "--model");
    if (!given->empty()) o->model.path = *given;
    run = [=] { return inspect(*o); };
  });
}

void add_convert(command& app, action& run) {
  auto* verb = app.add_subcommand("convert", "Writes a checkpoint in open_clip's or Hugging Face's layout.");
  auto o = std::make_shared<options>();
  const auto add = [&](const char* name, std::string& value, const char* help, std::vector<std::string> choices) {
    verb->add_option(name, value, help)->capture_default_str()->check(is_member(choices))->type_name("NAME");
  };
  verb->add_option("--out", o->out, "output folder, created if missing")->required()->type_name("DIR");
  add("--layout", o->layout, "open_clip or hf", {"open_clip", "hf"});
  add("--dtype", o->dtype, "f32, f16 or bf16", {"f32", "f16", "bf16"});
  o->model.add_model(*verb);
  verb->footer(
      "open_clip loads the folder as local-dir:DIR, transformers with CLIPModel.from_pretrained.\n"
      "Example: clipx convert --model path/to/model --layout hf --dtype f16 --out copy");
  verb->callback([=, &run] { run = [=] { return convert(*o); }; });
}

}  // namespace cli
